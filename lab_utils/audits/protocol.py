"""The audits of one protocol and backbone: probe inputs, reference, attribution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits.attribution import EXAMPLES, SHARES, attribution_examples, attribution_shares, coverage
from lab_utils.audits.confounding import SOURCES, source_scores
from lab_utils.audits.discriminant import Discriminant, folds_of
from lab_utils.audits.inputs import Float, grey_inputs
from lab_utils.audits.masking import AuditImages, MaskedImages
from lab_utils.audits.network import NETWORK_INPUTS, network_scores
from lab_utils.audits.probes import PROBES, probe_scores
from lab_utils.audits.suspects import SUSPECTS, suspect_labels
from lab_utils.audits.tables import AuditError
from lab_utils.core.files import atomic_write, digest, reading
from lab_utils.core.progress import progress
from lab_utils.data.labelled import LabelledImages
from lab_utils.evaluation.predictions import correct_in, probabilities_of
from lab_utils.evaluation.runs import STAGE, Run
from lab_utils.models.backbone import load_model, trunk_of, weights_sha256
from lab_utils.models.cut import joined
from lab_utils.models.engine import FeatureExtractor
from lab_utils.models.explain import Attribution, AttributionError, attribute, attribute_linear
from lab_utils.models.features import Features, features_by_depth

ALL_IMAGES = "full_all_images"  # input of the table probes
EACH = 2  # most confident predictions of each class and outcome whose maps are examples
ERRORS = 200  # most confident errors of a run that are explained: as many as the gallery shows
RANDOM_IMAGES = 128  # explained with random heads, at most

Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ProtocolAudit:
    """The audits of one protocol and one frozen backbone."""

    data: LabelledImages  # all images of the protocol
    images: AuditImages  # a sample: those that are masked and whose attribution is measured
    backbone: Any  # keras.Model, frozen
    scaling: Any  # keras.layers.Layer, in front of the backbone
    network: Run | None = None  # judged on images with parts erased, whose features are then computed in the same pass
    _attributions: dict[Path, tuple[Rows, Attribution] | None] = field(default_factory=dict, repr=False)  # by folder

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
        """Scores of a linear model on every input: table probes of the protocol.

        The first rows are of a model that is fitted on all training images and judged on all validation images. The
        others are of the sample, by cross-validation.
        """
        return self._attempt("linear models", PROBES, self._probe_scores)

    def _probe_scores(self) -> pd.DataFrame:
        values, manifest = self._all_images
        everything = probe_scores({"full": values}, manifest).assign(input=ALL_IMAGES)
        sampled = self.images.manifest.assign(split="validation")  # cross-validation judges every image
        return pd.concat([everything, probe_scores(self.inputs, sampled)], ignore_index=True)

    def network_inputs(self) -> pd.DataFrame:
        """Scores of a trained network on images with parts erased: table network_inputs of its run."""
        return self._attempt("trained network on erased images", NETWORK_INPUTS, self._network_scores)

    def _network_scores(self) -> pd.DataFrame:
        judged = self.images.manifest.iloc[self.images.judged]
        return network_scores(self._network_probabilities(), judged, self.data.classes)

    def sources(self) -> pd.DataFrame:
        """Source confounding: table sources of the protocol."""
        return self._attempt("source confounding", SOURCES, lambda: source_scores(*self._all_images))

    def suspects(self) -> pd.DataFrame:
        """Images whose label the other images contradict: table suspects of the protocol."""
        return self._attempt("suspect labels", SUSPECTS, lambda: suspect_labels(*self._all_images, self.data.classes))

    @cached_property
    def _all_images(self) -> tuple[Float, pd.DataFrame]:
        """Pooled features and manifest of all training and validation images; masks are left out."""
        manifest = self.data.manifest
        rows = np.flatnonzero((manifest["kind"] == "image") & manifest["split"].isin(["train", "validation"]))
        values = self._training_features.values[rows].astype(np.float32)
        return values, manifest.iloc[rows].reset_index(drop=True)

    @cached_property
    def inputs(self) -> dict[str, Float]:
        """What the linear model is given: name of the input to float32 (n, K).

        histogram: nine statistics of the grey levels; thumbnail_8x8: 64 mean grey levels; the others: pooled features
        of the backbone, cached on disk. Images with parts erased are among them where a network is judged on them.
        """
        full = self._training_features.values[self.images.inputs["full"].rows].astype(np.float32)
        inputs = {"full": full, **grey_inputs(self.images.inputs["full"])}
        masked = [name for name in self.images.inputs if name != "full"] if self.network else []
        return inputs | {name: self._masked_outputs(name)[0] for name in masked}

    def _network_probabilities(self) -> dict[str, Float]:
        """Probabilities of the network for the validation images: name to float32 (m, C)."""
        if self.network is None or self.images.masks is None:
            raise AuditError(self.images.without_masks or "no network is judged under this protocol")
        judged = self.images.judged
        names = self.images.manifest["image_id"].iloc[judged]
        full = probabilities_of(self.network.predictions().set_index("image_id", drop=False).loc[names])
        masked = [name for name in self.images.inputs if name != "full"]
        return {"full": full.astype(np.float32)} | {name: self._masked_outputs(name)[1][judged] for name in masked}

    @cached_property
    def _training_features(self) -> Features:
        """Pooled features of all images; training may have cached them."""
        return features_by_depth(self.backbone, self.scaling, [0], self.data)[0]

    @cached_property
    def _joined(self) -> tuple[Any, str]:
        """Return the backbone joined to the network, for masked images, and the network's key."""
        trunk = trunk_of(self.backbone, self.scaling, self.data.shape, pooled=False)
        if self.network is None:
            return trunk, ""
        model = load_model(self.network.folder / "model.keras", stage=STAGE)
        return joined(trunk, model), weights_sha256([model])

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        """One for all inputs, because it is compiled for seconds."""
        return FeatureExtractor(self._joined[0], self.data.images.shape[1:])

    def _pooled(self, images: MaskedImages, desc: str) -> list[Float]:
        """Compute pooled features (n, K) and, where there is a network, its probabilities (n, C)."""
        outputs = [np.empty((len(images), shape[-1]), np.float32) for shape in self._extractor.shapes]
        with progress(total=len(images), desc=desc, unit="image") as bar:

            def write(start: int, blocks: Sequence[Float]) -> None:
                for output, block in zip(outputs, [blocks[0].mean(axis=(1, 2)), *blocks[1:]], strict=True):
                    output[start : start + len(block)] = block
                bar.update(len(blocks[0]))

            self._extractor.run(images, write)
        return outputs

    def _masked_outputs(self, name: str) -> list[Float]:
        """Pooled features and the network's probabilities of masked images; cached."""
        key = digest(self._training_features.key, self.images.key, name, self._joined[1])
        folder = self.data.features_folder / key
        paths = [folder / f"{part}.npy" for part in ("pooled", "probabilities")]
        if not all(path.is_file() for path in paths):
            for path, output in zip(paths, self._pooled(self.images.inputs[name], name), strict=True):
                with atomic_write(path) as draft:
                    np.save(draft, output)
        with reading(folder, "features of masked images", stage="45_audit"):
            return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    @cached_property
    def lungs_only(self) -> Float:
        """The lungs-only reference: maps (m, h, w) of a linear model that sees only lungs.

        It explains the validation images of the sample. Cross-validation fits it on others. It needs lung masks.
        """
        lungs = self.images.inputs["lungs_only"]
        values = self.inputs["lungs_only"] if self.network else self._pooled(lungs, "lungs_only")[0]
        labels, groups = (self.images.manifest[column].to_numpy() for column in ("class", "group"))
        maps = np.empty((len(labels), *self._extractor.shapes[0][:2]), np.float32)
        for fold in folds_of(groups):
            fitted = np.setdiff1d(np.arange(len(labels)), fold)
            with threadpool_limits(1):
                model = Discriminant.fit(values[fitted], labels[fitted], groups[fitted])
            explained, coefficients = np.intersect1d(fold, self.images.judged), model.coefficients(labels[fitted])
            if len(explained):  # a small sample has folds of training images alone
                maps[explained] = attribute_linear(self._extractor, lungs.among(explained), *coefficients).maps
        return maps[self.images.judged]

    def explain(self, run: Run) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Tables attribution and examples of a run of the protocol and backbone.

        Shares are those of the sample, examples those of all validation images. Without lung masks, attribution has no
        rows; where Grad-CAM is not possible, both have none.
        """
        if (explained := self._attribution(run)) is None:
            return pd.DataFrame(columns=SHARES), pd.DataFrame(columns=EXAMPLES)
        rows, attribution = explained
        examples = attribution_examples(attribution, self.data.manifest.iloc[rows], self.data.classes, each=EACH)
        if self.images.masks is None:
            return pd.DataFrame(columns=SHARES), examples
        manifest, judged = self.images.manifest.iloc[self.images.judged], self.images.judged
        cover = coverage(self.images.masks, judged, *attribution.maps.shape[1:])
        of_sample = attribution.first(len(judged))
        shares = self._attempt(
            "attribution inside the lungs",
            SHARES,
            lambda: attribution_shares(of_sample, self.lungs_only, cover, manifest, self.data.classes),
        )
        return shares, examples

    def grad_cam_maps(self, run: Run) -> dict[str, Float]:
        """Grad-CAM of a run for the predicted class: image_id to float32 (h, w), at least 0.

        It holds the images of `_explained_rows`, and none where Grad-CAM is not possible.
        """
        if (explained := self._attribution(run)) is None:
            return {}
        rows, attribution = explained
        return dict(zip(self.data.manifest["image_id"].iloc[rows], attribution.maps, strict=True))

    def _attribution(self, run: Run) -> tuple[Rows, Attribution] | None:
        """Compute Grad-CAM of the rows of the data once; None where it is not possible."""
        if run.folder not in self._attributions:
            rows, count = self._explained_rows(run), len(self.images.judged)
            random_rows = np.arange(0, count, -(-count // RANDOM_IMAGES))
            explained = None
            try:
                model = load_model(run.folder / "model.keras", stage=STAGE)
                explained = rows, attribute(model, self.data, rows, random_rows)
            except AttributionError as error:
                self.left_out[f"Grad-CAM, {run.scenario.label}"] = str(error)
            self._attributions[run.folder] = explained
        return self._attributions[run.folder]

    def _explained_rows(self, run: Run) -> Rows:
        """Rows of the data: validation images of the sample, then the most confident predictions.

        The latter are the `ERRORS` most confident errors, and `EACH` predictions of each class and outcome.
        """
        sample = self.images.inputs["full"].rows[self.images.judged]
        predictions = run.predictions()
        table = predictions[["image_id", "y_true"]].assign(
            confidence=probabilities_of(predictions).max(axis=1), correct=correct_in(predictions)
        )
        table = table.sort_values("confidence", ascending=False, kind="stable")
        chosen = pd.concat([table[~table["correct"]].head(ERRORS), table.groupby(["y_true", "correct"]).head(EACH)])
        rows = pd.Index(self.data.manifest["image_id"]).get_indexer(pd.Index(chosen["image_id"]))
        return np.concatenate([sample, np.setdiff1d(rows, sample)])
