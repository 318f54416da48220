import numpy as np
import pytest

from lab_utils.models.matrix_product import MatrixProduct, with_matrix_products
from lab_utils.models.runtime import keras


@pytest.mark.parametrize(("use_bias", "activation"), [(True, "relu"), (False, None)])
def test_a_matrix_product_is_its_convolution(use_bias: bool, activation: str | None) -> None:
    inputs = keras.Input((5, 7, 6))
    layer = keras.layers.Conv2D(8, 1, use_bias=use_bias, activation=activation, bias_initializer="normal")
    model = keras.Model(inputs, layer(inputs))
    product = with_matrix_products(model)
    assert isinstance(product.layers[-1], MatrixProduct)
    assert product.trainable_weights[0] is model.trainable_weights[0]
    images = np.random.default_rng(0).standard_normal((3, 5, 7, 6)).astype(np.float32)
    assert np.allclose(product(images), model(images), atol=1e-6)


@pytest.mark.parametrize(
    "options", [{"kernel_size": 3}, {"kernel_size": 1, "strides": 2}, {"kernel_size": 1, "groups": 2}]
)
def test_other_convolutions_stay(options: dict[str, int]) -> None:
    inputs = keras.Input((6, 6, 4))
    model = keras.Model(inputs, keras.layers.Conv2D(4, **options)(inputs))
    assert with_matrix_products(model).layers[-1] is model.layers[-1]


def test_a_frozen_convolution_stays_frozen() -> None:
    inputs = keras.Input((6, 6, 4))
    layer = keras.layers.Conv2D(4, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.trainable = False
    assert with_matrix_products(model).trainable_weights == []
