"""Training runs: the files of each, and which runs of an experiment have finished."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from lab_utils.core.catalogue import catalogue, read_table_file, write_table_file
from lab_utils.core.config import Experiment, Protocol, Scenario
from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import atomic_write, read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.plan import applied
from lab_utils.core.provenance import provenance
from lab_utils.evaluation.predictions import read_predictions

STAGE = "30_train"
RECOMMENDED = "corrected"  # the protocol without copies across the split, where it has finished runs


@dataclass(frozen=True)
class Run:
    """One training of one scenario."""

    protocol: Protocol
    scenario: Scenario  # as lab.yaml has it now; `record` holds what the run was made with
    seed: int
    folder: Path

    @property
    def name(self) -> str:
        """Name the run as described/fc_only/seed-0."""
        return f"{self.protocol.name}/{self.scenario.name}/seed-{self.seed}"

    @property
    def record(self) -> dict[str, Any]:
        """What run.json holds: settings, versions, keys and times."""
        return read_json(self.folder / "run.json", stage=STAGE)

    def predictions(self) -> pd.DataFrame:
        """Read the probabilities of the validation images."""
        return read_predictions(self.folder / "predictions.csv")

    def test_predictions(self) -> pd.DataFrame:
        """Read the probabilities of the test images; no rows without a test set."""
        return read_predictions(self.folder / "predictions_test.csv")

    def history(self) -> pd.DataFrame:
        """Read one row per epoch: epoch, accuracy, loss, val_accuracy, val_loss, seconds."""
        return read_table_file(self.folder / "history.csv", "history")

    def architecture(self) -> pd.DataFrame:
        """Return the table of the model's layers: as the write-up's Figure 1."""
        return pd.DataFrame(self.record["architecture"])

    def labels(self) -> dict[str, Any]:
        """Return the columns that name the run in a table of results."""
        return {"protocol": self.protocol.name, "scenario": self.scenario.name, "seed": self.seed}

    def labelled(self, table: pd.DataFrame) -> pd.DataFrame:
        """Put the columns that name the run in front of a table."""
        return pd.DataFrame([self.labels()]).merge(table, how="cross")

    def rows_of(self, table: pd.DataFrame) -> pd.DataFrame:
        """Select the run's rows of a table of results, in their order."""
        return table.merge(pd.DataFrame([self.labels()]))


class Runs(list[Run]):
    """Finished runs in the report's order, found by place, scenario or full name."""

    def __getitem__(self, key: Any) -> Any:
        """Return ``runs[0]``, ``runs["fc_only"]`` or ``runs["described/fc_only/seed-0"]``."""
        if not isinstance(key, str):
            return super().__getitem__(key)
        names = {run.scenario.name: run for run in reversed(self)} | {run.name: run for run in self}
        return names[choose("run", key, names)]

    def _ipython_key_completions_(self) -> list[str]:
        return [*dict.fromkeys(run.scenario.name for run in self), *(run.name for run in self)]

    def __repr__(self) -> str:
        return "\n".join(run.name for run in self)


def save_run(
    run: Run, model: Any, history: pd.DataFrame, predictions: Mapping[str, pd.DataFrame], record: dict[str, Any]
) -> dict[str, Any]:
    """Write history.csv, predictions by name of the table, model.keras and, last, run.json.

    An earlier run.json goes first, so that a folder with a run.json holds the files of one run. Columns of the history
    that the catalogue does not know are left out. The run's names, the accuracy, versions and machine are added to
    `record`, which is returned.

    Raises
    ------
    LabError
        If the history has no accuracy.
    """
    columns = list(catalogue()["history"].columns)
    if missing := [name for name in columns if name not in history]:
        raise LabError(f"{run.name}: no {', '.join(missing)} in the history; compile with metrics=['accuracy']")
    (run.folder / "run.json").unlink(missing_ok=True)
    write_table_file(run.folder / "history.csv", "history", history[columns])
    for name, table in predictions.items():
        write_table_file(run.folder / f"{name}.csv", name, table)
    with atomic_write(run.folder / "model.keras") as draft:
        model.save(draft)
    record = {
        "protocol": run.protocol.model_dump(),
        "scenario": run.scenario.model_dump(),
        "seed": run.seed,
        "accuracy": float(history["val_accuracy"].iloc[-1]),
        **record,
        **provenance(),
    }
    write_json(run.folder / "run.json", record)
    return record


def planned_runs(experiment: Experiment, workspace: Workspace) -> list[Run]:
    """List every run of the experiment in the report's order: protocols, scenarios, seeds."""
    return [
        Run(experiment.protocol(protocol), scenario, seed, workspace.run(protocol, scenario.name, seed))
        for protocol in experiment.protocols
        for scenario in experiment.chosen_scenarios()
        for seed in experiment.seeds
    ]


def finished_runs(experiment: Experiment, workspace: Workspace) -> list[Run]:
    """List the planned runs that have finished; raises LabError if there is none."""
    runs = [run for run in planned_runs(experiment, workspace) if (run.folder / "run.json").is_file()]
    if not runs:
        raise LabError(f"{workspace.root / 'runs'}: no finished run of this experiment; run stage 30_train first")
    return runs


def headline_protocol(runs: Sequence[Run]) -> str:
    """Name the protocol whose numbers count: the recommended one where it ran, else the first."""
    protocols = [run.protocol.name for run in runs]
    return RECOMMENDED if RECOMMENDED in protocols else protocols[0]


def choose_run(runs: Runs, name: str = "") -> tuple[Any, str]:
    """Choose the run that predicts or is shared, and say why in one sentence.

    Parameters
    ----------
    runs : Runs
        The finished runs, one or more, as ``lab.runs`` gives them.
    name : str
        A run as "corrected/fc_only/seed-0", or a scenario; empty: the first seed of the scenario with the highest mean
        validation accuracy, under protocol `corrected` or, without finished runs of it, under the first protocol.

    Raises LabError if no finished run has this name, with all names and the nearest.
    """
    if name:
        return runs[name], f"{runs[name].name} was asked for."
    protocol = headline_protocol(runs)
    rows = [(run.scenario.name, run.record["accuracy"]) for run in runs if run.protocol.name == protocol]
    means = pd.DataFrame(rows, columns=["scenario", "accuracy"]).groupby("scenario", sort=False)["accuracy"].mean()
    run: Any = next(run for run in runs if run.name.startswith(f"{protocol}/{means.idxmax()}/"))
    among = f"{len(means)} scenario{'' if len(means) == 1 else 's'}"
    reason = f"under protocol {protocol}, {means.idxmax()} has the highest mean validation accuracy of {among}"
    return run, f"No run was named: {reason} ({100 * means.max():.1f}\N{NO-BREAK SPACE}%), and this is its first seed."


def chosen_run(experiment: Experiment, workspace: Workspace, name: str = "") -> tuple[Run, str]:
    """Choose a finished run of a workspace for a command, see `choose_run`."""
    return choose_run(Runs(finished_runs(applied(experiment, workspace), workspace)), name)


def settings_that_differ(run: Run) -> list[str]:
    """List a run's settings that are not the experiment's, as "epochs 5, lab.yaml has 20"."""
    now, then = run.scenario.model_dump(mode="json", exclude={"title"}), run.record["scenario"]
    return [f"{name} {then.get(name)}, lab.yaml has {now[name]}" for name in now if now[name] != then.get(name)]
