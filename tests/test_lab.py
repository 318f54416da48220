"""The front door: what a reader of a notebook does with `open_lab`, by hand and in batch."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab_utils import open_lab
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.lab import Lab
from tests.conftest import PROJECT


def contents(folder: Path) -> dict[Path, tuple[int, bytes]]:
    """Time and bytes of every file of a workspace but those by hand, and the features, which are named by content."""
    apart = ("by_hand", "features", "images", "backbones")
    files = [path for path in folder.rglob("*") if path.is_file() and path.relative_to(folder).parts[0] not in apart]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in files}


@pytest.fixture
def by_hand(prepared_copy: Workspace, config: Path) -> Lab:
    """The prepared workspace as a notebook opens it by hand."""
    return open_lab(str(prepared_copy.root), str(config), scenario="fc_only")


def test_by_hand_and_in_batch(prepared: Workspace, config: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lab = open_lab(str(prepared.root), str(config))
    assert lab.workspace.is_by_hand
    assert lab.workspace.root == prepared.root / "by_hand"
    monkeypatch.setenv("LAB_BATCH", "1")
    assert open_lab(str(prepared.root), str(config)).workspace == prepared


def test_empty_values_mean_as_the_experiment_says(prepared: Workspace, config: Path) -> None:
    lab = open_lab(str(prepared.root), str(config), scenario="last_conv", epochs=0, learning_rate=0.0)
    assert (lab.protocol.name, lab.scenario.epochs, lab.scenario.learning_rate) == ("described", 2, 0.001)
    assert open_lab(str(prepared.root), str(config), epochs=7).scenario.epochs == 7
    with pytest.raises(LabError, match="epochs"):
        open_lab(str(prepared.root), str(config), epochs=-1)
    with pytest.raises(LabError, match="no scenario 'fc_onyl'.*did you mean 'fc_only'"):
        open_lab(str(prepared.root), str(config), scenario="fc_onyl")


def test_another_data_set_makes_what_was_made_of_the_old_one_stale(by_hand: Lab, config: Path) -> None:
    assert len(by_hand.manifest) == len(by_hand.images) == 53
    by_hand.obtain("phantom", phantoms=60)
    again = open_lab(str(by_hand.workspace.base), str(config))
    with pytest.raises(
        LabError, match=r"made from data set .*, the workspace now has .*; run stage 20_preprocess again"
    ):
        _ = again.manifest
    with pytest.raises(LabError, match="run stage 20_preprocess again"):
        _ = again.data


def test_exploring_a_run_never_touches_the_batch(by_hand: Lab) -> None:
    before = contents(by_hand.workspace.base)
    slow, fast = by_hand.train("fc_only", learning_rate=1e-4), by_hand.train("fc_only", learning_rate=1e-2)
    assert (slow.title, fast.title) == ("fc_only, learning_rate=0.0001", "fc_only, learning_rate=0.01")
    assert slow.record["by_hand"]
    assert slow.folder.is_relative_to(by_hand.workspace.root / "trials")
    stamp = (slow.folder / "run.json").stat().st_mtime_ns
    assert by_hand.train("fc_only", learning_rate=1e-4).history().equals(slow.history())
    assert (slow.folder / "run.json").stat().st_mtime_ns == stamp, "the same training is not repeated"
    assert slow.test_predictions().empty, "phantoms have no test set"
    curves = by_hand.compare(slow, fast)
    assert curves.label == "fig-compared"
    assert all(trial.title in curves.alt for trial in (slow, fast))
    mistakes = slow.mistakes(4)
    assert " as " in mistakes.alt
    image = by_hand.dataset.root / slow.predictions()["image_id"].iloc[0]
    probabilities = slow.predict(str(image))
    assert probabilities.is_monotonic_decreasing
    assert probabilities.sum() == pytest.approx(1, abs=1e-5)
    expected = slow.predictions().iloc[0][[f"p_{name}" for name in probabilities.index]].to_numpy(float)
    assert probabilities.to_numpy() == pytest.approx(expected, abs=1e-4)
    heat = slow.explain(str(image))
    assert str(probabilities.index[0]).replace("_", " ") in heat.alt.replace("_", " ")
    with pytest.raises(LabError, match="expected a PNG, JPEG, .* file that can be read"):
        slow.explain(str(by_hand.workspace.base / "raw" / "dataset.json"))
    assert contents(by_hand.workspace.base) == before


def test_runs_are_found_by_name_and_tab_completion(finished: tuple[Path, Path]) -> None:
    workspace, config = finished
    lab = open_lab(str(workspace), str(config))
    assert [run.scenario.name for run in lab.runs] == ["last_two_convs", "last_conv", "fc_only"]
    assert lab.runs["fc_only"] == lab.runs["described/fc_only/seed-0"] == lab.runs[2]
    assert "fc_only" in lab.runs._ipython_key_completions_()
    with pytest.raises(LabError, match="no run 'fc_onyl'.*did you mean 'fc_only'"):
        _ = lab.runs["fc_onyl"]
    assert lab.compare(lab.runs["fc_only"], lab.runs["last_conv"]).alt.startswith("described/fc_only/seed-0")


@pytest.mark.parametrize(
    "first",
    [
        "import tensorflow as tf; tf.constant(1.0) + 1",
        "import keras; keras.ops.ones(2)",
        "from lab_utils import open_lab",
    ],
)
def test_the_lab_can_be_imported_after_anything(first: str) -> None:
    script = f"{first}\nfrom lab_utils.models import fit, keras\nprint(keras.ops.ones(1))"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_collections_suit_the_data_of_the_workspace(prepared: Workspace, config: Path) -> None:
    lab = open_lab(str(prepared.root), str(config))
    assert [entry.name for entry in lab.collections()] == ["second_hospital"]
    assert [(entry.name, entry.path) for entry in lab.collections({"nih": "/nih.zip"})] == [("nih", "/nih.zip")]
    lab.__dict__["dataset"] = replace(lab.dataset, kind="archive")
    assert lab.collections() == (), "phantoms of a second hospital belong to phantoms"
