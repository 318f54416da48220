import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest

from lab_utils.core.catalogue import read_table, table_path
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.pipeline.parameters import parameter_types
from lab_utils.pipeline.runner import main, run_notebook
from tests.conftest import PROJECT, run_stage, write_config

NOTEBOOKS = sorted([*(PROJECT / "notebooks").glob("*.ipynb"), *(PROJECT / "report").glob("*.ipynb")])
STAGES = ["10_download", "20_preprocess", "25_features", "30_train", "40_evaluate", "42_external", "45_audit"]
NAMES = [*STAGES, "50_predict", "60_playground", "lab_report"]


def parameters_cell(notebook: Path) -> nbformat.NotebookNode:
    (cell,) = (c for c in nbformat.read(notebook, 4).cells if "parameters" in c.metadata.get("tags", []))
    return cell


def text_of(notebook: Path) -> str:
    """All text that an executed notebook shows; any word may occur in the letters that encode an image."""
    texts = []
    for cell in nbformat.read(notebook, 4).cells:
        for output in cell.get("outputs", []):
            data = {kind: value for kind, value in output.get("data", {}).items() if kind != "image/png"}
            texts.append(output.get("text", "") + "".join(map(str, data.values())))
    return "\n".join(texts)


def labels_of(notebook: Path) -> list[str]:
    cells = nbformat.read(notebook, 4).cells
    return [o.metadata["label"] for c in cells for o in c.get("outputs", []) if "label" in o.get("metadata", {})]


def write(path: Path, *cells: nbformat.NotebookNode) -> Path:
    """A notebook of these cells."""
    notebook = nbformat.v4.new_notebook(cells=list(cells), metadata={"language_info": {"name": "python"}})
    nbformat.write(notebook, path)
    return path


