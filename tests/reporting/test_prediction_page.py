"""The page of predictions on request: names of folders, counts in words, order of the sections."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lab_utils.core.paths import Workspace
from lab_utils.reporting.cards import Card
from lab_utils.reporting.prediction_page import explanations, prediction_folder, summary, write_prediction_page

TABLE = pd.DataFrame(
    {
        "image_id": ["a", "b", "c", ""],
        "unusual": ["", "Unusual features (percentile 99)", "", ""],
        "error": ["", "", "empty file", "2 of 9 rows name no file."],
    }
)


def test_the_folder_is_named_as_the_images(lab: Workspace) -> None:
    plain = {"": "held_out", "/data/new set.v2/radiographs": "radiographs", "x.zip": "x", "x.zip/a-1": "a-1"}
    for images, name in plain.items():
        assert prediction_folder(lab, images) == lab.root / "predictions" / name
    hostile = ["../..", "/", "\u80ba.png", "\u80f8.png", "a b", "a_b!", "<script>", "x" * 300, ".hidden", "a\nb"]
    folders = [prediction_folder(lab, images) for images in hostile]
    assert len(set(folders)) == len(folders)
    for folder in folders:
        assert folder.parent == lab.root / "predictions"
        assert folder.name.isascii()
        assert folder.name[0] not in ".-"
        assert len(folder.name) < 60
    by_hand = Workspace(lab.base, is_by_hand=True)
    assert prediction_folder(by_hand, "x.zip") == lab.base / "by_hand" / "predictions" / "x"


def test_the_summary_counts_images_and_files() -> None:
    assert summary("p/s/seed-0", TABLE) == (
        "Run p/s/seed-0 predicted 2 images, called 1 image unusual, and could not read 2 files."
    )


@pytest.mark.parametrize("unusual", [0, 2])
def test_unusual_images_and_errors_come_first(tmp_path: Path, unusual: int) -> None:
    cards = [Card(name, np.zeros((8, 8), np.uint8)) for name in ("a", "b", "d")]
    text = explanations(1.5, TABLE)
    write_prediction_page(tmp_path / "page.html", "new", ["Not."], text, TABLE, [cards[:unusual], cards[unusual:]])
    page = BeautifulSoup((tmp_path / "page.html").read_text(encoding="utf-8"), "html.parser")
    headings = [heading.text for heading in page.find_all("h2")]
    assert headings == [*["Unusual images"] * bool(unusual), "Files that cannot be read", "Other images"]
    shown = [heading.text for heading in page.select("article h3")]
    assert shown == ["a", "b", "c", "Table", "d"] if unusual else ["c", "Table", "a", "b", "d"]
    assert "The temperature 1.50 was fitted on 4 validation images" in page.text
