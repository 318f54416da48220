import importlib

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.models.backbone import (
    BackboneRecord,
    load_backbone,
    save_backbone,
    scaling_layer,
    scaling_used,
    weights_sha256,
)
from lab_utils.models.runtime import keras


@pytest.mark.parametrize("name", ["MobileNetV2", "VGG16", "ResNet50", "EfficientNetB0", "DenseNet121"])
def test_the_backbone_s_scaling_is_its_preprocess_input(name: str) -> None:
    module = importlib.import_module(getattr(keras.applications, name).__module__)
    images = np.random.default_rng(0).random((16, 64, 64, 3), np.float32) * 255
    assert np.allclose(scaling_layer(name, "backbone")(images), module.preprocess_input(images.copy()), atol=1e-3)


def test_unit_scaling_divides_by_255() -> None:
    layer = scaling_layer("MobileNetV2", "unit")
    assert np.allclose(layer(np.array([0, 51, 255], np.float32)), [0, 0.2, 1])


@pytest.mark.parametrize("name", sorted(name for name, value in vars(keras.applications).items() if callable(value)))
def test_no_network_is_scaled_twice_or_given_values_that_are_far_too_small(name: str) -> None:
    pixels = np.array([[[[0, 0, 0], [255, 255, 255]]]], np.float32)
    low, high = np.asarray(scaling_layer(name, "unit")(pixels))[0, 0]
    expected = np.asarray(scaling_layer(name, "backbone")(pixels))[0, 0]
    assert (high > low).all()
    assert 0.2 < ((high - low) / (expected[1] - expected[0])).max() <= 1
    assert (scaling_used(name, "unit") == "backbone") == (expected[1] - expected[0] == 255).all()
    assert scaling_used(name, "backbone") == "backbone"


def test_a_saved_backbone_comes_back_frozen(backbone: keras.Model, lab: Workspace) -> None:
    record = save_backbone(backbone, lab, name="MobileNetV2", weights="random", scaling="unit", store="s")
    key = record.key
    assert record.scaling == "unit"
    loaded = load_backbone(lab, key)
    assert weights_sha256([loaded])[:16] == key
    assert loaded.trainable_weights == []
    lab.backbone(key).write_bytes(b"damaged")
    with pytest.raises(LabError, match="not as stage 25_features wrote it; delete .* and run stage 25_features again"):
        load_backbone(lab, key)
    lab.backbone(key).unlink()
    with pytest.raises(LabError, match="not there yet; run stage 25_features first"):
        load_backbone(lab, key)


def test_a_backbone_that_cannot_be_loaded_is_named(lab: Workspace) -> None:
    lab.backbone("key").parent.mkdir()
    lab.backbone("key").write_bytes(b"no model")
    with pytest.raises(LabError, match="not readable as a Keras model.*delete it and run stage 25_features again"):
        load_backbone(lab, "key")


RECORD = {
    "name": "MobileNetV2",
    "key": "k",
    "weights": "random",
    "scaling": "unit",
    "weights_sha256": "0",
    "store": "s",
}


def test_features_of_earlier_images_are_refused(lab: Workspace) -> None:
    write_json(lab.extraction("described", "MobileNetV2"), RECORD)
    assert BackboneRecord.read(lab, "described", "MobileNetV2", store="s").key == "k"
    with pytest.raises(LabError, match="the manifest now belongs to 0000; run stage 25_features again"):
        BackboneRecord.read(lab, "described", "MobileNetV2", store="0000")


def test_records_of_another_version_are_refused(lab: Workspace) -> None:
    path = lab.extraction("described", "MobileNetV2")
    write_json(path, {name: value for name, value in RECORD.items() if name != "store"})
    with pytest.raises(LabError, match=r"written by another version of the lab .*store.*run stage 25_features again"):
        BackboneRecord.read(lab, "described", "MobileNetV2", store="s")
    assert "store" not in read_json(path, stage="25")
