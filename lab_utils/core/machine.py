"""The processor cores and the memory of this process, and work spread over the cores."""

import os
import resource
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

WINDOW = 256  # items in progress at a time: bounds the memory of a pass over any number of files


def cpus() -> int:
    """Number of cores that this process may use.

    OMP_NUM_THREADS counts where it is set: Snakemake sets it from a rule's threads.
    """
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdigit():
        return max(1, int(granted))
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def peak_memory() -> int:
    """Largest resident memory of this process so far, in MB (10^6 bytes)."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def in_parallel(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Map over threads in order, with at most `WINDOW` results waiting."""
    remaining = iter(items)
    with ThreadPoolExecutor(workers or cpus()) as pool:
        while window := list(islice(remaining, WINDOW)):
            yield from pool.map(function, window)
