"""Every recipe of docs/recipes.md is executed, in the order of the page, on a finished run."""

import re
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from IPython.core.interactiveshell import InteractiveShell

import lab_utils
from lab_utils.reporting.exhibits import ReportFigure
from tests.conftest import PROJECT

PAGE = (PROJECT / "docs" / "recipes.md").read_text(encoding="utf-8")
RECIPES = re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
LINES = 4


def python_in(text: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def shell(finished: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[InteractiveShell]:
    """A notebook in a folder with the files that the recipes name, after the first lines of the page."""
    workspace, config = finished
    folder = tmp_path_factory.mktemp("recipes")
    images = sorted((workspace / "raw").rglob("images/*.png"))
    shutil.copyfile(images[0], folder / "my.png")
    (folder / "my_images").mkdir()
    for image in images[:3]:
        shutil.copyfile(image, folder / "my_images" / image.name)
    shell = InteractiveShell()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(lab_utils, "open_lab", partial(lab_utils.open_lab, str(workspace), str(config)))
        shell.run_cell(python_in(PAGE)[0]).raise_error()
        yield shell
    for name in ("by_hand", "predictions"):
        shutil.rmtree(workspace / name, ignore_errors=True)


def executed(shell: InteractiveShell, title: str) -> Any:
    """Execute the cell of a recipe; return the value of its last line."""
    (cell,) = python_in(dict(RECIPES)[title])
    assert len([line for line in cell.splitlines() if line]) <= LINES
    done = shell.run_cell(cell)
    done.raise_error()
    return done.result


@pytest.mark.parametrize(
    ("title", "label"),
    [
        ("Predict this file and show why", "fig-explain"),
        ("The twelve surest mistakes", "fig-mistakes"),
        ("Two learning rates in one plot", "fig-compared"),
    ],
)
def test_a_recipe_shows_its_figure(shell: InteractiveShell, title: str, label: str) -> None:
    figure = executed(shell, title)
    assert isinstance(figure, ReportFigure)
    assert figure.label == label
    if label == "fig-compared":
        assert all(f"learning_rate={rate}:" in figure.alt for rate in (0.001, 0.01))


def test_a_folder_is_predicted(shell: InteractiveShell) -> None:
    table = executed(shell, "Predict a folder")
    assert len(table) == 3
    assert set(table["predicted"]) <= set(shell.user_ns["lab"].classes)


def test_external_scores_are_read(shell: InteractiveShell) -> None:
    table = executed(shell, "Judge the networks on images of another hospital")
    assert isinstance(table, pd.DataFrame)
    assert set(table["collection"]) == {collection.name for collection in shell.user_ns["lab"].collections()}
    assert table["value"].between(0, 1).all()


def test_every_recipe_with_python_has_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    assert [title for title, text in RECIPES if python_in(text) and f'"{title}"' not in source] == []
    assert len(RECIPES) == 6
