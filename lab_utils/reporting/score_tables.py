"""Tables of scores with their intervals; `lab_utils.reporting.tables` offers them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.metrics import SUMMARY
from lab_utils.reporting.exhibits import ReportTable
from lab_utils.reporting.names import readable, scenario_numbers
from lab_utils.reporting.text import interval, number, number_interval, percent, points_interval

CLASS_MEASURES = {"precision": "Precision", "recall": "Recall", "f1": "F1-score"}
CURVE_MEASURES = {
    "auc": "Area under ROC",
    "average_precision": "Average precision",
    "sensitivity_at_95": "Sensitivity at 95 % specificity",
}
OVERALL = {"accuracy": "Accuracy", "balanced_accuracy": "Balanced accuracy", "macro_f1": "Macro F1"}
ABSENT = {"value": None}  # of a class without images


def _over(seeds: int) -> str:
    return f", mean over {seeds} seeds" if seeds > 1 else ""


def _cells(scores: pd.DataFrame) -> dict[tuple[str, str], dict[Any, Any]]:
    """Return the rows of a table of scores of one scenario by measure and class."""
    return {(row["measure"], row["class"]): row for row in scores.to_dict("records")}


def mean_scores(means: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate scores over all classes of each scenario: the table means, of one protocol."""
    rows = []
    for scenario in scenarios:
        cells = _cells(means[means["scenario"] == scenario.name])
        if cells:
            rows.append((scenario.label, *(interval(cells[measure, ""]) for measure in OVERALL)))
    seeds, images = means["seeds"].max(), means["images"].max()
    caption = f"Scores on {images:,} validation images{_over(seeds)}, with 95 % confidence intervals"
    return ReportTable(pd.DataFrame(rows, columns=["Scenario", *OVERALL.values()]), caption, "tbl-scores")


def class_scores(means: pd.DataFrame, reports: pd.DataFrame, scenario: Scenario) -> ReportTable:
    """Tabulate precision, recall and F1 of each class of one scenario, with intervals.

    Parameters
    ----------
    means, reports : DataFrame
        The tables of these names, of one protocol; `reports` counts the images of each class.
    """
    scores = means[means["scenario"] == scenario.name]
    cells = _cells(scores)
    of_scenario = reports[reports["scenario"] == scenario.name]
    averages = of_scenario.groupby("class", sort=False)[[*CLASS_MEASURES, "support"]].mean()
    rows: list[tuple[Any, ...]] = []
    for name in averages.index[: -len(SUMMARY)]:
        values = (number_interval(cells.get((measure, name), ABSENT), digits=2) for measure in CLASS_MEASURES)
        rows.append((readable(name), *values, averages.loc[name, "support"]))
    images, accuracy = scores["images"].max(), number_interval(cells["accuracy", ""], digits=2)
    rows.append(("Accuracy", f"{accuracy} ({images:,} samples)", "", "", None))
    for name, f1 in {"macro avg": number_interval(cells["macro_f1", ""], digits=2), "weighted avg": ""}.items():
        of_name = averages.loc[name].to_dict()
        precision, recall, weighted = (number(of_name[measure]) for measure in CLASS_MEASURES)
        rows.append((name.title(), precision, recall, f1 or weighted, None))
    table = pd.DataFrame(rows, columns=["Class", *CLASS_MEASURES.values(), "Support"]).astype({"Support": "Int64"})
    caption = f"Classification report, {scenario.label}{_over(scores['seeds'].max())}, with 95 % confidence intervals"
    return ReportTable(table, caption, f"tbl-report-{scenario.name}", foot=3)


