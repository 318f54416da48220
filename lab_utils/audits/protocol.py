"""The audits of one protocol and backbone: probe inputs, reference, attribution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.audits.attribution import EXAMPLES, SHARES, attribution_examples, attribution_shares, coverage
from lab_utils.audits.inputs import Float, grey_inputs
from lab_utils.audits.masking import AuditImages, MaskedImages
from lab_utils.audits.probes import PROBES, SOURCES, coefficients, linear_model, probe_scores, source_scores
from lab_utils.audits.suspects import SUSPECTS, suspect_labels
from lab_utils.audits.tables import AuditError
from lab_utils.core.files import atomic_write, digest, reading
from lab_utils.core.progress import progress
from lab_utils.data.labelled import LabelledImages
from lab_utils.evaluation.runs import STAGE, Run
from lab_utils.models.backbone import load_model, trunk_of
from lab_utils.models.engine import FeatureExtractor
from lab_utils.models.explain import Attribution, AttributionError, attribute, attribute_linear
from lab_utils.models.features import Features, features_by_depth


@dataclass(frozen=True, eq=False)
class ProtocolAudit:
    """The audits of one protocol and one frozen backbone."""

    data: LabelledImages  # all images of the protocol
    images: AuditImages  # those that the audits use
    backbone: Any  # keras.Model, frozen
    scaling: Any  # keras.layers.Layer, in front of the backbone
    _attributions: dict[Path, Attribution | None] = field(default_factory=dict, repr=False)  # by folder of the run

    @cached_property
    def left_out(self) -> dict[str, str]:
        """Audits that cannot be done, and why; the methods add theirs."""
        reason = self.images.without_masks
        return {"lungs erased, lungs only, attribution inside the lungs": reason} if reason else {}

    def _attempt(self, audit: str, columns: list[str], work: Callable[[], pd.DataFrame]) -> pd.DataFrame:
        """Do an audit; where it cannot be done, keep the reason and return a table without rows."""
        try:
            return work()
        except AuditError as error:
            self.left_out[audit] = str(error)
            return pd.DataFrame(columns=columns)

    def probes(self) -> pd.DataFrame:
        """Scores of a linear model on every input: table probes of the protocol."""
        return self._attempt("linear models", PROBES, lambda: probe_scores(self.inputs, self.images.manifest))

    def sources(self) -> pd.DataFrame:
        """Source confounding: table sources of the protocol."""
        return self._attempt(
            "source confounding", SOURCES, lambda: source_scores(self.inputs["full"], self.images.manifest)
        )

    def suspects(self) -> pd.DataFrame:
        """Images whose label the other images contradict: table suspects of the protocol.

        Lung masks that count as images are left out, and the images of a test set.
        """
        manifest = self.data.manifest
        rows = np.flatnonzero((manifest["kind"] == "image") & manifest["split"].isin(["train", "validation"]))
        values = self._training_features.values[rows].astype(np.float32)
        return self._attempt(
            "suspect labels", SUSPECTS, lambda: suspect_labels(values, manifest.iloc[rows], self.data.classes)
        )

    @cached_property
    def inputs(self) -> dict[str, Float]:
        """What the linear model is given: name of the input to float32 (n, K).

        full, border, lungs_erased, lungs_only: pooled features of the backbone, cached on disk; histogram: nine
        statistics of the grey levels; thumbnail_8x8: 64 mean grey levels.
        """
        inputs = grey_inputs(self.images.inputs["full"])
        inputs["full"] = self._training_features.values[self.images.inputs["full"].rows].astype(np.float32)
        for name, masked in self.images.inputs.items():
            if name != "full":
                inputs[name] = self._masked_features(name, masked)
        return inputs

    @cached_property
    def _training_features(self) -> Features:
        """Pooled features of all images; training may have cached them."""
        return features_by_depth(self.backbone, self.scaling, [0], self.data)[0]

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        """One for all inputs, because it is compiled for seconds."""
        trunk = trunk_of(self.backbone, self.scaling, self.data.shape)
        return FeatureExtractor(trunk, self.data.images.shape[1:])

    def _masked_features(self, name: str, images: MaskedImages) -> Float:
        """Pooled features of masked images, cached: float32 (n, K)."""
        folder = self.data.features_folder / digest(self._training_features.key, self.images.key, name)
        path = folder / "pooled.npy"
        if not path.is_file():
            features = np.empty((len(images), *self._extractor.shapes[0]), np.float32)
            with progress(total=len(images), desc=name, unit="image") as bar:

                def write(start: int, blocks: Sequence[Float]) -> None:
                    features[start : start + len(blocks[0])] = blocks[0]
                    bar.update(len(blocks[0]))

                self._extractor.run(images, write)
            with atomic_write(path) as draft:
                np.save(draft, features)
        with reading(path, "features of masked images", stage="45_audit"):
            return np.load(path, mmap_mode="r", allow_pickle=False)

    @cached_property
    def reference(self) -> Attribution:
        """The lungs-only reference: attribution of a linear model that sees only lungs.

        Maps of so few cells cannot lie inside the lungs altogether; this is what they reach. It is of the validation
        images, and needs lung masks.
        """
        train = self.images.positions("train")
        model = linear_model(self.inputs["lungs_only"][train], self.images.manifest["class"].to_numpy()[train])
        masked = self.images.inputs["lungs_only"]
        masked = replace(masked, rows=masked.rows[self.images.positions("validation")])
        trunk = trunk_of(self.backbone, self.scaling, self.data.shape, pooled=False)
        return attribute_linear(FeatureExtractor(trunk, masked.shape[1:]), masked, *coefficients(model))

    def explain(self, run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables attribution and examples of a run of the protocol and backbone.

        Without lung masks, attribution has no rows; where Grad-CAM is not possible, both have none.
        """
        attribution = self._attribution(run)
        if attribution is None:
            return pd.DataFrame(columns=SHARES), pd.DataFrame(columns=EXAMPLES)
        positions = self.images.positions("validation")
        rows, manifest = self.images.inputs["full"].rows[positions], self.images.manifest.iloc[positions]
        examples = attribution_examples(attribution, manifest, self.data.classes)
        if self.images.masks is None:
            return pd.DataFrame(columns=SHARES), examples
        cover = coverage(self.images.masks, rows, *attribution.maps.shape[1:])
        shares = self._attempt(
            "attribution inside the lungs",
            SHARES,
            lambda: attribution_shares(attribution, self.reference, cover, manifest, self.data.classes),
        )
        return shares, examples

    def grad_cam_maps(self, run: Run) -> dict[str, Float]:
        """Grad-CAM of a run for the predicted class: image_id to float32 (h, w), at least 0.

        It holds the validation images that the audits use, and none where Grad-CAM is not possible.
        """
        attribution = self._attribution(run)
        names = self.images.manifest["image_id"].iloc[self.images.positions("validation")]
        return {} if attribution is None else dict(zip(names, attribution.maps, strict=True))

    def _attribution(self, run: Run) -> Attribution | None:
        """Compute Grad-CAM of the validation images once; None where it is not possible."""
        if run.folder not in self._attributions:
            rows = self.images.inputs["full"].rows[self.images.positions("validation")]
            attribution = None
            try:
                attribution = attribute(load_model(run.folder / "model.keras", stage=STAGE), self.data, rows)
            except AttributionError as error:
                self.left_out[f"Grad-CAM, {run.scenario.label}"] = str(error)
            self._attributions[run.folder] = attribution
        return self._attributions[run.folder]
