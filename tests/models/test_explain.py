from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.engine import FeatureExtractor
from lab_utils.models.explain import RANDOM_HEADS, _glorot, attribute, attribute_image, attribute_linear, grad_cam
from lab_utils.models.runtime import keras


def test_grad_cam_by_hand() -> None:
    maps = np.array([[[[1, 2], [3, 0]], [[0, 1], [2, 4]]]], np.float32)  # one image, 2 x 2 cells, two channels
    gradients = np.array([[[[4, -1], [0, -1]], [[0, -1], [0, -1]]]], np.float32)  # means 1 and -1
    assert np.asarray(grad_cam(maps, gradients)).tolist() == [[[0, 3], [0, 0]]]


def tiny(*, frozen: bool) -> keras.Model:
    """Images to two classes through a 'backbone' of a strided convolution, pooling and one hidden layer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    inner = keras.Input((8, 8, 3))
    maps = keras.layers.Conv2D(4, 2, strides=2, name="stem", trainable=not frozen)(inner)
    maps = keras.layers.Conv2D(5, 1, activation="relu", name="top", trainable=not frozen)(maps)
    backbone = keras.Model(inner, maps, name="backbone")
    values = backbone(keras.layers.Rescaling(1 / 255)(image))
    values = keras.layers.GlobalAveragePooling2D()(values)
    values = keras.layers.Dense(6, activation="relu", name="dense_1")(values)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name="dense_2")(values))


@pytest.mark.parametrize("frozen", [True, False])
def test_attribution_is_that_of_finite_differences(frozen: bool, tmp_path: Path) -> None:
    model = tiny(frozen=frozen)
    images = np.random.default_rng(0).integers(0, 255, (70, 8, 8, 3)).astype(np.uint8)
    manifest = pd.DataFrame({"class": ["a", "b"] * 35, "split": "train"})
    data = LabelledImages(images, manifest, ("a", "b"), "key", tmp_path)
    rows = np.arange(69, 1, -2)
    attribution = attribute(model, data, rows)
    assert [path.is_dir() for path in tmp_path.glob("[!.]*[!k]")] == ([True] if frozen else []), (
        "frozen layers are cached"
    )
    probabilities = model.predict(images[rows].astype(np.float32), verbose=0)
    assert (attribution.predicted == probabilities.argmax(axis=1)).all()
    assert np.allclose(attribution.confidence, probabilities.max(axis=1), atol=1e-5)
    backbone, hidden, last = (model.get_layer(name) for name in ("backbone", "dense_1", "dense_2"))
    maps = backbone.predict(images[rows] / np.float32(255), verbose=0)
    pooled = maps.mean(axis=(1, 2), dtype=float)

    def score(values: np.ndarray) -> np.ndarray:
        inner = np.maximum(values @ np.asarray(hidden.kernel, float) + np.asarray(hidden.bias), 0)
        outer = inner @ np.asarray(last.kernel, float) + np.asarray(last.bias)
        return outer[np.arange(len(rows)), attribution.predicted]

    step = 1e-6
    slopes = np.stack(
        [(score(pooled + step * unit) - score(pooled - step * unit)) / (2 * step) for unit in np.eye(5)], 1
    )
    expected = np.maximum((maps * slopes[:, None, None] / 16).sum(axis=-1), 0)  # 4 x 4 cells share the mean's slope
    assert attribution.maps.shape == (len(rows), 4, 4)
    assert np.allclose(attribution.maps, expected, atol=1e-4)
    single, alone = attribute_image(model, images[rows[0]])
    assert np.allclose(single, probabilities[0], atol=1e-5)
    assert np.allclose(alone.maps[0], attribution.maps[0], atol=1e-4)
    assert alone.random_maps is None


def test_a_random_head_has_the_feature_maps_of_the_network_and_kernels_of_its_own(tmp_path: Path) -> None:
    model = tiny(frozen=True)
    images = np.random.default_rng(0).integers(0, 255, (8, 8, 8, 3)).astype(np.uint8)
    manifest = pd.DataFrame({"class": ["a", "b"] * 4, "split": "train"})
    data = LabelledImages(images, manifest, ("a", "b"), "key", tmp_path)
    before, rows = model.get_weights(), np.arange(7, -1, -1)
    seen = attribute(model, data, rows, np.array([0, 3, 6]))
    assert seen.random_maps is not None
    assert seen.random_rows is not None
    assert seen.random_maps.shape == (3, RANDOM_HEADS, 4, 4)
    assert all((old == new).all() for old, new in zip(before, model.get_weights(), strict=True))
    for index, name in enumerate(("dense_1", "dense_2")):
        kernel = model.get_layer(name).kernel
        limit = np.sqrt(6 / sum(kernel.shape))
        kernel.assign(drawn := np.asarray(_glorot(kernel.shape, (4, index))))
        assert 0.5 * limit < np.abs(drawn).max() < limit
    expected = attribute(model, data, rows[seen.random_rows])
    assert np.allclose(seen.random_maps[:, 4], expected.maps, atol=1e-5)
    assert not np.allclose(seen.random_maps[:, 5], expected.maps, atol=1e-2)


def test_a_linear_model_s_attribution_is_its_coefficients() -> None:
    backbone = tiny(frozen=True).get_layer("backbone")
    images = np.random.default_rng(1).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    trunk = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Rescaling(1 / 255), backbone])
    weights = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)
    biases = np.array([0, 0.1, 0.2], np.float32)
    attribution = attribute_linear(FeatureExtractor(trunk, (8, 8, 3)), images, weights, biases)
    maps = backbone.predict(images / np.float32(255), verbose=0)
    scores = maps.mean(axis=(1, 2)) @ weights.T + biases
    assert (attribution.predicted == scores.argmax(axis=1)).all()
    chosen = weights[attribution.predicted]
    assert np.allclose(attribution.maps, np.maximum((maps * chosen[:, None, None]).sum(-1) / 16, 0), atol=1e-5)
    assert np.allclose(attribution.confidence, np.exp(scores.max(1)) / np.exp(scores).sum(1), atol=1e-5)


def test_models_that_cannot_be_explained_are_refused() -> None:
    flat = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2)])
    with pytest.raises(LabError, match="needs a dense softmax layer at the end of the model, found Dense|feature map"):
        attribute_image(flat, np.zeros((8, 8, 3), np.uint8))


def test_a_map_that_is_not_all_there_is_forbids_grad_cam() -> None:
    image = keras.Input((8, 8, 3))
    pooled = [keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, size)(image)) for size in (1, 3)]
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax")(keras.layers.Concatenate()(pooled)))
    with pytest.raises(LabError, match="feature map .* that alone leads to the output"):
        attribute_image(model, np.zeros((8, 8, 3), np.uint8))


def test_a_model_without_convolutions_is_explained_at_its_last_map(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    inner = [keras.layers.DepthwiseConv2D(2, trainable=False), keras.layers.GlobalAveragePooling2D()]
    model = keras.Sequential([keras.Input((8, 8, 3)), *inner, keras.layers.Dense(2, activation="softmax")])
    images = np.random.default_rng(0).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    data = LabelledImages(images, pd.DataFrame({"class": list("ababa"), "split": "train"}), ("a", "b"), "k", tmp_path)
    attribution, (_, alone) = attribute(model, data, np.arange(5)), attribute_image(model, images[3])
    assert attribution.maps.shape == (5, 7, 7)
    assert np.allclose(attribution.maps[3], alone.maps[0], rtol=1e-4)
