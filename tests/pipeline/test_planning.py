import json
from pathlib import Path

import pytest

from lab_utils.core.catalogue import table_path
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256
from lab_utils.core.paths import Workspace
from lab_utils.pipeline.planning import discard_altered, lock, open_setup


@pytest.fixture
def table(lab: Workspace) -> Path:
    """A table whose stage has left an executed notebook."""
    path = table_path(lab, "metrics")
    path.parent.mkdir()
    path.write_text("accuracy\n0.5\n")
    notebook = lab.root / "notebooks" / "40_evaluate.ipynb"
    notebook.parent.mkdir()
    notebook.write_text(json.dumps({"metadata": {"artefacts": {"results/metrics.csv": sha256(path)}}}))
    return path


def test_what_is_as_it_was_written_stays(lab: Workspace, table: Path) -> None:
    (lab.root / "notebooks" / "10_download.ipynb").write_text("{")
    assert discard_altered(lab) == []
    table.unlink()
    assert discard_altered(lab) == [], "a missing file is made again if a stage needs it"
    assert len(list((lab.root / "notebooks").iterdir())) == 2


def test_an_altered_artefact_costs_its_stage_the_executed_notebook(lab: Workspace, table: Path) -> None:
    table.write_text("accuracy\n1.0\n")
    assert discard_altered(lab) == ["results/metrics.csv"]
    assert list((lab.root / "notebooks").iterdir()) == []
    assert table.read_text() == "accuracy\n1.0\n"


def test_a_workspace_has_one_run_at_a_time(lab: Workspace) -> None:
    held = lock(lab)
    assert held
    with pytest.raises(LabError, match="another run is at work in this workspace"):
        lock(lab)
    held.release()
    assert lock(lab)


def test_a_setup_is_what_the_command_names(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_GIVEN", "{}")
    file, experiment, workspace = open_setup({"config": str(config), "workspace": "here", "dataset": "kaggle"})
    assert (file, experiment.dataset, workspace.root) == (config.resolve(), "kaggle", tmp_path / "here")


ODD_NAMES = [
    "scan #2",
    "001",
    "1e3",
    "null",
    "true",
    "no",
    "2026-11-26",
    "{a: b}",
    "[1]",
    "a: b",
    "~x",
    "'",
    "é 中",
    "-x",
    "*",
    "a=b",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_names_arrive_as_typed(config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """Given to Snakemake, which reads them as YAML, and handed on to the job of a cluster, in another folder."""
    from snakemake.cli import parse_config

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LAB_GIVEN", "{}")
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / name).write_text(config.read_text())
    typed = [f"dataset={name}", f"external={name}", f"workspace=run/{name}", f"config=lab/{name}"]
    outside = str(tmp_path / name) if name != "~x" else name
    expected = ((tmp_path / "lab" / name).resolve(), name, [outside], tmp_path / "run" / name)
    for given, words in ((parse_config(typed), ["snakemake", "--config", *typed]), ({}, ["job"])):
        file, experiment, workspace = open_setup(given, words)
        collections = [collection.path for collection in experiment.collections]
        assert (file, experiment.dataset, collections, workspace.root) == expected
        monkeypatch.chdir("/")


def test_a_file_system_without_locks_is_said(
    lab: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("lab_utils.pipeline.planning.acquire_lock", lambda path, timeout: None)
    assert lock(lab) is None
    assert "this file system has no locks; start no second run in this workspace" in capsys.readouterr().out
