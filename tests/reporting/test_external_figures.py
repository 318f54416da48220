from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.data.dataset import Dataset
from lab_utils.reporting import figures
from tests.conftest import write_classes
from tests.reporting.conftest import ONE, TWO, intervals_in

TITLES = {"first": "a <hospital>", "second": "another one"}


def means() -> pd.DataFrame:
    """Scores of two scenarios on two collections, as `over_seeds` gives them."""
    rows = [
        (name, among, scenario.name, measure, label, other, 0.5 + 0.1 * place, 0.4, 0.7)
        for place, name in enumerate(TITLES)
        for scenario in (ONE, TWO)
        for among in ("all classes", "shared classes")
        for measure, label, other in (
            *[(measure, "", "") for measure in ("accuracy", "balanced_accuracy", "ece", "scaled_ece")],
            ("auc", "a_b", ""),
            ("pair_auc", "a_b", "c"),
        )
    ]
    columns = ["collection", "among", "scenario", "measure", "class", "other", "value", "low", "high"]
    table = pd.DataFrame(rows, columns=columns)
    return table.assign(images=40, internal=0.9, internal_low=0.85, internal_high=0.95)


def test_accuracies_elsewhere_stand_beside_those_inside_with_the_baseline() -> None:
    shown = figures.external_accuracies(means(), [ONE, TWO], TITLES, {"first": 0.45, "second": 0.55})
    shown.figure.draw_without_rendering()
    first, second = shown.figure.axes
    assert intervals_in(first) == intervals_in(second) == {(0.4, 0.7), (0.85, 0.95)}
    dashed = [line.get_xdata()[0] for ax in (first, second) for line in ax.lines if line.get_linestyle() == "--"]
    assert dashed == [0.45, 0.55]
    assert [label.get_text().replace("\n", " ") for label in first.get_yticklabels()] == [ONE.label, TWO.label]
    assert [ax.get_title() for ax in (first, second)] == list(TITLES.values())
    alt = shown.alt.replace("\N{NO-BREAK SPACE}", " ")
    assert f"another one, {TWO.label}: 60.0 % [40.0, 70.0], on validation images 90.0 % [85.0, 95.0]" in alt


def test_the_surest_errors_are_shown_with_their_maps_the_surest_first(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 3})
    images = [("a/a-1.png", 0.7), ("a/a-2.png", 0.9), ("a/a-3.png", 0.8)]
    cells = [(row, column, float(row)) for row in range(2) for column in range(2)]
    examples = pd.DataFrame([(name, "a", "b", sure, *cell) for name, sure in images for cell in cells])
    examples.columns = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
    examples = pd.concat([examples, examples[:0].astype(object)])  # of a run whose errors are not shown
    shown = figures.external_errors(examples, "first", TITLES["first"], Dataset("folder", root, "", {"a": {}}), ONE)
    shares = [ax.get_title().split(", ")[1].split("\N{NO-BREAK SPACE}")[0] for ax in shown.figure.axes if ax.images]
    assert shares == ["90", "80", "70"]
    assert [len(ax.images) for ax in shown.figure.axes] == [2, 2, 2, 0]
    assert shown.label == "fig-external-first"
    assert np.array_equal(shown.figure.axes[0].images[1].get_array(), [[0, 0], [1, 1]])
