import numpy as np
import pandas as pd

from lab_utils.reporting import figures
from tests.reporting.conftest import ONE, SCENARIOS, history


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
    shown = figures.training_times(times, SCENARIOS)
    shown.figure.draw_without_rendering()
    cached, uncached = shown.figure.axes
    assert [bar.get_width() for bar in cached.patches] == [10, 10, 5, 7]
    assert [bar.get_width() for bar in uncached.patches] == [250, 400]
    assert [text.get_text() for ax in (cached, uncached) for text in ax.texts] == [
        " 10 + 5 s",
        " 10 + 7 s",
        " 250 s",
        " 400 s",
    ]
    assert [label.get_text() for label in cached.get_yticklabels()] == ["S2: title of two", "S4: title of four"]
    assert cached.get_xlim()[1] > 17
    assert uncached.get_xlim()[1] > 400
