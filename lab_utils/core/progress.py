"""What long work says: a bar that reads well in a log too, and in one line how it ended."""

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from lab_utils.core.errors import LabError

FAILED = "\nfailed after "  # begins the last words of a command that failed


def progress(*, total: int | None, desc: str, unit: str) -> "tqdm[Any]":
    """A tqdm bar on standard output.

    Text rather than a widget: a widget leaves an empty box in an executed notebook. Refreshed every
    two seconds at most, for in a papermill log each refresh is a line.
    """
    size = unit == "B"
    return tqdm(
        total=total,
        desc=desc,
        unit=unit if size else f" {unit}",
        unit_scale=size,
        file=sys.stdout,
        mininterval=2.0,
        ncols=90,
    )


class Stopwatch:
    """How long the parts of a notebook take.

    Attributes
    ----------
    laps : dict
        Part to its seconds.
    """

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part: it began where the one before it ended."""
        now = time.perf_counter()
        self.laps[part], self._last = now - self._last, now


def report_outcome(work: Callable[[], object]) -> int:
    """Do a command's work; print its time or, if it raises LabError or is interrupted, why. The exit status: 0 or 1."""
    began = time.perf_counter()
    try:
        work()
    except (LabError, KeyboardInterrupt) as error:
        print(f"{FAILED}{time.perf_counter() - began:.0f} s\n{str(error) or 'interrupted'}\n", flush=True)
        return 1
    print(f"finished in {time.perf_counter() - began:.0f} s", flush=True)
    return 0


say_how_it_ends = report_outcome  # until the last use of this name is gone
