from pathlib import Path

import pandas as pd
import pytest

from lab_utils.data.dataset import Dataset
from lab_utils.reporting import figures
from tests.conftest import write_classes
from tests.reporting.conftest import ONE, axis_of, intervals_in


def test_probes_and_network_are_compared_with_permuted_labels_for_each_question() -> None:
    score = {"auc": 0.8, "auc_low": 0.7, "auc_high": 0.9, "null_auc_high": 0.55}
    rows = [{"among": among, "input": name, **score} for among in ("", "a / b_c") for name in ("full", "lungs_erased")]
    network = pd.DataFrame(rows[:2]).drop(columns="null_auc_high").assign(auc=0.6, auc_low=0.5, auc_high=0.65)
    shown = figures.masked_inputs(pd.DataFrame(rows), network)
    first, second = shown.figure.axes
    assert [ax.get_title() for ax in (first, second)] == ["all classes", "a / b c"]
    assert [label.get_text() for label in first.get_yticklabels()] == ["full", "lungs erased"]
    assert intervals_in(first) == {(0.7, 0.9), (0.5, 0.65)}
    assert intervals_in(second) == {(0.7, 0.9)}
    assert [list(line.get_xdata()) for line in first.lines if line.get_marker() == "|"] == [[0.55, 0.55]]
    assert "network, trained on full images, lungs erased: 0.600 [0.500, 0.650]" in shown.alt
    assert len(shown.figure.legends[0].get_texts()) == 3
    alone = figures.masked_inputs(pd.DataFrame(rows[:2]), network[:0])
    assert len(alone.figure.axes) == 1


def test_attribution_lies_between_its_references() -> None:
    row = {"share": 0.4, "low": 0.3, "high": 0.5, "images": 9, "random_head_low": 0.1, "random_head_high": 0.3}
    references = {"uniform": 0.2, "centre": 0.25, "other_lungs": 0.45, "lungs_only": 0.6, "lungs": 0.7}
    rows = pd.DataFrame([{"class": "a_b", "outcome": "correct", **row}, {"class": "", "outcome": "", **row}])
    shown = figures.attribution_shares(rows.assign(**references), ONE)
    ax = axis_of(shown)
    lines = [line for line in ax.lines if line.get_label() and not line.get_label().startswith("_")]
    assert [line.get_xdata()[0] for line in lines] == list(references.values())
    (band,) = ax.patches
    assert (band.get_x(), band.get_width()) == (0.1, pytest.approx(0.2))
    alt = shown.alt.replace("\N{NO-BREAK SPACE}", " ")
    assert "a b, correct: 40.0 % (9 images)" in alt
    assert "uniform: the same everywhere 20.0 %" in alt
    assert "random heads from 10.0 % to 30.0 %" in alt


def test_radiographs_stand_beside_their_heat_maps_correct_ones_left_and_errors_right(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 2, "b": 1})
    cells = [(row, column, float(row + column)) for row in range(2) for column in range(2)]
    images = [("a/a-1.png", "a", "a", 0.9), ("a/a-2.png", "a", "b", 0.8)]
    examples = pd.DataFrame([(*image, *cell) for image in images for cell in cells])
    examples.columns = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
    manifest = pd.DataFrame({"image_id": ["a/a-1.png", "a/a-2.png"], "mask": ""})
    shown = figures.grad_cam(examples, manifest, Dataset("folder", root, "", {"a": {}, "b": {}}), ONE)
    axes = shown.figure.axes
    assert [len(ax.images) for ax in axes] == [1, 2, 1, 2, 0, 0, 0, 0]
    assert axes[2].get_title(loc="left") == "a as\nb, 80\N{NO-BREAK SPACE}%"
    assert "a as a, 90" in shown.alt


def test_suspects_are_shown_with_both_classes(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a_b": 3})
    suspects = pd.DataFrame({"image_id": [f"a_b/a_b-{number}.png" for number in (2, 1, 3)], "class": "a_b"})
    suspects = suspects.assign(suggested="<c>", probability_suggested=[0.9, 0.8, 0.7])
    shown = figures.suspect_labels(suspects, Dataset("folder", root, "", {"a_b": {}}), most=2)
    assert [ax.get_title().replace("\N{NO-BREAK SPACE}", " ") for ax in shown.figure.axes if ax.images] == [
        "label a b\n<c>, 90 %",
        "label a b\n<c>, 80 %",
    ]
    assert "label a b <c>, 90" in shown.alt
