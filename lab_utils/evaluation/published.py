"""The write-up's numbers beside a run's, and what its supports say about its split."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from lab_utils.data.download import PUBLISHED_COUNTS
from lab_utils.evaluation.runs import Run

MEASURES = ("precision", "recall", "f1", "support")
COLUMNS = ["measure", "class", "published", "here", "difference", "low", "high", "inside"]


def beside(report: pd.DataFrame, intervals: pd.DataFrame, published: Mapping[str, Any]) -> pd.DataFrame:
    """One scenario of the write-up beside one run of it.

    Parameters
    ----------
    report : DataFrame
        As of `lab_utils.evaluation.metrics.classification_report`.
    intervals : DataFrame
        As of `lab_utils.evaluation.uncertainty.intervals`.
    published : mapping
        accuracy, macro_f1 and classes (name to precision, recall, F1, support), as in report/published.yaml.

    Returns
    -------
    DataFrame
        Columns measure, class (empty for accuracy and macro_f1), published, here, difference (here minus published),
        low, high (95 % interval; missing for the support, a count), inside (whether the published value, rounded to two
        digits as it is, can lie in it; missing for the support). Classes that the data set does not have are left out.
    """
    supports = report.set_index("class")["support"]
    ours = {(row["measure"], row["class"]): row for row in intervals.to_dict("records")}
    known = [("accuracy", "", published["accuracy"]), ("macro_f1", "", published["macro_f1"])]
    for name, values in published["classes"].items():
        if name in supports.index:
            known += [(measure, name, value) for measure, value in zip(MEASURES, values, strict=True)]
    rows = []
    for measure, name, value in known:
        if measure == "support":
            here, low, high, inside = float(supports[name]), None, None, None
        else:
            here, low, high = (ours[measure, name][key] for key in ("value", "low", "high"))
            inside = bool(low - 0.005 <= value <= high + 0.005)
        rows.append((measure, name, value, here, here - value, low, high, inside))
    return pd.DataFrame(rows, columns=COLUMNS)


def published_beside_runs(
    runs: Iterable[Run], reports: pd.DataFrame, intervals: pd.DataFrame, published: Mapping[str, Any]
) -> pd.DataFrame:
    """`beside` for every run whose scenario and classes are the write-up's, under the columns protocol, scenario, seed.

    Parameters
    ----------
    reports, intervals : DataFrame
        Of all runs.
    published : mapping
        Scenario name to its numbers.
    """
    tables = [pd.DataFrame(columns=["protocol", "scenario", "seed", *COLUMNS])]
    for run in runs:
        theirs = published.get(run.scenario.name)
        report = run.rows_of(reports)
        if theirs and set(theirs["classes"]) <= set(report["class"]):
            found = beside(report, run.rows_of(intervals), theirs)
            tables.append(run.labelled(found))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def supports(published: Mapping[str, Any], fraction: float = 0.3) -> pd.DataFrame:
    """Where the write-up's supports come from: Keras' ``validation_split`` over folders of images and lung masks.

    Parameters
    ----------
    published : mapping
        classes of one scenario, as in report/published.yaml.
    fraction : float in (0, 1)
        For validation.

    Returns
    -------
    DataFrame
        Columns class, images (of the whole database), files (with as many masks), validation
        (``int(fraction * files)``), published (support), alone (``int(fraction * images)``: without the masks).
    """
    rows = [
        (name, count, 2 * count, int(fraction * 2 * count), published["classes"][name][-1], int(fraction * count))
        for name, count in PUBLISHED_COUNTS.items()
    ]
    return pd.DataFrame(rows, columns=["class", "images", "files", "validation", "published", "alone"])
