import shutil
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from lab_utils.core.errors import LabError
from lab_utils.pipeline import code_digest as module
from lab_utils.pipeline.code_digest import PACKAGE, ROOMS, stage_digest
from tests.conftest import PROJECT

STAGES = sorted((PROJECT / "notebooks").glob("[1-4]*.ipynb"))
TRAIN = PROJECT / "notebooks" / "30_train.ipynb"


def write(path: Path, *cells: nbformat.NotebookNode) -> Path:
    nbformat.write(new_notebook(cells=list(cells)), path)
    return path


@pytest.fixture
def digest_of(tmp_path: Path):  # type: ignore[no-untyped-def]
    """The digest of a notebook with this code and text."""

    def digest(source: str, text: str = "text", stage: str = "30_train") -> str:
        return stage_digest(write(tmp_path / f"{stage}.ipynb", new_markdown_cell(text), new_code_cell(source)))

    return digest


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the package, to be changed."""
    copy = tmp_path / "lab_utils"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(module, "PACKAGE", copy)
    return copy


def parts_change(path: Path, text: str = "", *, replaced: str = "") -> None:
    """Change a module of the copy."""
    source = path.read_text()
    assert not replaced or source.count(replaced) >= 1, f"{path} has no {replaced!r}"
    path.write_text(source.replace(replaced, text, 1) if replaced else source + text)


def trained(notebook: Path = TRAIN) -> str:
    return stage_digest(notebook)


def test_code_counts_and_comments_and_text_do_not(digest_of) -> None:  # type: ignore[no-untyped-def]
    same = [digest_of("a = 1"), digest_of("a = 1  # why"), digest_of("a  =  1", "other text"), digest_of("\na = 1\n")]
    assert len(set(same)) == 1
    others = [digest_of("a = 2"), digest_of("from lab_utils.core.files import digest\na = 1")]
    assert len({same[0], *others}) == 3


def test_text_counts_for_the_report(digest_of) -> None:  # type: ignore[no-untyped-def]
    assert digest_of("%%text\na {{ b }}") == digest_of("%%text\nc {{ d }}")
    texts = [digest_of(code, text, "lab_report") for code in ("%%text\na", "%%text\nb") for text in ("c", "d")]
    assert len(set(texts)) == 4


def test_magics_are_code(digest_of) -> None:  # type: ignore[no-untyped-def]
    assert digest_of("%time a = 1") != digest_of("%time a = 2")


def test_what_is_no_code_is_named(digest_of, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(LabError, match=r"30_train\.ipynb, cell 2: not valid Python .*; correct the cell"):
        digest_of("a = (")
    (tmp_path / "30_train.ipynb").write_text("{")
    with pytest.raises(LabError, match="not a notebook"):
        stage_digest(tmp_path / "30_train.ipynb")


@pytest.mark.parametrize("notebook", STAGES, ids=lambda path: path.stem)
def test_a_notebook_that_was_run_and_saved_is_the_same(notebook: Path, tmp_path: Path) -> None:
    """As JupyterLab saves it: outputs, counts, other values of the parameters, notes of the user."""
    content = nbformat.read(notebook, as_version=4)
    for count, cell in enumerate(cell for cell in content.cells if cell.cell_type == "code"):
        cell.execution_count = count
        cell.outputs = [new_output("stream", text="0 %")]
        if "parameters" in cell.metadata.get("tags", []):
            cell.source = cell.source.replace('""', '"changed"').replace("= 0 ", "= 3 ")
            assert "changed" in cell.source
    content.cells.insert(1, new_markdown_cell("my note"))
    content.metadata["language_info"]["version"] = "3.11.7"
    nbformat.write(content, tmp_path / notebook.name)
    assert trained(tmp_path / notebook.name) == trained(notebook)


def test_figures_texts_and_the_pipeline_do_not_retrain(package: Path) -> None:
    before = trained()
    for path in (*package.glob("reporting/*.py"), *package.glob("pipeline/*.py"), package / "core" / "progress.py"):
        parts_change(path, "\nNEW = print(1)\n")
    assert trained() == before


def test_a_new_table_does_not_retrain(package: Path) -> None:
    before = trained()
    for path in (*package.glob("audits/*.py"), package / "evaluation" / "metrics.py", package / "data" / "quality.py"):
        parts_change(path, "\n\ndef entirely_new(table):\n    return table\n")
    assert trained() == before


def test_a_change_of_what_a_stage_calls_counts(package: Path) -> None:
    """Also behind the front door, the room's lazy names, and a call of a call."""
    digests = [trained()]
    for path, old, new in (
        ("models/training.py", "def fit(", "def fit(extra, "),
        ("data/store.py", "def open_store(", "def open_store(extra, "),
        ("core/files.py", "def atomic_write(", "def atomic_write(extra, "),
        ("lab.py", "def open_lab(", "def open_lab(extra, "),
    ):
        parts_change(package / path, new, replaced=old)
        digests.append(trained())
    assert len(set(digests)) == len(digests)


def test_what_runs_at_import_counts(package: Path) -> None:
    before = trained()
    parts_change(package / "models" / "runtime.py", "\nprint(1)\n")
    assert trained() != before


def test_a_name_of_an_imported_room_is_followed(package: Path, digest_of) -> None:  # type: ignore[no-untyped-def]
    code = "from lab_utils import models as networks\nnetworks.grad_cam"
    before = digest_of(code)
    parts_change(package / "models" / "training.py", "\nNEW = 1\n")
    assert digest_of(code) == before
    parts_change(package / "models" / "explain.py", "\nNEW = 1\n")
    assert digest_of(code) != before


def test_docstrings_and_comments_of_the_package_do_not_count(package: Path) -> None:
    before = trained()
    parts_change(package / "models" / "cut.py", '"""Other words.', replaced='"""')
    parts_change(package / "models" / "training.py", "\n# a remark\n")
    assert trained() == before


def test_every_stage_has_its_rooms() -> None:
    notebooks = [*STAGES, PROJECT / "report" / "lab_report.ipynb"]
    assert list(ROOMS) == [notebook.stem for notebook in notebooks]
    assert len({stage_digest(notebook) for notebook in notebooks}) == len(notebooks)
