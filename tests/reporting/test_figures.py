from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.reporting import figures
from tests.conftest import write_classes

SCENARIOS = [Scenario(name=name, title=f"Title of {name}", trainable_convs=0) for name in ("one", "two", "three", "four")]


@pytest.fixture
def ax() -> Iterator[Axes]:
    figures.use_style()
    figure, axes = plt.subplots()
    yield axes
    figure.canvas.draw()
    plt.close(figure)


def test_a_scenario_keeps_its_colour_and_marker_whatever_is_run() -> None:
    marks = figures.marks(SCENARIOS)
    assert len({(mark["color"], mark["marker"]) for mark in marks.values()}) == 4
    assert figures.marks(SCENARIOS[:2])["two"] == marks["two"]


def test_class_balance_counts_images(ax: Axes) -> None:
    manifest = pd.DataFrame(
        {"class": ["a_b"] * 3 + ["c"] * 2, "split": ["train", "train", "validation", "train", "validation"]}
    )
    assert figures.class_balance(ax, manifest) is ax
    assert [bar.get_height() for bar in ax.patches] == [2, 1, 1, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a b", "c"]


def test_curves_show_every_epoch(ax: Axes) -> None:
    history = pd.DataFrame(
        {"epoch": [1, 2], "loss": [2.0, 1], "val_loss": [3.0, 2], "accuracy": [0.1, 0.2], "val_accuracy": [0.3, 0.4]}
    )
    assert figures.curve(ax, history, "loss", figures.marks(SCENARIOS)["one"]) is ax
    assert [list(line.get_ydata()) for line in ax.lines] == [[2, 1], [3, 2]]
    assert 3 < ax.get_ylim()[1] < 4
    assert "nats" in ax.get_ylabel()
    assert ax.get_xlabel() == "epoch"


def test_curves_that_are_to_be_compared_share_their_axis() -> None:
    histories = [pd.DataFrame({"epoch": [1], "accuracy": [value], "val_accuracy": [value]}) for value in (0.2, 0.8)]
    limits = set()
    for history in histories:
        figure, ax = plt.subplots()
        figures.curve(ax, history, "accuracy", figures.marks(SCENARIOS)["one"], beside=histories)
        limits.add(ax.get_ylim())
        plt.close(figure)
    assert len(limits) == 1
    assert limits.pop()[0] < 0.2


def test_small_multiples_show_the_others_in_grey() -> None:
    histories = {
        name: pd.DataFrame({"epoch": [1, 2], "val_accuracy": [0.5, value]})
        for name, value in (("one", 0.6), ("two", 0.9))
    }
    figure, axes = figures.panels(2, 2.0)
    assert len(figure.axes) == 3
    figures.small_multiples(axes, histories, SCENARIOS)
    assert len({ax.get_ylim() for ax in axes}) == 1
    for ax, name in zip(axes, histories, strict=True):
        *others, own = ax.lines
        assert {line.get_color() for line in others} == {"#bbbbbb"}
        assert own.get_color() == figures.marks(SCENARIOS)[name]["color"]
        assert list(own.get_ydata()) == list(histories[name]["val_accuracy"])
    plt.close(figure)


@pytest.mark.filterwarnings("error")
def test_any_class_name_can_be_drawn(ax: Axes) -> None:
    names = [
        "x" * 60,
        "a name of sixty characters with words in it, and then some",
        r"$x$ & % _ { } ~ ^ \ < >",
        "中文 العربية 한국",
    ]
    counts = pd.DataFrame([{"y_true": a, "y_pred": b, "images": 1} for a in names for b in names])
    figures.confusion_matrix(ax, counts)
    labels = [label.get_text() for label in ax.get_yticklabels()]
    assert all(len(line) <= 20 for label in labels for line in label.split("\n"))
    assert labels[1] == "a name of sixty\ncharacters with …"
    ax.figure.canvas.draw()


def test_a_confusion_matrix_shows_counts_also_of_an_absent_class(ax: Axes) -> None:
    counts = pd.DataFrame({"y_true": ["a", "a", "b", "b"], "y_pred": ["a", "b", "a", "b"], "images": [1234, 1, 0, 0]})
    assert figures.confusion_matrix(ax, counts) is ax
    assert [text.get_text() for text in ax.texts] == ["1,234", "1", "0", "0"]


def test_times_stack_extraction_and_training(ax: Axes) -> None:
    times = pd.DataFrame(
        {
            "scenario": ["two", "two", "four"],
            "extraction": [10.0, 10, 10],
            "training": [4.0, 6, 7],
            "plain": [200.0, 300, 400],
        }
    )
    assert figures.training_times(ax, times, SCENARIOS) is ax
    assert [bar.get_width() for bar in ax.patches] == [10, 10, 5, 7, 250, 400]
    assert [text.get_text() for text in ax.texts] == [" 10 + 5 s", " 250 s", " 10 + 7 s", " 400 s"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["Title of two", "Title of four"]


def test_radiographs_with_and_without_a_mask() -> None:
    figure, axes = plt.subplots(1, 2)
    mask = np.zeros((20, 20), np.uint8)
    mask[5:15, 5:15] = 255
    figures.radiographs(axes, [np.zeros((30, 30), np.uint8)] * 2, ["a", "b"], [mask, None])
    figure.canvas.draw()
    assert [len(ax.collections) > 0 for ax in axes] == [True, False]
    plt.close(figure)


def test_masks_in_the_training_set_are_seen(ax: Axes) -> None:
    kinds = ["image", "image", "mask", "image"]
    manifest = pd.DataFrame({"kind": kinds, "split": ["train", "validation", "train", "train"]})
    figures.split_contents(ax, {"published": manifest})
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1, 0]
    assert [text.get_text() for text in ax.texts] == [" 2 + 1", " 1"]


def test_intervals_are_drawn_for_every_run(ax: Axes) -> None:
    table = pd.DataFrame(
        {"scenario": ["one", "one", "two"], "seed": [0, 1, 0], "value": [0.8, 0.9, 0.7], "low": 0.6, "high": 0.95}
    )
    figures.intervals(ax, table, SCENARIOS)
    segments = [line.get_segments() for line in ax.collections]
    assert (
        sorted(round(float(end), 2) for group in segments for part in group for end in part[:, 0])
        == [0.6] * 3 + [0.95] * 3
    )


def test_an_absent_class_has_no_curve(ax: Axes) -> None:
    table = pd.DataFrame({"y_true": ["a", "b", "a"], "p_a": [0.9, 0.2, 0.4], "p_b": [0.1, 0.8, 0.6], "p_c": 0.0})
    for draw in (figures.roc, figures.precision_recall):
        draw(ax, {"one": table}, "c", SCENARIOS)
        assert not [line for line in ax.lines if line.get_label() == "one"]
        draw(ax, {"one": table}, "a", SCENARIOS)
        assert [line for line in ax.lines if line.get_label() == "one"]
        ax.clear()


def test_reliability_has_a_dot_per_bin(ax: Axes) -> None:
    bins = pd.DataFrame({"confidence": [0.5, 0.9], "accuracy": [0.4, 1.0], "images": [10, 90]})
    figures.reliability(ax, bins, figures.marks(SCENARIOS)["one"])
    assert ax.collections[0].get_offsets().tolist() == [[0.5, 0.4], [0.9, 1.0]]
    small, large = ax.collections[0].get_sizes()
    assert small < large


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_every_column_of_panels_has_its_labels_below(count: int) -> None:
    figure, axes = figures.panels(count, 1.0)
    for ax in axes:
        ax.set(xlabel="predicted", ylabel="true")
    figures.label_outer(axes)
    lowest = axes[-3:]
    assert [ax for ax in axes if ax.get_xlabel()] == lowest
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in lowest)
    assert [ax for ax in axes if ax.get_ylabel()] == axes[::3]
    plt.close(figure)


