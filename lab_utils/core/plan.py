"""Which protocols of an experiment are planned, applied to the data, or left out."""

import json
from pathlib import Path
from typing import Any

import pandas as pd

from lab_utils.core.catalogue import tables_of, write_table
from lab_utils.core.config import Experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance

STAGE = "20_preprocess"


def planned_protocols(experiment: Experiment, workspace: Workspace) -> tuple[str, ...]:
    """Name the chosen protocols, and those that keep given splits if the data have them."""
    given = [name for name, protocol in experiment.known_protocols.items() if protocol.split == "given"]
    chosen = [name for name in experiment.protocols if experiment.run.protocols or name not in given]
    if _record(workspace.dataset()).get("given"):  # images per given side
        chosen += [name for name in given if name not in chosen]
    return tuple(chosen)


def left_out(experiment: Experiment, workspace: Workspace) -> dict[str, str]:
    """Return why planned protocols cannot be applied to the data set of the workspace, by name."""
    fingerprint = _record(workspace.dataset()).get("fingerprint")
    records = {name: _record(workspace.preprocessing(name)) for name in planned_protocols(experiment, workspace)}
    return {
        name: str(record["left_out"])
        for name, record in records.items()
        if "left_out" in record and record.get("dataset") == fingerprint
    }


def applied_protocols(experiment: Experiment, workspace: Workspace) -> tuple[str, ...]:
    """Name the planned protocols that are not left out, in the report's order."""
    without = left_out(experiment, workspace)
    return tuple(name for name in planned_protocols(experiment, workspace) if name not in without)


def applied(experiment: Experiment, workspace: Workspace) -> Experiment:
    """Return the experiment with `applied_protocols`, or with all if none can be applied."""
    names = applied_protocols(experiment, workspace)
    return experiment.model_copy(update={"run": experiment.run.model_copy(update={"protocols": names})})


def leave_out(workspace: Workspace, protocol: str, reason: str) -> None:
    """Record why stage 20 cannot apply a protocol, with empty tables in place of earlier ones."""
    for name, table in tables_of(STAGE).items():
        write_table(workspace, name, pd.DataFrame(columns=list(table.columns)), protocol=protocol)
    fingerprint = _record(workspace.dataset()).get("fingerprint")
    record = {"left_out": reason, "dataset": fingerprint, **provenance()}
    write_json(workspace.writable.preprocessing(protocol), record)


def _record(path: Path) -> dict[str, Any]:
    """Read a record for planning; empty if it is missing or damaged."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}
