from typing import Any

import pandas as pd

from lab_utils.evaluation.metrics import SUMMARY
from lab_utils.reporting import tables
from lab_utils.reporting.exhibits import NBSP, ReportTable
from tests.reporting.conftest import ONE, TWO

PUBLISHED = pd.DataFrame(
    [
        ("one", "accuracy", "", 0.86, 0.9, 0.04, 0.01, 0.07, True),
        ("one", "precision", "a_b", 0.84, 0.85, 0.01, -0.02, 0.04, False),
        ("one", "support", "a_b", 2169, 109, -2060, None, None, None),
    ],
    columns=["scenario", "measure", "class", "published", "reproduced", "difference", "low", "high", "differs"],
)


def rows_of(table: ReportTable) -> list[list[Any]]:
    """The cells of a table, with plain spaces."""
    return table.frame.map(lambda cell: cell.replace(NBSP, " ") if isinstance(cell, str) else cell).to_numpy().tolist()


def means(seeds: int = 1) -> pd.DataFrame:
    """The table means of one scenario; a class without images has no rows."""
    overall = ["accuracy", "balanced_accuracy", "macro_f1", "ece", "brier", "scaled_ece", "scaled_brier"]
    of_class = ["precision", "recall", "f1", "auc", "average_precision", "sensitivity_at_95"]
    scores = {"value": 0.5, "low": 0.4, "high": 0.6}
    rows = [{"measure": name, "class": "", **scores} for name in overall]
    rows += [{"measure": name, "class": "a_b", **scores} for name in of_class]
    return pd.DataFrame(rows).assign(scenario="one", seeds=seeds, images=1200)


def test_scores_have_their_intervals() -> None:
    shown = tables.mean_scores(means(), [ONE, TWO])
    assert rows_of(shown) == [["S1: title of one", *["50.0 % [40.0, 60.0]"] * 3]]
    assert shown.caption.startswith("Scores on 1,200 validation images, with")
    points = rows_of(tables.one_vs_rest(means(), [ONE, TWO]))
    assert points == [["S1", "a b", *["0.500 [0.400, 0.600]"] * 3]]


def test_each_class_has_intervals_and_its_images() -> None:
    reports = pd.DataFrame({"class": ["a_b", "absent", *SUMMARY], "support": [1200, 0, 1200, 1200, 1200]})
    reports[["precision", "recall", "f1"]] = [0.7, 0.8, 0.9]
    both = pd.concat([reports.assign(scenario="one", seed=seed) for seed in (0, 1)])
    shown = tables.class_scores(means(seeds=5), both, ONE)
    assert rows_of(shown) == [
        ["a b", *["0.50 [0.40, 0.60]"] * 3, 1200],
        ["absent", *["not available"] * 3, 0],
        ["Accuracy", "0.50 [0.40, 0.60] (1,200 samples)", "", "", pd.NA],
        ["Macro Avg", "0.70", "0.80", "0.50 [0.40, 0.60]", pd.NA],
        ["Weighted Avg", "0.70", "0.80", "0.90", pd.NA],
    ]
    assert (shown.label, shown.foot) == ("tbl-report-one", 3)
    assert shown.caption.startswith("Classification report, S1: title of one, mean over 5 seeds")


def test_scenarios_are_ranked_beside_the_write_up() -> None:
    scores = means().assign(value=0.9)
    both = pd.concat([scores, scores.assign(scenario="two", value=0.8)])
    published = pd.DataFrame({"published": [0.86, 0.86]}, index=["one", "two"])
    rows = rows_of(tables.ranking(both, published, [ONE, TWO]))
    assert rows[0] == ["S1: title of one", "90.0 % [40.0, 60.0]", 1, "86 %", 1]
    assert rows[1] == ["S2: title of two", "80.0 % [40.0, 60.0]", 2, "86 %", 1]
    assert rows_of(tables.ranking(both, published[:0], [ONE, TWO]))[1] == ["S2: title of two", "80.0 % [40.0, 60.0]", 2]
    unknown = tables.ranking(both, published[:1], [ONE, TWO])
    assert rows_of(unknown)[1][3] == ""
    assert pd.isna(rows_of(unknown)[1][4])
    alone = tables.ranking(scores, published[:1], [ONE])
    assert rows_of(alone) == [["S1: title of one", "90.0 % [40.0, 60.0]", "86 %"]], "one scenario has no rank"
    assert alone.caption.startswith("Accuracy,")


def test_calibration_stands_beside_that_of_a_calibrated_network() -> None:
    row = {"scenario": "one", "temperature": 1.5, "ece_null": 0.03, "ece_null_high": 0.05, "brier_reference": 0.64}
    shown = tables.calibration_scores(pd.DataFrame([row, {**row, "temperature": 2.5}]), means(seeds=2), [ONE, TWO])
    before, after = rows_of(shown)
    score = "0.500 [0.400, 0.600]"
    assert before == ["S1", "1", score, "0.030 (0.050)", score]
    assert after == ["S1", "2.00", score, "", score]
    assert shown.caption.endswith("The Brier score of the base rates is 0.640")


def test_predictive_values_have_their_intervals() -> None:
    values = {"ppv": 0.2, "ppv_low": 0.1, "ppv_high": 0.3, "npv": 0.99, "npv_low": 0.98, "npv_high": 1.0}
    prevalence = pd.DataFrame([{"scenario": "one", "class": "a_b", "prevalence": 0.05, **values}])
    shown = tables.predictive_values(prevalence, [ONE])
    assert rows_of(shown) == [["S1", "5 %", "20.0 % [10.0, 30.0]", "99.0 % [98.0, 100.0]"]]
    assert "for a b by its prevalence" in shown.caption


def test_pairs_of_scenarios_have_the_smallest_detectable_difference() -> None:
    row = {"first": "one", "second": "two", "seeds": 5, "difference": -0.021, "low": -0.034, "high": -0.008}
    shown = tables.comparisons(pd.DataFrame([{**row, "p": 0.012, "detectable": 0.019, "better": "two"}]), [ONE, TWO])
    assert rows_of(shown) == [["S1 − S2", "−2.1 [−3.4, −0.8]", "0.012", "1.9", "S2"]]
    assert "over 5 seeds" in shown.caption


def test_published_values_stand_beside_those_of_the_run() -> None:
    for differs in (PUBLISHED["differs"], PUBLISHED["differs"].astype("boolean")):
        shown = tables.reproduction(PUBLISHED.assign(differs=differs), "described", [ONE])
        first, second = shown.frame.to_dict("records")
        assert (first["Scenario"], first["Class"], first["F1-score"]) == ("S1", "Accuracy", "0.86 / 0.90*")
        assert (second["Class"], second["Precision"], second["Support"]) == ("a b", "0.84 / 0.85", "2,169 / 109")
