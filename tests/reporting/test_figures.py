from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.reporting import data_plots, figures, plots, style
from lab_utils.reporting.style import scenario_marks
from tests.conftest import write_classes

SCENARIOS = [
    Scenario(name=name, title=f"title of {name}", trainable_convs=0, number=number)
    for number, name in enumerate(("one", "two", "three", "four"), start=1)
]
ONE, TWO = SCENARIOS[:2]
MARKS = scenario_marks(ONE)


@pytest.fixture
def ax() -> Iterator[Axes]:
    style.use_style()
    figure, axes = style.single(3.0)
    yield axes
    figure.canvas.draw()


def history(**changes: Any) -> pd.DataFrame:
    columns = {
        "epoch": [1, 2, 3],
        "accuracy": [0.5, 0.7, 0.95],
        "val_accuracy": [0.4, 0.9, 0.8],
        "loss": [1.0, 0.5, 0.25],
        "val_loss": [1.5, 0.75, 0.875],
    }
    return pd.DataFrame({**columns, **changes})


def run(scenario: Scenario) -> Any:
    """What figures ask of a finished run."""
    rows_of = lambda table: table[table["scenario"] == scenario.name]  # noqa: E731
    return SimpleNamespace(scenario=scenario, protocol=SimpleNamespace(name="p"), seed=0, rows_of=rows_of)


def intervals_in(ax: Axes) -> set[tuple[float, ...]]:
    """Both ends of every horizontal line that is no marker and no reference."""
    lines = [line for line in ax.lines if len(line.get_xdata()) == 2 and len(set(line.get_xdata())) == 2]
    ends = {tuple(round(float(x), 3) for x in line.get_xdata()) for line in lines}
    return {pair for pair in ends if pair[0] == pair[0] and pair[1] == pair[1]}  # markers may lie at nan


def test_a_scenario_keeps_its_colour_and_marker_whatever_is_run() -> None:
    marks = [scenario_marks(scenario) for scenario in SCENARIOS]
    assert len({(mark["color"], mark["marker"]) for mark in marks}) == 4
    neutral = style.neutral_marks(["a", "b", "c"]).values()
    assert not {mark["color"] for mark in neutral} & set(style.SCENARIO_COLORS)
    assert not set(style.CLASS_COLORS) & set(style.SCENARIO_COLORS)


def test_class_balance_counts_images(ax: Axes) -> None:
    manifest = pd.DataFrame(
        {"class": ["a_b"] * 3 + ["c"] * 2, "split": ["train", "train", "validation", "train", "validation"]}
    )
    assert data_plots.class_balance(ax, manifest) is ax
    assert [bar.get_height() for bar in ax.patches if bar.get_width()] == [2, 1, 1, 1]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["a b", "c"]
    assert "a b 2 and 1; c 1 and 1" in figures.class_balance(manifest).alt


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


def test_errors_in_words() -> None:
    confusion = pd.DataFrame(
        [("two", "a_b", "a_b", 8), ("two", "a_b", "c", 2), ("two", "c", "a_b", 1), ("two", "c", "c", 9)],
        columns=["scenario", "y_true", "y_pred", "images"],
    )
    said = figures.confusion_matrices(confusion, [run(TWO)]).alt
    assert said == "S2: title of two: 3 of 20 images are classified wrongly, most often a b as c (2)."
    perfect = confusion.assign(images=[8, 0, 0, 9])
    assert figures.confusion_matrices(perfect, [run(TWO)]).alt.endswith("none of 17 images is classified wrongly.")


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


def test_radiographs_with_and_without_lungs() -> None:
    figure, axes = style.panels(2, 1.0)
    lungs = np.zeros((20, 20), bool)
    lungs[5:15, 5:15] = True
    for ax, outline in zip(axes, (lungs, None), strict=True):
        data_plots.radiograph(ax, np.zeros((30, 30), np.uint8), "a", outline)
    figure.canvas.draw()
    assert [len(ax.collections) > 0 for ax in axes] == [True, False]


def test_masks_in_the_training_set_are_seen(ax: Axes) -> None:
    kinds = ["image", "image", "mask", "image"]
    manifest = pd.DataFrame({"kind": kinds, "split": ["train", "validation", "train", "train"]})
    data_plots.split_contents(ax, {"published": manifest})
    assert [bar.get_width() for bar in ax.patches] == [2, 1, 1, 0]
    assert [text.get_text() for text in ax.texts] == [" 2 + 1", " 1"]
    assert "published, train: 2 images and 1 masks" in figures.split_contents({"published": manifest}).alt


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


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_every_column_of_panels_has_its_labels_below(count: int) -> None:
    _, axes = style.panels(count, 1.0)
    for ax in axes:
        ax.set(xlabel="predicted", ylabel="true")
    style.label_outer(axes)
    lowest = axes[-3:]
    assert [ax for ax in axes if ax.get_xlabel()] == lowest
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in lowest)
    assert [ax for ax in axes if ax.get_ylabel()] == axes[::3]


def test_samples_leave_out_what_cannot_be_read(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 3, "b": 3})
    (root / "a" / "a-1.png").write_bytes(b"no image")
    shown = figures.samples(Dataset("folder", root, "", {"a": {}, "b": {}}), columns=3)
    assert [len(ax.images) for ax in shown.figure.axes] == [1, 1, 0, 1, 1, 1]
    assert shown.photographic


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


def test_heat_maps_lie_over_correct_images_left_and_errors_right(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 1})
    cells = [(row, column, float(row + column)) for row in range(2) for column in range(2)]
    images = [("a/a-1.png", "a", "a", 0.9), ("a/a-2.png", "a", "b", 0.8)]
    examples = pd.DataFrame([(*image, *cell) for image in images for cell in cells])
    examples.columns = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "a/a-2.png"], "mask": ""})
    shown = figures.grad_cam(examples, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}), ONE)
    axes = shown.figure.axes
    assert [len(ax.images) for ax in axes] == [2, 0, 2, 0, 0, 0, 0, 0]
    assert axes[2].get_title() == "a as\nb, 80\N{NO-BREAK SPACE}%"
    assert "a as a, 90" in shown.alt


def test_pairs_of_images_stand_side_by_side(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1, "b": 1})
    pairs = pd.DataFrame({"distance": [4], "first": ["a/a-1.png"], "second": ["b/b-1.png"]})
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "b/b-1.png"], "class": ["a", "b"]})
    shown = figures.duplicate_pairs(pairs, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}))
    titles = [ax.get_title() for ax in shown.figure.axes if ax.images]
    assert titles == ["a\n4 bits apart", "b\n4 bits apart"]
    assert shown.alt == "Pairs of radiographs: a/a-1.png and b/b-1.png, 4 bits apart."


def test_trainings_by_hand_can_be_compared() -> None:
    shown = figures.compared_curves({"slow": history(), "fast": history(val_accuracy=0.5)})
    assert shown.alt.startswith("slow: Two line charts over 3 epochs.")
    assert [text.get_text() for text in shown.figure.axes[0].get_legend().get_texts()] == ["slow", "fast"]
