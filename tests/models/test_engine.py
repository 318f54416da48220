import re
import sys
from collections.abc import Callable

import numpy as np
import pytest

from lab_utils.models import engine as module
from lab_utils.models.backbone import scaling_layer, trunk_of
from lab_utils.models.convolutions import last_convolutions
from lab_utils.models.cut import graph_of
from lab_utils.models.engine import FeatureExtractor, engine_version, fastest_engine, to_rgb
from lab_utils.models.pretrained import obtain_backbone, set_batchnorm_statistics
from lab_utils.models.runtime import keras

IMAGES = np.random.default_rng(0).integers(0, 256, (37, 64, 64), np.uint8)


@pytest.fixture(scope="module")
def extractor() -> FeatureExtractor:
    """MobileNetV2 cut at two places."""
    backbone, _ = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)
    set_batchnorm_statistics(backbone, np.repeat(IMAGES[:16, ..., None], 3, axis=-1).astype(np.float32) / 255)
    graph = graph_of(trunk_of(backbone, scaling_layer("MobileNetV2", "unit"), (64, 64, 3)))
    places = graph.cut_place(lambda layer: layer in last_convolutions(backbone, 1)), len(graph.steps) - 1
    model = keras.Model(graph.input, [graph.steps[place].output for place in places])
    return FeatureExtractor(model, IMAGES.shape[1:])


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda kind: [])


def collect(extractor: FeatureExtractor, engine: module.Engine | None) -> tuple[module.Engine, list[np.ndarray]]:
    outputs = [np.full((len(IMAGES), *shape), np.nan, np.float32) for shape in extractor.shapes]

    def write(start: int, blocks: list[np.ndarray]) -> None:
        for output, block in zip(outputs, blocks, strict=True):
            output[start : start + len(block)] = block

    return extractor.run(IMAGES, write, engine=engine), outputs


def test_grey_images_become_three_equal_channels() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(2, 2, 2)
    rgb = np.asarray(to_rgb(images))
    assert rgb.dtype == np.float32
    assert rgb.shape == (2, 2, 2, 3)
    assert (rgb == images[..., None]).all()


def test_litert_gives_tensorflow_s_features(extractor: FeatureExtractor) -> None:
    assert fastest_engine() == "litert"
    (one, ours), (other, expected) = collect(extractor, None), collect(extractor, "tensorflow")
    assert (one, other) == ("litert", "tensorflow")
    assert [values.shape[1:] for values in ours] == [(2, 2, 320), (1280,)]
    for values, wanted in zip(ours, expected, strict=True):
        assert np.abs(values - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_litert_s_features_do_not_depend_on_the_number_of_cores(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, many = collect(extractor, "litert")
    monkeypatch.setattr(module, "cpus", lambda: 1)
    _, one = collect(extractor, "litert")
    assert all((a == b).all() for a, b in zip(one, many, strict=True))


def test_without_litert_tensorflow_does_it(extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    engine, outputs = collect(extractor, None)
    assert engine == "tensorflow"
    assert not any(np.isnan(output).any() for output in outputs)


def test_on_a_gpu_tensorflow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    assert fastest_engine() == "tensorflow"


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda patch: patch.setattr(module, "TOLERANCE", 0), "differs by"),
        (
            lambda patch: patch.setattr(FeatureExtractor, "_interpreters", property(lambda self: 1 / 0)),
            "division by zero",
        ),
    ],
)
def test_an_engine_that_is_wrong_or_fails_is_not_used(
    extractor: FeatureExtractor,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    monkeypatch.setattr(extractor, "_problem", None)
    break_it(monkeypatch)
    engine, outputs = collect(extractor, None)
    assert engine == "tensorflow"
    assert not any(np.isnan(output).any() for output in outputs)
    assert reason in (said := capsys.readouterr().out)
    assert "TensorFlow computes the features" in said


def test_the_uncached_rate_is_measured_on_many_images(
    extractor: FeatureExtractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(FeatureExtractor, "__call__", lambda self, images: sizes.append(len(images)))
    assert extractor.tensorflow_rate(IMAGES) > 0
    assert sizes == [module.SAMPLE] * 2
    assert extractor.tensorflow_rate(IMAGES[:3]) > 0


def test_an_error_while_writing_is_passed_on(extractor: FeatureExtractor) -> None:
    def write(start: int, blocks: object) -> None:
        raise OSError("disk full")

    for engine in ("litert", "tensorflow"):
        with pytest.raises(OSError, match="disk full"):
            extractor.run(IMAGES, write, engine=engine)


def test_the_engine_s_version_is_known() -> None:
    assert engine_version("tensorflow").startswith("tensorflow 2.21")
    assert re.fullmatch(r"litert \d+\.\d+.*", engine_version("litert"))
