"""A digest of the code that computes what a stage writes; a new digest reruns the stage.

The rule: a notebook's code cells count, and a definition of the package counts if its name occurs in code that counts.
A method counts if its name and its class's name do. The digest follows names, not modules: whatever computes a result
is called by its name somewhere, however it was imported. Two definitions of the same name both count, so the digest
may change too often, but not too seldom. Code that runs without a call by name counts with its module (statements
that define nothing, decorators that register) or its class (special methods, subclasses of a library's class).

The parameters cell, outputs, comments, docstrings and formatting never count. Markdown and `%%text` cells count for
the report alone.
"""

import ast
import dis
import inspect
import json
import re
from collections.abc import Collection, Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path
from types import CodeType
from typing import Any, NamedTuple

from IPython.core.inputtransformer2 import TransformerManager

from lab_utils.core.errors import LabError
from lab_utils.core.files import digest

PACKAGE = Path(__file__).resolve().parents[1]
# No artefact of a stage contains what these rooms and modules draw, print and start.
WITHOUT_RESULTS = ("reporting", "pipeline", "core.errors", "core.progress")
# A function under another decorator may be registered, and then called without its name.
PLAIN_DECORATORS = {
    "cache",
    "cached_property",
    "classmethod",
    "contextmanager",
    "dataclass",
    "property",
    "staticmethod",
}
Names = set[str]


class Part(NamedTuple):
    """A definition, or a statement that defines nothing."""

    place: str  # the module, such as "core.files"
    needs: tuple[Names, ...]  # the part counts when code that counts contains a name of each set
    names: Names  # global variables, attributes and imports in the part
    code: str  # the syntax tree without docstrings


def stage_digest(notebook: Path, *, ignore: Collection[str] = (), with_text: bool = False) -> str:
    """Digest the code that computes what a notebook writes, as 16 hexadecimal digits.

    Parameters
    ----------
    ignore : collection of str
        Rooms ("reporting") and modules ("core.errors") that do not count.
    with_text : bool
        Whether Markdown and `%%text` cells count, as in the report, whose result is a text.

    Raises
    ------
    LabError
        If the file is no notebook, or a cell is not valid Python.
    """
    cells, names = _read_cells(notebook, with_text)
    waiting = [part for part in _package_parts(PACKAGE) if not _is_in(part.place, ignore)]
    codes: list[str] = []
    while counted := [part for part in waiting if all(need & names for need in part.needs)]:
        waiting = [part for part in waiting if part not in counted]
        names.update(*(part.names for part in counted))
        codes += [f"{part.place} {part.code}" for part in counted]
    return digest(cells, sorted(codes))


def _is_in(place: str, rooms: Collection[str]) -> bool:
    return any(place == room or place.startswith(f"{room}.") for room in rooms)


def _read_cells(notebook: Path, with_text: bool) -> tuple[list[str], Names]:
    """Read the code of the cells that count, and the names in it that can be the package's."""
    try:
        cells: list[dict[str, Any]] = json.loads(notebook.read_text(encoding="utf-8"))["cells"]  # nbformat imports 1 s
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LabError(f"{notebook}: not a notebook ({error!r}); restore the file") from None
    function = ast.parse("async def cells(): pass").body[0]  # in which a notebook's variables are local
    assert isinstance(function, ast.AsyncFunctionDef)
    codes: list[str] = []
    names: Names = set()
    for number, cell in enumerate(cells, start=1):
        source = "".join(cell["source"])
        if "parameters" in cell["metadata"].get("tags", []):
            continue
        if cell["cell_type"] == "code" and not source.startswith("%%text"):
            statements = _parse(source, f"{notebook}, cell {number}")
            codes += map(_code_of, statements)
            function.body += statements
        elif with_text:
            names.update(*(re.findall(r"\w+", expression) for expression in re.findall(r"{[{%].*?[%}]}", source)))
            codes.append(source)
    return codes, names | _names_in(function)


def _parse(source: str, place: str) -> list[ast.stmt]:
    try:
        return ast.parse(TransformerManager().transform_cell(source)).body  # which may contain IPython's magics
    except SyntaxError as error:
        raise LabError(f"{place}: not valid Python ({error}); correct the cell") from None


@cache
def _package_parts(package: Path) -> list[Part]:
    parts: list[Part] = []
    for path in sorted(package.rglob("*.py")):
        steps = [step for step in path.relative_to(package.parent).with_suffix("").parts if step != "__init__"]
        place, module = ".".join(steps[1:]), {steps[-1], ".".join(steps)}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            parts += [Part(place, needs, _names_in(part), _code_of(part)) for needs, part in _split(node, module)]
    return parts


def _split(node: ast.stmt, module: Names) -> Iterator[tuple[tuple[Names, ...], ast.stmt]]:
    """Yield the parts of a statement, each with its needs; `module` has the module's names."""
    match node:
        case ast.Expr(value=ast.Constant()) | ast.If(test=ast.Compare(left=ast.Name(id="__name__"))):
            return  # the module's docstring and its command line
        case ast.ImportFrom(module=str(parent)):  # definitions count where their names occur, unless renamed
            folder = PACKAGE.parent.joinpath(*parent.split("."))
            kept = [alias for alias in node.names if alias.asname or (folder / f"{alias.name}.py").is_file()]
            yield (module,), ast.ImportFrom(parent, kept, 0) if kept else ast.Import([ast.alias(parent)])
        case ast.ClassDef(name=name, bases=[]) if _is_plain(node):
            methods = [item for item in node.body if isinstance(item, ast.FunctionDef) and _is_method(item)]
            node.body = [item for item in node.body if item not in methods] or [ast.Pass()]
            yield ({name},), node
            for method in methods:
                yield ({name}, {method.name}), method
        case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name) | ast.ClassDef(name=name):
            yield ({name} if _is_plain(node) else {name} | module,), node
        case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)):
            yield ({name},), node
        case _:
            yield (module,), node


def _is_plain(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> bool:
    return all(PLAIN_DECORATORS & _names_in(ast.Expr(decorator)) for decorator in node.decorator_list)


def _is_method(node: ast.FunctionDef) -> bool:
    """Return whether a method of a class without bases is called by its name alone."""
    return _is_plain(node) and not node.name.startswith("__")


def _names_in(node: ast.stmt) -> Names:
    """Collect the global variables, attributes and imports of a piece of code."""
    names: Names = set()
    waiting = [compile(ast.fix_missing_locations(ast.Module([node], [])), "", "exec")]
    while waiting:
        code = waiting.pop()
        used = code.co_names
        if not code.co_flags & inspect.CO_OPTIMIZED:  # the body of a class or module: its variables are no names
            steps = dis.get_instructions(code)
            used = tuple(step.argval for step in steps if step.opcode in dis.hasname and step.opname[:5] != "STORE")
        names.update(*(accumulate(name.split("."), "{}.{}".format) for name in used))  # a.b.c imports a and a.b, too
        waiting += [constant for constant in code.co_consts if isinstance(constant, CodeType)]
    return names


def _code_of(tree: ast.stmt) -> str:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and ast.get_docstring(node, False):
            node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)
