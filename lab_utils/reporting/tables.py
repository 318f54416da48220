"""Every table that the lab shows, with caption, label and printed columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.runs import Run
from lab_utils.reporting.exhibits import ReportTable
from lab_utils.reporting.external_tables import external_areas as external_areas
from lab_utils.reporting.external_tables import external_images as external_images
from lab_utils.reporting.external_tables import external_scores as external_scores
from lab_utils.reporting.names import isolated, readable
from lab_utils.reporting.text import interval

MOST_CLASSES = 5  # in a cell
FORMATS = {  # of columns, by their printed names; other numbers are integers
    **dict.fromkeys(["Precision", "Recall", "F1-score"], ".2f"),
    **dict.fromkeys(["Accuracy", "Macro F1", "Weighted F1", "ECE", "Brier score"], ".3f"),
    **dict.fromkeys(["Majority-class baseline", "Area under ROC", "Average precision"], ".3f"),
    **dict.fromkeys(["Sensitivity at 95 % specificity"], ".3f"),
    **dict.fromkeys(["Difference", "From", "To"], "+.1f"),
    **dict.fromkeys(["McNemar", "Null"], ".0%"),
    **dict.fromkeys(
        ["Share", "Low", "High", "Correct", "Baseline", "Area of the lungs", "Lungs-only reference"], ".1%"
    ),
    **dict.fromkeys(["Size (MB)", "Time (s)", "Per protocol (s)"], ",.1f"),
    **dict.fromkeys(["Images per second"], ",.0f"),
}


def _table(
    frame: pd.DataFrame, columns: str, caption: str, label: str, scenarios: Sequence[Scenario] = (), foot: int = 0
) -> ReportTable:
    """Make a table of `columns`: "auc: Area under ROC; class" prints class as Class."""
    pairs = [column.split(": ") for column in columns.split("; ")]
    table = frame[[name for name, *_ in pairs]].copy()
    numbers = {scenario.name: f"S{scenario.number}" for scenario in scenarios}
    for name in {"class", "among"} & set(table):
        table[name] = table[name].map(readable)
    for name in {"scenario", "first", "second", "better"} & set(table):
        table[name] = table[name].map(lambda value: numbers.get(value, value))
    table.columns = pd.Index([pair[-1] if len(pair) > 1 else pair[0].capitalize() for pair in pairs])
    return ReportTable(table, caption, label, FORMATS, foot)


def _maker(columns: str, caption: str, label: str) -> Callable[..., ReportTable]:
    """Return a function that makes a table of fixed columns from a frame."""

    def make(frame: pd.DataFrame, scenarios: Sequence[Scenario] = ()) -> ReportTable:
        return _table(frame, columns, caption, label, scenarios)

    make.__doc__ = f"Tabulate: {caption}."
    return make


leaks = _maker(
    "protocol; validation: Validation images; copied: With a copy; share; low; high",
    "Validation images with a copy (identical perceptual hash) in the training set, "
    "with Wilson's 95 % confidence interval",
    "tbl-leaks",
)
matches = _maker(
    "distance: Distance (bits of 64); within: Within a class; across: Across classes",
    "Pairs of images by the distance of their perceptual hashes",
    "tbl-matches",
)
feature_cuts = _maker(
    "trainable_convs: Trainable convolutions; layer: Last frozen layer; values: Values per image; "
    "megabytes: Size (MB); images_per_second: Images per second",
    "Where the backbone is cut, and what is cached there; one pass over the images serves all cuts",
    "tbl-cuts",
)
scores = _maker(
    "protocol; scenario; seed; images; accuracy; macro_f1: Macro F1; weighted_f1: Weighted F1; "
    "majority: Majority-class baseline; ece: ECE; brier: Brier score",
    "Scores of every run on its validation images; ECE is the expected calibration error",
    "tbl-scores",
)
operating_points = _maker(
    "scenario; class; auc: Area under ROC; average_precision: Average precision; "
    "sensitivity: Sensitivity at 95 % specificity",
    "One-vs-rest scores of each class",
    "tbl-points",
)
published_supports = _maker(
    "class; images: Images N; files: Files 2N; validation: ⌊0.3 × 2N⌋; published: Published support; "
    "images_only: ⌊0.3 × N⌋",
    "Arithmetic of the published class counts",
    "tbl-supports",
)
sources = _maker(
    "question; among; images; choices; majority: Baseline; accuracy: Correct; low; high",
    "Source confounding: how often classes and sources are predicted correctly from the image, and classes from the "
    "source alone, with the majority-class baseline and 95 % confidence intervals",
    "tbl-sources",
)
audit_times = _maker("part; seconds: Time (s); per_protocol: Per protocol (s)", "Time of the audits", "tbl-audit-times")


def class_counts(manifest: pd.DataFrame, protocol: str) -> ReportTable:
    """Tabulate the images of each class in the training, validation and test set."""
    counts = pd.crosstab(manifest["class"], manifest["split"]).reset_index()
    columns = "class; train: Training; validation" + "; test" * ("test" in counts)
    return _table(counts, columns, f"Images per class, protocol {protocol}", "tbl-balance")


def finding_counts(findings: pd.DataFrame, protocol: str) -> ReportTable:
    """Tabulate the problems of one protocol by check, with the number in each class."""
    rows = []
    for (check, action), group in findings.groupby(["check", "action"], sort=True):
        counts = group.loc[group["class"] != "", "class"].value_counts(sort=False)
        others = f"; {len(counts) - MOST_CLASSES:,} other classes" if len(counts) > MOST_CLASSES else ""
        counts = counts.nlargest(MOST_CLASSES) if others else counts
        classes = "; ".join(f"{isolated(readable(str(name)))} {count:,}" for name, count in counts.items())
        rows.append((check, len(group), classes + others, action))
    table = pd.DataFrame(rows, columns=["Check", "Findings", "Classes", "Action"])
    return ReportTable(table, f"Problems of the data, protocol {protocol}", "tbl-findings")


def architecture(layers: pd.DataFrame, scenario: Scenario) -> ReportTable:
    """Tabulate the layers of a model; the table counts as a figure, as in the write-up."""
    return ReportTable(layers, f"Model architecture, {scenario.label}", "fig-architecture", foot=3)


def classification_report(reports: pd.DataFrame, run: Run, *, is_named: bool = False) -> ReportTable:
    """Tabulate the scores of each class of a run; `is_named`: caption with protocol and seed."""
    label, caption = f"tbl-report-{run.scenario.name}", f"Classification report, {run.scenario.label}"
    if is_named:
        label, caption = f"tbl-report-{run.name}", f"{caption}, {run.protocol.name}, seed {run.seed}"
    return _table(run.rows_of(reports), "class; precision; recall; f1: F1-score; support", caption, label, foot=3)


def comparisons(comparisons: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the differences in accuracy between pairs of scenarios of one protocol."""
    scaled = comparisons.assign(**{name: 100 * comparisons[name] for name in ("difference", "low", "high")})
    columns = "first; second; seeds; difference; low: From; high: To; different: McNemar; null; better"
    caption = (
        "Pairs of scenarios: difference in accuracy (percentage points) with its 95 % confidence interval over seeds "
        "and images; share of pairs of runs that McNemar's test with Holm's correction calls different, and the same "
        "share among runs of one scenario (null)"
    )
    return _table(scaled, columns, caption, "tbl-comparisons", scenarios)


