"""The front door: a workspace with an experiment, one protocol and one scenario."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, cast

import pandas as pd

from lab_utils import audits, models, reporting
from lab_utils.core.catalogue import read_table, write_table
from lab_utils.core.config import Collection, Experiment, Fault, Protocol, Scenario, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.plan import applied, left_out
from lab_utils.core.provenance import provenance
from lab_utils.data.dataset import Dataset, load_dataset, obtain
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.store import open_store
from lab_utils.evaluation.runs import Run, Runs, finished_runs, headline_protocol
from lab_utils.reporting.exhibits import Notices, ReportFigure, notices
from lab_utils.trained import TrainedRun


def open_lab(
    workspace: str = "", config: str = "", *, protocol: str = "", scenario: str = "", seed: int = 0, **changes: Any
) -> "Lab":
    """Open a workspace for a notebook, and set up its figures and its ``%%text`` cells.

    Outside the pipeline, the lab is opened *by hand*: it reads the batch's files and writes below ``by_hand/``.

    Parameters
    ----------
    workspace, config : str
        Folder of the run, and experiment file; empty: ``workspace`` and lab.yaml in the project.
    protocol, scenario : str
        Names that the experiment defines; empty: the first one that it runs.
    **changes
        Settings of the scenario that replace the experiment's, such as ``epochs=5``; empty values (0, "") do not.

    Raises LabError if a name or value is not valid, or papermill was given a parameter that the notebook lacks.
    """
    from lab_utils.pipeline.environment import BATCH
    from lab_utils.pipeline.parameters import check_by_hand
    from lab_utils.reporting.text import register_magic

    check_by_hand()
    reporting.use_style()
    register_magic()
    place, chosen = Workspace.open(workspace, by_hand=BATCH not in os.environ), load_experiment(config)
    experiment = applied(chosen, place)
    changed = {name: value for name, value in changes.items() if value}
    return Lab(
        workspace=place,
        experiment=experiment,
        left_out=left_out(chosen, place),
        protocol=experiment.protocol(protocol or experiment.protocols[0]),
        scenario=experiment.scenario(scenario or experiment.scenarios[0], **changed),
        seed=seed,
    )


@dataclass(frozen=True, eq=False)
class Lab:
    """A workspace with its experiment, seen through one protocol and one scenario."""

    workspace: Workspace
    experiment: Experiment
    protocol: Protocol  # how the images are read and split
    scenario: Scenario  # what is trained
    seed: int = 0  # of the head's initial weights and of the order of the batches
    left_out: Mapping[str, str] = field(default_factory=dict)  # protocols that these data do not admit: name to reason
    _audits: dict[tuple[str, str], Any] = field(default_factory=dict, repr=False)  # by protocol and backbone

    def obtain(self, dataset: str = "", phantoms: int = 0, faults: str = "") -> Dataset:
        """Bring the data set into the workspace; empty values mean as the experiment says."""
        self.__dict__["dataset"] = data = obtain(
            dataset or self.experiment.dataset,
            self.workspace.writable,
            phantoms=phantoms or self.experiment.phantoms,
            faults=cast(list[Fault], faults.split()) or self.experiment.faults,
            columns=self.experiment.columns,
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

    def collections(self, external: Mapping[str, str] | None = None) -> tuple[Collection, ...]:
        """The outside collections: those named, or those of the experiment file that fit."""
        chosen = self.experiment.with_external(external) if external else self.experiment
        return chosen.collections_beside(is_synthetic=self.dataset.synthetic)

    def save_preprocessing(self, manifest: pd.DataFrame, findings: pd.DataFrame, store_key: str) -> None:
        """Write what stage 20 leaves: the manifest, the findings and, last, the record of both."""
        self.save_table("manifest", manifest, protocol=self.protocol.name)
        self.save_table("findings", findings, protocol=self.protocol.name)
        record = {"dataset": self.dataset.fingerprint, "store": store_key, **provenance()}
        record["shape"] = open_store(self.workspace, store_key).shape
        write_json(self.workspace.writable.preprocessing(self.protocol.name), record)

    def _store_key(self) -> str:
        """Return the key of the stored images; refuse them if the data set has changed."""
        path = self.workspace.preprocessing(self.protocol.name)
        record = read_json(path, stage="20_preprocess")
        if record["dataset"] != self.dataset.fingerprint:
            raise LabError(
                f"{path}: made from data set {record['dataset'][:16]}, the workspace now has "
                f"{self.dataset.fingerprint[:16]}; run stage 20_preprocess again (protocol {self.protocol.name})"
            )
        if "left_out" in record:
            raise LabError(f"protocol {self.protocol.name} is left out: {record['left_out']}")
        return str(record["store"])

    @cached_property
    def manifest(self) -> pd.DataFrame:
        """One row per image of the protocol."""
        self._store_key()  # refuses a stale manifest
        return self.table("manifest", protocol=self.protocol.name)

    @cached_property
    def manifests(self) -> dict[str, pd.DataFrame]:
        """The manifest of every protocol of the experiment."""
        return {name: self.under(name).manifest for name in self.experiment.protocols}

    @property
    def images(self) -> Pixels:
        """The protocol's images as a read-only memory map: uint8 (N, H, W) or (N, H, W, 3)."""
        return self.data.images

    @cached_property
    def data(self) -> LabelledImages:
        """The protocol's images with classes and split, as ``fit`` and ``predict`` take them."""
        store_key = self._store_key()
        return LabelledImages(
            images=open_store(self.workspace, store_key),
            manifest=self.manifest,
            classes=tuple(self.classes),
            store_key=store_key,
            features_folder=self.workspace.features(""),
            storage=self.experiment.storage,
            precision=self.experiment.precision,
        )

    def under(self, protocol: str) -> "Lab":
        """Look at the same workspace through another protocol."""
        return replace(self, protocol=self.experiment.protocol(protocol))

    def scaling_layer(self, backbone: str = "") -> Any:
        """Return the Keras layer that scales pixel values in [0, 255] as the protocol says."""
        return models.scaling_layer(backbone or self.scenario.backbone, self.protocol.scaling)

    def obtain_backbone(self, name: str = "") -> tuple[Any, str]:
        """Obtain a backbone (stage 25): a frozen Keras model, and the kind of its weights."""
        name, weights, synthetic = name or self.scenario.backbone, self.experiment.weights, self.dataset.synthetic
        return models.frozen_backbone(name, self.data, self.scaling_layer(name), weights=weights, synthetic=synthetic)

    def save_features(self, name: str, backbone: Any, weights: str, features: Mapping[int, Any]) -> None:
        """Keep what stage 25 leaves: the backbone and, last, the record of its features."""
        properties = {"name": name, "weights": weights, "scaling": self.protocol.scaling, "store": self.data.store_key}
        record = models.save_backbone(backbone, self.workspace, **properties)
        cuts = {str(depth): {"layer": cut.layer, "key": cut.key} for depth, cut in features.items()}
        values = {**vars(record), "cuts": cuts, **provenance()}
        write_json(self.workspace.writable.extraction(self.protocol.name, name), values)

    def backbone(self, name: str = "") -> Any:
        """Load a backbone: a Keras model without its classifier, all layers frozen."""
        return models.load_backbone(self.workspace, self.backbone_record(name).key)

    def backbone_record(self, name: str = "") -> Any:
        """Read what stage 25 recorded of a backbone."""
        names = self.protocol.name, name or self.scenario.backbone
        return models.BackboneRecord.read(self.workspace, *names, store=self.data.store_key)

    def train(self, scenario: str = "", **changes: Any) -> TrainedRun:
        """Train a scenario with other settings (``learning_rate=0.01``), unless done before.

        The run lies below ``by_hand/trials/`` and never enters results.
        """
        return TrainedRun.trial(self, self.experiment.scenario(scenario or self.scenario.name, **changes), changes)

    def compare(self, *runs: Run) -> ReportFigure:
        """Draw the training curves of several runs on the same axes."""
        return reporting.figures.compared_curves({getattr(run, "title", run.name): run.history() for run in runs})

    def save_run(self, model: Any, history: pd.DataFrame) -> dict[str, Any]:
        """Write history, predictions, the model and run.json; return its record.

        By hand, the run goes below ``by_hand/``, is marked, and never enters results.
        """
        folder = self.workspace.writable.run(self.protocol.name, self.scenario.name, self.seed)
        return TrainedRun(self.protocol, self.scenario, self.seed, folder, self).save(model, history)

    @cached_property
    def runs(self) -> Runs:
        """The finished runs; ``lab.runs["fc_only"]`` is the first of that scenario."""
        return Runs([TrainedRun(**vars(run), lab=self) for run in finished_runs(self.experiment, self.workspace)])

    def audit(self, run: Run) -> Any:
        """Open the `ProtocolAudit` of a run's protocol and backbone; runs that share both share it."""
        protocol, name = key = run.protocol.name, run.scenario.backbone
        if key not in self._audits:
            lab = self.under(protocol)
            images = audits.choose_audit_images(lab.dataset, lab.data, lab.workspace)
            judged = next(one for one in self.runs if one.protocol.name == headline_protocol(self.runs))
            network = judged if (judged.protocol.name, judged.scenario.backbone) == key else None
            self._audits[key] = audits.ProtocolAudit(
                lab.data, images, lab.backbone(name), lab.scaling_layer(name), network=network
            )
        return self._audits[key]

    @property
    def notices(self) -> Notices:
        """What a reader must not miss; it shows itself in a notebook."""
        has_own = self.scaling != self.protocol.scaling
        return notices(
            synthetic=self.dataset.synthetic,
            weights=self._extraction.get("weights", "imagenet"),
            own_scaling=self.scenario.backbone if has_own else "",
        )

    @property
    def scaling(self) -> str:
        """The scaling that applies: the protocol's, or "backbone" where the network needs it."""
        return str(self._extraction.get("scaling", self.protocol.scaling))

    @property
    def _extraction(self) -> dict[str, Any]:
        path = self.workspace.extraction(self.protocol.name, self.scenario.backbone)
        return read_json(path, stage="25_features") if path.is_file() else {}

    def table(self, name: str, **keys: Any) -> pd.DataFrame:
        """Read a table of the catalogue; raises LabError where its stage has not run."""
        return read_table(self.workspace, name, **keys)

    def save_table(self, name: str, frame: pd.DataFrame, **keys: Any) -> None:
        """Write a table of the catalogue."""
        write_table(self.workspace.writable, name, frame, **keys)
