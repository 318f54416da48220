"""A backbone on disk, the scaling in front of it, and the pooling behind it."""

import hashlib
import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.files import atomic_write, read_json, reading
from lab_utils.core.locks import locked
from lab_utils.core.paths import Workspace
from lab_utils.models.engine import Float
from lab_utils.models.runtime import keras

STAGE = "25_features"
Scaling = Literal["unit", "backbone"]


@dataclass(frozen=True)
class BackboneRecord:
    """What stage 25 recorded of the backbone of one protocol."""

    name: str  # a model of keras.applications
    key: str  # file name of the saved backbone: the first digits of weights_sha256
    weights: str  # "imagenet" or "random"
    scaling: str  # "unit" or "backbone": what `scaling_used` says
    weights_sha256: str
    store: str  # key of the images whose features stage 25 computed

    @classmethod
    def read(cls, workspace: Workspace, protocol: str, name: str, *, store: str) -> "BackboneRecord":
        """Read the record; raises LabError if stage 25 did not run on the images `store`."""
        path = workspace.extraction(protocol, name)
        values = read_json(path, stage=STAGE)
        try:
            record = cls(**{field: values[field] for field in cls.__dataclass_fields__})
        except KeyError as error:
            raise LabError(
                f"{path}: written by another version of the lab ({error} is missing); run stage {STAGE} again"
            ) from error
        if record.store != store:
            raise LabError(
                f"{path}: features of image store {record.store}, the manifest now belongs to {store}; "
                f"run stage {STAGE} again"
            )
        return record


def weights_sha256(layers: Sequence[Any]) -> str:
    """Digest the weights of some layers in order: SHA-256 as 64 hexadecimal digits."""
    total = hashlib.sha256()
    for layer in layers:
        for array in layer.get_weights():
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def save_backbone(
    backbone: keras.Model, workspace: Workspace, *, name: str, weights: str, scaling: Scaling, store: str
) -> BackboneRecord:
    """Keep a backbone in the workspace, and return its record."""
    sha256 = weights_sha256([backbone])
    path = workspace.backbone(sha256[:16])
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
        if not path.is_file():
            with atomic_write(path) as draft:
                backbone.save(draft)
    return BackboneRecord(name, path.stem, weights, scaling_used(name, scaling), sha256, store)


def load_backbone(workspace: Workspace, key: str) -> keras.Model:
    """Load the backbone saved under `key`, every layer frozen; errors as in `load_model`."""
    backbone = load_model(workspace.backbone(key), stage=STAGE)
    freeze(backbone)
    return backbone


def leaf_layers(model: Any) -> list[Any]:
    """List a model's layers, with those of inner models in place of these."""
    return [
        leaf for layer in model.layers for leaf in (leaf_layers(layer) if isinstance(layer, keras.Model) else [layer])
    ]


def freeze(backbone: keras.Model) -> None:
    """Freeze every layer, layer by layer, so that one of them can be unfrozen afterwards.

    A frozen BatchNorm layer runs in inference mode: its statistics do not move (Keras' guide to transfer learning,
    "Fine-tuning"). A frozen Dropout layer would still draw at random, so its rate becomes zero.
    """
    for layer in leaf_layers(backbone):
        layer.trainable = False
    disable_dropout(backbone)


def disable_dropout(backbone: keras.Model) -> None:
    """Set the rate of every Dropout layer to zero."""
    for layer in leaf_layers(backbone):
        if hasattr(layer, "rate"):
            layer.rate = 0.0


def load_model(path: Path, *, stage: str) -> keras.Model:
    """Load a model of Keras' own layers that a stage saved.

    Raises
    ------
    LabError
        If it is missing or damaged, or holds code.
    """
    with reading(path, "a Keras model", stage=stage):
        if not path.is_file():
            raise FileNotFoundError(path)  # Keras raises a ValueError
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return model


def _preprocessing(name: str) -> tuple[Float, Float, bool]:
    """Measure the ``preprocess_input`` of a backbone: scale and offset (3,).

    Also return whether it swaps red and blue.
    """
    module = importlib.import_module(getattr(keras.applications, name).__module__)

    def preprocess(*pixel: float) -> Float:
        return np.asarray(module.preprocess_input(np.array([[[pixel]]], np.float32))).ravel()

    offset = preprocess(0, 0, 0)
    return preprocess(1, 1, 1) - offset, offset, bool(preprocess(1, 0, 0)[0] == offset[0])


def scaling_used(name: str, scaling: Scaling) -> Scaling:
    """Return the scaling that applies: "backbone" for a network that cannot take "unit".

    Its ``preprocess_input`` does not scale: the network scales inside (EfficientNet, MobileNetV3, ConvNeXt), or was
    trained on pixel values less a mean (ResNet, VGG). Values / 255 would be 255 times too small for it.
    """
    scale, _, _ = _preprocessing(name)
    return "backbone" if np.allclose(scale, 1, atol=1e-3) else scaling


def scaling_layer(name: str, scaling: Scaling) -> Any:
    """Build the layer that turns pixel values in [0, 255] into what the network takes.

    "unit" is values / 255, "backbone" the ``preprocess_input`` of the backbone called `name`. That is affine in each
    channel, after a swap of red and blue in the older networks; its numbers are measured. `scaling_used` decides which
    of the two applies.
    """
    if scaling_used(name, scaling) == "unit":
        return keras.layers.Rescaling(1 / 255, name="rescaling")
    scale, offset, swaps = _preprocessing(name)
    if np.allclose(scale, 1) and not offset.any():
        return keras.layers.Identity(name="scaled_inside_backbone")
    rescaling = keras.layers.Rescaling(scale.tolist(), offset.tolist(), name="rescaling")
    if not swaps:
        return rescaling
    image = keras.Input((None, None, 3))
    return keras.Model(image, rescaling(keras.ops.flip(image, axis=-1)), name="scaling")


def trunk_of(backbone: keras.Model, scaling: Any, shape: tuple[int, ...], *, pooled: bool = True) -> keras.Model:
    """Put the scaling in front of a backbone, and global average pooling behind it.

    It maps images of shape (H, W, 3) to features (N, K); without pooling, to the last feature map (N, h, w, K).
    """
    pooling = [keras.layers.GlobalAveragePooling2D()] if pooled else []
    return keras.Sequential([keras.Input(shape), scaling, backbone, *pooling], name="trunk")
