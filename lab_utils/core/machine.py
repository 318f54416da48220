"""The processor cores and the memory of this process, and work spread over the cores."""

import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

CGROUPS = Path("/sys/fs/cgroup")
MEMBERSHIP = Path("/proc/self/cgroup")
WINDOW = 256  # items in progress at a time: bounds the memory of a pass over any number of files


def cpus() -> int:
    """Number of cores that this process may use.

    OMP_NUM_THREADS counts where it is set: Snakemake sets it from a rule's threads.
    """
    granted = os.environ.get("OMP_NUM_THREADS", "")
    if granted.isdigit():
        return max(1, int(granted))
    return available_cores()


def available_cores() -> int:
    """Number of cores that affinity and the quota of a container grant this process."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *map(math.ceil, _quotas())]))


def _quotas() -> Iterator[float]:
    """Yield the cores that each control group (versions 2 and 1) grants this process."""
    try:
        groups = [line.split(":", 2) for line in MEMBERSHIP.read_text().splitlines()]
    except OSError:  # no Linux
        return
    for _, controllers, name in groups:
        if controllers and "cpu" not in controllers.split(","):
            continue
        root = CGROUPS / "cpu" if controllers else CGROUPS
        path = root / name.lstrip("/")
        for folder in [root, *(folder for folder in (path, *path.parents) if folder.is_relative_to(root))]:
            files = ["cpu.cfs_quota_us", "cpu.cfs_period_us"] if controllers else ["cpu.max"]
            try:  # "200000 100000": microseconds of computation in a period; "max" or -1 without a limit
                quota, period = " ".join((folder / file).read_text() for file in files).split()
                if quota != "max" and int(quota) > 0:
                    yield int(quota) / int(period)
            except (OSError, ValueError, ZeroDivisionError):
                continue


def peak_memory() -> int:
    """Largest resident memory of this process so far, in MB (10^6 bytes); 0 if unknown."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / 1e6 if sys.platform == "darwin" else peak * 1024 / 1e6)


def in_parallel(function: Callable[[T], R], items: Iterable[T], workers: int | None = None) -> Iterator[R]:
    """Map over threads in order, with at most `WINDOW` results waiting."""
    remaining = iter(items)
    with ThreadPoolExecutor(workers or cpus()) as pool:
        while window := list(islice(remaining, WINDOW)):
            yield from pool.map(function, window)
