"""Tables of outside collections; `lab_utils.reporting.tables` offers them."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.transport import ALL
from lab_utils.reporting.exhibits import ReportTable
from lab_utils.reporting.names import readable
from lab_utils.reporting.text import interval

COUNTS = {"copies": "Near-duplicates", "judged": "Judged"}


def external_images(counts: pd.DataFrame) -> ReportTable:
    """Tabulate what became of the images of outside collections: table external_images."""
    table = counts[["title", "label", "class", "images", "unreadable", *COUNTS]].copy()
    table["class"] = table["class"].map(readable).replace("", "none")
    table.columns = pd.Index(["Collection", "Label", "Class", "Images", "Unreadable", *COUNTS.values()])
    caption = (
        "Images of the outside collections: labels, the classes that they are mapped to, and images that are left out: "
        "unreadable files, and near-duplicates of images of the experiment"
    )
    return ReportTable(table, caption, "tbl-external-images")


def external_scores(means: pd.DataFrame, scenarios: Sequence[Scenario], titles: Mapping[str, str]) -> ReportTable:
    """Tabulate scores on outside collections, from `lab_utils.evaluation.transport.over_seeds` of one protocol."""
    numbers = {scenario.name: f"S{scenario.number}" for scenario in scenarios}
    overall, rows = means[means["class"] == ""], []
    for _, scores in overall.groupby(["collection", "among", "scenario"], sort=False):
        of = {row["measure"]: row for row in scores.to_dict("records")}
        accuracy = of["accuracy"]
        names = titles[accuracy["collection"]], accuracy["among"], numbers[accuracy["scenario"]], accuracy["images"]
        outside = interval(accuracy), interval(of["balanced_accuracy"])
        errors = " / ".join(f"{of[measure]['value']:.3f}" for measure in ("ece", "scaled_ece"))
        rows.append((*names, interval(accuracy, "internal"), *outside, errors))
    columns = ["Collection", "Among", "Scenario", "Images", "Accuracy on validation images", "Accuracy"]
    caption = (
        "Outside collections: accuracy on validation images of the same classes, and scores on the collection, with "
        "95 % confidence intervals; expected calibration error (ECE) before and after temperature scaling"
    )
    return ReportTable(
        pd.DataFrame(rows, columns=[*columns, "Balanced accuracy", "ECE before / after"]), caption, "tbl-external"
    )


def external_areas(means: pd.DataFrame, scenario: Scenario, titles: Mapping[str, str]) -> ReportTable:
    """Tabulate the areas under the ROC curve of one scenario, of classes and of pairs: as `external_scores`."""
    chosen = (means["scenario"] == scenario.name) & (means["among"] == ALL) & means["measure"].isin(["auc", "pair_auc"])
    rows = [
        {
            "Collection": titles[row["collection"]],
            "Class": readable(row["class"]),
            "Against": readable(row["other"]) or "all others",
            "Images": row["images"],
            "AUC on validation images": row["internal"],
            "AUC": row["value"],
            "95 % interval": f"{row['low']:.3f}–{row['high']:.3f}" if row["low"] < row["high"] else "",
        }
        for row in means[chosen].to_dict("records")
    ]
    caption = (
        f"Areas under the ROC curve (AUC) on outside collections, {scenario.label}, with 95 % confidence intervals"
    )
    formats = dict.fromkeys(["AUC on validation images", "AUC"], ".3f")
    return ReportTable(pd.DataFrame(rows), caption, "tbl-external-areas", formats)