def test_bars_end_within_the_axis_where_the_plain_way_is_faster(ax: Axes) -> None:
    times = pd.DataFrame({"scenario": ["one"], "extraction": [10.0], "training": [4.0], "plain": [5.0]})
    figures.training_times(ax, times, SCENARIOS)
    assert ax.get_xlim()[1] > 14


def test_samples_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 3, "b": 3})
    (root / "a" / "a-1.png").write_bytes(b"no image")
    figure, axes = plt.subplots(2, 3, squeeze=False)
    figures.samples(axes, Dataset("folder", root, "", {"a": {}, "b": {}}))
    assert [[len(ax.images) for ax in row] for row in axes] == [[1, 1, 0], [1, 1, 1]]
    plt.close(figure)


def test_shortcuts_stand_beside_the_commonest_class(ax: Axes) -> None:
    row = {"accuracy": 0.8, "low": 0.7, "high": 0.9}
    names = [("p", "full"), ("p", "lungs_erased"), ("q", "full")]
    table = pd.DataFrame([{"protocol": protocol, "input": name, **row} for protocol, name in names])
    figures.shortcuts(ax, table, {"p": 0.4, "q": 0.5})
    assert [label.get_text() for label in ax.get_yticklabels()] == ["full", "lungs erased"]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_linestyle() == "--"] == [0.4, 0.5]
    assert len(ax.containers) == 2


def test_attribution_stands_between_floor_and_ceiling(ax: Axes) -> None:
    row = {"share": 0.4, "low": 0.3, "high": 0.5, "area": 0.2, "ceiling": 0.6}
    table = pd.DataFrame([{"class": "a", "outcome": "correct", **row}, {"class": "", "outcome": "", **row}])
    figures.attribution_shares(ax, table, ["a", "b"])
    ticks = [line for line in ax.lines if line.get_marker() == "|" and line.get_markersize() == 9]
    assert sorted({float(x) for line in ticks for x in line.get_xdata() if x == x}) == [0.2, 0.6]


def test_heat_maps_lie_over_correct_images_left_and_errors_right(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 1})
    cells = [(row, column, float(row + column)) for row in range(2) for column in range(2)]
    shown = [("a/a-1.png", "a", "a", 0.9), ("a/a-2.png", "a", "b", 0.8)]
    examples = pd.DataFrame([(*image, *cell) for image in shown for cell in cells])
    examples.columns = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "a/a-2.png"], "mask": ""})
    figure, axes = plt.subplots(2, 4)
    figures.attributions(axes, examples, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}))
    assert [len(ax.images) for ax in axes.flat] == [2, 0, 2, 0, 0, 0, 0, 0]
    assert axes[0, 2].get_title() == "a as\nb, 80%"
    plt.close(figure)


def test_pairs_of_images_stand_side_by_side(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1, "b": 1})
    pairs = pd.DataFrame({"distance": [4], "first": ["a/a-1.png"], "second": ["b/b-1.png"]})
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "b/b-1.png"], "class": ["a", "b"]})
    figure, axes = figures.panels(2, 1.3, columns=6)
    figures.matching_pairs(axes, pairs, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}))
    assert [ax.get_title() for ax in axes] == ["a\n4 bits apart", "b\n4 bits apart"]
    plt.close(figure)
