"""One progress bar for every long step: text, in place, and slow enough to read well in a log."""

import sys
from typing import Any

from tqdm import tqdm


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
