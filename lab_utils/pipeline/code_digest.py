"""A digest of the code that computes what a stage writes; a new digest reruns the stage.

The rule: a notebook's code cells count, and so do the modules that they import, directly or not, as far as these lie in
the stage's rooms. The parameters cell, outputs, comments, docstrings and formatting never count. Markdown and `%%text`
cells count for the report alone, whose result is a text.
"""

import ast
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from lab_utils.core.errors import LabError
from lab_utils.core.files import digest

PACKAGE = Path(__file__).resolve().parents[1]
ROOMS = {  # with the front door, lab.py, all that can change an artefact of the stage
    "10_download": {"core", "data", "lab"},
    "20_preprocess": {"core", "data", "lab"},
    "25_features": {"core", "data", "models", "lab"},
    "30_train": {"core", "data", "models", "evaluation", "lab"},
    "40_evaluate": {"core", "data", "evaluation", "reporting", "lab"},  # quick, so its figures are always of today
    "42_external": {"core", "data", "models", "evaluation", "audits", "lab", "external"},
    "45_audit": {"core", "data", "models", "evaluation", "audits", "lab"},
    "lab_report": {"core", "data", "models", "evaluation", "audits", "reporting", "lab", "external"},
}
PRINTS = {"core.errors", "core.progress"}  # no artefact contains what these modules print


def stage_digest(notebook: Path) -> str:
    """Digest the code that a stage runs, as 16 hexadecimal digits.

    Raises
    ------
    LabError
        If the file is no notebook, or a cell is not valid Python.
    """
    rooms, with_text = ROOMS[notebook.stem], notebook.stem == "lab_report"
    trees = list(_read_cells(notebook, with_text))
    waiting = {name for tree in trees for name in _modules(tree)}
    modules: dict[str, str] = {}
    while waiting:
        name = waiting.pop()
        if name in modules or name in PRINTS or name.split(".")[0] not in rooms:
            continue
        modules[name], imported = _read_module(_file_of(name).read_text(encoding="utf-8"))
        waiting |= imported
    return digest([_code_of(tree) for tree in trees], modules)


@cache
def _read_module(source: str) -> tuple[str, frozenset[str]]:
    """Return the code of a module and the modules that it imports."""
    tree = ast.parse(source)
    imported = frozenset(_modules(tree))
    return _code_of(tree), imported


def _read_cells(notebook: Path, with_text: bool) -> Iterator[ast.AST]:
    """Yield the syntax trees of the cells that count; a text counts as a string."""
    try:
        cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]  # nbformat imports 1 s
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{notebook}: not a notebook ({error!r}); restore the file") from None
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        if cell["cell_type"] != "code" or source.startswith("%%text"):
            if with_text:
                yield ast.Expr(ast.List([ast.Constant(source)]))
        elif "parameters" not in cell["metadata"].get("tags", []):
            try:
                yield ast.parse(TransformerManager().transform_cell(source))  # which may contain IPython's magics
            except SyntaxError as error:
                raise LabError(f"{notebook}, cell {number}: not valid Python ({error}); correct the cell") from None


def _modules(tree: ast.AST) -> set[str]:
    """Name the modules of the package that a piece of code imports, such as "core.files"."""
    modules: set[str] = set()
    rooms: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == PACKAGE.name:
            parent = ".".join((node.module or "").split(".")[1:])
            modules |= {_module_of(parent, alias.name) for alias in node.names}
            rooms |= {alias.asname or alias.name: alias.name for alias in node.names if not parent}
    for node in ast.walk(tree):  # models.fit, after `from lab_utils import models`
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in rooms:
            modules.add(_module_of(rooms[node.value.id], node.attr))
    return modules


def _module_of(parent: str, name: str) -> str:
    """Find the module in which `from lab_utils.<parent> import <name>` finds the name."""
    place = _file_of(parent)
    if place.stem != "__init__":
        return parent
    module = f"{parent}.{name}".lstrip(".")
    if _file_of(module).is_file():
        return module
    for node in ast.walk(ast.parse(place.read_text(encoding="utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "submod_attrs":  # of lazy_loader.attach
            owners = {name: owner for owner, names in ast.literal_eval(node.value).items() for name in names}
            if name in owners:
                return f"{parent}.{owners[name]}".lstrip(".")
    raise LabError(f"{place}: does not export {name!r}")


def _file_of(module: str) -> Path:
    place = PACKAGE.joinpath(*filter(None, module.split(".")))
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def _code_of(tree: ast.AST) -> str:
    """Return the syntax tree without docstrings."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.FunctionDef | ast.ClassDef) and ast.get_docstring(node, clean=False):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
