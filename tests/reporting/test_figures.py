from types import SimpleNamespace
from typing import Any

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.reporting import figures, style
from lab_utils.reporting.style import scenario_marks
from tests.reporting.conftest import ONE, SCENARIOS, TWO, history, intervals_in


def run(scenario: Scenario) -> Any:
    """What figures ask of a finished run."""
    rows_of = lambda table: table[table["scenario"] == scenario.name]  # noqa: E731
    return SimpleNamespace(scenario=scenario, protocol=SimpleNamespace(name="p"), seed=0, rows_of=rows_of)


def test_curves_in_words() -> None:
    assert figures.training_curves(history(), ONE).alt.replace("\N{NO-BREAK SPACE}", " ") == (
        "Two line charts over 3 epochs. Validation accuracy starts at 40.0 %, is highest in epoch 2 (90.0 %) and ends at "
        "80.0 %, training accuracy at 95.0 %. Validation loss ends at 0.88, training loss at 0.25."
    )


def test_the_overview_shows_the_others_in_grey() -> None:
    histories = {name: history(val_accuracy=[0.5, 0.6, value]) for name, value in (("one", 0.6), ("two", 0.9))}
    shown = figures.training_overview(histories, SCENARIOS)
    axes = [ax for ax in shown.figure.axes if ax.lines]
    assert len(shown.figure.axes) == 3
    assert len(axes) == 2
    assert len({ax.get_ylim() for ax in axes}) == 1
    for ax, scenario in zip(axes, (ONE, TWO), strict=True):
        other, line = (line for line in ax.lines if len(line.get_xdata()) == 3)
        assert other.get_color() == style.GREYS[2]
        assert line.get_color() == scenario_marks(scenario)["color"]
        assert list(line.get_ydata()) == list(histories[scenario.name]["val_accuracy"])


def test_errors_in_words() -> None:
    confusion = pd.DataFrame(
        [("two", "a_b", "a_b", 8), ("two", "a_b", "c", 2), ("two", "c", "a_b", 1), ("two", "c", "c", 9)],
        columns=["scenario", "y_true", "y_pred", "images"],
    )
    said = figures.confusion_matrices(confusion, [run(TWO)]).alt
    assert said == "S2: title of two: 3 of 20 images are classified wrongly, most often a b as c (2)."
    perfect = confusion.assign(images=[8, 0, 0, 9])
    assert figures.confusion_matrices(perfect, [run(TWO)]).alt.endswith("none of 17 images is classified wrongly.")


def test_probes_are_compared_with_the_majority_class_baseline() -> None:
    row = {"accuracy": 0.8, "low": 0.7, "high": 0.9}
    names = [("p", "full", 0.4), ("p", "lungs_erased", 0.4), ("q", "full", 0.5)]
    probes = pd.DataFrame([{"protocol": p, "input": name, "majority": majority, **row} for p, name, majority in names])
    shown = figures.probe_accuracies(probes)
    (ax,) = shown.figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == ["full", "lungs erased"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.4, 0.5]
    assert intervals_in(ax) == {(0.7, 0.9)}
    assert len(shown.figure.legends) == 1


def test_attribution_lies_between_its_references() -> None:
    row = {"share": 0.4, "low": 0.3, "high": 0.5, "area": 0.2, "lungs_only": 0.6, "images": 9}
    table = pd.DataFrame([{"class": "a_b", "outcome": "correct", **row}, {"class": "", "outcome": "", **row}])
    shown = figures.attribution_shares(table, ONE)
    (ax,) = shown.figure.axes
    ticks = [line for line in ax.lines if line.get_marker() == "|" and line.get_markersize() == 9]
    assert sorted({float(x) for line in ticks for x in line.get_xdata() if x == x}) == [0.2, 0.6]
    assert "a b, correct: 40.0 % (9 images; the lungs cover 20.0 %, lungs-only reference 60.0 %)" in shown.alt.replace(
        "\N{NO-BREAK SPACE}", " "
    )


def test_trainings_by_hand_can_be_compared() -> None:
    shown = figures.compared_curves({"slow": history(), "fast": history(val_accuracy=0.5)})
    assert shown.alt.startswith("slow: Two line charts over 3 epochs.")
    (legend,) = shown.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "fast"]
    assert not any(ax.get_legend() for ax in shown.figure.axes)
