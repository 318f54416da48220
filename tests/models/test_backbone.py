from pathlib import Path

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.models.backbone import (
    calibrate,
    cut_layer,
    last_convs,
    load_backbone,
    obtain_backbone,
    save_backbone,
    scaling_layers,
    to_rgb,
    trunk_of,
    weights_sha256,
)
from lab_utils.models.runtime import keras


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    return obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]


def noise(count: int = 16, size: int = 64) -> np.ndarray:
    return np.random.default_rng(0).random((count, size, size, 3), np.float32)


def test_the_last_convolutions_are_the_write_up_s(mobilenet: keras.Model) -> None:
    assert last_convs(mobilenet, 2) == ["block_16_project", "Conv_1"]
    assert last_convs(mobilenet, 1) == ["Conv_1"]
    assert last_convs(mobilenet, 0) == []


def test_more_convolutions_than_there_are(mobilenet: keras.Model) -> None:
    with pytest.raises(LabError, match="trainable_convs is 99, it has 35 convolutional layers"):
        last_convs(mobilenet, 99)


@pytest.mark.parametrize(
    ("convs", "cut", "shape"),
    [
        (2, "block_16_depthwise_relu", (2, 2, 960)),
        (1, "block_16_project_BN", (2, 2, 320)),
        (0, "global_average_pooling2d", (1280,)),
    ],
)
def test_the_graph_is_cut_right_before_what_is_trained(
    mobilenet: keras.Model, convs: int, cut: str, shape: tuple[int, ...]
) -> None:
    trunk = trunk_of(mobilenet)
    assert cut_layer(trunk, last_convs(mobilenet, convs)) == cut
    assert trunk.get_layer(cut).output.shape[1:] == shape


def test_a_cut_never_lies_inside_a_residual_block(mobilenet: keras.Model) -> None:
    trunk = trunk_of(mobilenet)
    assert cut_layer(trunk, ["block_15_project"]) == "block_14_add"
    assert cut_layer(trunk, [trunk.layers[1].name]) == trunk.layers[0].name


def test_a_backbone_with_operations_that_are_no_layers_is_cut_at_a_layer() -> None:
    backbone = obtain_backbone("MobileNetV3Small", 32, weights="random", synthetic=True)[0]
    trunk = trunk_of(backbone)
    assert len(trunk.operations) > len(trunk.layers)
    assert cut_layer(trunk, last_convs(backbone, 1)) == "expanded_conv_10_add"


def test_random_features_tell_images_apart(mobilenet: keras.Model) -> None:
    images = noise() * np.linspace(0.2, 1, 16, dtype=np.float32)[:, None, None, None]
    calibrate(mobilenet, images)
    features = np.asarray(trunk_of(mobilenet)(images, training=False))
    assert 0.05 < features.mean() < 5
    assert features.std(axis=0).mean() > 0.01


def test_calibration_normalises_every_layer(mobilenet: keras.Model) -> None:
    images = noise()
    calibrate(mobilenet, images)
    probe = keras.Model(mobilenet.input, mobilenet.get_layer("Conv_1_bn").output)
    values = np.asarray(probe(images, training=False))
    assert np.abs(values.mean(axis=(0, 1, 2))).max() < 0.05
    assert {layer.momentum for layer in mobilenet.layers if hasattr(layer, "momentum")} == {0.999}


def test_random_weights_are_the_same_each_time(mobilenet: keras.Model) -> None:
    again = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]
    assert np.array_equal(again.get_layer("Conv_1").kernel, mobilenet.get_layer("Conv_1").kernel)


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16", "ResNet50", "EfficientNetB0", "DenseNet121"])
def test_the_backbone_s_scaling_is_its_preprocess_input(name: str) -> None:
    import importlib

    module = importlib.import_module(getattr(keras.applications, name).__module__)
    images = noise() * 255
    found = images
    for layer in scaling_layers(name, "backbone"):
        found = layer(found)
    assert np.allclose(found, module.preprocess_input(images.copy()), atol=1e-3)


def test_unit_scaling_divides_by_255() -> None:
    (layer,) = scaling_layers("MobileNetV2", "unit")
    assert np.allclose(layer(np.array([0, 51, 255], np.float32)), [0, 0.2, 1])


def test_grey_images_become_three_equal_channels() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    rgb = np.asarray(to_rgb(images))
    assert rgb.dtype == np.float32
    assert rgb.shape == (2, 2, 2, 3)
    assert (rgb == images[..., None]).all()


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


def test_a_size_the_backbone_cannot_take() -> None:
    with pytest.raises(LabError, match="InceptionV3: cannot be built for images of 40x40"):
        obtain_backbone("InceptionV3", 40, weights="random", synthetic=True)


def test_a_saved_backbone_comes_back(mobilenet: keras.Model, lab: Workspace) -> None:
    key = save_backbone(mobilenet, lab)
    assert weights_sha256(load_backbone(lab, key))[:16] == key
    lab.backbone(key).write_bytes(b"damaged")
    with pytest.raises(LabError, match="cannot be loaded.*delete it and run stage 25_features again"):
        load_backbone(lab, key)
    lab.backbone(key).unlink()
    with pytest.raises(LabError, match="not there; run stage 25_features again"):
        load_backbone(lab, key)
