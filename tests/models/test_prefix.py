import re
import sys
from collections.abc import Callable

import numpy as np
import pytest

from lab_utils.models import prefix as module
from lab_utils.models.backbone import POOL, calibrate, obtain_backbone, trunk_of
from lab_utils.models.prefix import Prefix, engine_version, fastest_engine, stem_of

CUTS = ["block_16_project_BN", POOL]
IMAGES = np.random.default_rng(0).integers(0, 256, (37, 64, 64), np.uint8)


@pytest.fixture(scope="module")
def prefix() -> Prefix:
    backbone, _ = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)
    calibrate(backbone, np.repeat(IMAGES[:16, ..., None], 3, axis=-1).astype(np.float32) / 255)
    return Prefix(trunk_of(backbone), CUTS, "MobileNetV2", "unit", IMAGES.shape[1:])


@pytest.fixture(autouse=True)
def without_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda kind: [])


def collect(prefix: Prefix, engine: module.Engine | None) -> tuple[module.Engine, list[np.ndarray]]:
    outputs = [np.full((len(IMAGES), *shape), np.nan, np.float32) for shape in prefix.shapes]

    def write(start: int, blocks: list[np.ndarray]) -> None:
        for output, block in zip(outputs, blocks, strict=True):
            output[start : start + len(block)] = block

    return prefix.run(IMAGES, write, engine=engine), outputs


def test_litert_gives_tensorflow_s_features(prefix: Prefix) -> None:
    assert fastest_engine() == "litert"
    (one, ours), (other, expected) = collect(prefix, None), collect(prefix, "tensorflow")
    assert (one, other) == ("litert", "tensorflow")
    for found, wanted in zip(ours, expected, strict=True):
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


@pytest.mark.parametrize("scaling", ["unit", "backbone"])
@pytest.mark.parametrize("name", ["MobileNetV2", "Xception"])
def test_grey_images_give_the_features_of_three_equal_channels(name: str, scaling: str) -> None:
    backbone, _ = obtain_backbone(name, 75, weights="random", synthetic=True)
    images = np.random.default_rng(0).integers(0, 256, (8, 75, 75), np.uint8)
    colour = np.repeat(images[..., None], 3, axis=-1)
    calibrate(backbone, colour.astype(np.float32) / 255)
    trunk = trunk_of(backbone)
    assert stem_of(trunk) is not None
    grey, full = (Prefix(trunk, [POOL], name, scaling, shape) for shape in ((75, 75), (75, 75, 3)))
    (found,), (expected,) = grey(images), full(colour)
    assert np.abs(found - expected).max() <= 2e-5 * np.abs(expected).max()


def test_a_stem_that_is_not_linear_is_left_alone() -> None:
    for name in ("VGG16", "ResNet50", "EfficientNetB0"):
        assert stem_of(trunk_of(obtain_backbone(name, 32, weights="random", synthetic=True)[0])) is None


def test_litert_s_features_do_not_depend_on_the_number_of_cores(
    prefix: Prefix, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, many = collect(prefix, "litert")
    monkeypatch.setattr(module, "cpus", lambda: 1)
    _, one = collect(prefix, "litert")
    assert all((a == b).all() for a, b in zip(one, many, strict=True))


def test_without_litert_tensorflow_does_it(prefix: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "ai_edge_litert", None)
    engine, outputs = collect(prefix, None)
    assert engine == "tensorflow"
    assert not any(np.isnan(output).any() for output in outputs)


def test_on_a_gpu_tensorflow_does_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.tf.config, "list_physical_devices", lambda kind: [f"a {kind}"])
    assert fastest_engine() == "tensorflow"


@pytest.mark.parametrize(
    ("break_it", "reason"),
    [
        (lambda patch: patch.setattr(module, "TOLERANCE", 0), "differs by"),
        (lambda patch: patch.setattr(Prefix, "_interpreters", property(lambda self: 1 / 0)), "division by zero"),
    ],
)
def test_an_engine_that_is_wrong_or_fails_is_not_used(
    prefix: Prefix,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    break_it: Callable[[pytest.MonkeyPatch], None],
    reason: str,
) -> None:
    break_it(monkeypatch)
    engine, outputs = collect(prefix, None)
    assert engine == "tensorflow"
    assert not any(np.isnan(output).any() for output in outputs)
    assert reason in (said := capsys.readouterr().out)
    assert "TensorFlow computes the features" in said


def test_the_plain_rate_is_one_of_many_images(prefix: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    monkeypatch.setattr(Prefix, "__call__", lambda self, images: sizes.append(len(images)))
    assert prefix.plain_rate(IMAGES) > 0
    assert sizes == [module.SAMPLE] * 2
    assert prefix.plain_rate(IMAGES[:3]) > 0


def test_an_error_while_writing_is_passed_on(prefix: Prefix) -> None:
    def write(start: int, blocks: object) -> None:
        raise OSError("disk full")

    for engine in ("litert", "tensorflow"):
        with pytest.raises(OSError, match="disk full"):
            prefix.run(IMAGES, write, engine=engine)


def test_the_engine_s_version_is_known() -> None:
    assert engine_version("tensorflow").startswith("tensorflow 2.21")
    assert re.fullmatch(r"litert \d+\.\d+.*", engine_version("litert"))
