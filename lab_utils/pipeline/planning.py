"""What the Snakefile needs first: experiment, workspace, lock, and altered artefacts."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256
from lab_utils.core.paths import Workspace, experiment_file

CHECKSUMS = "artefacts"  # key of an executed notebook's metadata: path in the workspace to SHA-256


def open_setup(given: Mapping[str, Any], project: Path) -> tuple[Path, Experiment, Workspace]:
    """Open the experiment file, the experiment and the workspace that ``--config`` names.

    A job of a cluster reads the Snakefile again, in another folder. Relative paths keep their meaning there,
    because the environment hands on the folder of the command.

    Raises
    ------
    LabError
        If a value is no path, or the experiment file or the workspace cannot be used.
    """
    os.chdir(os.environ.setdefault("LAB_FOLDER", str(Path.cwd())))
    if "KERAS_HOME" in os.environ:
        os.environ["KERAS_HOME"] = str(Path(os.environ["KERAS_HOME"]).absolute())
    config = experiment_file(_given_path(given, "config")).resolve()
    dataset = _given_path(given, "dataset")
    experiment = load_experiment(str(config), **({"dataset": dataset} if dataset else {}))
    return config, experiment, Workspace.open(_given_path(given, "workspace") or str(project / "workspace"))


def _given_path(given: Mapping[str, Any], name: str) -> str:
    """Return a path of ``--config``; as YAML, 0 is a number and no is false."""
    value = given.get(name, "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise LabError(
            f"{name}: read as {value!r}, expected a path; write ./ in front of such a name, and no ': ' in it"
        )
    return str(value)


def lock(workspace: Workspace) -> FileLock:
    """Lock a workspace until this process ends; raise LabError if another run holds the lock."""
    held = FileLock(workspace.root / ".lock")
    try:
        held.acquire(timeout=0)
    except Timeout:
        raise LabError(
            f"{workspace.root}: another run is at work in this workspace; "
            "wait for it, or choose another with WORKSPACE=path"
        ) from None
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
        changed = [name for name, known in recorded.items() if (root / name).is_file() and sha256(root / name) != known]
        if changed:
            notebook.unlink()
            altered += changed
    return altered
