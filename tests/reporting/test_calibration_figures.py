import pandas as pd

from lab_utils.reporting import figures
from tests.reporting.conftest import ONE, TWO, axis_of, run


def test_reliability_has_a_dot_with_its_interval_per_bin_and_no_line_between() -> None:
    bins = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.4, 1.0], "low": [0.2, 0.8], "high": [0.6, 1.0]})
    scores = pd.DataFrame({"ece": [0.1], "ece_null": [0.03]})
    shown = figures.reliability(bins, scores, [run(ONE)])
    ax = shown.figure.axes[0]
    (container,) = ax.containers
    dots, _, (bars,) = container.lines
    assert dots.get_xydata().tolist() == [[0.5, 0.4], [0.9, 1.0]]
    assert dots.get_linestyle() == "None"
    assert [[round(y, 3) for _, y in segment] for segment in bars.get_segments()] == [[0.2, 0.6], [0.8, 1.0]]
    assert ax.get_xlim()[0] <= 0.2
    assert shown.alt.endswith("calibration error 0.100; a calibrated network has 0.030 on average.")


def test_accuracy_is_drawn_against_coverage_of_the_scenarios_with_rows() -> None:
    rows = pd.DataFrame({"coverage": [1.0, 0.5], "accuracy": [0.8, 0.9], "low": [0.7, 0.8], "high": [0.9, 1.0]})
    shown = figures.accuracy_by_coverage(rows.assign(scenario="one"), [ONE, TWO])
    (line,) = axis_of(shown).lines
    assert line.get_xydata().tolist() == [[0.5, 0.9], [1.0, 0.8]]
    assert "S1: title of one: 80.0\N{NO-BREAK SPACE}% on 100\N{NO-BREAK SPACE}%" in shown.alt
    assert "90.0\N{NO-BREAK SPACE}% on 50\N{NO-BREAK SPACE}% of the images." in shown.alt
