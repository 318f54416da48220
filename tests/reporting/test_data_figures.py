from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, obtain
from lab_utils.reporting import figures
from tests.conftest import write_classes
from tests.reporting.conftest import axis_of


def test_class_balance_counts_images() -> None:
    manifest = pd.DataFrame(
        {"class": ["a_b"] * 3 + ["c"] * 2, "split": ["train", "train", "validation", "train", "validation"]}
    )
    shown = figures.class_balance(manifest)
    ax = axis_of(shown)
    assert [bar.get_width() for bar in ax.patches if bar.get_width()] == [2, 1, 1, 1]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a b", "c"]
    assert "a b: train 2, validation 1; c: train 1, validation 1" in shown.alt
    tested = pd.concat([manifest, pd.DataFrame({"class": ["c"], "split": ["test"]})])
    assert "c: train 1, validation 1, test 1" in figures.class_balance(tested).alt


def test_radiographs_with_and_without_lungs() -> None:
    lungs = np.zeros((20, 20), bool)
    lungs[5:15, 5:15] = True
    image = np.zeros((30, 30), np.uint8)
    shown = figures.image_grid([image, image], ["a", "b"], "c", "fig-x", lungs=[lungs, None], columns=2)
    shown.figure.draw_without_rendering()
    assert [len(ax.collections) > 0 for ax in shown.figure.axes] == [True, False]


def test_masks_in_the_training_set_are_seen() -> None:
    kinds = ["image", "image", "mask", "image"]
    manifest = pd.DataFrame({"kind": kinds, "split": ["train", "validation", "train", "train"]})
    shown = figures.split_contents({"published": manifest})
    ax = axis_of(shown)
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1, 0]
    assert [text.get_text() for text in ax.texts] == [" 2 + 1", " 1"]
    assert "published, train: 2 images and 1 masks" in shown.alt


def test_samples_leave_out_what_cannot_be_read(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"a": 3, "b": 3})
    (root / "a" / "a-1.png").write_bytes(b"no image")
    shown = figures.samples(obtain(str(root), lab), columns=3)
    assert [len(ax.images) for ax in shown.figure.axes] == [1, 1, 0, 1, 1, 1]
    assert shown.photographic


def test_pairs_of_images_stand_side_by_side(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1, "b": 1})
    pairs = pd.DataFrame({"distance": [4], "first": ["a/a-1.png"], "second": ["b/b-1.png"]})
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "b/b-1.png"], "class": ["a", "b"]})
    shown = figures.duplicate_pairs(pairs, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}))
    titles = [ax.get_title() for ax in shown.figure.axes if ax.images]
    assert titles == ["a\n4 bits apart", "b\n4 bits apart"]
    assert shown.alt == "Pairs of radiographs: a/a-1.png and b/b-1.png, 4 bits apart."
