import pandas as pd

from lab_utils.reporting import tables
from tests.reporting.conftest import ONE


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


def test_probes_are_printed_beside_permuted_labels() -> None:
    scores = {"balanced_accuracy": 0.6, "auc": 0.75, "null_auc": 0.5, "null_auc_high": 0.6, "p": 0.02}
    bounds = {f"{name}_{side}": scores[name] for name in ("balanced_accuracy", "auc") for side in ("low", "high")}
    probes = pd.DataFrame([{"input": "lungs_erased", "among": among, **scores, **bounds} for among in ("", "a_b / c")])
    shown = tables.probe_scores(probes, "corrected", "DenseNet121")
    assert "frozen DenseNet121 (histogram and thumbnail: without a backbone), protocol corrected" in shown.caption
    page = shown.to_html()
    assert "lungs erased" in page
    assert "60.0\N{NO-BREAK SPACE}% [60.0, 60.0]" in page
    assert "0.750 [0.750, 0.750]" in page
    assert "0.500 (0.600)" in page
    assert '<td class="number">0.020</td>' in page
    assert "a b / c" in page


def test_columns_and_scenarios_are_printed_as_in_the_text() -> None:
    row = {"class": "", "scenario": "one", "seed": 1200, "share": 0.25, "low": 0.2, "high": 0.3, "uniform": -0.5}
    heads = {"random_head": 0.4, "random_head_low": 0.1, "random_head_high": 0.6}
    others = {"centre": 0.3, "other_lungs": 0.5, "lungs_only": 0.4, "lungs": 0.7}
    page = tables.attribution(pd.DataFrame([{**row, **heads, **others}]), [ONE]).to_html()
    assert '<th scope="row" class="text">S1</th><td class="number">1,200</td>' in page
    assert '<td class="number">−50.0\N{NO-BREAK SPACE}%</td><td class="number">30.0\N{NO-BREAK SPACE}%</td>' in page
    assert "25.0\N{NO-BREAK SPACE}% [20.0, 30.0]" in page
    assert "40.0\N{NO-BREAK SPACE}% [10.0, 60.0]" in page
