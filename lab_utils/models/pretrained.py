"""A backbone with ImageNet weights, or with random ones that still separate images."""

import os
import re
import socket
from collections.abc import Collection
from contextlib import ExitStack
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lab_utils.core.errors import LabError, choose
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.backbone import disable_dropout, freeze, leaf_layers
from lab_utils.models.convolutions import is_depthwise
from lab_utils.models.engine import Float, first_line, to_rgb
from lab_utils.models.runtime import keras, tf

DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
STATISTICS_IMAGES = 32  # training images whose statistics an untrained backbone takes
RESIDUAL_GAIN = 0.2  # of random weights: 0.1 to 0.5 do about equally well, 1 does not


def frozen_backbone(
    name: str, data: LabelledImages, scaling: Any, *, weights: Literal["auto", "imagenet", "random"], synthetic: bool
) -> tuple[keras.Model, str]:
    """Obtain a backbone for some images, every layer frozen; otherwise as `obtain_backbone`.

    With random weights, it takes the BatchNorm statistics of training images behind the layer `scaling`.
    """
    backbone, kind = obtain_backbone(name, data.shape[0], weights=weights, synthetic=synthetic)
    if kind == "random":
        train = data.rows("train")
        rows = train[np.linspace(0, len(train) - 1, min(STATISTICS_IMAGES, len(train))).astype(int)]  # of all classes
        set_batchnorm_statistics(backbone, scaling(to_rgb(data.images[rows])))
    freeze(backbone)
    return backbone, kind


def obtain_backbone(
    name: str, size: int, *, weights: Literal["auto", "imagenet", "random"], synthetic: bool
) -> tuple[keras.Model, str]:
    """Build a model of ``keras.applications`` without its classifier.

    It maps (N, size, size, 3) to a feature map.

    Returns
    -------
    backbone : keras.Model
    weights : {"imagenet", "random"}
        "auto" is "imagenet", but falls back to "random" on synthetic data. Random weights still need
        `set_batchnorm_statistics`.

    Raises
    ------
    LabError
        If there is no such backbone, it cannot take this size, or its weights cannot be had on real data.
    """
    names = sorted(name for name, value in vars(keras.applications).items() if callable(value))
    build = partial(
        getattr(keras.applications, choose("backbone", name, names)), include_top=False, input_shape=(size, size, 3)
    )
    if weights != "random":
        cached = list(_cache_folder().glob("*"))
        try:
            with ExitStack() as after:  # Keras alone would wait without end for a server that does not answer
                after.callback(socket.setdefaulttimeout, socket.getdefaulttimeout())
                socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
                return build(weights="imagenet"), "imagenet"
        except Exception as error:  # Keras raises bare Exception for a failed download
            if "input_shape" in str(error):
                raise _wrong_size(name, size, error) from error
            if weights == "imagenet" or not synthetic:
                raise _no_weights(name, cached, error) from error
    try:
        backbone = build(weights=None)
    except ValueError as error:
        raise _wrong_size(name, size, error) from error
    randomise(backbone)
    return backbone, "random"


def _cache_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


def _wrong_size(name: str, size: int, error: Exception) -> LabError:
    """Say which sizes a backbone takes; Keras' message has the smallest."""
    least = re.search(r"at least (\d+)", str(error))
    expected = f"expected {least[1]}x{least[1]} or more" if least else first_line(error)
    return LabError(
        f"{name}: cannot be built for images of {size}x{size}: {expected}; change image_size in lab.yaml, or choose "
        "another backbone"
    )


def _no_weights(name: str, cached: Collection[Path], error: Exception) -> LabError:
    """Say why ImageNet weights cannot be had; `cached` are the files that Keras had before."""
    if damaged := next((path for path in cached if path.name in str(error)), None):
        return LabError(
            f"{damaged}: damaged or incomplete, and cannot be downloaded again ({first_line(error)}); delete it, "
            "and put an intact file there or connect to the network"
        )
    if "URL fetch failure" in str(error) or isinstance(error, TimeoutError):
        problem = f"are neither in Keras' cache ({_cache_folder()}) nor downloadable"
    else:
        problem = f"cannot be loaded (Keras' cache is {_cache_folder()})"
    return LabError(
        f"{name}: ImageNet weights {problem}: {first_line(error)}\n"
        "  put them there, set KERAS_HOME to a folder that has them, or say `weights: random` in lab.yaml "
        "for an untrained backbone (its results say nothing about transfer learning)"
    )


def randomise(backbone: keras.Model, *, seed: int = 0) -> None:
    """Give a backbone random weights whose features still tell images apart.

    Orthogonal kernels (Saxe et al. 2014, arXiv 1312.6120) and a small gain on each residual branch
    (after De and Smith 2020, arXiv 2002.10444); depthwise kernels vary about a mean of one. With Keras' own initial
    weights, whose depthwise kernels have a mean of zero, the class of an image is lost after fifty layers.
    """
    for place, layer in enumerate(leaf_layers(backbone)):
        smooth = keras.initializers.RandomNormal(1.0, 0.5, seed=seed + place)
        orthogonal = keras.initializers.Orthogonal(seed=seed + place)
        if is_depthwise(layer):
            layer.kernel.assign(smooth(layer.kernel.shape))
        elif isinstance(layer, keras.layers.SeparableConv2D):
            layer.depthwise_kernel.assign(smooth(layer.depthwise_kernel.shape))
            layer.pointwise_kernel.assign(orthogonal(layer.pointwise_kernel.shape))
        elif isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(orthogonal(layer.kernel.shape))
    sources = {id(layer.output): (place, layer) for place, layer in enumerate(backbone.operations)}
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Add):
            _, branch = max((sources[id(tensor)] for tensor in layer.input), key=itemgetter(0))
            if isinstance(branch, keras.layers.Dropout):  # of a whole branch, in EfficientNet
                _, branch = sources[id(branch.input)]
            if isinstance(branch, keras.layers.BatchNormalization):
                branch.gamma.assign(branch.gamma * RESIDUAL_GAIN)


def set_batchnorm_statistics(backbone: keras.Model, images: Float) -> None:
    """Set the statistics of every BatchNorm layer to those of a batch of images.

    The images (N, H, W, 3) are scaled. Without this an untrained MobileNetV2 gives values near 1e-12. One forward pass
    in training mode with momentum 0 suffices: a layer normalises by the batch's statistics before the next one sees it.
    Dropout is switched off, because the statistics are for inference.
    """
    disable_dropout(backbone)
    norms = [layer for layer in leaf_layers(backbone) if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    # As a graph, which frees an activation after its last use.
    tf.function(backbone, autograph=False)(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
