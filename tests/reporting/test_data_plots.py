import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from lab_utils.reporting import data_plots, figures, style


def test_class_balance_counts_images(ax: Axes) -> None:
    manifest = pd.DataFrame(
        {"class": ["a_b"] * 3 + ["c"] * 2, "split": ["train", "train", "validation", "train", "validation"]}
    )
    assert data_plots.class_balance(ax, manifest) is ax
    assert [bar.get_height() for bar in ax.patches if bar.get_width()] == [2, 1, 1, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a b", "c"]
    assert "a b 2 and 1; c 1 and 1" in figures.class_balance(manifest).alt


def test_radiographs_with_and_without_lungs() -> None:
    figure, axes = style.panels(2, 1.0)
    lungs = np.zeros((20, 20), bool)
    lungs[5:15, 5:15] = True
    for ax, outline in zip(axes, (lungs, None), strict=True):
        data_plots.radiograph(ax, np.zeros((30, 30), np.uint8), "a", outline)
    figure.canvas.draw()
    assert [len(ax.collections) > 0 for ax in axes] == [True, False]


def test_masks_in_the_training_set_are_seen(ax: Axes) -> None:
    kinds = ["image", "image", "mask", "image"]
    manifest = pd.DataFrame({"kind": kinds, "split": ["train", "validation", "train", "train"]})
    data_plots.split_contents(ax, {"published": manifest})
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1, 0]
    assert [text.get_text() for text in ax.texts] == [" 2 + 1", " 1"]
    assert "published, train: 2 images and 1 masks" in figures.split_contents({"published": manifest}).alt
