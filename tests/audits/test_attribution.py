import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.attribution import (
    Attribution,
    attribute,
    attribute_linear,
    coverage,
    examples,
    grad_cam,
    inside,
    shares,
)
from lab_utils.audits.probes import View
from lab_utils.core.paths import Workspace
from lab_utils.models.features import Features, Shard
from lab_utils.models.prefix import Prefix
from lab_utils.models.runtime import keras


def test_grad_cam_by_hand() -> None:
    maps = np.array([[[[1, 2], [3, 0]], [[0, 1], [2, 4]]]], np.float32)  # one image, 2 x 2 cells, two channels
    gradients = np.array([[[[4, -1], [0, -1]], [[0, -1], [0, -1]]]], np.float32)  # means 1 and -1
    assert np.asarray(grad_cam(maps, gradients)).tolist() == [[[0, 3], [0, 0]]]


def tiny(size: int = 8) -> keras.Model:
    """Images to two classes through a 'backbone' of a strided convolution, pooling and one hidden layer."""
    keras.utils.set_random_seed(0)
    image = keras.Input((size, size, 3))
    inner = keras.Input((size, size, 3))
    maps = keras.layers.Conv2D(4, 2, strides=2, name="stem")(inner)
    maps = keras.layers.Conv2D(5, 1, activation="relu", name="top")(maps)
    backbone = keras.Model(inner, maps, name="backbone")
    values = backbone(keras.layers.Rescaling(1 / 255)(image))
    values = keras.layers.GlobalAveragePooling2D()(values)
    values = keras.layers.Dense(6, activation="relu", name="dense_1")(values)
    return keras.Model(image, keras.layers.Dense(2, activation="softmax", name="dense_2")(values))


def features_of(model: keras.Model, images: np.ndarray, lab: Workspace) -> Features:
    """The stem's outputs, on disk."""
    stem = model.get_layer("backbone").get_layer("stem")
    values = np.asarray(stem(images / np.float32(255)), np.float32)
    path = lab.root / "features.npy"
    np.save(path, values)
    offset = path.stat().st_size - values.nbytes
    return Features((Shard(path, 0, offset),), values.shape, values.dtype, "stem", 0.0, 1, 1.0)


def test_attribution_through_features_is_the_whole_network_s_by_finite_differences(lab: Workspace) -> None:
    model = tiny()
    images = np.random.default_rng(0).integers(0, 255, (70, 8, 8, 3)).astype(np.float32)
    rows = np.arange(69, 1, -2)
    found = attribute(model, "stem", features_of(model, images, lab), rows)
    probabilities = model.predict(images[rows], verbose=0)
    assert (found.predicted == probabilities.argmax(axis=1)).all()
    assert np.allclose(found.confidence, probabilities.max(axis=1), atol=1e-5)
    backbone, hidden, last = (model.get_layer(name) for name in ("backbone", "dense_1", "dense_2"))
    maps = backbone.predict(images[rows] / 255, verbose=0)
    pooled = maps.mean(axis=(1, 2), dtype=float)

    def score(values: np.ndarray) -> np.ndarray:
        inner = np.maximum(values @ np.asarray(hidden.kernel, float) + np.asarray(hidden.bias), 0)
        outer = inner @ np.asarray(last.kernel, float) + np.asarray(last.bias)
        return outer[np.arange(len(rows)), found.predicted]

    step = 1e-6
    slopes = np.stack(
        [(score(pooled + step * unit) - score(pooled - step * unit)) / (2 * step) for unit in np.eye(5)], 1
    )
    expected = np.maximum((maps * slopes[:, None, None] / 16).sum(axis=-1), 0)  # 4 x 4 cells share the mean's slope
    assert found.maps.shape == (len(rows), 4, 4)
    assert np.allclose(found.maps, expected, atol=1e-4)


