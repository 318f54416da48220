"""The rooms of the package: who may import whom, read from the imports themselves."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

PACKAGE = PROJECT / "lab_utils"
ROOMS = ("core", "data", "models", "evaluation", "audits", "reporting", "pipeline")
NETWORKS = {"tensorflow", "keras", "ai_edge_litert"}
UNTESTED = {"__main__", "models/runtime", "evaluation/runs"}  # tested with what uses them
MODULES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def imports_of(module: Path) -> Iterator[str]:
    """Absolute names of all modules that a module imports, also inside functions and for types."""
    for node in ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import; name the module"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def loaded_after(code: str) -> set[str]:
    """Top-level packages that are loaded after `code` in a new process."""
    script = f"import sys\n{code}\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_rooms_are_the_folders() -> None:
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == set(ROOMS)
    assert {path.name for path in PACKAGE.glob("*.py")} == {
        "__init__.py",
        "__main__.py",
        "external.py",
        "lab.py",
        "prediction.py",
        "trained.py",
    }


def test_every_module_has_a_test() -> None:
    modules = {path.with_suffix("").as_posix() for path in MODULES if path.stem != "__init__"}
    folder = PROJECT / "tests"
    tests = {path.relative_to(folder).as_posix().replace("test_", "")[:-3] for path in folder.rglob("test_*.py")}
    assert modules - tests == UNTESTED


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_a_room_imports_only_from_rooms_above_it(module: Path) -> None:
    in_room = len(module.parts) > 1
    allowed = ROOMS[: ROOMS.index(module.parts[0]) + 1] if in_room else (*ROOMS, "external", "lab", "trained")
    for name in imports_of(module):
        parts = name.split(".")
        if parts[0] == "lab_utils":
            assert parts[1] in allowed, f"{module} imports {name}"


@pytest.mark.parametrize("module", [path for path in MODULES if path.parts[0] != "models"], ids=str)
def test_only_models_imports_tensorflow(module: Path) -> None:
    assert not NETWORKS & {name.split(".")[0] for name in imports_of(module)}


def test_planning_imports_no_tensorflow() -> None:
    planning = (PROJECT / "Snakefile").read_text(encoding="utf-8").splitlines()
    lines = [line for line in planning if line.startswith("from lab_utils")]
    assert lines
    assert not NETWORKS & loaded_after("\n".join(lines))


@pytest.mark.parametrize("room", ["core", "data", "evaluation", "reporting", "pipeline"])
def test_rooms_without_networks_import_no_tensorflow(room: str) -> None:
    modules = [path for path in MODULES if path.parts[0] == room and path.stem != "__init__"]
    assert not NETWORKS & loaded_after("\n".join(f"import lab_utils.{room}.{path.stem}" for path in modules))


def test_importing_the_package_and_its_rooms_imports_almost_nothing() -> None:
    rooms = "\n".join(f"import lab_utils.{room}" for room in ROOMS)
    assert not {*NETWORKS, "pandas", "matplotlib"} & loaded_after(rooms)


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_says_what_it_does_and_shows_its_names(room: str) -> None:
    tree = ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or ""
    assert 1 <= docstring.count(".") <= 4
    names = f"import lab_utils.{room} as room\nassert room.__all__\n[getattr(room, name) for name in room.__all__]"
    loaded_after(names)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_the_first_line_of_a_docstring_is_short(module: Path) -> None:
    nodes = ast.walk(ast.parse((PACKAGE / module).read_text(encoding="utf-8")))
    texts = [ast.get_docstring(node) for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    assert not [first for text in texts if text and len(first := text.splitlines()[0]) > 90]
