"""Tables of one outside collection each; `lab_utils.reporting.tables` offers them."""

from collections.abc import Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.transport import ALL
from lab_utils.reporting.exhibits import ReportTable
from lab_utils.reporting.names import readable, scenario_numbers
from lab_utils.reporting.text import interval, number_interval

COUNTS = {"images": "Images", "unreadable": "Unreadable", "copies": "Near-duplicates", "judged": "Judged"}


def external_images(counts: pd.DataFrame) -> ReportTable:
    """Tabulate what became of the images of a collection: its rows of the table external_images."""
    table = counts[["label", "class", *COUNTS]].copy()
    table["class"] = table["class"].map(readable).replace("", "none")
    table.columns = pd.Index(["Label", "Class", *COUNTS.values()])
    caption = (
        f"Images of {counts['title'].iloc[0]}: labels, and the classes that they are mapped to; unreadable files and "
        "near-duplicates of images of the experiment are left out"
    )
    return ReportTable(table, caption, f"tbl-external-images-{counts['collection'].iloc[0]}")


def external_scores(means: pd.DataFrame, scenarios: Sequence[Scenario], title: str) -> ReportTable:
    """Tabulate scores on a collection, of one protocol: rows of `over_seeds`."""
    numbers = scenario_numbers(scenarios)
    overall, rows = means[means["class"] == ""], []
    for _, scores in overall.groupby(["scenario", "among"], sort=False):
        of = {row["measure"]: row for row in scores.to_dict("records")}
        accuracy = of["accuracy"]
        shares = interval(accuracy, "internal"), interval(accuracy), interval(of["balanced_accuracy"])
        error = number_interval(of["ece"])
        rows.append((numbers[accuracy["scenario"]], "all" if accuracy["among"] == ALL else "shared", *shares, error))
    caption = (
        f"Scores on {title}, with 95 % confidence intervals. Inside: on validation images of the same classes. ECE: "
        "expected calibration error"
    )
    columns = ["Scenario", "Classes", "Accuracy inside", "Accuracy", "Balanced accuracy", "ECE"]
    return ReportTable(pd.DataFrame(rows, columns=columns), caption, f"tbl-external-{means['collection'].iloc[0]}")


def external_areas(means: pd.DataFrame, scenario: Scenario, title: str) -> ReportTable:
    """Tabulate the areas under the ROC curve of one scenario, of classes and of pairs."""
    chosen = (means["scenario"] == scenario.name) & (means["among"] == ALL) & means["measure"].isin(["auc", "pair_auc"])
    rows = [
        {
            "Class": readable(row["class"]),
            "Against": readable(row["other"]) or "all others",
            "Images": row["images"],
            "AUC inside": number_interval(row, "internal"),
            "AUC": number_interval(row),
        }
        for row in means[chosen].to_dict("records")
    ]
    caption = (
        f"Areas under the ROC curve (AUC) on {title}, {scenario.label}, with 95 % confidence intervals. Inside: on "
        "validation images"
    )
    return ReportTable(pd.DataFrame(rows), caption, f"tbl-external-areas-{means['collection'].iloc[0]}")
