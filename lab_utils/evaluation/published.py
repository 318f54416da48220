"""The write-up's numbers next to the lab's, and what its class counts imply."""

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd
import yaml

from lab_utils.core.paths import project_root
from lab_utils.data.kaggle import PUBLISHED_COUNTS
from lab_utils.evaluation.runs import Run

MEASURES = ("precision", "recall", "f1", "support")
COLUMNS = ["measure", "class", "published", "reproduced", "difference", "low", "high", "inside"]
ROUNDING = 0.005  # published values have two digits


def read_published() -> dict[str, Any]:
    """Read the write-up's numbers (report/published.yaml): source, scenarios by name."""
    return yaml.safe_load((project_root() / "report" / "published.yaml").read_text(encoding="utf-8"))


def compare_with_published(report: pd.DataFrame, intervals: pd.DataFrame, published: Mapping[str, Any]) -> pd.DataFrame:
    """Compare one run with the write-up's numbers of its scenario: table published of one run.

    Parameters
    ----------
    report, intervals : DataFrame
        Rows of the run in the tables reports and intervals.
    published : mapping
        accuracy, macro_f1 and classes (name to precision, recall, F1, support), as in report/published.yaml. Classes
        that the data set does not have are left out.
    """
    values = [("accuracy", "", published["accuracy"]), ("macro_f1", "", published["macro_f1"])]
    for name, numbers in published["classes"].items():
        values += [(measure, name, number) for measure, number in zip(MEASURES, numbers, strict=True)]
    supports = report.assign(measure="support", value=report["support"])
    measured = pd.concat([intervals, supports])[["measure", "class", "value", "low", "high"]]
    table = pd.DataFrame(values, columns=COLUMNS[:3]).merge(measured.rename(columns={"value": "reproduced"}))
    inside = table["published"].between(table["low"] - ROUNDING, table["high"] + ROUNDING)
    table["inside"] = inside.astype(object).where(table["low"].notna(), None)
    return table.assign(difference=table["reproduced"] - table["published"])[COLUMNS]


def published_table(
    runs: Iterable[Run], reports: pd.DataFrame, intervals: pd.DataFrame, published: Mapping[str, Any]
) -> pd.DataFrame:
    """Compare every run that has the write-up's scenario and classes: table published.

    `reports` and `intervals` are tables of all runs; `published` maps the name of a scenario to its numbers.
    """
    tables = [pd.DataFrame(columns=["protocol", "scenario", "seed", *COLUMNS])]
    for run in runs:
        numbers, report = published.get(run.scenario.name), run.rows_of(reports)
        if numbers and set(numbers["classes"]) <= set(report["class"]):
            tables.append(run.labelled(compare_with_published(report, run.rows_of(intervals), numbers)))
    return pd.concat(tables[1:] or tables, ignore_index=True)


def published_supports(published: Mapping[str, Any], fraction: float = 0.3) -> pd.DataFrame:
    """What the published class counts imply: a split over images and lung masks.

    Keras' ``validation_split`` counts the files of a class folder.

    Parameters
    ----------
    published : mapping
        The numbers of one scenario.
    fraction : float in (0, 1)
        Share of the validation set.

    Returns
    -------
    DataFrame
        Columns class, images (of the full database), files (images and masks), validation (``int(fraction * files)``),
        published (support), images_only (``int(fraction * images)``).
    """
    rows = [
        (name, count, 2 * count, int(fraction * 2 * count), published["classes"][name][-1], int(fraction * count))
        for name, count in PUBLISHED_COUNTS.items()
    ]
    return pd.DataFrame(rows, columns=["class", "images", "files", "validation", "published", "images_only"])