def ranking(means: pd.DataFrame, against_write_up: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the accuracies of the scenarios with their ranks, beside those of the write-up.

    Parameters
    ----------
    means : DataFrame
        The table of this name, of one protocol.
    against_write_up : DataFrame
        Accuracies in the table published, of the same protocol, by scenario; without rows, two columns are left out.
    """
    labels = {scenario.name: scenario.label for scenario in scenarios}
    ours = means[means["measure"] == "accuracy"].set_index("scenario")
    ours = ours.loc[[name for name in labels if name in ours.index]]
    table = pd.DataFrame(
        {"Scenario": ours.index.map(labels), "Accuracy": [interval(row) for _, row in ours.iterrows()]}
    )
    if several := len(ours) > 1:
        table["Rank"] = _ranks(ours["value"]).to_numpy()
    if len(against_write_up):
        theirs = against_write_up["published"].reindex(ours.index)
        table["Write-up"] = [percent(value, 0) if pd.notna(value) else "" for value in theirs]
        if several:
            table["Rank in the write-up"] = _ranks(theirs).to_numpy()
    title = f"{'Ranking of the scenarios by accuracy' if several else 'Accuracy'}, with 95 % confidence intervals"
    return ReportTable(table, title, "tbl-ranking")


def _ranks(values: pd.Series) -> pd.Series:
    """Return ranks from the highest value; equal values share one."""
    return values.rank(ascending=False, method="min").astype("Int64")


def one_vs_rest(means: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate areas under curves, and sensitivities, of each class: the table means."""
    rows = []
    for name, number_of in scenario_numbers(scenarios).items():
        scores = means[means["scenario"] == name]
        cells = _cells(scores)
        for label in dict.fromkeys(scores["class"][scores["measure"] == "auc"]):
            if label:
                values = (number_interval(cells[measure, label]) for measure in CURVE_MEASURES)
                rows.append((number_of, readable(label), *values))
    table = pd.DataFrame(rows, columns=["Scenario", "Class", *CURVE_MEASURES.values()])
    return ReportTable(table, "One-vs-rest scores of each class, with 95 % confidence intervals", "tbl-points")


def calibration_scores(calibration: pd.DataFrame, means: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate calibration error and Brier score, before and after temperature scaling.

    Parameters
    ----------
    calibration : DataFrame
        The table calibration_scores, of one protocol; its references are averaged over seeds.
    means : DataFrame
        The table of this name, of the same protocol.
    """
    rows: list[tuple[str, ...]] = []
    for scenario in scenarios:
        cells = _cells(means[means["scenario"] == scenario.name])
        if not cells:
            continue
        of = calibration[calibration["scenario"] == scenario.name].mean(numeric_only=True)
        null = f"{number(of['ece_null'], 3)} ({number(of['ece_null_high'], 3)})"
        before = number_interval(cells["ece", ""]), null, number_interval(cells["brier", ""])
        after = number_interval(cells["scaled_ece", ""]), "", number_interval(cells["scaled_brier", ""])
        rows.append((f"S{scenario.number}", "1", *before))
        rows.append((f"S{scenario.number}", number(of["temperature"]), *after))
    caption = (
        "Expected calibration error (ECE) and Brier score before (temperature 1) and after cross-fitted temperature "
        "scaling, with 95 % confidence intervals. If calibrated: mean ECE of a calibrated network and, in parentheses, "
        f"its 95 % quantile. The Brier score of the base rates is {number(calibration['brier_reference'].mean(), 3)}"
    )
    columns = ["Scenario", "Temperature", "ECE", "If calibrated", "Brier score"]
    return ReportTable(pd.DataFrame(rows, columns=columns), caption, "tbl-calibration")


def predictive_values(prevalence: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate predictive values of one class by its prevalence.

    Parameters
    ----------
    prevalence : DataFrame
        The table of this name, of one protocol and seed.
    """
    numbers = scenario_numbers(scenarios)
    rows = [
        (numbers[row["scenario"]], percent(row["prevalence"], 0), interval(row, "ppv"), interval(row, "npv"))
        for row in prevalence.to_dict("records")
    ]
    table = pd.DataFrame(
        rows, columns=["Scenario", "Prevalence", "Positive predictive value", "Negative predictive value"]
    )
    name = readable(prevalence["class"].iloc[0])
    caption = f"Predictive values for {name} by its prevalence, with 95 % confidence intervals"
    return ReportTable(table, caption, "tbl-prevalence")


def comparisons(comparisons: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the differences in accuracy between pairs of scenarios of one protocol."""
    numbers = scenario_numbers(scenarios)
    rows = [
        (
            f"{numbers[row['first']]} − {numbers[row['second']]}",
            points_interval(row),
            number(row["p"], 3),
            number(100 * row["detectable"], 1),
            numbers.get(row["better"], ""),
        )
        for row in comparisons.to_dict("records")
    ]
    caption = (
        f"Differences in accuracy over {comparisons['seeds'].max()} seeds (percentage points), with 95 % confidence "
        "intervals over seeds and images; Holm's method corrects the p-values, and not the intervals; detectable: the "
        "smallest true difference that would be detected in about 80 % of such experiments"
    )
    columns = ["Scenarios", "Difference", "p", "Detectable", "Better"]
    return ReportTable(pd.DataFrame(rows, columns=columns), caption, "tbl-comparisons")


def test_scores(intervals: pd.DataFrame, test_scores: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate accuracy and macro F1 of every run on the validation and the test set."""
    numbers, names = scenario_numbers(scenarios), {"accuracy": "accuracy", "macro_f1": "macro F1"}
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
    """Tabulate "published / reproduced"; a star marks a value that differs.

    Parameters
    ----------
    published : DataFrame
        The table of this name, of one protocol.
    """
    columns, numbers = {**CLASS_MEASURES, "support": "Support"}, scenario_numbers(scenarios)
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for row in published.to_dict("records"):
        digits = ",.0f" if row["measure"] == "support" else ".2f"
        pair = f"{row['published']:{digits}} / {row['reproduced']:{digits}}"
        name = {"accuracy": "Accuracy", "macro_f1": "Macro F1"}.get(row["measure"], readable(row["class"]))
        is_different = pd.notna(row["differs"]) and bool(row["differs"])
        of_row = cells.setdefault((numbers[row["scenario"]], name), {})
        of_row[columns.get(row["measure"], "F1-score")] = pair + "*" * is_different
    table = pd.DataFrame(
        [{"Scenario": number_of, "Class": name, **values} for (number_of, name), values in cells.items()],
        columns=["Scenario", "Class", *columns.values()],
    )
    return ReportTable(table, f"Published / reproduced values, protocol {protocol}", f"tbl-published-{protocol}")


def protocol_changes(changes: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportTable:
    """Tabulate the accuracy under neighbouring protocols: the table changes."""
    numbers = scenario_numbers(scenarios)
    rows = [
        (
            f"{row['from']} → {row['to']}",
            row["what"],
            numbers[row["scenario"]],
            row["images"],
            percent(row["accuracy_from"]),
            percent(row["accuracy_to"]),
            points_interval(row),
        )
        for row in changes.to_dict("records")
    ]
    caption = (
        f"Accuracy on the validation images that two neighbouring protocols share{_over(changes['seeds'].max())}; "
        "differences in percentage points with 95 % confidence intervals"
    )
    columns = ["Protocols", "Change", "Scenario", "Images", "Before", "After", "Difference"]
    return ReportTable(pd.DataFrame(rows, columns=columns), caption, "tbl-changes")
