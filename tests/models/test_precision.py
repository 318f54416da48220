from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab_utils.models import precision
from lab_utils.models.precision import product_precision

SLOW, FAST = "flags : fpu avx2 avx512f", "flags : fpu avx2 avx512f avx512_bf16 vbmi"


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A machine with the given /proc/cpuinfo (None: no such file) and GPUs of the given compute capabilities."""

    def pretend(flags: str | None, *capabilities: tuple[int, int] | None) -> None:
        details = [{"compute_capability": one} if one else {} for one in capabilities]
        config = SimpleNamespace(
            list_physical_devices=lambda kind: details if kind == "GPU" else [],
            experimental=SimpleNamespace(get_device_details=lambda device: device),
        )
        monkeypatch.setattr(precision, "tf", SimpleNamespace(config=config))
        monkeypatch.setattr(precision, "CPUINFO", tmp_path / "cpuinfo")
        if flags is not None:
            (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")

    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    return pretend


@pytest.mark.parametrize(
    ("flags", "gpus", "expected"),
    [
        (SLOW, [], "float32"),
        (FAST, [], "bfloat16"),
        ("flags : amx_bf16", [], "bfloat16"),
        (None, [], "float32"),
        (SLOW, [(8, 0)], "bfloat16"),
        (FAST, [(7, 5)], "float32"),
        (SLOW, [(9, 0), (7, 0)], "float32"),
        (FAST, [None], "float32"),
    ],
)
def test_auto_is_bfloat16_only_where_the_training_device_is_fast_at_it(
    machine: Any, flags: str | None, gpus: list[tuple[int, int] | None], expected: str
) -> None:
    machine(flags, *gpus)
    assert product_precision("auto") == expected


def test_auto_needs_the_library_with_these_products(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    machine(FAST)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    assert product_precision("auto") == "float32"


@pytest.mark.parametrize("chosen", ["float32", "bfloat16"])
def test_a_chosen_precision_holds_on_every_machine(machine: Any, chosen: Any) -> None:
    for flags in (SLOW, FAST):
        machine(flags)
        assert product_precision(chosen) == chosen
