"""Run a stage notebook: check its parameters, execute it with papermill, say how it ended.

Used by the Snakefile as ``python -m lab_utils.pipeline.runner NOTEBOOK OUTPUT -y '{"seed": 0}' -r workspace .``;
the flags mean what papermill's mean.
"""

import argparse
import errno
import json
import logging
import os
import sys
from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import yaml

from lab_utils.core.config import load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256
from lab_utils.core.paths import Workspace
from lab_utils.core.plan import applied_protocols, leave_out, left_out
from lab_utils.core.progress import LEFT_OUT, report_outcome
from lab_utils.pipeline.environment import kernel_class, kernel_environment
from lab_utils.pipeline.parameters import EMPTY, check_values, parameter_types
from lab_utils.pipeline.planning import CHECKSUMS

SPLIT_ERROR = "SplitError"  # of data/splits.py: the protocol cannot be applied, and the others may go on


def run_notebook(notebook: Path, output: Path, parameters: dict[str, Any], *, artefacts: Collection[Path] = ()) -> None:
    """Execute `notebook` into `output`.

    The executed notebook gets its name only when the call returned: what papermill itself writes says
    'completed' even after a dead kernel. One that failed stays beside it as *.failed.ipynb.
    Parameters that are not given are empty, whatever somebody has saved in the parameters cell.

    Parameters
    ----------
    parameters : dict
        JSON values by name.
    artefacts : collection of Path
        What the notebook writes; its metadata record the checksums.

    Raises
    ------
    LabError
        If a parameter does not exist or has a wrong value, or a cell fails: notebook, cell and reason.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    types = parameter_types(notebook)
    check_values(parameters, types, notebook.name)
    output.parent.mkdir(parents=True, exist_ok=True)
    running, failed = output.with_suffix(".running.ipynb"), output.with_suffix(".failed.ipynb")
    try:
        with kernel_environment():
            papermill.execute_notebook(
                str(notebook),
                str(running),
                {name: EMPTY[kind] for name, kind in types.items() if kind in EMPTY} | parameters,
                kernel_name="python3",
                language="python",
                kernel_manager_class=kernel_class(),
                progress_bar=False,
                log_output=True,
                coalesce_streams=True,
                request_save_on_cell_execute=False,  # twice for each cell: a sixth of the time of the report
                shutdown_kernel="immediate",  # every artefact is on the disk; a polite shutdown takes seconds
            )
    except PapermillExecutionError as error:
        reason = error.evalue if error.ename in (LabError.__name__, SPLIT_ERROR) else f"{error.ename}: {error.evalue}"
        if error.ename == SPLIT_ERROR and not (reason := _leave_out(parameters, reason)):
            return _finish(running, output, artefacts)
        running.replace(failed)
        if os.strerror(errno.ENOSPC) in reason:
            reason += "; make room or choose another WORKSPACE"
        raise LabError(f"{notebook.stem}, cell {error.exec_count}: {reason}\n  executed so far: {failed}") from None
    except DeadKernelError:
        raise LabError(
            f"{notebook.stem}: its kernel died, perhaps because memory ran out, in the last cell that the log names"
        ) from None
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # its complaints would follow the last message
        raise
    _finish(running, output, artefacts)


def _finish(running: Path, output: Path, artefacts: Collection[Path]) -> None:
    _vouch(running, artefacts)
    running.replace(output)
    output.with_suffix(".failed.ipynb").unlink(missing_ok=True)


def _leave_out(parameters: dict[str, Any], reason: str) -> str:
    """Record why a protocol cannot be applied; return all reasons if none remains, else ""."""
    workspace, experiment = Workspace.open(parameters["workspace"]), load_experiment(parameters["config"])
    leave_out(workspace, parameters["protocol"], reason)
    print(f"{LEFT_OUT}{reason}", flush=True)
    if applied_protocols(experiment, workspace):
        return ""
    reasons = [f"  {name}: {why}" for name, why in left_out(experiment, workspace).items()]
    return "\n".join(["no protocol of the experiment can be applied to these data", *reasons])


def _vouch(notebook: Path, artefacts: Iterable[Path]) -> None:
    """Record the artefacts' checksums in a notebook, and sign it: JupyterLab then shows SVG."""
    import nbformat
    from nbformat.sign import NotebookNotary

    if missing := [str(path) for path in artefacts if not path.is_file()]:
        raise LabError(f"{notebook}: its cells did not write {', '.join(missing)}; restore the cells that do")
    content = nbformat.read(notebook, as_version=4)
    content.metadata[CHECKSUMS] = {str(path): sha256(path) for path in artefacts}
    nbformat.write(content, notebook)
    with suppress(Exception):  # no home folder, a full disk, a locked database: nothing that a run should fail for
        NotebookNotary().sign(content)


def main() -> int:
    """Run the command line; the cells print to standard error, the outcome to standard output."""
    parser = argparse.ArgumentParser(description="Execute a stage notebook with checked parameters.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-y", "--parameters", default="{}", help="parameters as JSON or YAML")
    parser.add_argument("-r", nargs=2, action="append", default=[], dest="raw", metavar=("NAME", "TEXT"))
    parser.add_argument("--artefacts", nargs="*", default=[], type=Path, help="files that the notebook writes")
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        try:
            parameters = yaml.safe_load(given.parameters)
        except yaml.YAMLError as error:
            raise LabError(f"parameters: not valid YAML: {error}") from error
        if not isinstance(parameters, dict):
            raise LabError(f"parameters: expected names and values, found {json.dumps(parameters)}")
        written = [path for path in given.artefacts if path != given.output]
        run_notebook(given.notebook, given.output, {**parameters, **dict(given.raw)}, artefacts=written)

    return report_outcome(work)


if __name__ == "__main__":
    sys.exit(main())
