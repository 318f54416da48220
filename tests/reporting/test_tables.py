from types import SimpleNamespace

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.reporting import tables

ONE = Scenario(name="one", title="title of one", trainable_convs=0, number=1)


def test_published_values_stand_beside_those_of_the_run() -> None:
    rows = [
        ("one", "accuracy", "", 0.86, 0.9, False),
        ("one", "precision", "a_b", 0.84, 0.85, True),
        ("one", "support", "a_b", 2169, 109, None),
    ]
    table = pd.DataFrame(rows, columns=["scenario", "measure", "class", "published", "reproduced", "inside"])
    for inside in (table["inside"], table["inside"].astype("boolean")):
        shown = tables.reproduction(table.assign(inside=inside), "described", [ONE])
        first, second = shown.frame.to_dict("records")
        assert (first["Scenario"], first["Class"], first["F1-score"]) == ("S1", "Accuracy", "0.86 / 0.90*")
        assert (second["Class"], second["Precision"], second["Support"]) == ("a b", "0.84 / 0.85", "2,169 / 109")


def test_findings_are_counted_by_check_and_class() -> None:
    findings = pd.DataFrame(
        [("b", "x_y", "kept"), ("b", "z", "kept"), ("b", "z", "kept"), ("a", "", "reported")],
        columns=["check", "class", "action"],
    )
    assert tables.finding_counts(findings, "described").frame.to_numpy().tolist() == [
        ["a", 1, "", "reported"],
        ["b", 3, "x y 1; z 2", "kept"],
    ]
    many = pd.DataFrame([("b", name, "kept") for name in "abcdefgg"], columns=["check", "class", "action"])
    (row,) = tables.finding_counts(many, "described").frame["Classes"]
    assert row == "g 2; a 1; b 1; c 1; d 1; 2 other classes"


def test_columns_and_scenarios_are_printed_as_in_the_text() -> None:
    row = {"first": "one", "second": "other", "seeds": 5, "difference": -0.021, "low": -0.034, "high": -0.008}
    shown = tables.comparisons(pd.DataFrame([{**row, "different": 0.5, "null": 0.25, "better": ""}]), [ONE])
    page = shown.to_html()
    assert '<th scope="row" class="text">S1</th><td class="text">other</td><td class="number">5</td>' in page
    assert '<td class="number">−2.1</td><td class="number">−3.4</td><td class="number">−0.8</td>' in page
    assert '<td class="number">50\N{NO-BREAK SPACE}%</td>' in page


def test_a_report_of_several_runs_names_each() -> None:
    reports = pd.DataFrame([("a_b", 0.5, 0.6, 0.55, 10)] * 4, columns=["class", "precision", "recall", "f1", "support"])
    protocol = SimpleNamespace(name="p")
    run = SimpleNamespace(scenario=ONE, name="p/one/seed-2", protocol=protocol, seed=2, rows_of=lambda table: table)
    shown = tables.classification_report(reports, run)  # type: ignore[arg-type]
    assert (shown.label, shown.caption) == ("tbl-report-one", "Classification report, S1: title of one")
    named = tables.classification_report(reports, run, is_named=True)  # type: ignore[arg-type]
    assert (named.label, named.caption) == ("tbl-report-p/one/seed-2", f"{shown.caption}, p, seed 2")
