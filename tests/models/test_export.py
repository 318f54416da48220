import numpy as np
import onnx
import pytest

from lab_utils.models import export
from lab_utils.models.export import FORMATS, export_model, pixel_scaling
from lab_utils.models.runtime import keras

BRIGHTNESS = np.linspace(0.1, 1, 7)[:, None, None]
IMAGES = (np.random.default_rng(0).integers(0, 256, (7, 32, 32)) * BRIGHTNESS).astype(np.uint8)


@pytest.fixture(scope="module")
def network() -> keras.Model:
    """Layers that converters treat in their own ways: Normalization has constants that are no weights."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((32, 32, 3)),
            layers.Rescaling(1 / 127.5, -1.0),
            layers.Normalization(mean=[0.1, 0.2, 0.3], variance=[0.5, 0.6, 0.7]),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.ReLU(max_value=6.0),
            layers.DepthwiseConv2D(3, padding="same"),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(
                3, activation="softmax", kernel_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=0)
            ),
        ]
    )
    rng = np.random.default_rng(1)
    model.layers[3].set_weights([rng.uniform(0.5, 2, 8).astype(np.float32) for _ in range(4)])
    return model


@pytest.mark.parametrize("count", [1, 5])
def test_each_format_gives_the_probabilities_of_keras(network: keras.Model, count: int) -> None:
    expected = network.predict(np.repeat(IMAGES[:, ..., None], 3, axis=-1).astype(np.float32), verbose=0)
    assert np.ptp(expected, axis=0).max() > 0.1, "the images are too similar to tell networks apart"
    exported = export_model(network, IMAGES[:count])
    assert [model.file for model in exported] == ["model.tflite", "model.onnx"]
    for model, (_, _, _, predict) in zip(exported, FORMATS, strict=True):
        assert (model.problem, model.difference < 1e-5) == ("", True)
        for rows in (slice(0, 5), slice(6, 7)):  # another number of images than at the comparison
            inputs = np.repeat(IMAGES[rows, ..., None], 3, axis=-1).astype(np.float32)
            assert np.abs(predict(model.content, inputs) - expected[rows]).max() < 1e-5


def test_the_same_network_gives_the_same_bytes(network: keras.Model) -> None:
    first, second = (export_model(network, IMAGES) for _ in range(2))
    assert [model.content for model in first] == [model.content for model in second]
    graph = onnx.load_from_string(first[1].content).graph
    onnx.checker.check_model(onnx.load_from_string(first[1].content))
    assert [(value.name, value.type.tensor_type.shape.dim[0].dim_param) for value in (*graph.input, *graph.output)] == [
        ("images", "N"),
        ("probabilities", "N"),
    ]


def test_a_format_that_fails_or_disagrees_is_left_out_with_the_reason(
    network: keras.Model, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def fails(function: object) -> bytes:
        raise ValueError("no operator for\nmore lines")

    (litert, onnx_format) = FORMATS
    disagrees = (*onnx_format[:3], lambda content, images: onnx_format[3](content, images) + 0.01)
    monkeypatch.setattr(export, "FORMATS", ((*litert[:2], fails, litert[3]), disagrees))
    failed, different = export_model(network, IMAGES)
    assert (failed.content, failed.problem) == (b"", "cannot be converted (no operator for)")
    assert (different.content, different.problem) == (
        b"",
        "its probabilities differ from Keras' by 0.01; 0.0001 is allowed",
    )
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(
    ("backbone", "scaling", "scale", "offset", "channels"),
    [
        ("MobileNetV2", "unit", [1 / 255] * 3, [0.0] * 3, "RGB"),
        ("MobileNetV2", "backbone", [1 / 127.5] * 3, [-1.0] * 3, "RGB"),
        ("EfficientNetB0", "unit", [1.0] * 3, [0.0] * 3, "RGB"),
        ("VGG16", "backbone", [1.0] * 3, [-103.939, -116.779, -123.68], "BGR"),
    ],
)
def test_the_scaling_inside_a_network_is_given_in_numbers(
    backbone: str, scaling: export.Scaling, scale: list[float], offset: list[float], channels: str
) -> None:
    measured = pixel_scaling(backbone, scaling)
    np.testing.assert_allclose(measured["scale"], scale, rtol=1e-5)
    np.testing.assert_allclose(measured["offset"], offset, atol=1e-5)
    assert measured["channels"] == channels
