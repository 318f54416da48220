import os
import threading
from pathlib import Path

import pytest

from lab_utils.core import machine
from lab_utils.core.machine import WINDOW, available_cores, cpus, in_parallel, peak_memory


def test_snakemake_grants_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert cpus() == 3
    monkeypatch.setenv("OMP_NUM_THREADS", "0")
    assert cpus() == 1
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert cpus() >= 1


def test_results_come_in_order_and_no_more_than_a_window_waits() -> None:
    started, lock = [0], threading.Lock()

    def work(item: int) -> int:
        with lock:
            started[0] = max(started[0], item)
        return item * item

    results = in_parallel(work, iter(range(3 * WINDOW)), workers=2)
    assert next(results) == 0
    assert started[0] < WINDOW
    assert list(results) == [item * item for item in range(1, 3 * WINDOW)]


def test_memory_is_in_megabytes() -> None:
    assert 20 < peak_memory() < 100_000


QUOTAS = {  # lines of /proc/self/cgroup, files below /sys/fs/cgroup, cores that these grant
    "version 2": ("0::/", {"cpu.max": "200000 100000"}, 2),
    "version 2, of a parent": ("0::/a/b", {"a/cpu.max": "150000 100000", "a/b/cpu.max": "max 100000"}, 2),
    "version 2, less than one": ("0::/", {"cpu.max": "5000 100000"}, 1),
    "version 1": ("4:cpu,cpuacct:/d", {"cpu/cpu.cfs_quota_us": "300000", "cpu/cpu.cfs_period_us": "100000"}, 3),
    "version 1 without a limit": ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, 64),
    "no limit": ("0::/", {"cpu.max": "max 100000"}, 64),
    "damaged": ("0::/", {"cpu.max": "?"}, 64),
    "of memory alone": ("7:memory:/", {"cpu.max": "100000 100000"}, 64),
}


@pytest.mark.parametrize("case", QUOTAS)
def test_a_container_grants_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    lines, files, cores = QUOTAS[case]
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{text}\n")
    (tmp_path / "membership").write_text(f"{lines}\n")
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(machine, "CGROUPS", tmp_path)
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "membership")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    assert cpus() == available_cores() == cores


def test_affinity_grants_cores(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(machine, "MEMBERSHIP", tmp_path / "none")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5}, raising=False)
    assert available_cores() == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert (available_cores(), cpus()) == (2, 1)
