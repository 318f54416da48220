import numpy as np
import pandas as pd

from lab_utils.reporting import figures, style
from lab_utils.reporting.style import scenario_marks
from tests.reporting.conftest import ONE, SCENARIOS, TWO, axis_of, history


def test_curves_show_every_epoch() -> None:
    _, ax = figures.training_curves(history(), ONE).figure.axes
    assert [list(line.get_ydata()) for line in ax.lines[:2]] == [[1, 0.5, 0.25], [1.5, 0.75, 0.875]]
    assert 1.5 < ax.get_ylim()[1] < 2
    assert "nats" in ax.get_ylabel()
    assert ax.get_xlabel() == "epoch"


def test_a_band_covers_the_seeds() -> None:
    seeds = [history(val_loss=[value] * 3) for value in (1.0, 2.0, 3.0)]
    _, ax = figures.training_curves(pd.concat(seeds), ONE).figure.axes
    assert list(ax.lines[1].get_ydata()) == [2, 2, 2]
    heights = np.concatenate([path.vertices[:, 1] for band in ax.collections for path in band.get_paths()])
    assert {1.0, 3.0} <= set(heights)


def test_curves_that_are_compared_share_their_axis() -> None:
    histories = [history(accuracy=value, val_accuracy=value) for value in (0.2, 0.8)]
    limits = {figures.training_curves(one, ONE, histories).figure.axes[0].get_ylim() for one in histories}
    assert len(limits) == 1
    assert limits.pop()[0] < 0.2


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


def test_trainings_by_hand_can_be_compared() -> None:
    shown = figures.compared_curves({"slow": history(), "fast": history(val_accuracy=0.5)})
    assert shown.alt.startswith("slow: Two line charts over 3 epochs.")
    (legend,) = shown.figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["slow", "fast"]
    assert not any(ax.get_legend() for ax in shown.figure.axes)


def test_times_stack_features_and_training() -> None:
    times = pd.DataFrame(
        {
            "scenario": ["two", "two", "four"],
            "backbone": "MobileNetV2",
            "features": [10.0, 10, 10],
            "training": [4.0, 6, 7],
            "uncached": [200.0, 300, 400],
        }
    )
    ax = axis_of(figures.training_times(times, SCENARIOS))
    assert [bar.get_width() for bar in ax.patches] == [10, 10, 5, 7, 250, 400]
    assert [text.get_text() for text in ax.texts] == [" 10 + 5 s", " 250 s", " 10 + 7 s", " 400 s"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["S2: title of two", "S4: title of four"]


def test_bars_end_within_the_axis_where_training_without_cached_features_is_faster() -> None:
    times = pd.DataFrame(
        {"scenario": ["one"], "backbone": "x", "features": [10.0], "training": [4.0], "uncached": [5.0]}
    )
    assert axis_of(figures.training_times(times, [ONE])).get_xlim()[1] > 14
