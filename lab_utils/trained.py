"""A trained run to explore: its most confident errors, and a prediction with its heat map."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lab_utils import models, reporting
from lab_utils.core.config import Scenario
from lab_utils.core.errors import LabError
from lab_utils.core.files import digest
from lab_utils.data.decode import FORMATS, read_image, resize
from lab_utils.evaluation.predictions import classes_of, predicted_of, predictions_table, probabilities_of
from lab_utils.evaluation.runs import Run, save_run
from lab_utils.evaluation.transport import surest_errors
from lab_utils.reporting.exhibits import ReportFigure

if TYPE_CHECKING:
    from lab_utils.lab import Lab


@dataclass(frozen=True)
class TrainedRun(Run):
    """A run with the lab that it belongs to."""

    lab: "Lab"
    changes: str = ""  # settings that are not the experiment's, in words

    @classmethod
    def trial(cls, lab: "Lab", plan: Scenario, changes: Mapping[str, Any]) -> "TrainedRun":
        """Train a scenario with changed settings below ``by_hand/trials/``, unless done before."""
        key = digest(plan.model_dump(), lab.protocol.model_dump(), lab.seed, lab.data.store_key, lab.data.precision)
        folder = replace(lab.workspace, is_by_hand=True).root / "trials" / f"{plan.name}-{key}"
        settings = ", ".join(f"{name}={value}" for name, value in changes.items()) or "as in the experiment"
        run = cls(lab.protocol, plan, lab.seed, folder, lab, settings)
        if not (folder / "run.json").is_file():
            backbone, scaling = lab.backbone(plan.backbone), lab.scaling_layer(plan.backbone)
            model = models.build_model(plan, backbone, scaling, lab.data.shape, len(lab.classes), seed=lab.seed)
            arguments = plan.model_dump(include={"epochs", "batch_size", "class_weight"})
            run.save(model, models.fit(model, lab.data, seed=lab.seed, **arguments))
        return run

    @property
    def title(self) -> str:
        """Name the run in a comparison: "fc_only, learning_rate=0.01"."""
        return ", ".join(filter(None, [self.scenario.name if self.changes else self.name, self.changes]))

    def save(self, model: Any, history: pd.DataFrame) -> dict[str, Any]:
        """Write the run's files, with predictions of both sets; return its record."""
        data, manifest = self.lab.data, self.lab.manifest
        part, backbone = models.TrainablePart.of(model, data), self.lab.backbone_record(self.scenario.backbone)
        rows = {side: data.rows(side) for side in ("train", "validation", "test")}
        predictions = {
            name: predictions_table(manifest.iloc[rows[side]], list(data.classes), part.predict(data, rows[side]))
            for name, side in (("predictions", "validation"), ("predictions_test", "test"))
        }
        images = {side: len(places) for side, places in rows.items()}
        seconds = float(history["seconds"].sum())
        uncached = len(history) * (images["train"] + images["validation"]) / part.features.uncached_rate
        record = {
            "by_hand": self.lab.workspace.is_by_hand or bool(self.changes),
            "images": images,
            "seconds": {
                "features": part.features.seconds,
                "shared": part.features.shared,
                "training": seconds,
                "uncached": seconds + uncached,
            },
            "dataset": {name: getattr(self.lab.dataset, name) for name in ("kind", "fingerprint", "classes")},
            **{name: getattr(backbone, name) for name in ("weights", "weights_sha256", "store")},
            "precision": models.product_precision(data.precision),
            "features": part.features.key,
            "cut": part.features.layer,
            "architecture": models.architecture(model).to_dict("records"),
        }
        return save_run(self, model, history, predictions, record)

    @cached_property
    def model(self) -> Any:
        """The trained Keras model: images (N, H, W, 3) in [0, 255] to probabilities (N, C)."""
        return models.load_model(self.folder / "model.keras", stage="30_train")

    def mistakes(self, count: int = 12) -> ReportFigure:
        """Show the wrong predictions of highest confidence; raises LabError without any."""
        table = self.predictions()
        table = table.assign(predicted=predicted_of(table), confidence=probabilities_of(table).max(axis=1))
        wrong = table.iloc[surest_errors(table, count)]
        if wrong.empty:
            raise LabError(f"{self.name}: all {len(table):,} validation images are classified correctly")
        images = [read_image(self.lab.dataset.root / name) for name in wrong["image_id"]]
        titles = [f"{row.y_true} as\n{row.predicted}, {row.confidence:.0%}" for row in wrong.itertuples()]
        caption = (
            f"Wrong predictions of highest confidence, {self.scenario.label}: true class, predicted class, confidence"
        )
        return reporting.figures.image_grid(images, titles, caption, "fig-mistakes")

    def predict(self, image: str) -> pd.Series:
        """Return the probability of each class for an image file, the highest first."""
        probabilities, _ = self._explain(image)
        return pd.Series(probabilities, index=classes_of(self.predictions())).sort_values(ascending=False)

    def explain(self, image: str) -> ReportFigure:
        """Show an image file with its Grad-CAM map for the predicted class.

        Not a medical device: the map says where the network looked, not what the patient has.
        """
        probabilities, attribution = self._explain(image)
        best = probabilities.argmax()
        title = f"{classes_of(self.predictions())[best]}, {probabilities[best]:.0%}"
        caption = f"{Path(image).name} with the Grad-CAM map of the class that {self.scenario.label} predicts"
        heats = [np.asarray(attribution.maps[0], float)]
        return reporting.figures.image_grid([_pixels(image)], [title], caption, "fig-explain", heats=heats, columns=2)

    def _explain(self, image: str) -> Any:
        size = self.model.input_shape[1]
        return models.attribute_image(self.model, resize(_pixels(image), size, self.protocol.interpolation))


def _pixels(image: str) -> Any:
    pixels = read_image(Path(image))
    if pixels is None:
        raise LabError(f"{image}: expected a {', '.join(FORMATS)} file that can be read")
    return pixels
