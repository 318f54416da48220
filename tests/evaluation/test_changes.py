import numpy as np
import pytest

from lab_utils.evaluation.changes import COLUMNS, protocol_changes
from lab_utils.evaluation.judged import JudgedRun
from tests.evaluation.test_judged import judged, table_of


def runs_of(accuracies: list[float], first: int, images: int = 300, **protocol: str) -> list[JudgedRun]:
    """A run per accuracy on the images from `first`; an image is as difficult in all of them."""
    difficulty = np.random.default_rng(0).random(2000)[first : first + images]
    tables = [table_of(["a"] * images, list(np.where(difficulty < each, "a", "b")), first=first) for each in accuracies]
    return [judged(table, seed=seed, **protocol) for seed, table in enumerate(tables)]


def test_neighbours_are_compared_on_the_images_that_both_judge() -> None:
    runs = runs_of([0.7, 0.72, 0.71], 0, name="old")
    runs += runs_of([0.9, 0.92, 0.91], 100, name="new", follows="old", change="the change")
    (row,) = protocol_changes(runs).to_dict("records")
    assert list(row) == COLUMNS
    assert [row[key] for key in COLUMNS[:6]] == ["old", "new", "the change", "one", 3, 200]
    assert row["difference"] == pytest.approx(row["accuracy_to"] - row["accuracy_from"])
    assert 0.1 < row["low"] < row["difference"] < row["high"] < 0.32
    assert row["accuracy_to"] == pytest.approx(0.91, abs=0.05)


def test_the_seeds_of_both_protocols_widen_the_interval() -> None:
    def width(before: list[float], after: list[float]) -> float:
        runs = [*runs_of(before, 0, name="old"), *runs_of(after, 0, name="new", follows="old")]
        (row,) = protocol_changes(runs).to_dict("records")
        return float(row["high"] - row["low"])

    steady, wild = [0.9, 0.9, 0.9], [0.8, 0.9, 1.0]
    assert width(wild, steady) == pytest.approx(width(steady, wild), rel=0.2)
    assert width(steady, wild) > 5 * width(steady, steady) > 0
    assert width([0.8], [0.9]) < width([0.8, 0.7, 0.9], [0.9, 0.8, 1.0]), "one run knows the images alone"


def test_a_protocol_without_its_predecessor_or_without_common_images_has_no_row() -> None:
    alone = runs_of([0.9], 0, name="new", follows="old")
    assert protocol_changes(alone).columns.tolist() == COLUMNS
    assert protocol_changes(alone).empty
    assert protocol_changes([*runs_of([0.9], 500, name="old"), *alone]).empty
