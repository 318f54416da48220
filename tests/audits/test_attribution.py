import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.attribution import attribution_examples, attribution_shares, coverage, share_inside
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


def test_shares_by_class_and_outcome_have_two_references() -> None:
    cover = np.tile(np.array([[1, 0], [0, 0]], np.float32), (4, 1, 1))
    even, within, nothing = [[1.0, 1.0], [1.0, 1.0]], [[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]
    found = attribution_of([even, within, even, nothing], [0, 1, 1, 1], [1, 1, 1, 1])
    table = attribution_shares(found, attribution_of([within] * 4, [0] * 4, [1] * 4), cover, VALIDATION, ["a", "b"])
    rows = {(row["class"], row["outcome"]): row for row in table.to_dict("records")}
    assert set(rows) == {("", ""), ("a", "correct"), ("a", "wrong"), ("b", "correct")}
    assert rows["", ""]["images"] == 3, "an image without attribution has no share"
    assert rows["a", "correct"]["share"] == rows["a", "correct"]["area"] == 0.25
    assert np.isnan(rows["a", "correct"]["low"]), "one image has no interval"
    assert rows["a", "wrong"]["share"] == 1
    assert rows["", ""]["share"] == pytest.approx(0.5)
    assert rows["", ""]["lungs_only"] == 1


def test_networks_without_any_attribution_have_no_shares() -> None:
    nothing = attribution_of([[[0.0, 0.0]]] * 4, [0] * 4, [1] * 4)
    assert len(attribution_shares(nothing, nothing, np.ones((4, 1, 2), np.float32), VALIDATION, ["a", "b"])) == 0


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
