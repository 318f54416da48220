import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lab_utils.reporting import figures, plots, style
from tests.reporting.conftest import MARKS, ONE, SCENARIOS, TWO, history, intervals_in


def test_curves_show_every_epoch(ax: Axes) -> None:
    assert plots.curve(ax, history(), "loss", MARKS) is ax
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 0.5, 0.25], [1.5, 0.75, 0.875]]
    assert 1.5 < ax.get_ylim()[1] < 2
    assert "nats" in ax.get_ylabel()
    assert ax.get_xlabel() == "epoch"


def test_a_band_covers_the_seeds(ax: Axes) -> None:
    seeds = [history(val_loss=[value] * 3) for value in (1.0, 2.0, 3.0)]
    plots.curve(ax, pd.concat(seeds), "loss", MARKS)
    assert list(ax.lines[1].get_ydata()) == [2, 2, 2]
    heights = np.concatenate([path.vertices[:, 1] for band in ax.collections for path in band.get_paths()])
    assert {1.0, 3.0} <= set(heights)


def test_curves_that_are_compared_share_their_axis() -> None:
    histories = [history(accuracy=value, val_accuracy=value) for value in (0.2, 0.8)]
    limits = set()
    for one in histories:
        _, ax = style.single(2.0)
        plots.curve(ax, one, "accuracy", MARKS, compare=histories)
        limits.add(ax.get_ylim())
    assert len(limits) == 1
    assert limits.pop()[0] < 0.2


@pytest.mark.filterwarnings("error")
def test_any_class_name_can_be_drawn(ax: Axes) -> None:
    names = [
        "x" * 60,
        "a name of sixty characters with words in it, and then some",
        r"$x$ & % _ { } ~ ^ \ < >",
        "中文 العربية 한국",
    ]
    counts = pd.DataFrame([{"y_true": a, "y_pred": b, "images": 1} for a in names for b in names])
    plots.confusion_matrix(ax, counts)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert all(len(line) <= 20 for label in labels for line in label.split("\n"))
    assert labels[1] == "a name of sixty\ncharacters with …"
    ax.figure.canvas.draw()


def test_a_confusion_matrix_shows_counts_also_of_an_absent_class(ax: Axes) -> None:
    counts = pd.DataFrame({"y_true": ["a", "a", "b", "b"], "y_pred": ["a", "b", "a", "b"], "images": [1234, 1, 0, 0]})
    assert plots.confusion_matrix(ax, counts) is ax
    assert [text.get_text() for text in ax.texts] == ["1,234", "1", "0", "0"]


def test_times_stack_features_and_training(ax: Axes) -> None:
    times = pd.DataFrame(
        {
            "scenario": ["two", "two", "four"],
            "features": [10.0, 10, 10],
            "training": [4.0, 6, 7],
            "uncached": [200.0, 300, 400],
        }
    )
    assert plots.training_times(ax, times, [TWO, SCENARIOS[3]]) is ax
    assert [bar.get_width() for bar in ax.patches] == [10, 10, 5, 7, 250, 400]
    assert [text.get_text() for text in ax.texts] == [" 10 + 5 s", " 250 s", " 10 + 7 s", " 400 s"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S2: title of two", "S4: title of four"]
    assert len(figures.training_times(times, SCENARIOS).figure.axes[0].get_yticks()) == 2


def test_bars_end_within_the_axis_where_training_without_cached_features_is_faster(ax: Axes) -> None:
    times = pd.DataFrame({"scenario": ["one"], "features": [10.0], "training": [4.0], "uncached": [5.0]})
    plots.training_times(ax, times, [ONE])
    assert ax.get_xlim()[1] > 14


def test_intervals_are_drawn_for_every_run(ax: Axes) -> None:
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
    plots.scenario_intervals(ax, table, [ONE, TWO])
    assert intervals_in(ax) == {(0.6, 0.95), (0.65, 0.96), (0.5, 0.71)}
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S1: title of one", "S2: title of two"]


def test_an_absent_class_has_no_curve(ax: Axes) -> None:
    table = pd.DataFrame({"y_true": ["a", "b", "a"], "p_a": [0.9, 0.2, 0.4], "p_b": [0.1, 0.8, 0.6], "p_c": 0.0})
    for kind in ("roc", "precision_recall"):
        plots.class_curve(ax, {"one": table}, "c", [ONE], kind)
        assert not [line for line in ax.lines if line.get_label() == ONE.label]
        plots.class_curve(ax, {"one": table}, "a", [ONE], kind)
        assert [line for line in ax.lines if line.get_label() == ONE.label]
        ax.clear()


def test_reliability_has_a_dot_per_bin(ax: Axes) -> None:
    bins = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.4, 1.0], "images": [10, 90]})
    plots.reliability(ax, bins, MARKS)
    assert ax.collections[0].get_offsets().tolist() == [[0.5, 0.4], [0.9, 1.0]]
    small, large = ax.collections[0].get_sizes()
    assert small < large
