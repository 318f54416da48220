"""The environment of every stage, free of the settings of the user's other tools."""

import getpass
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab_utils.core.paths import clone_of_package

BATCH = "LAB_BATCH"  # set in the kernels that the pipeline starts; without it a notebook runs by hand
GIVEN = "LAB_GIVEN"  # names as the user typed them, for Snakemake reads 001 as 1 and "scan #2" as scan
# The names of other tools' variables begin with these.
FOREIGN = ("SNAKEMAKE_", "PAPERMILL_", "JUPYTER_CONFIG", "IPYTHON", "PYTHON", "MATPLOTLIBRC")
HARMLESS = {"PYTHONHASHSEED", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "PYTHONUNBUFFERED"}
STATED = {
    "MPLBACKEND": "agg",
    "JUPYTER_NO_CONFIG": "1",  # nbconvert's and the kernel's own configuration files are not read
    "KERAS_BACKEND": "tensorflow",
    "PYTHONUTF8": "1",
}
KERNEL = {"MPLBACKEND": "module://matplotlib_inline.backend_inline", BATCH: "1"}


def stage_environment(given: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """Return the environment variables of a stage.

    The home folder of a user without a writable one is ``.home`` in the workspace.

    Parameters
    ----------
    given : mapping of str to str
        The variables of the user's shell.
    """
    variables = {name: value for name, value in given.items() if name in HARMLESS or not name.startswith(FOREIGN)}
    variables |= STATED
    if clone := clone_of_package():
        variables["PYTHONPATH"] = str(clone)  # before an installation that leads to another clone
    return variables | _home(given, workspace) | _user()


def _home(given: Mapping[str, str], workspace: Path) -> dict[str, str]:
    try:
        home = Path(given["HOME"]) if given.get("HOME") else Path.home()
    except RuntimeError:  # no variable, and the system does not know this user
        home = Path(os.devnull)
    if home.is_dir() and os.access(home, os.W_OK | os.X_OK):
        return {"HOME": str(home)}
    (workspace / ".home").mkdir(parents=True, exist_ok=True)
    caches = {name: str(workspace / ".home") for name in ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
    weights = home / ".keras"
    return caches | ({"KERAS_HOME": given.get("KERAS_HOME", str(weights))} if weights.is_dir() else {})


def _user() -> dict[str, str]:
    try:
        return {"LOGNAME": getpass.getuser()}
    except (KeyError, OSError):  # the system does not know this user
        return {"LOGNAME": "lab"}


@contextmanager
def kernel_environment() -> Iterator[Path]:
    """Give this process a kernel's environment for a while; yield the kernel's own folder."""
    before = dict(os.environ)
    with TemporaryDirectory(prefix="lab-kernel-", ignore_cleanup_errors=True) as folder:
        private = {"IPYTHONDIR": folder, "JUPYTER_RUNTIME_DIR": folder}
        replace_environment({**stage_environment(before, Path(folder)), **KERNEL, **private})
        try:
            yield Path(folder)
        finally:
            replace_environment(before)


def replace_environment(variables: Mapping[str, str]) -> None:
    """Make these the environment variables of this process and of those that it starts."""
    for name in set(os.environ) - set(variables):
        del os.environ[name]
    os.environ.update(variables)


def kernel_class() -> Any:
    """Return a kernel manager that starts this interpreter, whatever kernel is called python3."""
    from jupyter_client.kernelspec import KernelSpec
    from jupyter_client.manager import AsyncKernelManager

    class Kernel(AsyncKernelManager):
        @property
        def kernel_spec(self) -> Any:
            command = [sys.executable, "-m", "lab_utils.pipeline.forked", "ipykernel_launcher"]
            command += ["-f", "{connection_file}", "--log-level=ERROR"]
            command += ["--HistoryManager.enabled=False"]  # it would write each cell to a database
            return KernelSpec(argv=command, display_name="Python 3 (ipykernel)", language="python")

    return Kernel
