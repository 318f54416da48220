from pathlib import Path

import pandas as pd

from lab_utils.data.dataset import Dataset
from lab_utils.reporting import figures
from tests.conftest import write_classes
from tests.reporting.conftest import ONE


def test_samples_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 3, "b": 3})
    (root / "a" / "a-1.png").write_bytes(b"no image")
    shown = figures.samples(Dataset("folder", root, "", {"a": {}, "b": {}}), columns=3)
    assert [len(ax.images) for ax in shown.figure.axes] == [1, 1, 0, 1, 1, 1]
    assert shown.photographic


def test_heat_maps_lie_over_correct_images_left_and_errors_right(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 1})
    cells = [(row, column, float(row + column)) for row in range(2) for column in range(2)]
    images = [("a/a-1.png", "a", "a", 0.9), ("a/a-2.png", "a", "b", 0.8)]
    examples = pd.DataFrame([(*image, *cell) for image in images for cell in cells])
    examples.columns = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "a/a-2.png"], "mask": ""})
    shown = figures.grad_cam(examples, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}), ONE)
    axes = shown.figure.axes
    assert [len(ax.images) for ax in axes] == [2, 0, 2, 0, 0, 0, 0, 0]
    assert axes[2].get_title() == "a as\nb, 80\N{NO-BREAK SPACE}%"
    assert "a as a, 90" in shown.alt


def test_pairs_of_images_stand_side_by_side(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1, "b": 1})
    pairs = pd.DataFrame({"distance": [4], "first": ["a/a-1.png"], "second": ["b/b-1.png"]})
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "b/b-1.png"], "class": ["a", "b"]})
    shown = figures.duplicate_pairs(pairs, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}))
    titles = [ax.get_title() for ax in shown.figure.axes if ax.images]
    assert titles == ["a\n4 bits apart", "b\n4 bits apart"]
    assert shown.alt == "Pairs of radiographs: a/a-1.png and b/b-1.png, 4 bits apart."
