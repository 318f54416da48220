"""What users do by hand leaves the pipeline's results alone, and what they alter is noticed."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from papermill.exceptions import PapermillExecutionError

from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from tests.conftest import files_in, planned, run_by_hand, snakemake

RUN = "runs/described/fc_only/seed-0"
AFTER_TRAINING = {"40_evaluate", "42_external", "45_audit", "lab_report", "pages", "render-html", "render-pdf"}


@pytest.fixture
def batch(finished: tuple[Path, Path]) -> Iterator[tuple[Path, Path]]:
    """The finished run; executed notebooks and artefacts that a test changes are put back, with their times."""
    workspace, _ = finished
    folders = [workspace / name for name in ("raw", "protocols", "runs", "results", "notebooks")]
    paths = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.suffix in {".json", ".csv", ".keras", ".ipynb", ".sha256"}
    ]
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in paths}
    yield finished
    for path, (content, stamp) in before.items():
        if not path.is_file() or path.read_bytes() != content:
            path.write_bytes(content)
        os.utime(path, ns=(stamp, stamp))


def test_a_run_by_hand_has_a_place_of_its_own(batch: tuple[Path, Path]) -> None:
    workspace, config = batch
    before = files_in(workspace)
    run_by_hand("30_train", Workspace(workspace), config, scenario="fc_only", epochs=1)
    after = files_in(workspace)
    assert {path: after[path] for path in before} == before
    assert {path.relative_to(workspace).parts[0] for path in set(after) - set(before)} == {"by_hand"}
    record = read_json(workspace / "by_hand" / RUN / "run.json", stage="30_train")
    assert record["by_hand"] is True
    assert record["scenario"]["epochs"] == 1
    assert read_json(workspace / RUN / "run.json", stage="30_train")["by_hand"] is False
    assert planned(workspace, config) == set()
    shutil.rmtree(workspace / "by_hand")


def test_without_values_a_run_by_hand_has_the_experiment_s(prepared_copy: Workspace, config: Path) -> None:
    run_by_hand("30_train", prepared_copy, config, scenario="fc_only")
    record = read_json(prepared_copy.root / "by_hand" / RUN / "run.json", stage="30_train")
    assert record["scenario"]["epochs"] == 2
    assert record["scenario"]["batch_size"] == 16


def test_by_hand_too_training_refuses_a_manifest_of_another_data_set(prepared_copy: Workspace, config: Path) -> None:
    before = files_in(prepared_copy.root)
    run_by_hand("10_download", prepared_copy, config, phantoms=52)
    with pytest.raises(PapermillExecutionError, match="run stage 20_preprocess again"):
        run_by_hand("30_train", prepared_copy, config, scenario="fc_only", epochs=1)
    after = files_in(prepared_copy.root)
    assert {path: after[path] for path in before} == before


@pytest.mark.parametrize("name", ["predictions.csv", "run.json"])
def test_an_altered_run_is_trained_again(batch: tuple[Path, Path], name: str) -> None:
    workspace, config = batch
    path = workspace / RUN / name
    path.write_bytes(path.read_bytes().replace(b"0", b"1", 1))
    said: list[str] = []
    assert planned(workspace, config, said) == {"30_train-described-fc_only-0"} | AFTER_TRAINING
    assert f"  {RUN}/{name}: altered since its stage wrote it, so the stage runs again" in said


def test_a_run_by_hand_copied_over_the_pipeline_s_is_trained_again(batch: tuple[Path, Path]) -> None:
    workspace, config = batch
    for path in (workspace / "runs/described/last_conv/seed-0").iterdir():  # each with its checksum
        if path.name != "train.ipynb":
            shutil.copy(path, workspace / RUN / path.name)
    assert "30_train-described-fc_only-0" in planned(workspace, config)


def test_another_data_set_in_the_workspace_is_replaced(batch: tuple[Path, Path]) -> None:
    workspace, config = batch
    path = workspace / "raw" / "dataset.json"
    write_json(path, {**read_json(path, stage="10_download"), "fingerprint": "another"})
    assert {"10_download", "20_preprocess-described", "30_train-described-fc_only-0"} < planned(workspace, config)


def test_an_altered_table_is_computed_again(batch: tuple[Path, Path]) -> None:
    workspace, config = batch
    path = workspace / "results" / "metrics.csv"
    before = path.read_bytes()
    path.write_bytes(before.replace(b"0.", b"1.", 1))
    done = snakemake(workspace, config, "notebooks/40_evaluate.ipynb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "results/metrics.csv: altered" in done.stdout
    assert path.read_bytes() == before


def test_an_executed_notebook_is_signed_and_vouches_for_its_artefacts(prepared: Workspace) -> None:
    import nbformat
    from nbformat.sign import NotebookNotary

    content = nbformat.read(prepared.root / "notebooks" / "10_download.ipynb", as_version=4)
    assert NotebookNotary().check_signature(content)
    content.cells[0].source += " changed"
    assert not NotebookNotary().check_signature(content)
