"""Outside collections in the hands of the tiny run's networks: stage 42 and what it leaves on disk."""

import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from PIL import Image

from lab_utils import open_lab
from lab_utils.core.catalogue import read_table, tables_of
from lab_utils.core.config import Collection
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.evaluation.predictions import predicted_of
from lab_utils.evaluation.transport import InternalScores
from lab_utils.external import ExternalImages
from lab_utils.lab import Lab
from tests.conftest import PROJECT, SCENARIOS, run_by_hand, write_config


@pytest.fixture(scope="module")
def lab(finished: tuple[Path, Path]) -> Lab:
    return open_lab(str(finished[0]), str(finished[1]))


def test_every_number_can_be_computed_again_from_files(lab: Lab) -> None:
    scores, predictions = lab.table("external"), lab.table("external_predictions")
    assert scores["scenario"].unique().tolist() == SCENARIOS
    patients = pd.Series([""] * predictions["image_id"].nunique())
    for run in lab.runs:
        of_run = run.rows_of(predictions).reset_index(drop=True)
        again = InternalScores(run.predictions()).transported(
            of_run.drop(columns=[*run.labels(), "collection"]), patients
        )
        found = run.rows_of(scores)[again.columns]
        assert found["value"].to_numpy() == pytest.approx(again["value"].to_numpy(), nan_ok=True)
        assert found["internal_low"].to_numpy() == pytest.approx(again["internal_low"].to_numpy(), nan_ok=True)
        validation = run.rows_of(lab.table("intervals")).set_index("measure")["value"]
        inside = found.set_index("measure")["internal"]
        assert inside[["accuracy", "ece"]].to_numpy() == pytest.approx(validation[["accuracy", "ece"]].to_numpy())
    counts = lab.table("external_images")
    assert counts["judged"].sum() == counts["images"].sum() == len(of_run)
    examples = lab.table("external_examples")
    wrong = of_run["image_id"][predicted_of(of_run) != of_run["y_true"]]
    assert set(run.rows_of(examples)["image_id"]) <= set(wrong)
    assert 0 < run.rows_of(examples)["image_id"].nunique() <= 8


@pytest.fixture(scope="module")
def mixed(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> ExternalImages:
    """Copies of images of the run, re-encoded, images of the second hospital, a damaged file, and a label left out."""
    root = tmp_path_factory.mktemp("mixed")
    second = lab.workspace.of_collection("second_hospital").path("external/second_hospital/raw/files")
    for label, name in {"covid": "COVID", "Healthy <i>": "Normal", "other": "Lung_Opacity"}.items():
        (root / label).mkdir()
        for place, folder in enumerate((lab.dataset.root, next(second.rglob(name)).parent)):
            for number in (1, 2, 3):
                image = Image.open(folder / name / "images" / f"{name}-{number}.png")
                image.save(root / label / f"{place}-{number}.jpg", quality=80)
    (root / "covid" / "damaged.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    labels = {"Healthy <i>": "Normal", "other": None}
    collection = Collection(name="mixed", title="mixed", path=str(root), labels=labels)
    return ExternalImages.obtain(lab, collection)


def test_copies_damaged_files_and_labels_without_a_class_are_counted_and_left_out(mixed: ExternalImages) -> None:
    rows = mixed.counts().set_index("label")[["class", "images", "unreadable", "copies", "judged"]]
    assert rows.loc["covid"].tolist() == ["COVID", 7, 1, 3, 3]
    assert rows.loc["Healthy <i>"].tolist() == ["Normal", 6, 0, 3, 3]
    assert rows.loc["other"].tolist() == ["", 6, 0, 0, 0]
    originals = mixed.copies.set_index("image_id")["copy_of"]
    assert originals["covid/0-2.jpg"] == "COVID/images/COVID-2.png"
    run = mixed.lab.runs["fc_only"]
    predictions, examples = mixed.judge(run, explained=2)
    assert sorted(predictions["image_id"]) == sorted(set(mixed.manifest["image_id"]) - set(originals.index))
    assert mixed.patients(predictions).tolist() == [""] * 6
    assert examples["image_id"].nunique() == min(2, (predicted_of(predictions) != predictions["y_true"]).sum())


def test_a_run_predicts_outside_images_as_its_model_does(mixed: ExternalImages) -> None:
    run = mixed.lab.runs["last_two_convs"]
    predictions, _ = mixed.judge(run)
    row = predictions.iloc[0]
    expected = run.predict(str(mixed.dataset.root / row["image_id"]))
    found = row[[f"p_{name}" for name in expected.index]].to_numpy(float)
    assert found == pytest.approx(expected.to_numpy(), abs=1e-4)


def test_a_collection_without_a_readable_image_is_refused(lab: Lab, tmp_path: Path) -> None:
    for name in ("COVID", "Normal"):
        (tmp_path / "bad" / name).mkdir(parents=True)
        (tmp_path / "bad" / name / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    collection = Collection(name="bad", title="bad", path=str(tmp_path / "bad"))
    with pytest.raises(LabError, match=r"external.bad: none of 2 images can be read; the first: COVID/x.png"):
        ExternalImages.obtain(lab, collection).counts()


def test_without_a_collection_the_stage_writes_empty_tables_and_says_so(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    config = write_config(tmp_path / "lab.yaml")
    config.write_text(config.read_text().partition("external:")[0] + "run:" + config.read_text().partition("\nrun:")[2])
    executed = run_by_hand("42_external", Workspace(finished[0]), config)
    text = "".join(str(cell.get("outputs", "")) for cell in nbformat.read(executed, as_version=4).cells)
    assert "There is no outside collection" in text
    by_hand = open_lab(str(finished[0]), str(config)).workspace
    for name in tables_of("42_external"):
        assert read_table(by_hand, name).empty
    shutil.rmtree(by_hand.root / "results")


def test_planning_to_judge_imports_no_tensorflow() -> None:
    script = "from lab_utils.external import ExternalImages\nimport sys\nassert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", script], cwd=PROJECT, check=False).returncode == 0