def test_scores(intervals: pd.DataFrame, test_scores: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate accuracy and macro F1 of every run on the validation and the test set."""
    numbers = {scenario.name: f"S{scenario.number}" for scenario in scenarios}
    names = {"accuracy": "accuracy", "macro_f1": "macro F1"}
    keys = ["scenario", "seed", "measure"]
    validation = intervals[intervals["class"] == ""].set_index(keys)
    rows = [
        (numbers[row["scenario"]], row["seed"], names[row["measure"]], interval(of_validation), interval(row))
        for row in test_scores[test_scores["measure"].isin(names)].to_dict("records")
        for of_validation in [validation.loc[tuple(row[key] for key in keys)]]
    ]
    table = pd.DataFrame(rows, columns=["Scenario", "Seed", "Score", "Validation set", "Test set"])
    caption = "Scores on the validation set and on the test set that the data give, with 95 % confidence intervals"
    return ReportTable(table, caption, "tbl-test")


def reproduction(published: pd.DataFrame, protocol: str, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate "published / reproduced"; a star marks what the interval excludes.

    Parameters
    ----------
    published : DataFrame
        The table of this name, of one protocol and seed.
    """
    columns = {"precision": "Precision", "recall": "Recall", "f1": "F1-score", "support": "Support"}
    numbers = {scenario.name: f"S{scenario.number}" for scenario in scenarios}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for row in published.to_dict("records"):
        digits = ",.0f" if row["measure"] == "support" else ".2f"
        pair = f"{row['published']:{digits}} / {row['reproduced']:{digits}}"
        name = {"accuracy": "Accuracy", "macro_f1": "Macro F1"}.get(row["measure"], readable(row["class"]))
        cells = rows.setdefault((numbers[row["scenario"]], name), {})
        is_outside = not pd.isna(row["inside"]) and not row["inside"]
        cells[columns.get(row["measure"], "F1-score")] = pair + "*" * is_outside
    table = pd.DataFrame(
        [{"Scenario": number, "Class": name, **cells} for (number, name), cells in rows.items()],
        columns=["Scenario", "Class", *columns.values()],
    )
    return ReportTable(table, f"Published / reproduced values, protocol {protocol}", f"tbl-published-{protocol}")


def attribution(attribution: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the share of attribution inside the lungs of every run, over all classes."""
    columns = "protocol; scenario; images; share; low; high; area: Area of the lungs; lungs_only: Lungs-only reference"
    overall = attribution[attribution["class"] == ""]
    return _table(overall, columns, "Share of Grad-CAM attribution inside the lungs", "tbl-attribution", scenarios)


def settings(values: Mapping[str, Any], caption: str, label: str) -> ReportTable:
    """Tabulate names and values, such as settings, versions or checksums."""
    return ReportTable(pd.DataFrame(list(values.items()), columns=["Name", "Value"]).astype(str), caption, label)
