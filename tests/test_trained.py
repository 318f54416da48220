from dataclasses import replace
from pathlib import Path

import nbformat
import pandas as pd
import pytest

from lab_utils import open_lab
from lab_utils.core.catalogue import write_table_file
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from tests.conftest import run_stage


def test_a_test_set_is_predicted_and_a_run_without_mistakes_says_so(
    prepared_copy: Workspace, config: Path, tmp_path: Path
) -> None:
    lab = open_lab(str(prepared_copy.root), str(config))
    manifest = lab.manifest.copy()
    manifest.loc[manifest.index[manifest["split"] == "validation"][::2], "split"] = "test"
    lab.__dict__["manifest"] = manifest
    trial = lab.train("fc_only", epochs=1)
    sides = {side: rows["image_id"].tolist() for side, rows in manifest.groupby("split")}
    assert trial.test_predictions()["image_id"].tolist() == sides["test"]
    assert trial.predictions()["image_id"].tolist() == sides["validation"]
    assert trial.record["images"] == {side: len(images) for side, images in sides.items()}
    columns = {"image_id": ["x", "y"], "group": [0, 1], "y_true": ["a", "b"], "p_a": [1.0, 0.0], "p_b": [0.0, 1.0]}
    write_table_file(tmp_path / "predictions.csv", "predictions", pd.DataFrame(columns))
    run = replace(trial, folder=tmp_path)
    with pytest.raises(LabError, match="all 2 validation images are classified correctly"):
        run.mistakes()


def test_the_playground_runs_on_a_finished_workspace(finished: tuple[Path, Path]) -> None:
    workspace, config = finished
    runs = {path: path.read_bytes() for path in (workspace / "runs").rglob("*") if path.is_file()}
    output = run_stage("60_playground", Workspace(workspace), config)
    labels = [
        shown.metadata["label"]
        for cell in nbformat.read(output, 4).cells
        for shown in cell.get("outputs", [])
        if "label" in shown.get("metadata", {})
    ]
    output.unlink()
    assert labels == ["fig-mistakes", "fig-explain", "fig-compared"]
    assert {path: path.read_bytes() for path in (workspace / "runs").rglob("*") if path.is_file()} == runs
