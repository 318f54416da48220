from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.config import Scenario
from lab_utils.core.errors import LabError
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.architecture import build_model
from lab_utils.models.backbone import freeze, leaf_layers
from lab_utils.models.convolutions import is_depthwise, last_convolutions, ordered_convolutions
from lab_utils.models.cut import graph_of
from lab_utils.models.pretrained import obtain_backbone
from lab_utils.models.runtime import keras
from lab_utils.models.training import fit

layers = keras.layers


def names(backbone: keras.Model, count: Any) -> list[str]:
    return [layer.name for layer in last_convolutions(backbone, count)]


def test_the_last_convolutions_are_the_write_up_s() -> None:
    mobilenet = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]
    assert names(mobilenet, 2) == ["block_16_project", "Conv_1"]
    assert names(mobilenet, 1) == ["Conv_1"]
    assert names(mobilenet, 0) == []
    with pytest.raises(
        LabError, match=r"trainable_convs is 99, it has 35 convolutional layers; `trainable_convs: all`"
    ):
        last_convolutions(mobilenet, 99)


@pytest.mark.parametrize(
    ("name", "size", "last"),
    [
        ("Xception", 71, ["block13_sepconv1", "block13_sepconv2", "block14_sepconv1", "block14_sepconv2"]),
        (
            "ConvNeXtTiny",
            32,
            [f"convnext_tiny_stage_3_block_{block}_pointwise_conv_{part}" for block in (1, 2) for part in (1, 2)],
        ),
        (
            "MobileNetV3Small",
            32,
            ["expanded_conv_9_project", "expanded_conv_10_expand", "expanded_conv_10_project", "conv_1"],
        ),
    ],
)
def test_the_last_convolutions_are_those_of_the_architecture(name: str, size: int, last: list[str]) -> None:
    assert names(obtain_backbone(name, size, weights="random", synthetic=True)[0], 4) == last


def chain(image: Any, *parts: Any) -> Any:
    for part in parts:
        image = part(image)
    return image


def shortcut(image: Any) -> Any:
    """A block of two convolutions beside a shortcut convolution that is called after them."""
    block = chain(image, layers.Conv2D(4, 3, padding="same", name="first"), layers.Conv2D(4, 1, name="second"))
    return layers.Add()([block, layers.Conv2D(4, 1, name="shortcut")(image)])


def early_shortcut(image: Any) -> Any:
    """The same, with the shortcut called first."""
    beside = layers.Conv2D(4, 1, name="shortcut")(image)
    block = chain(image, layers.Conv2D(4, 3, padding="same", name="first"), layers.Conv2D(4, 1, name="second"))
    return layers.Add()([beside, block])


def depthwise(image: Any) -> Any:
    """Both classes of depthwise convolutions; grouped ones with several channels mix channels."""
    mixed = layers.Conv2D(4, 1, groups=1, name="first")(image)
    return chain(
        mixed,
        layers.DepthwiseConv2D(3, name="depthwise"),
        layers.Conv2D(4, 3, groups=4, name="also_depthwise"),
        layers.Conv2D(4, 1, groups=2, name="second"),
    )


def gated(image: Any) -> Any:
    """Squeeze and excitation, whose layers see the mean of a map."""
    maps = layers.Conv2D(4, 1, name="first")(image)
    gate = chain(maps, layers.GlobalAveragePooling2D(keepdims=True), layers.Conv2D(4, 1, name="gate"))
    return layers.Conv2D(4, 1, name="second")(layers.Multiply()([maps, gate]))


def nested(image: Any) -> Any:
    """Convolutions in an inner model, one of them as a dense layer."""
    inner = keras.Sequential([layers.Conv2D(4, 3, name="first"), layers.LayerNormalization()])
    return layers.Dense(4, name="second")(inner(image))


@pytest.mark.parametrize(
    ("build_maps", "order"),
    [
        (shortcut, ["shortcut", "first", "second"]),
        (early_shortcut, ["shortcut", "first", "second"]),
        (depthwise, ["first", "second"]),
        (gated, ["first", "second"]),
        (nested, ["first", "second"]),
    ],
)
def test_convolutions_are_ordered_by_the_longest_path(build_maps: Callable[[Any], Any], order: list[str]) -> None:
    image = keras.Input((8, 8, 3))
    backbone = keras.Model(image, build_maps(image))
    assert [layer.name for layer in ordered_convolutions(graph_of(backbone))] == order
    assert {layer.name for layer in leaf_layers(backbone) if is_depthwise(layer)} <= {"depthwise", "also_depthwise"}


def test_all_trains_every_layer_but_batchnorm_on_grey_images(tmp_path: Path) -> None:
    image = keras.Input((8, 8, 3))
    inner = [layers.Normalization(mean=0, variance=1), layers.Conv2D(4, 3), layers.BatchNormalization()]
    inner += [layers.DepthwiseConv2D(3), keras.Sequential([layers.Dense(4), layers.LayerNormalization()])]
    backbone = keras.Model(image, chain(image, *inner))
    freeze(backbone)
    plan = Scenario(name="all", title="all", trainable_convs="all", head=())
    model = build_model(plan, backbone, layers.Rescaling(1 / 255), (8, 8, 3), 2)
    before = [(layer, layer.get_weights()) for layer in leaf_layers(backbone)]
    images = np.random.default_rng(0).integers(0, 255, (10, 8, 8), np.uint8)
    manifest = pd.DataFrame({"class": list("ab") * 5, "split": ["train"] * 8 + ["validation"] * 2})
    fit(model, LabelledImages(images, manifest, ("a", "b"), "key", tmp_path), epochs=2, batch_size=4)
    for layer, weights in before:
        moved = any((old != new).any() for old, new in zip(weights, layer.get_weights(), strict=True))
        assert moved == isinstance(
            layer, layers.Conv2D | layers.DepthwiseConv2D | layers.Dense | layers.LayerNormalization
        ), layer.name
    assert not list(tmp_path.iterdir()), "nothing is cached"


def test_inner_models_are_frozen_layer_by_layer() -> None:
    image = keras.Input((8, 8, 3))
    backbone = keras.Model(image, nested(image))
    freeze(backbone)
    assert backbone.trainable_weights == []
    last_convolutions(backbone, 2)[0].trainable = True
    assert [weight.path.split("/")[-2] for weight in backbone.trainable_weights] == ["first"] * 2
