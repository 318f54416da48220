"""New images in the hands of a trained run: table and page, what is unusual, and what cannot be read."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from PIL import Image

from lab_utils import open_lab
from lab_utils.core.catalogue import read_table_file
from lab_utils.evaluation.temperature import fit_temperature
from lab_utils.lab import Lab
from lab_utils.prediction import Predictions, predict_images
from lab_utils.reporting.prediction_page import TABLE
from tests.kinds import unusual_kinds

HOSTILE = "<script>alert(1)<script> \u05e9\u05dc\u05d5\u05dd\n.png"


@pytest.fixture(scope="module")
def by_hand(finished: tuple[Path, Path]) -> Iterator[Lab]:
    """The finished run as a notebook opens it; what is predicted by hand is removed."""
    workspace, config = finished
    yield open_lab(str(workspace), str(config))
    shutil.rmtree(workspace / "by_hand" / "predictions")


def read(predictions: Predictions) -> tuple[pd.DataFrame, BeautifulSoup]:
    """Read what was written."""
    assert {path.name for path in predictions.folder.iterdir()} == {
        ".predictions.csv.sha256",
        ".predictions.html.sha256",
        "predictions.csv",
        "predictions.html",
    }
    page = (predictions.folder / "predictions.html").read_text(encoding="utf-8")
    table = read_table_file(predictions.folder / "predictions.csv", TABLE)
    return table, BeautifulSoup(page, "html.parser")


def test_held_out_images_are_predicted_as_in_training(by_hand: Lab) -> None:
    run = by_hand.runs["last_conv"]
    predictions = predict_images(run, reason="A reason.")
    assert predictions.folder == by_hand.workspace.base / "by_hand" / "predictions" / "held_out"
    table, page = read(predictions)
    pd.testing.assert_frame_equal(table, predictions.table, check_dtype=False, check_like=True, rtol=1e-6)
    expected = run.predictions().set_index("image_id").loc[table["image_id"]].reset_index()
    columns = [name for name in expected if name.startswith("p_")]
    assert table[columns].to_numpy() == pytest.approx(expected[columns].to_numpy(), abs=1e-5)
    assert table["nearest_1"].isin(by_hand.manifest["image_id"][by_hand.manifest["split"] == "train"]).all()
    scaled = table[[f"scaled_{name}" for name in columns]]
    assert scaled.sum(axis=1).to_numpy() == pytest.approx(1)
    assert table["confidence"].to_numpy() == pytest.approx(scaled.max(axis=1).to_numpy())
    assert predictions.temperature == fit_temperature(run.predictions())
    assert "Predictions: 12 images of the validation set" in page.h1.text  # type: ignore[union-attr]
    assert "A reason." in page.text
    for link in page.select("article a"):
        assert (predictions.folder / str(link["href"]).replace("%20", " ")).is_file()
    assert predictions.figure().label == "fig-predicted"
    assert len(page.select("article")) == len(table) == 12
    assert len(page.select("article .pictures img")) == 24, "each image with its Grad-CAM map"


def test_a_photograph_a_mask_and_a_rotated_image_are_unusual(by_hand: Lab, tmp_path: Path) -> None:
    held_out = by_hand.manifest[by_hand.manifest["split"] == "validation"]
    radiographs = [np.array(Image.open(by_hand.dataset.root / name)) for name in held_out["image_id"]]
    masks = [np.array(Image.open(by_hand.dataset.root / name)) for name in held_out["mask"]]
    kinds = unusual_kinds(radiographs[0], masks[0])
    folder = tmp_path / "some images"
    (folder / "deep").mkdir(parents=True)
    for number, image in enumerate(radiographs):
        Image.fromarray(image).save(folder / f"ordinary-{number}.png")
    for name, image in kinds.items():
        Image.fromarray(image).save(folder / "deep" / f"{name}.png")
    (folder / HOSTILE).write_bytes(b"")
    shutil.make_archive(str(folder), "zip", folder)
    table, page = read(predict_images(by_hand.runs["fc_only"], f"{folder}.zip"))
    assert not page.select("article a"), "the files of an archive are temporary"
    assert len(table) == len(radiographs) + len(kinds) + 1
    rows = table.set_index("image_id")
    for name in kinds:
        assert rows.loc[f"deep/{name}.png", "unusual"], name
    ordinary = rows[rows.index.str.startswith("ordinary")]
    assert (ordinary["unusual"] != "").mean() <= 0.25, "sixteen images beside 37 training images"
    assert rows.loc[HOSTILE, "error"] == "empty file"
    assert not rows.loc[HOSTILE, "predicted"]
    assert "<script>alert(1)<script>" in page.text
    assert not page.find_all("script")


def test_files_of_which_none_can_be_read_are_rows_with_reasons(by_hand: Lab, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "table.csv").write_text("image\na.png\nb.png\n")
    predictions = predict_images(by_hand.runs["fc_only"], str(tmp_path / "table.csv"))
    table, page = read(predictions)
    assert table["image_id"].tolist() == ["a.png", ""]
    assert "damaged or truncated PNG" in table["error"][0]
    assert "1 of 2 rows name no file" in table["error"][1]
    assert [heading.text for heading in page.find_all("h2")] == ["Files that cannot be read"]
    assert predictions.summary.endswith("predicted 0 images, called 0 images unusual, and could not read 2 files.")
