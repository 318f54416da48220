from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from lab_utils.evaluation.intervals import scores_with_intervals
from lab_utils.evaluation.predictions import predicted_of
from lab_utils.evaluation.temperature import fit_temperature
from lab_utils.evaluation.transport import TRANSPORT, InternalScores, over_seeds, surest_errors
from tests.evaluation.test_intervals import network

INSIDE = network({"a": 60, "b": 50, "c": 40})
NOWHERE = pd.Series([""] * 200)


def rows(table: pd.DataFrame) -> dict[tuple[str, ...], Any]:
    return {(row["among"], row["measure"], row["class"], row["other"]): row for row in table.to_dict("records")}


def test_each_score_has_its_internal_value_on_images_of_the_same_classes() -> None:
    outside = network({"a": 30, "b": 25}, sharpness=0.4, seed=1)
    patients = pd.Series([f"patient {number // 2}" for number in range(55)])
    table = InternalScores(INSIDE).transported(outside, patients)
    assert list(table.columns) == TRANSPORT
    found, inside = rows(table), INSIDE[INSIDE["y_true"] != "c"]
    for name, frame in (("value", outside), ("internal", inside)):
        is_a = frame["y_true"] == "a"
        assert found["all classes", "accuracy", "", ""][name] == np.mean(predicted_of(frame) == frame["y_true"])
        assert found["all classes", "auc", "a", ""][name] == pytest.approx(roc_auc_score(is_a, frame["p_a"]))
        guess = np.where(frame["p_a"] >= frame["p_b"], "a", "b")
        assert found["shared classes", "accuracy", "", ""][name] == np.mean(guess == frame["y_true"])
        share = frame["p_a"] / (frame["p_a"] + frame["p_b"])
        for key in (("auc", "a", ""), ("pair_auc", "a", "b")):
            assert found["shared classes", *key][name] == pytest.approx(roc_auc_score(is_a, share))
    assert not {"c"} & {*table["class"], *table["other"]}
    assert found["all classes", "auc", "b", ""]["images"] == 25
    assert found["all classes", "auc", "b", ""]["patients"] == 13, "two images each"
    assert found["all classes", "accuracy", "", ""]["images"] == 55
    assert found["all classes", "accuracy", "", ""]["value"] <= found["shared classes", "accuracy", "", ""]["value"]


def test_calibration_is_judged_before_and_after_a_temperature_from_inside() -> None:
    scores = np.log(INSIDE[["p_a", "p_b", "p_c"]].to_numpy()) * 3
    sure = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    inside = INSIDE.assign(p_a=sure[:, 0], p_b=sure[:, 1], p_c=sure[:, 2])
    internal = InternalScores(inside)
    found = rows(internal.transported(inside, NOWHERE[:150]))
    before, after = (found["all classes", name, "", ""] for name in ("ece", "scaled_ece"))
    assert internal.temperature == fit_temperature(inside) > 2
    assert before["value"] == before["internal"] == scores_with_intervals(inside, ["ece"])["value"][0]
    assert after["value"] < 0.6 * before["value"]
    assert after["internal"] != after["value"], "inside, the temperature of an image is fitted without it"
    assert {key[0] for key in found} == {"all classes"}, "no class is missing"
    assert pd.isna(before["patients"])


def test_one_class_has_an_accuracy_and_no_area_and_no_image_has_no_row() -> None:
    internal = InternalScores(INSIDE)
    one = internal.transported(network({"b": 20}, seed=2), NOWHERE[:20])
    assert one["measure"].tolist() == ["accuracy", "balanced_accuracy", "ece", "scaled_ece"]
    assert one["internal"].notna().all()
    assert internal.transported(INSIDE[:0], NOWHERE[:0]).empty


def test_the_surest_errors_come_first() -> None:
    table = network({"a": 30, "b": 30}, sharpness=0.5)
    places = surest_errors(table, 5)
    wrong = table[predicted_of(table) != table["y_true"]]
    expected = wrong[["p_a", "p_b", "p_c"]].max(axis=1).nlargest(5)
    assert places.tolist() == expected.index.tolist()
    assert len(surest_errors(network({"a": 5}, sharpness=50))) == 0


def test_the_interval_over_seeds_adds_the_variation_of_images_and_seeds() -> None:
    columns = {"collection": "x", "protocol": "p", "scenario": "s", "among": "all classes", "measure": "accuracy"}
    run = {**columns, "class": "", "other": "", "images": 9, "patients": pd.NA, "low": 0.4, "high": 0.6}
    run |= {"internal": 0.9, "internal_low": 0.8, "internal_high": 0.95}
    table = pd.DataFrame([{**run, "seed": seed, "value": value} for seed, value in enumerate([0.45, 0.5, 0.55])])
    (mean,) = over_seeds(table).to_dict("records")
    seeds = 4.302653 * 0.05 / np.sqrt(3)  # Student's t of two degrees of freedom
    assert mean["seeds"] == 3
    assert mean["value"] == pytest.approx(0.5)
    assert mean["high"] - 0.5 == pytest.approx(np.hypot(0.1, seeds))
    assert (mean["internal"], mean["internal_low"], mean["internal_high"]) == pytest.approx((0.9, 0.8, 0.95))
    (one,) = over_seeds(table[:1]).to_dict("records")
    assert (one["value"], one["low"], one["high"]) == pytest.approx((0.45, 0.4, 0.6))
