"""Messages of long work: a progress bar for logs, times of parts, and how a command ended."""

import sys
import time
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

from lab_utils.core.errors import LabError

FAILED = "\nfailed after "  # begins the last words of a command that failed
LEFT_OUT = "\nleft out: "  # begins the reason why a stage's protocol cannot be applied


def progress(*, total: int | None, desc: str, unit: str) -> "tqdm[Any]":
    """Make a tqdm bar on standard output.

    It is text, because a widget leaves an empty box in an executed notebook. It is refreshed at most every
    two seconds, because each refresh is a line of a papermill log.
    """
    is_bytes = unit == "B"
    unit = unit if is_bytes else f" {unit}"
    return tqdm(total=total, desc=desc, unit=unit, unit_scale=is_bytes, file=sys.stdout, mininterval=2.0, ncols=90)


class Stopwatch:
    """Seconds that the parts of a notebook take: `laps`, by name."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, part: str) -> None:
        """End a part, which began where the part before it ended."""
        now = time.perf_counter()
        self.laps[part], self._last = now - self._last, now


def report_outcome(work: Callable[[], object]) -> int:
    """Do a command's work, print its time or its LabError, and return the exit status: 0 or 1."""
    began = time.perf_counter()
    try:
        work()
    except (LabError, KeyboardInterrupt) as error:
        print(f"{FAILED}{time.perf_counter() - began:.0f} s\n{str(error) or 'interrupted'}\n", flush=True)
        return 1
    print(f"finished in {time.perf_counter() - began:.0f} s", flush=True)
    return 0
