import numpy as np
import pytest

from lab_utils.core.config import load_experiment
from lab_utils.models.backbone import obtain_backbone
from lab_utils.models.network import MatrixProduct, build_network, has_windows, with_matrix_products
from lab_utils.models.runtime import keras
from tests.conftest import PROJECT

TRAINABLE = {"last_two_convs": 2_555_396, "last_conv": 2_248_196, "fc_only": 1_838_596}


@pytest.mark.parametrize(("name", "trainable"), list(TRAINABLE.items()))
def test_the_architecture_is_the_write_up_s(name: str, trainable: int) -> None:
    scenario = load_experiment(str(PROJECT / "lab.yaml")).scenario(name)
    backbone, _ = obtain_backbone("MobileNetV2", 224, weights="random", synthetic=True)
    network = build_network(scenario, backbone, 4, scaling="unit", seed=0)
    rows = network.summary().set_index("Layer (type)")
    assert rows["Param #"]["Total params"] == 4_096_580
    assert rows["Param #"]["Trainable params"] == trainable
    assert rows["Param #"]["Non-trainable params"] == 4_096_580 - trainable
    assert rows["Param #"]["mobilenetv2_1.00_224 (Functional)"] == 2_257_984
    assert rows["Output shape"]["mobilenetv2_1.00_224 (Functional)"] == "(None, 7, 7, 1280)"
    dense = [(shape, count) for name, shape, count in rows.itertuples() if name.startswith("dense")]
    assert dense == [("(None, 1024)", 1_311_744), ("(None, 512)", 524_800), ("(None, 4)", 2_052)]
    assert sum(int(np.prod(w.shape)) for w in network.suffix.trainable_weights) == trainable


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
    assert has_windows(with_matrix_products(model))


def test_a_frozen_convolution_stays_frozen() -> None:
    inputs = keras.Input((6, 6, 4))
    layer = keras.layers.Conv2D(4, 1)
    model = keras.Model(inputs, layer(inputs))
    layer.trainable = False
    assert with_matrix_products(model).trainable_weights == []


@pytest.mark.parametrize("name", TRAINABLE)
def test_the_write_up_s_suffixes_have_no_windows(name: str) -> None:
    scenario = load_experiment(str(PROJECT / "lab.yaml")).scenario(name)
    backbone, _ = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)
    assert not has_windows(build_network(scenario, backbone, 4, scaling="unit", seed=0).suffix)
