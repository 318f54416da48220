"""What the Snakefile needs first: experiment, workspace, lock, and altered artefacts."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256
from lab_utils.core.locks import acquire_lock
from lab_utils.core.machine import in_parallel
from lab_utils.core.paths import Workspace, experiment_file
from lab_utils.data.external import replace_collections, with_absolute_paths
from lab_utils.pipeline.environment import GIVEN

NAMES = ("dataset", "workspace", "config")
CHECKSUMS = "artefacts"  # key of an executed notebook's metadata: path in the workspace to SHA-256


def open_setup(config: Mapping[str, Any], words: Sequence[str] = ()) -> tuple[Path, Experiment, Workspace]:
    """Open the experiment file, the experiment and the workspace that a command names.

    The names come from ``python -m lab_utils``, or from Snakemake's ``--config``. A job of a cluster reads the
    Snakefile again, in another folder: the environment hands on the names and the folder of the command.

    Parameters
    ----------
    config : mapping
        What Snakemake read from ``--config``; empty in a job.
    words : sequence of str
        The words of the command, in which names are as they were typed.

    Raises
    ------
    LabError
        If the experiment file or the workspace cannot be used.
    """
    names: dict[str, Any] = json.loads(os.environ.get(GIVEN, "{}"))
    names.setdefault("folder", str(Path.cwd()))
    names |= {name: _as_typed(name, words, config[name]) for name in NAMES if name in config}
    if "external" in config:
        names["external"] = [_as_typed("external", words, config["external"])]
    os.environ[GIVEN] = json.dumps(names)
    os.chdir(names["folder"])
    if "KERAS_HOME" in os.environ:
        os.environ["KERAS_HOME"] = str(Path(os.environ["KERAS_HOME"]).absolute())
    file = experiment_file(names.get("config", "")).resolve()
    dataset = names.get("dataset")
    experiment = load_experiment(str(file), **({"dataset": dataset} if dataset else {}))
    if paths := names.get("external"):
        experiment = replace_collections(experiment, paths)
    return file, with_absolute_paths(experiment), Workspace.open(names.get("workspace", ""))


def _as_typed(name: str, words: Sequence[str], value: object) -> str:
    """Return a value of ``--config`` as it was typed, else as Snakemake read it."""
    typed = [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]
    return typed[-1] if typed else str(value or "")


def lock(workspace: Workspace) -> FileLock | None:
    """Lock a workspace until this process ends; raise LabError if another run holds the lock."""
    try:
        held = acquire_lock(workspace.root / ".lock", timeout=0)
    except Timeout:
        raise LabError(
            f"{workspace.root}: another run is at work in this workspace; "
            "wait for it, or choose another with WORKSPACE=path"
        ) from None
    if held is None:
        print(f"  {workspace.root}: this file system has no locks; start no second run in this workspace")
    return held


def discard_altered(workspace: Workspace) -> list[str]:
    """Find artefacts that were changed outside the pipeline, and have their stages run again.

    Snakemake compares times, and knows neither who wrote a file nor what. The executed notebook of a stage records the
    artefacts' checksums, and the stage runs again when this notebook is missing: so it is deleted.

    Returns
    -------
    list of str
        The altered artefacts, relative to the workspace.
    """
    root, altered = workspace.root, []
    for notebook in sorted([*root.glob("notebooks/*.ipynb"), *root.glob("runs/*/*/*/train.ipynb")]):
        try:
            recorded = dict(json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get(CHECKSUMS, {}))
        except (OSError, ValueError, KeyError, AttributeError, TypeError):  # a damaged notebook vouches for nothing
            recorded = {}
        present = [name for name in recorded if (root / name).is_file()]
        checksums = in_parallel(lambda name: sha256(root / name), present)
        changed = [name for name, checksum in zip(present, checksums, strict=True) if checksum != recorded[name]]
        if changed:
            notebook.unlink()
            altered += changed
    return altered
