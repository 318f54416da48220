"""The audits of one protocol and backbone: probe inputs, reference, attribution."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits.attribution import EXAMPLES, SHARES, attribution_examples, attribution_shares, coverage
from lab_utils.audits.confounding import SOURCES, source_scores
from lab_utils.audits.discriminant import Discriminant
from lab_utils.audits.inputs import Float, grey_inputs
from lab_utils.audits.masking import AuditImages
from lab_utils.audits.network import NETWORK_INPUTS, network_scores
from lab_utils.audits.probes import PROBES, probe_scores
from lab_utils.audits.suspects import SUSPECTS, suspect_labels
from lab_utils.audits.tables import AuditError
from lab_utils.core.files import atomic_write, digest, reading
from lab_utils.core.progress import progress
from lab_utils.data.labelled import LabelledImages
from lab_utils.evaluation.predictions import probabilities_of
from lab_utils.evaluation.runs import STAGE, Run
from lab_utils.models.backbone import load_model, trunk_of, weights_sha256
from lab_utils.models.cut import joined
from lab_utils.models.engine import FeatureExtractor
from lab_utils.models.explain import Attribution, AttributionError, attribute, attribute_linear
from lab_utils.models.features import Features, features_by_depth

REFERENCE_IMAGES = 600  # training images of the lungs-only reference: more change its maps little


@dataclass(frozen=True, eq=False)
class ProtocolAudit:
    """The audits of one protocol and one frozen backbone."""

    data: LabelledImages  # all images of the protocol
    images: AuditImages  # those that the audits use
    backbone: Any  # keras.Model, frozen
    scaling: Any  # keras.layers.Layer, in front of the backbone
    network: Run | None = None  # judged on images with parts erased, whose features are then computed in the same pass
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

    def network_inputs(self) -> pd.DataFrame:
        """Scores of a trained network on images with parts erased: table network_inputs of its run."""
        return self._attempt(
            "trained network on erased images",
            NETWORK_INPUTS,
            self._network_scores,
        )

    def _network_scores(self) -> pd.DataFrame:
        validation = self.images.manifest.iloc[self.images.positions("validation")]
        return network_scores(self._network_probabilities(), validation, self.data.classes)

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

        histogram: nine statistics of the grey levels; thumbnail_8x8: 64 mean grey levels; the others: pooled features
        of the backbone, cached on disk. Images with parts erased are among them where a network is judged on them.
        """
        full = self._training_features.values[self.images.inputs["full"].rows].astype(np.float32)
        inputs = {"full": full, **grey_inputs(self.images.inputs["full"])}
        masked = [name for name in self.images.inputs if name != "full"] if self.network else []
        return inputs | {name: self._masked_outputs(name)[0] for name in masked}

    def _network_probabilities(self) -> dict[str, Float]:
        """Probabilities of the network for validation images: name to float32 (m, C)."""
        if self.network is None or self.images.masks is None:
            raise AuditError(self.images.without_masks or "no network is judged under this protocol")
        positions = self.images.positions("validation")
        names = self.images.manifest["image_id"].iloc[positions]
        full = probabilities_of(self.network.predictions().set_index("image_id", drop=False).loc[names])
        masked = [name for name in self.images.inputs if name != "full"]
        return {"full": full.astype(np.float32)} | {name: self._masked_outputs(name)[1][positions] for name in masked}

    @cached_property
    def _training_features(self) -> Features:
        """Pooled features of all images; training may have cached them."""
        return features_by_depth(self.backbone, self.scaling, [0], self.data)[0]

    @cached_property
    def _joined(self) -> tuple[Any, str]:
        """Return what runs over masked images, the backbone joined to the network, and its key."""
        if self.network is None:
            raise AuditError("no network is judged under this protocol")
        model = load_model(self.network.folder / "model.keras", stage=STAGE)
        return joined(trunk_of(self.backbone, self.scaling, self.data.shape), model), weights_sha256([model])

    @cached_property
    def _extractor(self) -> FeatureExtractor:
        """One for all inputs, because it is compiled for seconds."""
        return FeatureExtractor(self._joined[0], self.data.images.shape[1:])

    def _masked_outputs(self, name: str) -> list[Float]:
        """Pooled features (n, K) and the network's probabilities (n, C) of masked images; cached."""
        images = self.images.inputs[name]
        folder = self.data.features_folder / digest(self._training_features.key, self.images.key, name, self._joined[1])
        paths = [folder / f"{part}.npy" for part in ("pooled", "probabilities")]
        if not all(path.is_file() for path in paths):
            outputs = [np.empty((len(images), *shape), np.float32) for shape in self._extractor.shapes]
            with progress(total=len(images), desc=name, unit="image") as bar:

                def write(start: int, blocks: Sequence[Float]) -> None:
                    for output, block in zip(outputs, blocks, strict=True):
                        output[start : start + len(block)] = block
                    bar.update(len(blocks[0]))

                self._extractor.run(images, write)
            for path, output in zip(paths, outputs, strict=True):
                with atomic_write(path) as draft:
                    np.save(draft, output)
        with reading(folder, "features of masked images", stage="45_audit"):
            return [np.load(path, mmap_mode="r", allow_pickle=False) for path in paths]

    @cached_property
    def reference(self) -> Attribution:
        """The lungs-only reference: attribution of a linear model that sees only lungs.

        It is fitted on some training images, explains the validation images, and needs lung masks.
        """
        lungs, manifest = self.images.inputs["lungs_only"], self.images.manifest
        extractor = FeatureExtractor(
            trunk_of(self.backbone, self.scaling, self.data.shape, pooled=False), lungs.shape[1:]
        )
        train = np.random.default_rng(0).permutation(self.images.positions("train"))[:REFERENCE_IMAGES]
        values = np.empty((len(train), extractor.shapes[0][-1]), np.float32)

        def write(start: int, blocks: Sequence[Float]) -> None:
            values[start : start + len(blocks[0])] = blocks[0].mean(axis=(1, 2))

        extractor.run(lungs.among(train), write)
        labels, groups = (manifest[column].to_numpy()[train] for column in ("class", "group"))
        with threadpool_limits(1):
            coefficients = Discriminant.fit(values, labels, groups).coefficients(labels)
        return attribute_linear(extractor, lungs.among(self.images.positions("validation")), *coefficients)

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