def test_every_stage_has_a_notebook() -> None:
    assert [notebook.stem for notebook in NOTEBOOKS] == NAMES


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_have_no_outputs(notebook: Path) -> None:
    for cell in nbformat.read(notebook, 4).cells:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_committed_notebooks_have_the_form_in_which_jupyterlab_saves_them(notebook: Path) -> None:
    content = json.loads(notebook.read_text())
    assert content["nbformat_minor"] == 5
    assert len({cell["id"] for cell in content["cells"]}) == len(content["cells"])
    assert content["metadata"] == {
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert notebook.read_text() == json.dumps(content, indent=1, ensure_ascii=False) + "\n"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_parameters_are_tagged_typed_commented_and_empty(notebook: Path) -> None:
    cell = parameters_cell(notebook)
    lines = cell.source.splitlines()
    statements = ast.parse(cell.source).body
    assert len(statements) == len(lines)
    for statement, line in zip(statements, lines, strict=True):
        assert isinstance(statement, ast.AnnAssign)
        kind, value = ast.unparse(statement.annotation), ast.literal_eval(statement.value)
        assert kind in {"str", "int", "float", "bool", "dict[str, str]"}
        assert kind == "str" or not value, "empty: as the experiment file says"
        assert " # " in line


def test_papermill_shows_the_parameters_help() -> None:
    command = [str(Path(sys.executable).parent / "papermill"), "--help-notebook", "notebooks/30_train.ipynb"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert 'config: str (default "")' in said
    assert "experiment file; empty: lab.yaml in the project" in said


def test_a_misspelt_parameter_is_refused_before_anything_runs(tmp_path: Path) -> None:
    notebook, output = PROJECT / "notebooks" / "30_train.ipynb", tmp_path / "out.ipynb"
    with pytest.raises(LabError, match=r"no parameter of 30_train\.ipynb 'senario'.*did you mean 'scenario'"):
        run_notebook(notebook, output, {"senario": "fc_only"})
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_without_a_parameters_cell_is_refused(tmp_path: Path) -> None:
    nbformat.write(nbformat.v4.new_notebook(), tmp_path / "n.ipynb")
    with pytest.raises(LabError, match="expected one cell tagged 'parameters', found 0"):
        parameter_types(tmp_path / "n.ipynb")


def test_a_misspelt_parameter_stops_papermill_itself(prepared: Workspace, config: Path, tmp_path: Path) -> None:
    papermill = str(Path(sys.executable).parent / "papermill")
    command = [
        papermill,
        "notebooks/40_evaluate.ipynb",
        str(tmp_path / "o.ipynb"),
        "-p",
        "workspce",
        str(prepared.root),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode != 0
    assert "no parameter of this notebook 'workspce'" in done.stderr
    assert "did you mean 'workspace'" in done.stderr


def test_a_stage_runs_with_papermill_itself(prepared_copy: Workspace, config: Path, tmp_path: Path) -> None:
    batch = prepared_copy.run("described", "fc_only", 0)
    papermill = str(Path(sys.executable).parent / "papermill")
    values = {"scenario": "fc_only", "epochs": "1", "workspace": str(prepared_copy.root), "config": str(config)}
    given = [word for name, value in values.items() for word in ("-p", name, value)]
    command = [papermill, "notebooks/30_train.ipynb", str(tmp_path / "o.ipynb"), *given]
    subprocess.run(command, capture_output=True, text=True, check=True, cwd=PROJECT)
    by_hand = Workspace.open(str(prepared_copy.root), by_hand=True).run("described", "fc_only", 0)
    record = read_json(by_hand / "run.json", stage="30")
    assert record["scenario"]["epochs"] == 1
    assert record["by_hand"] is True
    assert not batch.exists()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"scenario": "fc_onyl"}, "no scenario 'fc_onyl': choose one of last_two_convs, last_conv, fc_only"),
        ({"protocol": "descibed"}, "no protocol 'descibed'.*did you mean 'described'"),
        ({"epochs": -1}, "scenarios.fc_only.epochs: Input should be greater than 0, found -1"),
    ],
)
def test_wrong_values_name_the_right_ones_and_change_nothing(
    prepared_copy: Workspace, config: Path, values: dict[str, Any], message: str
) -> None:
    files = {path: path.read_bytes() for path in prepared_copy.root.rglob("*") if path.is_file()}
    with pytest.raises(LabError, match=rf"30_train, cell \d+: {message}"):
        run_stage("30_train", prepared_copy, config, **{"scenario": "fc_only", **values})
    after = {path: path.read_bytes() for path in prepared_copy.root.rglob("*") if path.is_file()}
    assert {path: after[path] for path in files} == files
    assert [path.name for path in set(after) - set(files)] == ["30_train.failed.ipynb"]


def test_a_protocol_that_the_data_do_not_admit_is_left_out(lab: Workspace, config: Path) -> None:
    """Also with other cells after the split; the last protocol that remains ends the run, with all reasons."""
    source = 'workspace: str = ""  # any\nconfig: str = ""  # any\nprotocol: str = ""  # any'
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell(
            "from lab_utils.data.splits import SplitError\nraise SplitError('class a: 3 images')"
        ),
    ]
    notebook = write(lab.root / "20_preprocess.ipynb", *cells)
    both = write_config(lab.root / "both.yaml", run={"protocols": ["described", "published"]})
    write_json(lab.dataset(), {"fingerprint": "f"})

    def leave(protocol: str) -> Path:
        output = lab.root / f"{protocol}.ipynb"
        values = {"workspace": str(lab.root), "config": str(both), "protocol": protocol}
        run_notebook(notebook, output, values, artefacts=[lab.preprocessing(protocol)])
        return output

    assert leave("published").is_file()
    assert read_json(lab.preprocessing("published"), stage="20")["left_out"] == "class a: 3 images"
    with pytest.raises(LabError, match=r"no protocol .* can be applied.*\n  described: .*\n  published: class a: 3"):
        leave("described")
    assert not (lab.root / "described.ipynb").exists()


def test_a_dead_kernel_is_a_failure(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("seed: int = 0  # any", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)"),
    ]
    notebook, output = write(tmp_path / "n.ipynb", *cells), tmp_path / "out" / "n.ipynb"
    output.parent.mkdir()
    output.write_text("earlier")
    with pytest.raises(LabError, match="n: its kernel died.*the log names"):
        run_notebook(notebook, output, {"seed": 1})
    assert output.read_text() == "earlier"


