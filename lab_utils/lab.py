"""The front door: one object opens a workspace, an experiment, and one of its protocols and scenarios."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

import pandas as pd

from lab_utils.core.config import Experiment, Fault, Protocol, Scenario, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import digest, read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.data.dataset import Dataset, load_dataset, obtain
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.store import open_store
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.runs import Run, Runs, finished_runs, save_run
from lab_utils.reporting.exhibits import Notices, ReportFigure, notices
from lab_utils.trained import TrainedRun

if TYPE_CHECKING:  # the rest of the lab works without TensorFlow
    from lab_utils.audits.protocol import ProtocolAudit
    from lab_utils.models.backbone import BackboneRecord


def open_lab(
    workspace: str = "",
    config: str = "",
    *,
    protocol: str = "",
    scenario: str = "",
    seed: int = 0,
    **changes: Any,
) -> "Lab":
    """Open a workspace for a notebook, and set up its figures and its ``%%text`` cells.

    Outside the pipeline, the lab is opened *by hand*: it reads the batch's files and writes below ``by_hand/``.

    Parameters
    ----------
    workspace : str
        Folder of the run; empty: ``workspace`` in the project.
    config : str
        Experiment file; empty: lab.yaml in the project.
    protocol, scenario : str
        Names that the experiment defines; empty: the first one that it runs.
    seed : int
    **changes
        Settings of the scenario that replace the experiment's, such as ``epochs=5``; empty values (0, "") do not.

    Raises
    ------
    LabError
        If a name does not exist, a value is not valid, or papermill was given a parameter that the notebook lacks.
    """
    from lab_utils.pipeline.runner import BATCH, check_injected
    from lab_utils.reporting.style import use_style
    from lab_utils.reporting.text import register_magic

    check_injected()
    use_style()
    register_magic()
    experiment = load_experiment(config)
    return Lab(
        workspace=Workspace.open(workspace, by_hand=BATCH not in os.environ),
        experiment=experiment,
        protocol=experiment.protocol(protocol or experiment.protocols[0]),
        scenario=experiment.scenario(
            scenario or experiment.scenarios[0], **{name: value for name, value in changes.items() if value}
        ),
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class Lab:
    """A workspace with its experiment, seen through one protocol and one scenario.

    Parameters
    ----------
    workspace : Workspace
    experiment : Experiment
    protocol : Protocol
        How the images are read and split.
    scenario : Scenario
        What is trained.
    seed : int
        Of the initial weights of the head and of the order of the batches.
    """

    workspace: Workspace
    experiment: Experiment
    protocol: Protocol
    scenario: Scenario
    seed: int = 0

    def obtain(self, dataset: str = "", phantoms: int = 0, faults: str = "") -> Dataset:
        """Bring the data set into the workspace; empty values mean as the experiment says."""
        self.__dict__["dataset"] = data = obtain(
            dataset or self.experiment.dataset,
            self.workspace.writable,
            phantoms=phantoms or self.experiment.phantoms,
            faults=cast(list[Fault], faults.split()) or self.experiment.faults,
        )
        return data

    @cached_property
    def dataset(self) -> Dataset:
        """The data set that stage 10 obtained."""
        return load_dataset(self.workspace)

    @property
    def classes(self) -> list[str]:
        """The classes in the order of a network's outputs."""
        return list(self.dataset.classes)

    def save_preprocessing(self, manifest: pd.DataFrame, findings: pd.DataFrame, store_key: str) -> None:
        """Write what stage 20 leaves: the manifest, the findings and, last, the record of both."""
        self.save_table("manifest", manifest, protocol=self.protocol.name)
        self.save_table("findings", findings, protocol=self.protocol.name)
        shape = open_store(self.workspace, store_key).shape
        record = {"store": store_key, "dataset": self.dataset.fingerprint, "shape": shape, **provenance()}
        write_json(self.workspace.writable.preprocessing(self.protocol.name), record)

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row per image of the protocol."""
        self._preprocessing()
        return self.table("manifest", protocol=self.protocol.name)

    @cached_property
    def manifests(self) -> dict[str, pd.DataFrame]:
        """The manifest of every protocol of the experiment."""
        return {name: self.under(name).manifest for name in self.experiment.protocols}

    def _preprocessing(self) -> dict[str, Any]:
        """The record of stage 20; raises LabError where the data set has changed since."""
        path = self.workspace.preprocessing(self.protocol.name)
        record = read_json(path, stage="20_preprocess")
        if record["dataset"] != self.dataset.fingerprint:
            raise LabError(
                f"{path}: made from data set {record['dataset'][:16]}, the workspace now has "
                f"{self.dataset.fingerprint[:16]}; run stage 20_preprocess again (protocol {self.protocol.name})"
            )
        return record

    @cached_property
    def images(self) -> Pixels:
        """The protocol's images as a read-only memory map: uint8 (N, H, W) or (N, H, W, 3)."""
        return open_store(self.workspace, self._preprocessing()["store"])

    @cached_property
    def data(self) -> LabelledImages:
        """The protocol's images with classes and split, as ``fit`` and ``predict`` take them."""
        return LabelledImages(
            images=self.images,
            manifest=self.manifest,
            classes=tuple(self.classes),
            store_key=self._preprocessing()["store"],
            features_folder=self.workspace.features(""),
            storage=self.experiment.storage,
        )

    def under(self, protocol: str) -> "Lab":
        """Look at the same workspace through another protocol."""
        return replace(self, protocol=self.experiment.protocol(protocol))

    def scaling_layer(self, backbone: str = "") -> Any:
        """Return the Keras layer that scales pixel values in [0, 255] as the protocol says."""
        from lab_utils.models.backbone import scaling_layer

        return scaling_layer(backbone or self.scenario.backbone, self.protocol.scaling)

    def obtain_backbone(self, name: str = "") -> tuple[Any, str]:
        """Obtain a backbone with its weights (stage 25): a Keras model with all layers frozen, and which weights.

        Without ImageNet weights, its BatchNorm layers take the statistics of training images.
        """
        from lab_utils.models.pretrained import frozen_backbone

        return frozen_backbone(
            name or self.scenario.backbone,
            self.data,
            self.scaling_layer(name),
            weights=self.experiment.weights,
            synthetic=self.dataset.synthetic,
        )

    def save_features(self, name: str, backbone: Any, weights: str, features: Mapping[int, Any]) -> None:
        """Keep what stage 25 leaves: the backbone and, last, the record of its features."""
        from lab_utils.models.backbone import BackboneRecord, save_backbone, weights_sha256

        record = BackboneRecord(
            name, save_backbone(backbone, self.workspace), weights, weights_sha256([backbone]), self.data.store_key
        )
        cuts = {str(depth): {"layer": one.layer, "key": one.key} for depth, one in features.items()}
        write_json(
            self.workspace.writable.extraction(self.protocol.name, name), {**vars(record), "cuts": cuts, **provenance()}
        )

    def backbone_record(self, name: str = "") -> "BackboneRecord":
        """Read what stage 25 recorded of a backbone; raises LabError where it is stale or missing."""
        from lab_utils.models.backbone import BackboneRecord

        return BackboneRecord.read(
            self.workspace, self.protocol.name, name or self.scenario.backbone, store=self.data.store_key
        )

    def backbone(self, name: str = "") -> Any:
        """Load a backbone as stage 25 left it: a Keras model without its classifier, all layers frozen."""
        from lab_utils.models.backbone import load_backbone

        return load_backbone(self.workspace, self.backbone_record(name).key)

    def train(self, scenario: str = "", **changes: Any) -> TrainedRun:
        """Train a scenario with other settings, such as ``learning_rate=0.01``, unless that was done before.

        The run lies below ``by_hand/trials/`` and never enters results.
        """
        from lab_utils.models.architecture import build_model
        from lab_utils.models.training import fit

        plan = self.experiment.scenario(scenario or self.scenario.name, **changes)
        key = digest(plan.model_dump(), self.protocol.model_dump(), self.seed, self.data.store_key)
        folder = Workspace.open(str(self.workspace.base), by_hand=True).root / "trials" / f"{plan.name}-{key}"
        said = ", ".join(f"{name}={value}" for name, value in changes.items()) or "as in the experiment"
        run = TrainedRun(self.protocol, plan, self.seed, folder, self, said)
        if not (folder / "run.json").is_file():
            backbone, classes = self.backbone(plan.backbone), len(self.classes)
            scaling = self.scaling_layer(plan.backbone)
            model = build_model(plan, backbone, scaling, self.data.shape, classes, seed=self.seed)
            settings = plan.model_dump(include={"epochs", "batch_size", "class_weight"})
            replace(self, scenario=plan).save_run(model, fit(model, self.data, seed=self.seed, **settings), run=run)
        return run

    def compare(self, *runs: Run) -> ReportFigure:
        """Draw the training curves of several runs on the same axes."""
        from lab_utils.reporting.figures import compared_curves

        return compared_curves({getattr(run, "title", run.name): run.history() for run in runs})

    def save_run(self, model: Any, history: pd.DataFrame, *, run: Run | None = None) -> dict[str, Any]:
        """Write a training run: history, predictions of the validation images, the model and, last, run.json.

        In batch it is the run of its protocol, scenario and seed. By hand it goes below ``by_hand/``, is marked, and
        never enters the batch's results.

        Returns
        -------
        dict
            What run.json holds.
        """
        from lab_utils.models.architecture import architecture
        from lab_utils.models.training import predict, trained_features

        validation = self.manifest.iloc[self.data.rows("validation")]
        features, record = trained_features(model, self.data), self.backbone_record()
        training = float(history["seconds"].sum())
        frozen = len(history) * len(self.data) / features.uncached_rate if features else 0.0
        return save_run(
            run or self._run(),
            model,
            history,
            predictions_table(validation, self.classes, predict(model, self.data)),
            {
                "by_hand": self.workspace.is_by_hand or run is not None,
                "images": {side: len(self.data.rows(side)) for side in ("train", "validation")},
                "seconds": {
                    "features": features.seconds if features else 0.0,
                    "shared": features.shared if features else 1,
                    "training": training,
                    "uncached": frozen + training,
                },
                "dataset": {
                    "kind": self.dataset.kind,
                    "fingerprint": self.dataset.fingerprint,
                    "classes": self.dataset.classes,
                },
                "weights": record.weights,
                "weights_sha256": record.weights_sha256,
                "store": record.store,
                "features": features.key if features else "",
                "cut": features.layer if features else "",
                "architecture": architecture(model).to_dict("records"),
            },
        )

    def _run(self) -> Run:
        folder = self.workspace.writable.run(self.protocol.name, self.scenario.name, self.seed)
        return Run(self.protocol, self.scenario, self.seed, folder)

    @cached_property
    def runs(self) -> Runs:
        """The finished runs of the experiment; ``lab.runs["fc_only"]`` is the first of that scenario."""
        runs = finished_runs(self.experiment, self.workspace)
        return Runs([TrainedRun(run.protocol, run.scenario, run.seed, run.folder, self) for run in runs])

    @cached_property
    def _audits(self) -> dict[tuple[str, str], "ProtocolAudit"]:
        return {}

    def audit(self, run: Run) -> "ProtocolAudit":
        """Open the audits of a run's protocol and backbone; runs that share both share the audits."""
        from lab_utils.audits.masking import choose_audit_images
        from lab_utils.audits.protocol import ProtocolAudit

        key = (run.protocol.name, run.scenario.backbone)
        if key not in self._audits:
            lab, name = self.under(run.protocol.name), run.scenario.backbone
            images = choose_audit_images(lab.dataset, lab.data, lab.workspace)
            self._audits[key] = ProtocolAudit(lab.data, images, lab.backbone(name), lab.scaling_layer(name))
        return self._audits[key]

    @property
    def notices(self) -> Notices:
        """What a reader must not miss; it shows itself in a notebook."""
        paths = [self.workspace.extraction(self.protocol.name, self.scenario.backbone)]
        weights = read_json(paths[0], stage="25_features")["weights"] if paths[0].is_file() else "imagenet"
        return notices(synthetic=self.dataset.synthetic, weights=weights)

    def table(self, name: str, **keys: Any) -> pd.DataFrame:
        """Read a table of the catalogue; raises LabError where its stage has not run."""
        from lab_utils.core.catalogue import read_table

        return read_table(self.workspace, name, **keys)

    def save_table(self, name: str, frame: pd.DataFrame, **keys: Any) -> None:
        """Write a table of the catalogue."""
        from lab_utils.core.catalogue import write_table

        write_table(self.workspace.writable, name, frame, **keys)
