"""What the Snakefile needs before it plans: the experiment, the workspace, and the artefacts that were altered."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256
from lab_utils.core.paths import Workspace, experiment_file

CHECKSUMS = "artefacts"  # key of an executed notebook's metadata: path in the workspace to SHA-256


class Setup(NamedTuple):
    """What is run, and where.

    Parameters
    ----------
    config : Path
        The experiment file, absolute.
    experiment : Experiment
    workspace : Workspace
    """

    config: Path
    experiment: Experiment
    workspace: Workspace


def open_setup(given: Mapping[str, Any], project: Path) -> Setup:
    """Open what ``--config`` names: `config`, `dataset` and `workspace`, each optional.

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
    return Setup(config, experiment, Workspace.open(_given_path(given, "workspace") or str(project / "workspace")))


def _given_path(given: Mapping[str, Any], name: str) -> str:
    """Return a path of ``--config``, whose values Snakemake reads as YAML: 0 is a number there, and no is false."""
    value = given.get(name, "")
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise LabError(
            f"{name}: read as {value!r}, expected a path; write ./ in front of such a name, and no ': ' in it"
        )
    return str(value)


def lock(workspace: Workspace) -> FileLock:
    """Lock a workspace until this process ends, however it ends.

    Raises
    ------
    LabError
        If another run has locked it.
    """
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
    """Find artefacts that something else than the pipeline has changed, and have their stages run again.

    Snakemake compares times, and knows neither who wrote a file nor what. The executed notebook of a stage records the
    artefacts' checksums, and the stage runs again when this notebook is missing: so it is deleted.

    Returns
    -------
    list of str
        The altered artefacts, relative to the workspace.
    """
    root, altered = workspace.root, []
    for notebook in sorted([*root.glob("notebooks/*.ipynb"), *root.glob("runs/*/*/*/train.ipynb")]):
        changed = [name for name, checksum in _checksums_in(notebook).items() if _is_altered(root / name, checksum)]
        if changed:
            notebook.unlink()
            altered += changed
    return altered


def _checksums_in(notebook: Path) -> dict[str, str]:
    """Return the checksum of each artefact that an executed notebook records; none where it is damaged."""
    try:
        return dict(json.loads(notebook.read_text(encoding="utf-8"))["metadata"].get(CHECKSUMS, {}))
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return {}


def _is_altered(path: Path, checksum: str) -> bool:
    return path.is_file() and sha256(path) != checksum
