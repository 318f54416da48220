"""Run a stage notebook: check its parameters first, execute it with papermill, say how it ended.

Used by the Snakefile as ``python -m lab_utils.pipeline.runner NOTEBOOK OUTPUT -y '{"seed": 0}' -r workspace .``;
the flags mean what papermill's mean.
"""

import argparse
import ast
import errno
import json
import logging
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat
import yaml
from IPython.core.getipython import get_ipython

from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import digest
from lab_utils.core.progress import say_how_it_ends

KERNEL = "python3"
PACKAGE = Path(__file__).resolve().parents[1]
PICTURES = ("reporting", "core.errors", "core.progress")  # what they draw and say is no artefact


def run_notebook(notebook: Path, output: Path, parameters: dict[str, Any]) -> None:
    """Execute `notebook` into `output`.

    The executed notebook gets its name only when the call returned: what papermill itself writes says
    'completed' even after a dead kernel. One that failed stays beside it as *.failed.ipynb.

    Parameters
    ----------
    parameters : dict
        JSON values by name.

    Raises
    ------
    LabError
        If a parameter does not exist, or a cell fails: names the notebook, the cell and the reason.
    """
    import papermill
    from nbclient.exceptions import DeadKernelError
    from papermill.exceptions import PapermillExecutionError

    check_parameters(notebook, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    running, failed = output.with_suffix(".running.ipynb"), output.with_suffix(".failed.ipynb")
    try:
        papermill.execute_notebook(
            str(notebook),
            str(running),
            parameters,
            kernel_name=KERNEL,
            progress_bar=False,
            log_output=True,
            coalesce_streams=True,
            shutdown_kernel="immediate",  # all is on the disk; asked politely, it takes seconds
        )
    except PapermillExecutionError as error:
        running.replace(failed)
        reason = error.evalue if error.ename == LabError.__name__ else f"{error.ename}: {error.evalue}"
        if os.strerror(errno.ENOSPC) in reason:
            reason += "; make room or choose another WORKSPACE"
        raise LabError(f"{notebook.stem}, cell {error.exec_count}: {reason}\n  executed so far: {failed}") from None
    except DeadKernelError:
        running.replace(failed)
        raise LabError(
            f"{notebook.stem}: its kernel died, for want of memory perhaps; executed so far: {failed}"
        ) from None
    except KeyboardInterrupt:
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)  # who waited for the kernel would have the last word
        raise
    running.replace(output)
    failed.unlink(missing_ok=True)


def check_parameters(notebook: Path, parameters: Iterable[str]) -> None:
    """Refuse parameters that a notebook does not have: papermill would only log them.

    Raises
    ------
    LabError
        If there is no cell tagged 'parameters', or it does not set one of the names.
    """
    try:
        found = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError) as error:
        raise LabError(f"{notebook}: expected a notebook ({error})") from error
    cells = [cell for cell in found if "parameters" in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise LabError(f"{notebook}: expected one cell tagged 'parameters', found {len(cells)}")
    known = _assigned(cells[0].source)
    for name in parameters:
        choose(f"parameter of {notebook.name}", name, known)


def check_injected() -> None:
    """The same from inside a notebook, for those who call papermill themselves.

    Papermill writes the values it was given into a cell of their own after the parameters' cell.
    """
    shell = get_ipython()
    cells: list[str] = shell.user_ns["In"][1:3] if shell is not None else []
    if len(cells) == 2 and cells[1].startswith("# Parameters"):
        for name in _assigned(cells[1]):
            choose("parameter of this notebook", name, _assigned(cells[0]))


def _assigned(source: str) -> list[str]:
    """Names that a cell assigns at its top level."""
    targets: list[ast.expr] = []
    for statement in ast.parse(source).body:
        if isinstance(statement, ast.AnnAssign):
            targets.append(statement.target)
        elif isinstance(statement, ast.Assign):
            targets += statement.targets
    return [target.id for target in targets if isinstance(target, ast.Name)]


def code_digest(source: Path, *, ignore: Iterable[str] = ()) -> str:
    """A digest of the code a stage runs: a notebook's code cells, or a module, and the lab_utils modules they need.

    Comments, formatting, markdown and outputs do not count, so that reading and annotating a notebook reruns nothing.

    Parameters
    ----------
    ignore : iterable of str
        Modules that do not count, such as `PICTURES`.
    """
    if source.suffix == ".ipynb":
        cells = [cell.source for cell in nbformat.read(source, as_version=4).cells if cell.cell_type == "code"]
        code = "\n".join(cells)
    else:
        code = source.read_text(encoding="utf-8")
    trees = {source.name: ast.parse(code)}
    waiting = _modules(trees[source.name])
    while waiting:
        name = waiting.pop()
        if name not in trees and not any(name == room or name.startswith(f"{room}.") for room in ignore):
            trees[name] = ast.parse(_file_of(name).read_text(encoding="utf-8"))
            waiting |= _modules(trees[name])
    return digest(*(f"{name} {ast.dump(trees[name])}" for name in sorted(trees)))


def _file_of(module: str) -> Path:
    """The file of a module, or of a room's ``__init__``."""
    place = PACKAGE.joinpath(*module.split("."))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _modules(tree: ast.AST) -> set[str]:
    """The modules of lab_utils that a piece of code imports, as "core.files"."""
    modules = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == PACKAGE.name:
            parent = node.module.split(".")[1:]
            candidates = [".".join(parent), *(".".join([*parent, alias.name]) for alias in node.names)]
            modules |= {name for name in candidates if name and _file_of(name).is_file()}
    return modules


def main() -> int:
    """The command line: all that the stage's cells say goes to standard error, how it ends to standard output."""
    parser = argparse.ArgumentParser(description="Execute a stage notebook with checked parameters.")
    parser.add_argument("notebook", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("-y", "--parameters", default="{}", help="parameters as JSON or YAML")
    parser.add_argument("-r", nargs=2, action="append", default=[], dest="raw", metavar=("NAME", "TEXT"))
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")

    def work() -> None:
        try:
            parameters = yaml.safe_load(given.parameters)
        except yaml.YAMLError as error:
            raise LabError(f"parameters: not valid YAML: {error}") from error
        if not isinstance(parameters, dict):
            raise LabError(f"parameters: expected names and values, found {json.dumps(parameters)}")
        run_notebook(given.notebook, given.output, {**parameters, **dict(given.raw)})

    return say_how_it_ends(work)


if __name__ == "__main__":
    sys.exit(main())
