from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.data.labelled import LabelledImages
from lab_utils.models.cost import share_behind
from lab_utils.models.cut import graph_of
from lab_utils.models.features import cached_features
from lab_utils.models.runtime import keras
from lab_utils.models.training import fit

layers = keras.layers


def network(*, trained: int) -> keras.Model:
    """Three convolutions, of which the last ones are trained; multiplications 27, 16 and 16 for each of 64 pixels."""
    inner = [layers.Conv2D(9, 1), layers.Conv2D(16, 1), layers.Conv2D(9, 1)]
    for place, layer in enumerate(inner):
        layer.trainable = place >= 3 - trained
    head = [layers.GlobalAveragePooling2D(), layers.Dense(2, activation="softmax")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *inner, *head])
    model.compile("adam", "categorical_crossentropy", metrics=["accuracy"])
    return model


@pytest.fixture
def images(tmp_path: Path) -> LabelledImages:
    manifest = pd.DataFrame({"class": list("ab") * 5, "split": ["train"] * 8 + ["validation"] * 2})
    return LabelledImages(np.zeros((10, 8, 8), np.uint8), manifest, ("a", "b"), "key", tmp_path)


def test_the_share_of_the_arithmetic_is_counted() -> None:
    steps = graph_of(network(trained=0)).steps
    total = 64 * (27 + 144 + 144) + 18
    assert share_behind(steps, -1) == 1
    assert share_behind(steps, 0) == pytest.approx((64 * 288 + 18) / total)
    assert share_behind(steps, len(steps) - 2) == pytest.approx(18 / total)


@pytest.mark.parametrize(
    ("trained", "storage", "epochs", "gigabytes"),
    [
        (3, "float32", "the whole network", ""),
        (2, "float32", "91% of", "36"),
        (2, "float16", "91% of", "18"),
        (0, "float32", "", ""),
    ],
)
def test_an_expensive_cut_is_announced_before_it_starts(
    images: LabelledImages,
    capsys: pytest.CaptureFixture[str],
    trained: int,
    storage: str,
    epochs: str,
    gigabytes: str,
) -> None:
    fit(network(trained=trained), replace(images, storage=storage), epochs=2, batch_size=4)
    said = capsys.readouterr().out
    assert ("Every epoch runs" in said) == bool(epochs)
    assert f"runs {epochs}" in said or not epochs
    assert (f"GB, {gigabytes} times the bytes of the images" in said) == bool(gigabytes)
    assert "LiteRT cannot be used" not in said, "features that are all zero agree, too"
    assert said.find("Every epoch runs") < said.find("train:")
    assert said.find("times the bytes of the images") < said.find("features:") or trained == 3


def test_the_time_of_features_is_not_measured_where_nothing_is_trained(
    images: LabelledImages, capsys: pytest.CaptureFixture[str]
) -> None:
    tested = replace(images, manifest=images.manifest.assign(split="test"))
    (features,) = cached_features(graph_of(network(trained=2)), [0], tested)
    assert features.uncached_rate == 0
    assert "36 times the bytes of the images. `storage: float16`" in capsys.readouterr().out
