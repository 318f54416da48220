from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.models.pretrained import obtain_backbone, set_batchnorm_statistics
from lab_utils.models.runtime import keras


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    return obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]


def noise(count: int = 16, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).random((count, size, size, 3), np.float32)


def test_random_features_tell_images_apart(mobilenet: keras.Model) -> None:
    images = noise() * np.linspace(0.2, 1, 16, dtype=np.float32)[:, None, None, None]
    set_batchnorm_statistics(mobilenet, images)
    features = np.asarray(mobilenet(images, training=False)).mean(axis=(1, 2))
    assert 0.05 < features.mean() < 5
    assert features.std(axis=0).mean() > 0.01


def test_batchnorm_statistics_normalise_every_layer(mobilenet: keras.Model) -> None:
    images = noise()
    set_batchnorm_statistics(mobilenet, images)
    probe = keras.Model(mobilenet.input, mobilenet.get_layer("Conv_1_bn").output)
    values = np.asarray(probe(images, training=False))
    assert np.abs(values.mean(axis=(0, 1, 2))).max() < 0.05
    assert {layer.momentum for layer in mobilenet.layers if hasattr(layer, "momentum")} == {0.999}


def test_batchnorm_statistics_are_those_without_dropout() -> None:
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Dropout(0.9), norm])
    images = noise(size=8)
    set_batchnorm_statistics(model, images)
    assert np.allclose(norm.moving_variance, images.var(axis=(0, 1, 2)), rtol=1e-3)
    assert np.allclose(norm.moving_mean, images.mean(axis=(0, 1, 2)), rtol=1e-3)


def test_random_weights_are_the_same_each_time(mobilenet: keras.Model) -> None:
    again = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]
    assert np.array_equal(again.get_layer("Conv_1").kernel, mobilenet.get_layer("Conv_1").kernel)


@pytest.fixture
def no_weights(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither cached nor downloadable, whatever this machine can reach."""

    def fail(*_: object, **__: object) -> None:
        raise Exception("URL fetch failure on https://storage.googleapis.com/x: None -- unreachable")

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)


@pytest.mark.usefixtures("no_weights")
def test_missing_imagenet_weights_are_fatal_on_real_data(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=rf"neither in Keras' cache \({tmp_path}/models\) nor downloadable: URL fetch"):
        obtain_backbone("MobileNetV2", 64, weights="auto", synthetic=False)
    with pytest.raises(LabError, match="or say `weights: random` in lab.yaml"):
        obtain_backbone("MobileNetV2", 64, weights="imagenet", synthetic=True)


@pytest.mark.usefixtures("no_weights")
def test_phantoms_fall_back_to_random_weights() -> None:
    assert obtain_backbone("MobileNetV2", 64, weights="auto", synthetic=True)[1] == "random"


def test_an_unknown_backbone_lists_the_known() -> None:
    with pytest.raises(LabError, match="no backbone 'MobilNetV2'.*did you mean 'MobileNetV2'"):
        obtain_backbone("MobilNetV2", 64, weights="random", synthetic=True)


@pytest.mark.usefixtures("no_weights")
@pytest.mark.parametrize("weights", ["auto", "imagenet", "random"])
def test_a_size_the_backbone_cannot_take_is_not_a_matter_of_weights(weights: Any) -> None:
    with pytest.raises(
        LabError, match="InceptionV3: cannot be built for images of 40x40: expected 75x75 or more; change"
    ):
        obtain_backbone("InceptionV3", 40, weights=weights, synthetic=False)


def test_weights_that_cannot_be_read_are_not_called_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise PermissionError("no access to mobilenet.h5")

    monkeypatch.setattr("keras.src.utils.file_utils.get_file", fail)
    with pytest.raises(LabError, match="ImageNet weights cannot be loaded .*: no access to mobilenet.h5"):
        obtain_backbone("MobileNet", 32, weights="imagenet", synthetic=False)
