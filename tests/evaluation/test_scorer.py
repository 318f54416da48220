import numpy as np
import pytest

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.intervals import intervals
from lab_utils.evaluation.predictions import predicted_of
from tests.evaluation.test_intervals import Z, network


def test_shares_have_wilson_s_interval_of_their_images() -> None:
    table = network({"a": 60, "b": 40, "c": 9})
    found = intervals(table).set_index(["measure", "class"])[["low", "high"]]
    true, guess = table["y_true"].to_numpy(), predicted_of(table)
    for measure, images in (("recall", true == "c"), ("precision", guess == "c"), ("specificity", true != "c")):
        right = ((true == "c") == (guess == "c"))[images]
        assert found.loc[(measure, "c")].tolist() == list(wilson_interval(right, table["group"][images])), measure
    perfect = intervals(network({"a": 20, "b": 20, "c": 8}, sharpness=50)).set_index(["measure", "class"])
    assert perfect.loc[("recall", "c"), ["value", "low", "high"]].tolist() == pytest.approx([1, 8 / (8 + Z**2), 1])
    share = 8 / (8 + Z**2)
    assert perfect.loc[("f1", "c"), "low"] == pytest.approx(2 * share / (1 + share))


def test_means_over_classes_add_the_squares_of_the_classes_intervals() -> None:
    found = intervals(network({"a": 20, "b": 20, "c": 8}, sharpness=50)).set_index(["measure", "class"])
    squares = [(1 - images / (images + Z**2)) ** 2 for images in (20, 20, 8)]
    assert found.loc[("balanced_accuracy", ""), "low"] == pytest.approx(1 - np.sqrt(sum(squares)) / 3)


def test_a_class_that_is_never_predicted_has_a_precision_of_zero_that_says_nothing() -> None:
    table = network({"a": 20, "b": 20, "c": 5}).assign(p_c=0.0)
    row = intervals(table).set_index(["measure", "class"]).loc[("precision", "c")]
    assert row[["value", "low", "high"]].tolist() == [0, 0, 1]
