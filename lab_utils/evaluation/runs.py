"""Finished training runs: what each leaves in its folder, and which of the experiment's there are."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lab_utils.core.config import Experiment, Protocol, Scenario
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_csv, read_json, sha256
from lab_utils.core.paths import Workspace
from lab_utils.evaluation.predictions import read_predictions


@dataclass(frozen=True)
class Run:
    """One scenario trained once.

    Parameters
    ----------
    protocol : Protocol
    scenario : Scenario
        As lab.yaml has it now; `record` holds what the run was made with.
    seed : int
    folder : Path
    """

    protocol: Protocol
    scenario: Scenario
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """For messages: described/fc_only/seed-0."""
        return f"{self.protocol.name}/{self.scenario.name}/seed-{self.seed}"

    @property
    def record(self) -> dict[str, Any]:
        """run.json: settings, versions, hashes and times."""
        return read_json(self.folder / "run.json", stage="30_train")

    def file(self, name: str) -> Path:
        """One of the run's artefacts, whose bytes are those that run.json names.

        Raises
        ------
        LabError
            If it is not there, or another run's, or edited.
        """
        path = self.folder / name
        if path.is_file() and sha256(path) != self.record["sha256"][name]:
            raise LabError(f"{path}: is not the one that run.json was written for; run stage 30_train again")
        return path

    def predictions(self) -> pd.DataFrame:
        """The validation images' probabilities."""
        return read_predictions(self.file("predictions.csv"))

    def history(self) -> pd.DataFrame:
        """One row per epoch: epoch, accuracy, loss, val_accuracy, val_loss, seconds."""
        return read_csv(self.file("history.csv"), stage="30_train")

    def architecture(self) -> pd.DataFrame:
        """The model's summary table."""
        return pd.DataFrame(self.record["architecture"])

    def labels(self) -> dict[str, Any]:
        """The columns that name the run in a table of results."""
        return {"protocol": self.protocol.name, "scenario": self.scenario.name, "seed": self.seed}

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """A table of the run's own under the columns that name the run."""
        return pd.DataFrame([self.labels()]).merge(table, how="cross")

    def rows_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """The run's own rows of a table of results, in their order."""
        return table.merge(pd.DataFrame([self.labels()]))


def planned_runs(experiment: Experiment, workspace: Workspace) -> list[Run]:
    """Every run of the experiment in the report's order: protocols, scenarios, seeds."""
    return [
        Run(experiment.protocol(protocol), scenario, seed, workspace.run(protocol, scenario.name, seed))
        for protocol in experiment.protocols
        for scenario in experiment.chosen_scenarios()
        for seed in experiment.seeds
    ]


def finished_runs(experiment: Experiment, workspace: Workspace, *, seeds: Sequence[int] | None = None) -> list[Run]:
    """Those of the planned runs whose last artefact is there.

    Parameters
    ----------
    seeds : sequence of int, optional
        Those of these seeds only.

    Raises
    ------
    LabError
        If there is none.
    """
    planned = [run for run in planned_runs(experiment, workspace) if seeds is None or run.seed in seeds]
    runs = [run for run in planned if (run.folder / "run.json").is_file()]
    if not runs:
        raise LabError(f"{workspace.root / 'runs'}: no finished run of this experiment; run stage 30_train first")
    return runs


def settings_that_differ(run: Run) -> list[str]:
    """Settings of a run, made by hand perhaps, that are not lab.yaml's: 'epochs 5, lab.yaml has 20'."""
    now, then = asdict(run.scenario), run.record["scenario"]
    return [
        f"{name} {then.get(name)}, lab.yaml has {value}"
        for name, value in now.items()
        if name != "title" and _plain(value) != then.get(name)
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
