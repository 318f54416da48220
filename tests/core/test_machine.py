import threading

import pytest

from lab_utils.core.machine import WINDOW, cpus, in_parallel, peak_memory


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
