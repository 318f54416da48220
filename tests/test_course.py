"""The exercises of the course: model answers pass, wrong ones do not, and nbgrader finds its metadata."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell

from tests.conftest import PROJECT

COURSE = PROJECT / "docs" / "course"
CELLS = {cell.metadata.nbgrader.grade_id: cell for cell in nbformat.read(COURSE / "exercises.ipynb", 4).cells}
ANSWERS = yaml.safe_load((COURSE / "answers.yaml").read_text(encoding="utf-8"))
WRONG = {  # answers that run and that the hidden tests must refuse
    "q1": "accuracy, low, high, baseline = 0.5, 0.4, 0.6, 0.5",
    "q2": "dense_parameters = lambda inputs, outputs: inputs + outputs",
    "q3": "images_needed = lambda accuracy, margin: 864",
    "q4": 'deeper = lab.train("last_two_convs")',
    "q5": "accuracies, spread = [0.9] * 5, 0.0",
    "q6": "def plant(image, name):\n    image[:20, :20] = 255",
    "q7": "hide = plant",
    "q8": "own_path, own = lab.dataset.root / lab.manifest['image_id'].iloc[0], [0.0] * len(lab.classes)",
}


def is_answer(cell: Any) -> bool:
    return cell.cell_type == "code" and cell.metadata.nbgrader.solution


@pytest.fixture(scope="module")
def shell(finished: tuple[Path, Path]) -> Iterator[InteractiveShell]:
    """A notebook in which all cells ran, with the model answers filled in."""
    workspace, config = finished
    shell = InteractiveShell()
    for name, cell in CELLS.items():
        if cell.cell_type == "code":
            shell.run_cell(ANSWERS.get(name, cell.source)).raise_error()
        if name == "parameters":
            shell.user_ns.update(workspace=str(workspace), config=str(config))
    yield shell
    shutil.rmtree(workspace / "by_hand", ignore_errors=True)


def test_cells_for_answers_are_empty_and_have_a_model_answer() -> None:
    empty = [name for name, cell in CELLS.items() if is_answer(cell)]
    assert empty == list(ANSWERS)
    assert all(CELLS[name].source.endswith("# YOUR CODE HERE\nraise NotImplementedError()") for name in empty)


def test_nbgrader_finds_its_metadata() -> None:
    for name, cell in CELLS.items():
        of = cell.metadata.nbgrader
        assert {"grade", "solution", "locked", "schema_version", "cell_type"} <= set(of), name
        assert of.grade == ("points" in of), name
        assert of.locked is not of.solution, name
        if of.grade and not of.solution:
            assert "### BEGIN HIDDEN TESTS" in cell.source, name
    points = {False: 0, True: 0}  # of tested code, and of written answers
    for cell in CELLS.values():
        points[cell.cell_type == "markdown"] += cell.metadata.nbgrader.get("points", 0)
    text = (COURSE / "README.md").read_text(encoding="utf-8")
    assert (
        f"{sum(points.values())} points in all: {points[False]} for code that is tested, and {points[True]} for" in text
    )


@pytest.mark.parametrize("name", WRONG)
def test_right_answers_pass_and_wrong_ones_do_not(shell: InteractiveShell, name: str) -> None:
    check = CELLS[f"{name}-check"].source
    shell.run_cell(check).raise_error()
    shell.run_cell(WRONG[name]).raise_error()
    assert isinstance(shell.run_cell(check).error_in_exec, AssertionError | TypeError | AttributeError)
    shell.run_cell(ANSWERS[name]).raise_error()
