"""A pretrained convolutional backbone: its weights, its scaling, and where it can be cut."""

import hashlib
import importlib
import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import whole
from lab_utils.core.paths import Workspace
from lab_utils.models.runtime import keras, tf

POOL = "global_average_pooling2d"
DOWNLOAD_TIMEOUT = 20.0  # seconds without an answer
CALIBRATION_IMAGES = 32
RESIDUAL_GAIN = 0.2  # of random weights: 0.1 to 0.5 do about equally well, 1 does not

Float = NDArray[np.float32]


def obtain_backbone(
    name: str, size: int, *, weights: Literal["auto", "imagenet", "random"], synthetic: bool
) -> tuple[keras.Model, str]:
    """Build a backbone without its classifier and give it weights.

    Parameters
    ----------
    name : str
        A model of ``keras.applications``, such as "MobileNetV2".
    size : int
        Side of its square input, in pixels.
    weights : {"auto", "imagenet", "random"}
        "auto" is "imagenet", but falls back to "random" on synthetic data.
    synthetic : bool
        Whether the data are phantoms.

    Returns
    -------
    backbone : keras.Model
        (N, size, size, 3) to a feature map.
    weights : {"imagenet", "random"}
        Which it has. Random weights still need `calibrate`.

    Raises
    ------
    LabError
        If there is no such backbone, it cannot take this size, or its weights cannot be had on real data.
    """
    build = getattr(keras.applications, choose("backbone", name, backbone_names()))
    options = {"include_top": False, "input_shape": (size, size, 3)}
    if weights != "random":
        kept = set(cache().glob("*"))
        try:
            with _impatient():
                return build(weights="imagenet", **options), "imagenet"
        except Exception as error:  # Keras raises bare Exception for a failed download
            if weights == "imagenet" or not synthetic:
                if damaged := next((path for path in kept if path.name in str(error)), None):
                    raise LabError(
                        f"{damaged}: damaged or incomplete, and cannot be downloaded again ({_reason(error)}); "
                        "delete it, and put a whole one there or connect to the network"
                    ) from error
                raise LabError(
                    f"{name}: ImageNet weights are neither in Keras' cache ({cache()}) nor downloadable: "
                    f"{_reason(error)}\n"
                    "  put them there, set KERAS_HOME to a folder that has them, or say `weights: random` in lab.yaml "
                    "for an untrained backbone (its results say nothing about transfer learning)"
                ) from error
    try:
        backbone = build(weights=None, **options)
    except ValueError as error:
        raise LabError(f"{name}: cannot be built for images of {size}x{size}: {_reason(error)}") from error
    randomise(backbone)
    return backbone, "random"


def backbone_names() -> list[str]:
    """The models of ``keras.applications``."""
    return sorted(name for name, value in vars(keras.applications).items() if callable(value))


def cache() -> Path:
    """The folder in which Keras keeps downloaded weights."""
    return Path(os.environ.get("KERAS_HOME", Path.home() / ".keras")) / "models"


@contextmanager
def _impatient() -> Iterator[None]:
    """Give up on a server that does not answer: Keras itself would wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_TIMEOUT)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _reason(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def randomise(backbone: keras.Model, *, seed: int = 0) -> None:
    """Give a backbone random weights whose features still tell images apart.

    Orthogonal kernels (Saxe et al. 2014, arXiv 1312.6120) and a small gain on each residual branch
    (after De and Smith 2020, arXiv 2002.10444); depthwise kernels vary about a mean of one, so that they pass on
    what is smooth. With Keras' own initial weights, whose depthwise kernels are as often negative as positive,
    fifty layers scramble an image so thoroughly that its class is lost.
    """
    for place, layer in enumerate(backbone.layers):
        if isinstance(layer, keras.layers.Conv2D):
            layer.kernel.assign(keras.initializers.Orthogonal(seed=seed + place)(layer.kernel.shape))
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.kernel.assign(keras.initializers.RandomNormal(1.0, 0.5, seed=seed + place)(layer.kernel.shape))
    producer = {id(tensor): layer for layer in backbone.operations for tensor in _tensors(layer.output)}
    order = {layer.name: place for place, layer in enumerate(backbone.operations)}
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.Add):
            branch = max(
                (producer[id(tensor)] for tensor in _tensors(layer.input)), key=lambda source: order[source.name]
            )
            if isinstance(branch, keras.layers.BatchNormalization):
                branch.gamma.assign(branch.gamma * RESIDUAL_GAIN)


def calibrate(backbone: keras.Model, images: Float) -> None:
    """Set every BatchNorm's statistics to those of a batch of images.

    Without this an untrained MobileNetV2 gives values near 1e-12; with it, usable random features.
    One forward pass in training mode with momentum 0 suffices: each layer normalises by the
    batch's own statistics before the next one sees it.

    Parameters
    ----------
    images : float32 (N, size, size, 3), scaled
    """
    norms = [layer for layer in backbone.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.0
    # As a graph, which lets go of an activation after its last use.
    tf.function(backbone, autograph=False)(images, training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def weights_sha256(model: keras.Model) -> str:
    """SHA-256 over all weights in order, as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for array in model.get_weights():
        total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def save_backbone(backbone: keras.Model, workspace: Workspace) -> str:
    """Keep a backbone in the workspace, so that training needs neither network nor cache.

    Returns
    -------
    str
        Its key: the first 16 digits of its weights' SHA-256.
    """
    key = weights_sha256(backbone)[:16]
    path = workspace.backbone(key)
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if not path.is_file():
            with whole(path) as draft:
                backbone.save(draft)
    return key


