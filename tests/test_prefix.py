import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from lab_utils import prefix as module
from lab_utils.backbone import POOL, calibrate, obtain_backbone, trunk_of
from lab_utils.prefix import Prefix, available_engine, engine_version

CUTS = ["block_16_project_BN", POOL]
IMAGES = np.random.default_rng(0).integers(0, 256, (37, 64, 64), np.uint8)


@pytest.fixture(scope="module")
def prefix() -> Prefix:
    backbone, _ = obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)
    calibrate(backbone, np.repeat(IMAGES[:16, ..., None], 3, axis=-1).astype(np.float32) / 255)
    return Prefix(trunk_of(backbone), CUTS, "MobileNetV2", "unit", IMAGES.shape[1:])


def collect(prefix: Prefix, engine: module.Engine | None) -> tuple[module.Engine, list[np.ndarray]]:
    outputs = [np.full((len(IMAGES), *shape), np.nan, np.float32) for shape in prefix.shapes]

    def write(start: int, blocks: list[np.ndarray]) -> None:
        for output, block in zip(outputs, blocks, strict=True):
            output[start : start + len(block)] = block

    return prefix.run(IMAGES, write, engine=engine), outputs


def test_openvino_gives_tensorflow_s_features(prefix: Prefix) -> None:
    assert available_engine() == "openvino"
    (one, ours), (other, expected) = collect(prefix, None), collect(prefix, "tensorflow")
    assert (one, other) == ("openvino", "tensorflow")
    for found, wanted in zip(ours, expected, strict=True):
        assert np.abs(found - wanted).max() <= 1e-4 * np.abs(wanted).max()


def test_openvino_reports_to_nobody(tmp_path: Path) -> None:
    code = "import sys; from lab_utils.prefix import _openvino; _openvino(); import openvino.tools.ovc.telemetry_utils as t"
    code += "; print(t.tm.__name__, sys.modules['openvino_telemetry'])"
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**environment, "HOME": str(tmp_path)},
    )
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "None"]
    assert not (tmp_path / "intel").exists()


def test_without_openvino_tensorflow_does_it(prefix: Prefix, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda _: None)
    monkeypatch.setitem(sys.modules, "openvino", None)
    engine, outputs = collect(prefix, None)
    assert engine == "tensorflow"
    assert not any(np.isnan(output).any() for output in outputs)


def test_an_engine_that_is_wrong_is_not_believed(
    prefix: Prefix, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(module, "TOLERANCE", 0)
    engine, _ = collect(prefix, None)
    assert engine == "tensorflow"
    assert "does not give TensorFlow's features" in capsys.readouterr().out


def test_an_error_while_writing_is_passed_on(prefix: Prefix) -> None:
    def write(start: int, blocks: object) -> None:
        raise OSError("disk full")

    for engine in ("openvino", "tensorflow"):
        with pytest.raises(OSError, match="disk full"):
            prefix.run(IMAGES, write, engine=engine)


def test_the_engine_s_version_is_known() -> None:
    assert engine_version("tensorflow").startswith("tensorflow 2.21")
