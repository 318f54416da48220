import itertools

import pandas as pd
import pytest

from lab_utils.reporting import figures
from tests.reporting.conftest import ONE, TWO, axis_of, intervals_in, run


@pytest.mark.filterwarnings("error")
def test_any_class_name_can_be_drawn() -> None:
    names = [
        "x" * 60,
        "a name of sixty characters with words in it, and then some",
        r"$x$ & % _ { } ~ ^ \ < >",
        "中文 العربية 한국",
    ]
    counts = pd.DataFrame([{"y_true": a, "y_pred": b, "images": 1} for a in names for b in names])
    shown = figures.confusion_matrices(counts, [run(ONE)])
    shown.figure.draw_without_rendering()
    labels = [label.get_text() for label in shown.figure.axes[0].get_yticklabels()]
    assert labels[1] == "a name of sixty ch…\nit, and then some"


def test_many_classes_are_named_at_rows_and_numbered_at_columns() -> None:
    names = [f"a class with a name of forty characters {number}" for number in range(20)]
    counts = pd.DataFrame([{"y_true": a, "y_pred": b, "images": int(a == b)} for a in names for b in names])
    shown = figures.confusion_matrices(counts, [run(ONE), run(TWO)])
    shown.figure.draw_without_rendering()
    for ax in shown.figure.axes:
        assert [label.get_text() for label in ax.get_xticklabels()] == [str(number) for number in range(1, 21)]
        rows = ax.get_yticklabels()
        assert len({label.get_text() for label in rows}) == 20
        assert all(label.get_text().startswith("a class") for label in rows)
        boxes = [label.get_window_extent() for label in rows]
        assert all(upper.y0 > lower.y1 - 1 for upper, lower in itertools.pairwise(boxes))
        assert sum(text.get_text() == "" for text in ax.texts) == 380
    assert shown.figure.get_figheight() / 2 < 3.1  # three fit on a page


def test_a_confusion_matrix_shows_counts_also_of_an_absent_class() -> None:
    counts = pd.DataFrame({"y_true": ["a", "a", "b", "b"], "y_pred": ["a", "b", "a", "b"], "images": [1234, 1, 0, 0]})
    ax = figures.confusion_matrices(counts, [run(ONE)]).figure.axes[0]
    assert [text.get_text() for text in ax.texts] == ["1,234", "1", "0", "0"]


def test_errors_in_words() -> None:
    confusion = pd.DataFrame(
        [("two", "a_b", "a_b", 8), ("two", "a_b", "c", 2), ("two", "c", "a_b", 1), ("two", "c", "c", 9)],
        columns=["scenario", "y_true", "y_pred", "images"],
    )
    said = figures.confusion_matrices(confusion, [run(TWO)]).alt
    assert said == "S2: title of two: 3 of 20 images are classified wrongly, most often a b as c (2)."
    perfect = confusion.assign(images=[8, 0, 0, 9])
    assert figures.confusion_matrices(perfect, [run(TWO)]).alt.endswith("none of 17 images is classified wrongly.")


def test_intervals_are_drawn_for_every_run_and_for_the_means() -> None:
    table = pd.DataFrame(
        {
            "scenario": ["one", "one", "two"],
            "seed": [0, 1, 0],
            "value": [0.8, 0.9, 0.7],
            "low": [0.6, 0.65, 0.5],
            "high": [0.95, 0.96, 0.71],
        },
        index=[7, 7, 9],  # of a larger table
    )
    runs = pd.concat([table.assign(measure=measure) for measure in ("accuracy", "macro_f1")])
    means = runs[runs["seed"] == 0].drop(columns="seed").assign(seeds=2, low=0.55)
    shown = figures.score_intervals(runs, means, [ONE, TWO])
    for ax in shown.figure.axes:
        assert intervals_in(ax) == {(0.6, 0.95), (0.65, 0.96), (0.5, 0.71), (0.55, 0.95), (0.55, 0.71)}
    labels = [label.get_text() for label in shown.figure.axes[0].get_yticklabels()]
    assert labels == ["S1: title of one", "S2: title of two"]
    one_seed = means.assign(seeds=1, low=None, high=None).astype({"low": float, "high": float})
    shown = figures.score_intervals(runs, one_seed, [ONE, TWO])  # the runs are the means; too few images for intervals
    assert intervals_in(shown.figure.axes[0]) == set()
    assert "S2: title of two: 70.0\N{NO-BREAK SPACE}%." in shown.alt


def test_sources_are_drawn_by_class_with_their_images() -> None:
    row = {"scenario": "two", "source": "https://www.hospital.org/x", "images": 1200, "accuracy": 0.5, "low": 0.4}
    scores = pd.DataFrame([{**row, "class": name, "high": 0.6} for name in ("", "a_b")])
    shown = figures.source_accuracies(scores, [ONE, TWO])
    ax = axis_of(shown)
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a b (1,200), hospital.org/x"]
    assert intervals_in(ax) == {(0.4, 0.6)}
    assert "S2: title of two: 50.0\N{NO-BREAK SPACE}% [40.0, 60.0]." in shown.alt


def test_one_vs_rest_scores_are_heat_maps_by_scenario_and_class() -> None:
    rows = [
        {"scenario": scenario, "measure": measure, "class": name, "value": value}
        for measure in ("auc", "average_precision", "sensitivity_at_95")
        for scenario, values in {"one": (0.5, 0.75), "two": (0.9, None)}.items()
        for name, value in zip(("a_b", "c"), values, strict=True)
    ]
    shown = figures.one_vs_rest_scores(pd.DataFrame([*rows, {**rows[0], "class": ""}]), [ONE, TWO])
    shown.figure.draw_without_rendering()
    assert [ax.get_title() for ax in shown.figure.axes][:2] == ["area under ROC", "average precision"]
    for ax in shown.figure.axes:
        assert [text.get_text() for text in ax.texts] == ["0.50", "0.75", "0.90"]
        assert [label.get_text() for label in ax.get_xticklabels()] == ["a b", "c"]
    assert "area under ROC: lowest 0.50, a b, S1" in shown.alt
