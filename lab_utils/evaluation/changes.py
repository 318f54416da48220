"""What each step in a chain of protocols changes, on the same validation images."""

from collections.abc import Iterable
from typing import Any

import pandas as pd

from lab_utils.evaluation.comparisons import accuracy_difference, bounds
from lab_utils.evaluation.influence import clusters_of
from lab_utils.evaluation.judged import JudgedRun, by_protocol, correct_on

COLUMNS = [
    *("from", "to", "what", "scenario", "seeds", "images", "accuracy_from", "accuracy_to"),
    *("difference", "low", "high"),
]


def protocol_changes(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Compare each protocol with the one that it follows, where both have runs: table changes.

    Both are judged on the validation images that they share, so the difference is not one of images. Its interval holds
    the variation over images and over the seeds of both protocols; with one seed, that over images alone. It does not
    hold the variation of splits, because each protocol draws its split once. Protocols that share no validation image
    have no row.
    """
    sorted_runs, rows = by_protocol(runs), []
    for scenarios in sorted_runs.values():
        protocol = next(iter(scenarios.values()))[0].run.protocol
        followed = sorted_runs.get(protocol.follows, {})
        for scenario in scenarios:
            if scenario in followed:
                row = _change(followed[scenario], scenarios[scenario])
                rows += [{"from": protocol.follows, "to": protocol.name, "what": protocol.change, **row}] if row else []
    return pd.DataFrame(rows, columns=COLUMNS)


def _change(first: list[JudgedRun], second: list[JudgedRun]) -> dict[str, Any]:
    """The difference of two protocols under one scenario; empty without common images."""
    common = second[0].predictions[second[0].predictions["image_id"].isin(first[0].predictions["image_id"])]
    if common.empty:
        return {}
    before, after = (correct_on(runs, common["image_id"]) for runs in (first, second))
    clusters = clusters_of(common)
    estimate = accuracy_difference(after, before, clusters)
    low, high = bounds(estimate, clusters)
    return {
        "scenario": second[0].scenario,
        "seeds": min(len(first), len(second)),
        "images": len(common),
        "accuracy_from": float(before.mean()),
        "accuracy_to": float(after.mean()),
        "difference": estimate.value,
        "low": low,
        "high": high,
    }
