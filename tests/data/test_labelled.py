"""Images with classes and split: shape, one-hot labels, rows of each side."""

from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.data.labelled import LabelledImages


def labelled(images: np.ndarray) -> LabelledImages:
    manifest = pd.DataFrame(
        {
            "image_id": ["a", "b", "c"],
            "class": ["y", "x", "y"],
            "split": ["train", "validation", "train"],
            "group": [0, 1, 2],
        }
    )
    return LabelledImages(images, manifest, ("x", "y"), "key", Path("features"))


def test_networks_see_three_channels_whatever_is_stored() -> None:
    assert labelled(np.zeros((3, 8, 6), np.uint8)).shape == (8, 6, 3)
    assert labelled(np.zeros((3, 8, 6, 3), np.uint8)).shape == (8, 6, 3)


def test_labels_are_one_hot_in_the_order_of_the_classes() -> None:
    labels = labelled(np.zeros((3, 8, 6), np.uint8)).labels
    assert labels.dtype == np.float32
    assert labels.tolist() == [[0, 1], [1, 0], [0, 1]]


def test_rows_of_each_side_of_the_split() -> None:
    data = labelled(np.zeros((3, 8, 6), np.uint8))
    assert data.rows("train").tolist() == [0, 2]
    assert data.rows("validation").tolist() == [1]
    assert len(data) == 3
