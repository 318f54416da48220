"""Parameters of single notebooks: types and ranges, in the pipeline and by hand."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab_utils.core.errors import LabError
from lab_utils.pipeline import parameters
from lab_utils.pipeline.parameters import check_by_hand, check_values, parameter_types
from lab_utils.pipeline.runner import run_notebook
from tests.conftest import PROJECT

TRAIN = PROJECT / "notebooks" / "30_train.ipynb"
WRONG: list[tuple[str, Any, str]] = [
    ("seed", -1, "expected 0 to 4,294,967,295, found -1"),
    ("seed", 2**32, "expected 0 to 4,294,967,295, found 4294967296"),
    ("seed", "3", "expected a whole number, found '3'"),
    ("seed", 0.5, "expected a whole number, found 0.5"),
    ("epochs", True, "expected a whole number, found True"),
    ("epochs", None, "expected a whole number, found None"),
    ("learning_rate", "fast", "expected a number, found 'fast'"),
    ("workspace", 2024, "expected text, found 2024; with papermill, `-r workspace 2024` gives text"),
    ("protocol", None, "expected text, found None"),
    ("scenario", ["fc_only"], r"expected text, found \['fc_only'\]"),
]


@pytest.mark.parametrize(("name", "value", "message"), WRONG, ids=lambda value: str(value)[:30])
def test_wrong_values_are_refused_before_anything_runs(name: str, value: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=rf"parameter {name} of 30_train\.ipynb: {message}"):
        run_notebook(TRAIN, tmp_path / "o.ipynb", {name: value})
    assert list(tmp_path.iterdir()) == []


def test_right_values_pass() -> None:
    types = parameter_types(TRAIN)
    check_values({"seed": 2**32 - 1, "learning_rate": 1, "workspace": "2024", "epochs": 0}, types, "n")
    check_values({"phantoms": 0}, {"phantoms": "int"}, "n")
    check_values({"external": {"nih": "nih.zip"}}, {"external": "dict[str, str]"}, "n")
    with pytest.raises(LabError, match=r"external of n: expected names and texts, found \['nih.zip'\]"):
        check_values({"external": ["nih.zip"]}, {"external": "dict[str, str]"}, "n")
    with pytest.raises(LabError, match="phantoms of n: expected 40 to 1,000,000, found 3"):
        check_values({"phantoms": 3}, {"phantoms": "int"}, "n")


def by_hand(monkeypatch: pytest.MonkeyPatch, *cells: str) -> None:
    """Check after these cells have run, the first of them with the parameters."""
    names: dict[str, Any] = {}
    for cell in cells:
        exec(cell, names)
    shell = SimpleNamespace(user_ns={**names, "In": ["", *cells]})
    monkeypatch.setattr(parameters, "get_ipython", lambda: shell)
    monkeypatch.delenv("LAB_BATCH", raising=False)
    check_by_hand()


CELL = 'seed: int = 0  # any\nworkspace: str = ""  # any\nrate: float = 0.0  # any'


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        ((CELL, "# Parameters\nworkspace = 2024"), "parameter workspace of this notebook: expected text, found 2024"),
        ((CELL, "# Parameters\nseed = -1"), "parameter seed of this notebook: expected 0 to"),
        ((CELL.replace("= 0 ", "= '1' "), "1 + 1"), "parameter seed of this notebook: expected a whole number"),
        ((CELL, "# Parameters\nsed = 1"), "no parameter of this notebook 'sed'.*did you mean 'seed'"),
    ],
)
def test_by_hand_too(monkeypatch: pytest.MonkeyPatch, cells: tuple[str, ...], message: str) -> None:
    with pytest.raises(LabError, match=message):
        by_hand(monkeypatch, *cells)


def test_by_hand_right_values_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    by_hand(monkeypatch, CELL, "# Parameters\nseed = 3\nrate = 1")
    by_hand(monkeypatch, CELL)
    by_hand(monkeypatch, "from math import pi", "radius = 3")
    by_hand(monkeypatch)


def test_by_hand_another_clone_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("lab.yaml", "Snakefile"):
        (tmp_path / name).touch()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    with pytest.raises(LabError, match=rf"{tmp_path}: a clone of the lab, but Python runs the package of {PROJECT}"):
        by_hand(monkeypatch, CELL)