def test_the_command_line_ends_with_one_clear_message(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    words = ["notebooks", str(PROJECT / "notebooks/30_train.ipynb"), str(tmp_path / "o.ipynb"), "-y", '{"sed": 1}']
    monkeypatch.setattr(sys, "argv", words)
    assert main() == 1
    assert "no parameter of 30_train.ipynb 'sed'" in capfd.readouterr().out.splitlines()[-2]


def test_stage_notebooks_show_what_they_should(prepared: Workspace) -> None:
    folder = prepared.root / "notebooks"
    download = text_of(folder / "10_download.ipynb")
    assert "Synthetic phantoms, not radiographs" in download
    assert labels_of(folder / "10_download.ipynb") == ["tbl-counts", "fig-samples", "tbl-sources"]
    assert labels_of(folder / "20_preprocess.ipynb")[:3] == ["tbl-balance", "fig-balance", "fig-store"]
    assert labels_of(folder / "25_features.ipynb") == ["tbl-cuts", "fig-features"]
    assert "Untrained backbone" in text_of(folder / "25_features.ipynb")


@pytest.mark.parametrize("stage", ["10_download", "20_preprocess", "25_features"])
def test_outputs_are_free_of_chatter(prepared: Workspace, stage: str) -> None:
    shown = text_of(prepared.root / "notebooks" / f"{stage}.ipynb")
    for word in ("oneDNN", "cuda", "Warning", "absl", "Traceback"):
        assert word not in shown


def test_stage_20_leaves_manifest_findings_and_store(prepared: Workspace) -> None:
    manifest = read_table(prepared, "manifest", protocol="described")
    assert len(manifest) == 53
    assert set(manifest["split"]) == {"train", "validation"}
    record = read_json(prepared.preprocessing("described"), stage="20")
    assert record["shape"] == [53, 64, 64]
    assert table_path(prepared, "findings", protocol="described").is_file()


def test_parameters_given_as_json_keep_their_types(tmp_path: Path) -> None:
    source = 'flag: bool = True  # a switch\nname: str = ""  # a name'
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("(flag, name)"),
    ]
    run_notebook(write(tmp_path / "n.ipynb", *cells), tmp_path / "o.ipynb", {"flag": False, "name": "false"})
    assert "(False, 'false')" in text_of(tmp_path / "o.ipynb")


def test_a_full_disk_says_what_to_do(tmp_path: Path) -> None:
    cells = [
        nbformat.v4.new_code_cell("seed: int = 0  # any", metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("open('/dev/full', 'w').write('a' * 10**6)"),
    ]
    with pytest.raises(LabError, match="No space left on device; make room or choose another WORKSPACE"):
        run_notebook(write(tmp_path / "n.ipynb", *cells), tmp_path / "o.ipynb", {"seed": 1})


def test_a_notebook_that_writes_no_artefact_is_refused(tmp_path: Path) -> None:
    cell = nbformat.v4.new_code_cell("seed: int = 0  # any", metadata={"tags": ["parameters"]})
    with pytest.raises(LabError, match=r"its cells did not write .*table\.csv; restore the cells that do"):
        run_notebook(write(tmp_path / "n.ipynb", cell), tmp_path / "o.ipynb", {}, artefacts=[tmp_path / "table.csv"])
    assert not (tmp_path / "o.ipynb").exists()


def test_values_saved_in_the_parameters_cell_do_not_reach_the_pipeline(tmp_path: Path) -> None:
    source = 'epochs: int = 3  # passes\nname: str = "mine"  # a name\nrate: float = 0.5  # a rate'
    cells = [
        nbformat.v4.new_code_cell(source, metadata={"tags": ["parameters"]}),
        nbformat.v4.new_code_cell("import os\n(epochs, name, rate, os.environ.get('LAB_BATCH'))"),
    ]
    run_notebook(write(tmp_path / "n.ipynb", *cells), tmp_path / "o.ipynb", {"name": "given"})
    assert "(0, 'given', 0.0, '1')" in text_of(tmp_path / "o.ipynb")
    assert "LAB_BATCH" not in os.environ
