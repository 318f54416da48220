import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from lab_utils.audits.attribution import (
    SHARES,
    attribution_examples,
    attribution_shares,
    coverage,
    reference_shares,
    share_inside,
)
from lab_utils.models.explain import Attribution


def test_coverage_is_the_share_of_each_cell() -> None:
    mask = np.zeros((1, 4, 4), np.uint8)
    mask[0, :2, :1] = 200
    mask[0, 2:, 2:] = 255
    assert np.allclose(coverage(mask, np.array([0]), 2, 2), [[[0.5, 0], [0, 1]]], atol=0.01)


@pytest.mark.parametrize(
    ("cells", "share"), [([[1, 1], [1, 1]], 0.25), ([[2, 0], [0, 0]], 1.0), ([[0, 3], [0, 0]], 0.0)]
)
def test_spread_evenly_attribution_is_the_lungs_area_and_within_them_all(cells: list[list[int]], share: float) -> None:
    cover = np.array([[[1, 0], [0, 0]]], np.float32)
    assert share_inside(np.array([cells], np.float32), cover) == share


def test_no_attribution_at_all_is_missing() -> None:
    assert np.isnan(share_inside(np.zeros((1, 2, 2), np.float32), np.ones((1, 2, 2), np.float32))).all()


VALIDATION = pd.DataFrame({"image_id": list("wxyz"), "class": ["a", "a", "b", "b"], "group": [0, 1, 2, 3]})


def attribution_of(maps: list[list[list[float]]], predicted: list[int], confidence: list[float]) -> Attribution:
    return Attribution(np.array(maps, np.float32), np.array(predicted), np.array(confidence, np.float32))


def test_references_are_those_of_hand_made_lungs() -> None:
    left, right = [[1.0, 0.0], [1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0]]
    cover = np.array([left, left, right, [[0.5, 0.5], [0.0, 0.0]]], np.float32)
    shares = reference_shares(cover, pd.Series(["p", "p", "q", "r"]))
    assert np.allclose(shares["uniform"], [0.5, 0.5, 0.5, 0.25])
    assert np.allclose(shares["centre"], shares["uniform"]), "a blob in the middle of four cells is uniform"
    assert np.allclose(shares["other_lungs"], [0.25, 0.25, 1 / 6, 0.25]), "of images of other groups alone"
    assert np.allclose(shares["lungs"], [1, 1, 1, 0.5])
    (centre,) = reference_shares(np.eye(3, dtype=np.float32)[None], pd.Series([0]))["centre"]
    side, corner = np.exp(-8 / 9), np.exp(-16 / 9)
    assert centre == pytest.approx((1 + 2 * corner) / (1 + 4 * side + 4 * corner))


def shares_of(maps: NDArray[np.float32], random_maps: NDArray[np.float32]) -> pd.Series:
    """The row over all of 40 images whose lungs are the left half of the map, one cell more or less."""
    cover = np.tile(np.array([[1, 1, 0, 0]], np.float32), (40, 4, 1))
    cover[::2, 0, 2], cover[1::2, 0, 1] = 1, 0
    manifest = pd.DataFrame({"class": ["a", "b"] * 20, "group": range(40)})
    seen = Attribution(maps, np.zeros(40, np.int64), np.ones(40, np.float32), random_maps, np.arange(0, 40, 2))
    table = attribution_shares(seen, cover, cover, manifest, ["a", "b"])
    assert table["outcome"].tolist() == ["", "correct", "wrong"]
    return table.iloc[0]


def test_a_network_that_sees_lungs_exceeds_every_blind_reference_and_a_blind_one_none() -> None:
    noise = np.random.default_rng(0).random((40, 20, 4, 4)).astype(np.float32)
    exact = np.tile(np.array([[1, 0, 0, 0]], np.float32), (40, 4, 1))
    row = shares_of(exact, noise[::2])
    assert row["exceeded"] == "uniform; centre; other_lungs; random_head"
    assert row["random_head_low"] < row["random_head"] < row["random_head_high"] < row["lungs"] == row["share"] == 1
    row = shares_of(noise[:, 0], noise[::2])
    assert row["exceeded"] == ""
    assert row["low"] < row["uniform"] < row["high"] < row["other_lungs"]


def test_shares_by_class_and_outcome_leave_out_images_without_attribution() -> None:
    cover = np.tile(np.array([[1, 0], [0, 0]], np.float32), (4, 1, 1))
    even, within, nothing = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]
    found = attribution_of([even, within, even, nothing], [0, 1, 1, 1], [1, 1, 1, 1])
    table = attribution_shares(found, np.array([within] * 4, np.float32), cover, VALIDATION, ["a", "b"])
    rows = {(row["class"], row["outcome"]): row for row in table.to_dict("records")}
    assert set(rows) == {("", ""), ("a", "correct"), ("a", "wrong"), ("b", "correct")}
    assert rows["", ""]["images"] == 3, "an image without attribution has no share"
    assert rows["a", "correct"]["share"] == rows["a", "correct"]["uniform"] == 0.25
    assert np.isnan(rows["a", "correct"]["low"]), "one image has no interval"
    assert rows["a", "wrong"]["share"] == 1
    assert rows["", ""]["share"] == pytest.approx(0.5)
    assert rows["", ""]["lungs_only"] == 1
    assert np.isnan(rows["", ""]["random_head"]), "no random heads were asked for"
    none = attribution_of([nothing] * 4, [0] * 4, [1] * 4)
    assert attribution_shares(none, none.maps, cover, VALIDATION, ["a", "b"]).columns.tolist() == SHARES


def test_examples_have_the_highest_confidence_of_each_kind() -> None:
    maps = [[[float(n), 0.0], [0.0, 1.0]] for n in range(4)]
    table = attribution_examples(
        attribution_of(maps, [0, 0, 0, 1], [0.6, 0.9, 0.8, 0.7]), VALIDATION, ["a", "b"], each=1
    )
    assert table.drop_duplicates("image_id")["image_id"].tolist() == ["x", "z", "y"]
    own = table[table["image_id"] == "x"]
    assert own["value"].tolist() == [1, 0, 0, 1]
    assert own[["row", "column"]].to_numpy().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert set(table.loc[table["image_id"] == "y", "predicted"]) == {"a"}
