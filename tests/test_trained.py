from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import pytest

from lab_utils import open_lab
from lab_utils.core.catalogue import write_table_file
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.evaluation.runs import Runs, choose_run
from tests.conftest import run_stage


def finished_run(protocol: str, scenario: str, seed: int, accuracy: float) -> Any:
    """What the choice of a run asks of it."""
    names = {"protocol": SimpleNamespace(name=protocol), "scenario": SimpleNamespace(name=scenario)}
    return SimpleNamespace(**names, name=f"{protocol}/{scenario}/seed-{seed}", record={"accuracy": accuracy})


def test_the_run_is_chosen_by_its_name_or_by_the_mean_accuracy_of_its_scenario() -> None:
    first = [finished_run("described", "all", 0, 0.99), finished_run("described", "all_convs", 0, 0.98)]
    seeds = [("one", 3, 0.95), ("one", 4, 0.75), ("two", 3, 0.84), ("two", 4, 0.88)]
    runs = Runs([*first, *(finished_run("corrected", *values) for values in seeds)])
    run, reason = choose_run(runs)
    assert run.name == "corrected/two/seed-3"
    assert reason == (
        "No run was named: under protocol corrected, two has the highest mean validation accuracy of 2 scenarios "
        "(86.0\u00a0%), and this is its first seed."
    )
    assert choose_run(Runs(first))[0].name == "described/all/seed-0"
    run, reason = choose_run(runs, "corrected/one/seed-4")
    assert (run.name, reason) == ("corrected/one/seed-4", "corrected/one/seed-4 was asked for.")
    with pytest.raises(LabError, match="no run 'corrected/two/seed-5'.*did you mean 'corrected/two/seed-"):
        choose_run(runs, "corrected/two/seed-5")


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
