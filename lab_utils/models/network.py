"""The network of one scenario: a new head on a backbone, as a model of images and as the part that is trained."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.models.backbone import POOL, cut_layer, freeze, last_convs, scaling_layers, trunk_of
from lab_utils.models.runtime import keras


@dataclass(frozen=True)
class Network:
    """One set of weights, seen as two models.

    Parameters
    ----------
    full : keras.Model
        Images (N, size, size, 3), values in [0, 255], to class probabilities (N, C).
    suffix : keras.Model
        Features at the cut to class probabilities: the part that is trained. Shares its weights with `full`; its 1x1
        convolutions are matrix products.
    cut : str
        The layer whose output the suffix takes.
    """

    full: keras.Model
    suffix: keras.Model
    cut: str

    def summary(self) -> pd.DataFrame:
        """The write-up's Figure 1: columns layer, output shape, parameters; totals below."""
        rows = [
            {
                "Layer (type)": f"{layer.name} ({type(layer).__name__})",
                "Output shape": str(layer.output.shape),
                "Param #": layer.count_params(),
            }
            for layer in self.full.layers
            if not isinstance(layer, keras.layers.InputLayer)
        ]
        total = self.full.count_params()
        trainable = sum(int(np.prod(weight.shape)) for weight in self.full.trainable_weights)
        for name, count in (
            ("Total params", total),
            ("Trainable params", trainable),
            ("Non-trainable params", total - trainable),
        ):
            rows.append({"Layer (type)": name, "Output shape": f"{count * 4 / 2**20:.2f} MB", "Param #": count})
        return pd.DataFrame(rows)


def build_network(scenario: Scenario, backbone: keras.Model, classes: int, *, scaling: Any, seed: int) -> Network:
    """Put a new head on a backbone and freeze what the scenario does not train.

    Parameters
    ----------
    scenario : Scenario
    backbone : keras.Model
        With its pretrained weights; its layers are shared, not copied.
    classes : int
    scaling : {"unit", "backbone"}
    seed : int
        Of the head's initial weights (Glorot uniform).
    """
    trainable = last_convs(backbone, scenario.trainable_convs)
    freeze(backbone, trainable)
    trunk = trunk_of(backbone)
    cut = cut_layer(trunk, trainable)
    keras.utils.set_random_seed(seed)
    head = [trunk.get_layer(POOL)]
    head += [
        keras.layers.Dense(width, activation="relu", name=f"dense_{place}")
        for place, width in enumerate(scenario.head, start=1)
    ]
    head += [keras.layers.Dense(classes, activation="softmax", name=f"dense_{len(scenario.head) + 1}")]
    images = keras.Input(backbone.input_shape[1:], name="image")
    full = _through([*scaling_layers(scenario.backbone, scaling), backbone, *head], images)
    suffix = _through(head[1:], trunk.output)
    return Network(
        keras.Model(images, full, name=scenario.name),
        with_matrix_products(keras.Model(trunk.get_layer(cut).output, suffix, name="suffix")),
        cut,
    )


class MatrixProduct(keras.layers.Layer):
    """A 1x1 convolution as what it is, a matrix product over positions, with the convolution's own weights.

    TensorFlow computes the gradient of a product at the speed of a product, that of a convolution at half of it.

    Parameters
    ----------
    convolution : keras.layers.Conv2D
        Built; of kernel and strides 1, channels last.
    """

    def __init__(self, convolution: keras.layers.Conv2D) -> None:
        super().__init__(name=convolution.name)
        self.convolution = convolution

    @staticmethod
    def suits(layer: keras.layers.Layer) -> bool:
        """Whether a layer is such a convolution."""
        return (
            isinstance(layer, keras.layers.Conv2D)
            and set(layer.kernel_size) == set(layer.strides) == {1}
            and layer.groups == 1
            and layer.data_format == "channels_last"
        )

    def call(self, inputs: Any) -> Any:
        """(N, H, W, C) to (N, H, W, F)."""
        own = self.convolution
        kernel = keras.ops.reshape(own.kernel, own.kernel.shape[-2:])
        values = keras.ops.matmul(keras.ops.reshape(inputs, (-1, kernel.shape[0])), kernel)
        if own.use_bias:
            values = values + own.bias
        return own.activation(keras.ops.reshape(values, (-1, *inputs.shape[1:3], kernel.shape[1])))


def with_matrix_products(model: keras.Model) -> keras.Model:
    """The same function on the same weights, its 1x1 convolutions computed by `MatrixProduct`."""

    def shared(layer: keras.layers.Layer) -> keras.layers.Layer:
        return MatrixProduct(layer) if MatrixProduct.suits(layer) else layer

    return keras.models.clone_model(model, clone_function=shared)


def has_windows(model: keras.Model) -> bool:
    """Whether any layer looks at neighbouring positions: XLA is slow at those on a processor, and fast at the rest."""
    return any(hasattr(layer, "kernel_size") or hasattr(layer, "pool_size") for layer in model.layers)


def _through(layers: Sequence[Any], tensor: Any) -> Any:
    for layer in layers:
        tensor = layer(tensor)
    return tensor
