"""1x1 convolutions and dense layers as matrix products, whose gradient is faster."""

from functools import cache
from typing import Any

from lab_utils.models.precision import Product
from lab_utils.models.runtime import keras


class MatrixProduct(keras.layers.Layer):
    """A built 1x1 convolution or dense layer as a matrix product, with its weights.

    TensorFlow computes the gradient of a product at the speed of a product, that of a convolution at half of it.

    `precision` is that of the product and its gradients in training: "bfloat16" rounds their factors and results to 8
    significant bits, and accumulates their sums in float32. Weights are float32, and so is everything outside training.
    """

    def __init__(self, layer: keras.layers.Conv2D | keras.layers.Dense, precision: Product) -> None:
        super().__init__(name=layer.name)
        self.layer, self.precision = layer, precision

    def call(self, inputs: Any, training: bool = False) -> Any:
        """(N, ..., C) to (N, ..., F)."""
        layer, precision = self.layer, self.precision if training else "float32"
        kernel = keras.ops.reshape(layer.kernel, layer.kernel.shape[-2:])
        factors = keras.ops.reshape(inputs, (-1, kernel.shape[0])), kernel
        values = keras.ops.matmul(*(keras.ops.cast(factor, precision) for factor in factors))
        values = keras.ops.cast(values, "float32")
        if layer.use_bias:
            values = values + layer.bias
        return layer.activation(keras.ops.reshape(values, (-1, *inputs.shape[1:-1], kernel.shape[1])))


def with_matrix_products(model: keras.Model, precision: Product = "float32") -> keras.Model:
    """Build the same function of the same weights with `MatrixProduct` layers.

    A dense layer that gives the model's output stays, so that probabilities are never rounded.
    """
    last = model.output._keras_history.operation

    @cache  # a layer that is called twice stays one layer
    def replacement(layer: Any) -> Any:
        is_product = (type(layer) is keras.layers.Dense and layer is not last) or (
            type(layer) is keras.layers.Conv2D
            and set(layer.kernel_size) == set(layer.strides) == {1}
            and layer.groups == 1
            and layer.data_format == "channels_last"
        )
        return MatrixProduct(layer, precision) if is_product and layer.activity_regularizer is None else layer

    return keras.models.clone_model(model, clone_function=replacement)
