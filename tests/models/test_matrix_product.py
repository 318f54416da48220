import numpy as np
import pytest

from lab_utils.models.matrix_product import MatrixProduct, with_matrix_products
from lab_utils.models.runtime import keras, tf

ROUNDING = 2**-8  # of bfloat16, with 8 significant bits


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


@pytest.mark.parametrize("shape", [(6,), (5, 6)])
def test_a_matrix_product_is_its_dense_layer(shape: tuple[int, ...]) -> None:
    inputs = keras.Input(shape)
    hidden = keras.layers.Dense(8, activation="relu", bias_initializer="normal")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(4, activation="softmax")(hidden))
    product = with_matrix_products(model)
    assert [type(layer) for layer in product.layers[1:]] == [MatrixProduct, keras.layers.Dense]
    assert product.layers[-1] is model.layers[-1], "the layer that gives the probabilities stays"
    values = np.random.default_rng(0).standard_normal((3, *shape)).astype(np.float32)
    assert np.allclose(product(values), model(values), atol=1e-6)


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


@pytest.mark.parametrize("layer", [keras.layers.Conv2D(8, 1), keras.layers.Dense(8)], ids=["convolution", "dense"])
def test_bfloat16_rounds_the_factors_of_products_in_training(layer: keras.layers.Layer) -> None:
    random = np.random.default_rng(0)
    values, target = (tf.constant(random.standard_normal((3, 4, 4, n)), tf.float32) for n in (6, 8))
    layer.build(values.shape)
    results = {}
    for precision in ("float32", "bfloat16"):
        product = MatrixProduct(layer, precision)
        for training in (False, True):
            with tf.GradientTape() as tape:
                tape.watch(values)
                output = product(values, training=training)
                loss = tf.reduce_sum(output * target)
            results[precision, training] = [output, *tape.gradient(loss, [values, *layer.trainable_weights])]
    for rounded, exact in zip(results["bfloat16", True], results["float32", True], strict=True):
        assert rounded.dtype == exact.dtype == tf.float32
        assert np.linalg.norm(rounded - exact) <= ROUNDING * np.linalg.norm(exact)
    for output, exact in zip(results["bfloat16", False], results["float32", False], strict=True):
        assert np.array_equal(output, exact), "outside training, nothing is rounded"
    assert not np.array_equal(results["bfloat16", True][0], results["float32", True][0])