def load_backbone(workspace: Workspace, key: str) -> keras.Model:
    """The backbone saved under `key`, that of its weights; raises LabError where it is missing, damaged, or another."""
    path = workspace.backbone(key)
    backbone = load_model(path, stage="25_features")
    if not weights_sha256(backbone).startswith(key):
        raise LabError(f"{path}: its weights are not those of its name; delete it and run stage 25_features again")
    return backbone


def load_model(path: Path, *, stage: str) -> keras.Model:
    """A model of Keras' own layers that a stage saved; raises LabError where it is missing, damaged, or holds code."""
    if not path.is_file():
        raise LabError(f"{path}: not there; run stage {stage} again")
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # a spoilt file ends in errors of many kinds
        raise LabError(f"{path}: cannot be loaded ({_reason(error)}); delete it and run stage {stage} again") from error


def scaling_layers(name: str, scaling: Literal["unit", "backbone"]) -> list[Any]:
    """The layers that turn pixel values in [0, 255] into what the network is fed.

    Parameters
    ----------
    name : str
        The backbone, whose ``preprocess_input`` "backbone" stands for. That is affine in each channel, after a swap
        of red and blue in the older networks; it is read off here rather than typed in again.
    scaling : {"unit", "backbone"}
        "unit": values / 255.

    Returns
    -------
    list
        Callables on (N, H, W, 3), which Keras can save and load without custom objects.
    """
    if scaling == "unit":
        return [keras.layers.Rescaling(1 / 255, name="rescaling")]
    module = importlib.import_module(getattr(keras.applications, name).__module__)

    def preprocess(red: float, green: float, blue: float) -> Float:
        return np.asarray(module.preprocess_input(np.array([[[[red, green, blue]]]], np.float32))).ravel()

    offset = preprocess(0, 0, 0)
    scale = preprocess(1, 1, 1) - offset
    swapped = preprocess(1, 0, 0)[0] == offset[0]
    rescaling = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescaling")
    return [lambda images: keras.ops.flip(images, axis=-1), rescaling] if swapped else [rescaling]


def to_rgb(images: Any) -> Any:
    """uint8 (N, H, W) or (N, H, W, 3) to float32 (N, H, W, 3), values unchanged."""
    images = tf.cast(images, tf.float32)
    return tf.repeat(images[..., None], 3, axis=-1) if images.shape.rank == 3 else images


def trunk_of(backbone: keras.Model) -> keras.Model:
    """The backbone with global average pooling behind it, as one flat graph that shares its layers."""
    return keras.Model(backbone.input, keras.layers.GlobalAveragePooling2D(name=POOL)(backbone.output), name="trunk")


def last_convs(backbone: keras.Model, count: int) -> list[str]:
    """Names of the last `count` convolutional layers in the order of the graph.

    Depthwise convolutions do not count (in Keras 3 they are no ``Conv2D``): the last two of
    MobileNetV2 are block_16_project and Conv_1.

    Raises
    ------
    LabError
        If there are fewer.
    """
    convs = [layer.name for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    if count > len(convs):
        raise LabError(f"{backbone.name}: trainable_convs is {count}, it has {len(convs)} convolutional layers")
    return convs[len(convs) - count :]


def freeze(backbone: keras.Model, trainable: Sequence[str]) -> None:
    """Freeze every layer of the backbone but those named.

    A frozen BatchNorm runs in inference mode: its statistics do not move, also beside an unfrozen convolution
    (Keras' guide to transfer learning, "Fine-tuning").
    """
    for layer in backbone.layers:
        layer.trainable = layer.name in trainable


def cut_layer(trunk: keras.Model, trainable: Sequence[str]) -> str:
    """Name of the layer behind which the graph is cut: the last single tensor that all paths to a trained layer cross.

    What lies before it is a fixed function of the image and is computed once.

    Parameters
    ----------
    trunk : keras.Model
        Of `trunk_of`.
    trainable : sequence of str
        Names of its trained layers; empty: the cut is behind the pooling.
    """
    layers = trunk.operations  # those of keras.ops too, which are no layers
    producer = {id(tensor): place for place, layer in enumerate(layers) for tensor in _tensors(layer.output)}
    last_use = list(range(len(layers)))
    for place, layer in enumerate(layers):
        for tensor in _tensors(layer.input):
            last_use[producer[id(tensor)]] = max(last_use[producer[id(tensor)]], place)
    first_trained = next((place for place, layer in enumerate(layers) if layer.name in trainable), len(layers))
    cuts = [
        place
        for place in range(first_trained)
        if max(last_use[:place], default=0) <= place and isinstance(layers[place], keras.layers.Layer)
    ]
    return str(layers[cuts[-1]].name)


def _tensors(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]
