"""Every table that the lab shows, with caption, label and printed columns."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.reporting.exhibits import ReportTable
from lab_utils.reporting.external_tables import external_areas as external_areas
from lab_utils.reporting.external_tables import external_images as external_images
from lab_utils.reporting.external_tables import external_scores as external_scores
from lab_utils.reporting.names import isolated, readable, scenario_numbers
from lab_utils.reporting.score_tables import calibration_scores as calibration_scores
from lab_utils.reporting.score_tables import class_scores as class_scores
from lab_utils.reporting.score_tables import comparisons as comparisons
from lab_utils.reporting.score_tables import mean_scores as mean_scores
from lab_utils.reporting.score_tables import one_vs_rest as one_vs_rest
from lab_utils.reporting.score_tables import predictive_values as predictive_values
from lab_utils.reporting.score_tables import protocol_changes as protocol_changes
from lab_utils.reporting.score_tables import ranking as ranking
from lab_utils.reporting.score_tables import reproduction as reproduction
from lab_utils.reporting.score_tables import test_scores as test_scores
from lab_utils.reporting.text import interval, number, number_interval

MOST_CLASSES = 5  # in a cell
FORMATS = {  # of columns, by their printed names; other numbers are integers
    **dict.fromkeys(
        [
            "Share",
            "Share for validation",
            "Low",
            "High",
            "Correct",
            "Baseline",
            *("Uniform", "Centre", "Other lungs", "Lungs only", "Lungs"),
        ],
        ".1%",
    ),
    **dict.fromkeys(["Size (MB)", "Time (s)", "Per protocol (s)"], ",.1f"),
    **dict.fromkeys(["Images per second"], ",.0f"),
    **dict.fromkeys(["AUC", "p"], ".3f"),
}


def _table(
    frame: pd.DataFrame, columns: str, caption: str, label: str, scenarios: Sequence[Scenario] = (), foot: int = 0
) -> ReportTable:
    """Make a table of `columns`: "auc: Area under ROC; class" prints class as Class."""
    pairs = [column.split(": ") for column in columns.split("; ")]
    table = frame[[name for name, *_ in pairs]].copy()
    numbers = scenario_numbers(scenarios)
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
published_supports = _maker(
    "class; images: Images N; files: Files 2N; of_files: ⌊0.3 × 2N⌋; of_images: ⌊0.6 × N⌋; "
    "published: Published support; images_only: ⌊0.3 × N⌋",
    "Arithmetic of the published class counts: 30 % of images and masks, and 60 % of the images",
    "tbl-supports",
)
sources = _maker(
    "question; among; images; choices; majority: Baseline; accuracy: Correct; low; high; auc: AUC; p: p",
    "Source confounding: how well sources are predicted from the image, and classes from the source alone, with 95 % "
    "confidence intervals of the share that is correct; p compares the macro AUC with permuted labels, corrected by "
    "Holm's method over the rows",
    "tbl-sources",
)
audit_times = _maker("part; seconds: Time (s)", "Time of the audits", "tbl-audit-times")


def class_counts(manifest: pd.DataFrame, protocol: str) -> ReportTable:
    """Tabulate the images of each class in the training, validation and test set.

    The share for validation is that of the images for training and validation.
    """
    counts = pd.crosstab(manifest["class"], manifest["split"]).reset_index()
    counts["share"] = counts["validation"] / (counts["train"] + counts["validation"])
    columns = "class; train: Training; validation; share: Share for validation" + "; test" * ("test" in counts)
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


def attribution(attribution: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the share of attribution inside the lungs of every run, and the references."""
    columns = "scenario; seed; network; uniform; centre; other_lungs: Other lungs; random_head: Random heads; "
    columns += "lungs_only: Lungs only; lungs"
    rows = attribution[attribution["class"] == ""]
    printed = {"network": "share", "random_head": "random_head"}
    texts = {name: [interval(row, value) for row in rows.to_dict("records")] for name, value in printed.items()}
    caption = (
        "Share of Grad-CAM attribution inside the lungs with its 95 % confidence interval, and its references; of the "
        "random heads, the mean, the smallest and the largest share"
    )
    return _table(rows.assign(**texts), columns, caption, "tbl-attribution", scenarios)


def probe_scores(probes: pd.DataFrame, protocol: str, backbone: str) -> ReportTable:
    """Tabulate the scores of the linear models and of permuted labels, of one protocol."""
    rows = probes.to_dict("records")
    printed = {"balanced_accuracy": interval, "auc": number_interval}
    texts = {name: [form(row, name) for row in rows] for name, form in printed.items()}
    texts["null"] = [f"{number(row['null_auc'], 3)} ({number(row['null_auc_high'], 3)})" for row in rows]
    table = probes.assign(**texts, input=probes["input"].map(readable), among=probes["among"].replace("", "all"))
    columns = "input; among: Classes; balanced_accuracy: Balanced accuracy; auc: Macro AUC; null: Permuted labels; p: p"
    caption = (
        f"Linear models on features of the frozen {backbone} (histogram and thumbnail: without a backbone), protocol "
        f"{protocol}, with 95 % confidence intervals; of the macro AUC with permuted labels, the mean and the 95 % "
        "quantile; p before Holm's correction"
    )
    return _table(table, columns, caption, "tbl-probes")


def settings(values: Mapping[str, Any], caption: str, label: str) -> ReportTable:
    """Tabulate names and values, such as settings, versions or checksums."""
    return ReportTable(pd.DataFrame(list(values.items()), columns=["Name", "Value"]).astype(str), caption, label)
