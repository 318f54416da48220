"""An outside collection as trained runs see it: images, predictions, errors."""

from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lab_utils import audits, models
from lab_utils.core.config import Collection
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.copies import copies_in
from lab_utils.data.dataset import Dataset, load_dataset
from lab_utils.data.external import load_collection, obtain_collection
from lab_utils.data.labelled import LabelledImages, prepare_test_images
from lab_utils.data.manifest import read_images
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.runs import STAGE, Run
from lab_utils.evaluation.transport import surest_errors

if TYPE_CHECKING:
    from lab_utils.lab import Lab


@dataclass(frozen=True, eq=False)
class ExternalImages:
    """The images of an outside collection, prepared for each protocol as its own images are."""

    lab: "Lab"
    collection: Collection
    _images: dict[tuple[str, str], LabelledImages] = field(default_factory=dict, repr=False)  # by protocol and backbone

    @classmethod
    def obtain(cls, lab: "Lab", collection: Collection) -> "ExternalImages":
        """Bring a collection into the workspace; raises LabError where it cannot be read."""
        obtain_collection(collection, lab.workspace, phantoms=lab.experiment.phantoms // 2)
        return cls(lab, collection)

    @cached_property
    def dataset(self) -> Dataset:
        """The images whose label has a class, under that class."""
        return load_collection(self.collection, self.lab.classes, self.lab.workspace)

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row per readable image: columns of the manifest but split, and label."""
        manifest, unreadable = read_images(self.dataset, self.dataset.listing)
        if manifest.empty:
            raise LabError(
                f"external.{self.collection.name}: none of {len(unreadable):,} images can be read; the first: "
                f"{unreadable['image_id'].iloc[0]}: {unreadable['reason'].iloc[0]}"
            )
        return manifest

    @cached_property
    def copies(self) -> pd.DataFrame:
        """Near-duplicates of images of the experiment: table external_copies of the collection."""
        copies = copies_in(self._prepared(self.lab.protocol.name), self.lab.data)
        classes = self.manifest[["image_id", "class"]]
        return copies.merge(classes).assign(collection=self.collection.name)

    def images(self, run: Run) -> LabelledImages:
        """The images, prepared as the run's protocol prepares its images.

        Those to judge are of the set "test", copies of no set.

        The features that all scenarios of the run's backbone need are computed in one pass.
        """
        key = run.protocol.name, run.scenario.backbone
        if key not in self._images:
            lab, data = self.lab.under(run.protocol.name), self._prepared(run.protocol.name)
            depths = lab.experiment.convs_of(run.scenario.backbone)
            backbone = _backbone(lab.workspace, lab.backbone_record(key[1]).key)
            models.features_by_depth(backbone, lab.scaling_layer(key[1]), depths, data)
            split = data.manifest["split"].mask(data.manifest["image_id"].isin(self.copies["image_id"]), "")
            self._images[key] = replace(data, manifest=data.manifest.assign(split=split))
        return self._images[key]

    def _prepared(self, protocol: str) -> LabelledImages:
        experiment = self.lab.experiment
        settings = experiment.protocol(protocol), experiment.image_size, self.lab.workspace
        classes = tuple(self.lab.classes)
        return prepare_test_images(self.dataset, self.manifest, classes, *settings, storage=experiment.storage)

    def counts(self) -> pd.DataFrame:
        """What became of the images of each label: table external_images of the collection."""
        listing, copied = self.dataset.listing, self.manifest["image_id"].isin(self.copies["image_id"])
        class_of = listing.groupby("label")["class"].first()
        labels = load_dataset(self.lab.workspace.of_collection(self.collection.name)).classes
        rows = []
        for label, numbers in labels.items():
            read = self.manifest["label"] == label
            judged = self.manifest[read & ~copied]
            row = {"label": label, "class": class_of.get(label, ""), "images": numbers["images"]}
            row |= {
                "unreadable": int((listing["label"] == label).sum() - read.sum()),
                "copies": int((read & copied).sum()),
            }
            known = len(judged) and (judged["patient"] != "").all()
            rows.append({**row, "judged": len(judged), "patients": judged["patient"].nunique() if known else pd.NA})
        table = pd.DataFrame(rows).astype({"patients": "Int64"})
        return table.assign(collection=self.collection.name, title=self.collection.title)

    def judge(self, run: Run, *, explained: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return a run's predictions, and Grad-CAM of as many of its surest errors.

        They are the rows of the tables external_predictions and external_examples.
        """
        data, name = self.images(run), self.collection.name
        rows, path = data.rows("test"), run.folder / "model.keras"
        model, manifest = _model(path, path.stat().st_mtime_ns), data.manifest.iloc[rows]
        predictions = predictions_table(manifest, list(data.classes), models.predict(model, data, rows))
        errors, examples = surest_errors(predictions, explained), pd.DataFrame(columns=audits.EXAMPLES)
        if len(errors):
            with suppress(models.AttributionError):  # the audits say why
                attribution = models.attribute(model, data, rows[errors])
                examples = audits.attribution_examples(attribution, manifest.iloc[errors], data.classes, each=explained)
        first, second = (run.labelled(table).assign(collection=name) for table in (predictions, examples))
        return first, second

    def patients(self, predictions: pd.DataFrame) -> pd.Series:
        """The patient of each row of predictions, "" where unknown."""
        return predictions["image_id"].map(self.manifest.set_index("image_id")["patient"])


@lru_cache(maxsize=1)  # one run is judged on all collections before the next
def _model(path: Path, written: int) -> Any:
    """Load the model of a run that was `written` at a time."""
    return models.load_model(path, stage=STAGE)


@lru_cache(maxsize=1)
def _backbone(workspace: Workspace, key: str) -> Any:
    return models.load_backbone(workspace, key)