def test_a_linear_model_s_attribution_is_its_coefficients(lab: Workspace) -> None:
    model = tiny()
    images = np.random.default_rng(1).integers(0, 255, (5, 8, 8, 3)).astype(np.uint8)
    backbone = model.get_layer("backbone")
    prefix = Prefix(backbone, ["top"], "MobileNetV2", "unit", images.shape[1:])
    weights = np.random.default_rng(2).normal(size=(3, 5)).astype(np.float32)
    biases = np.array([0, 0.1, 0.2], np.float32)
    found = attribute_linear(prefix, View(images, np.arange(5)), weights, biases)
    maps = backbone.predict(images / np.float32(255), verbose=0)
    scores = maps.mean(axis=(1, 2)) @ weights.T + biases
    assert (found.predicted == scores.argmax(axis=1)).all()
    chosen = weights[found.predicted]
    assert np.allclose(found.maps, np.maximum((maps * chosen[:, None, None]).sum(-1) / 16, 0), atol=1e-5)
    assert np.allclose(found.confidence, np.exp(scores.max(1)) / np.exp(scores).sum(1), atol=1e-5)


def test_coverage_is_the_share_of_each_cell() -> None:
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, :2, :1] = 200
    mask[0, 2:, 2:] = 255
    assert np.allclose(coverage(mask, np.array([0]), 2, 2), [[[0.5, 0], [0, 1]]], atol=0.01)


@pytest.mark.parametrize(
    ("cells", "share"), [([[1, 1], [1, 1]], 0.25), ([[2, 0], [0, 0]], 1.0), ([[0, 3], [0, 0]], 0.0)]
)
def test_spread_evenly_attribution_is_the_lungs_area_and_within_them_all(cells: list[list[int]], share: float) -> None:
    cover = np.array([[[1, 0], [0, 0]]], np.float32)
    assert inside(np.array([cells], np.float32), cover) == share


def test_no_attribution_at_all_is_missing() -> None:
    assert np.isnan(inside(np.zeros((1, 2, 2), np.float32), np.ones((1, 2, 2), np.float32))).all()


VALIDATION = pd.DataFrame({"image_id": list("wxyz"), "class": ["a", "a", "b", "b"], "group": [0, 1, 2, 3]})


def attribution_of(maps: list[list[list[float]]], predicted: list[int], confidence: list[float]) -> Attribution:
    return Attribution(np.array(maps, np.float32), np.array(predicted), np.array(confidence, np.float32))


def test_shares_by_class_and_outcome_lie_between_floor_and_ceiling() -> None:
    cover = np.tile(np.array([[1, 0], [0, 0]], np.float32), (4, 1, 1))
    even, within, nothing = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]
    found = attribution_of([even, within, even, nothing], [0, 1, 1, 1], [1, 1, 1, 1])
    table = shares(found, attribution_of([within] * 4, [0] * 4, [1] * 4), cover, VALIDATION, ["a", "b"])
    rows = {(row["class"], row["outcome"]): row for row in table.to_dict("records")}
    assert set(rows) == {("", ""), ("a", "correct"), ("a", "wrong"), ("b", "correct")}
    assert rows["", ""]["images"] == 3, "an image without attribution has no share"
    assert rows["a", "correct"]["share"] == rows["a", "correct"]["area"] == 0.25
    assert np.isnan(rows["a", "correct"]["low"]), "one image has no interval"
    assert rows["a", "wrong"]["share"] == 1
    assert rows["", ""]["share"] == pytest.approx(0.5)
    assert rows["", ""]["ceiling"] == 1


def test_examples_are_the_surest_of_each_kind() -> None:
    maps = [[[float(n), 0.0], [0.0, 1.0]] for n in range(4)]
    table = examples(attribution_of(maps, [0, 0, 0, 1], [0.6, 0.9, 0.8, 0.7]), VALIDATION, ["a", "b"], each=1)
    assert table.drop_duplicates("image_id")["image_id"].tolist() == ["x", "z", "y"]
    own = table[table["image_id"] == "x"]
    assert own["value"].tolist() == [1, 0, 0, 1]
    assert own[["row", "column"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert set(table.loc[table["image_id"] == "y", "predicted"]) == {"a"}
