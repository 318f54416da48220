import numpy as np
import pandas as pd
import pytest

from lab_utils.evaluation.prevalence import judged_class, predictive_values, ratio_bounds


def predictions(hits: int, misses: int, alarms: int, rejections: int) -> pd.DataFrame:
    truth = ["COVID"] * (hits + misses) + ["Normal"] * (alarms + rejections)
    sure = [1.0] * hits + [0.0] * misses + [1.0] * alarms + [0.0] * rejections
    table = pd.DataFrame({"image_id": map(str, range(len(truth))), "group": range(len(truth)), "y_true": truth})
    return table.assign(p_Normal=1 - np.array(sure), p_COVID=sure)


def test_predictive_values_follow_from_bayes() -> None:
    table = predictive_values(predictions(80, 20, 30, 270)).set_index("prevalence")
    assert set(table["class"]) == {"COVID"}
    row = table.loc[0.05]
    assert (row["sensitivity"], row["specificity"]) == pytest.approx((0.8, 0.9))
    assert row["ppv"] == pytest.approx(0.05 * 0.8 / (0.05 * 0.8 + 0.95 * 0.1))
    assert row["npv"] == pytest.approx(0.95 * 0.9 / (0.95 * 0.9 + 0.05 * 0.2))
    assert ((table["ppv_low"] < table["ppv"]) & (table["ppv"] < table["ppv_high"])).all()
    assert ((table["npv_low"] < table["npv"]) & (table["npv"] < table["npv_high"])).all()


def test_perfect_and_useless_networks_have_bounds() -> None:
    perfect = predictive_values(predictions(20, 0, 0, 100)).iloc[0]
    assert (perfect["ppv"], perfect["ppv_high"], perfect["npv"], perfect["npv_high"]) == (1, 1, 1, 1)
    assert 0.05 < perfect["ppv_low"] < 0.5, "a hundred rejections do not prove a share of false alarms of 1 %"
    never = predictive_values(predictions(0, 20, 0, 100)).iloc[0]
    assert np.isnan(never["ppv"])
    assert predictive_values(predictions(20, 0, 0, 0)).empty


def test_the_judged_class_is_no_healthy_one() -> None:
    assert judged_class(["Normal", "COVID", "Pneumonia"]) == "COVID"
    assert judged_class(["No_Finding", "Pneumonia", "Effusion"]) == "Pneumonia"
    assert judged_class(["normal", "control"]) == "normal"


def test_the_ratio_s_interval_is_close_to_that_of_its_logarithm() -> None:
    first, second = (0.8, 0.76, 0.84), (0.5, 0.45, 0.55)
    margin = np.hypot(np.log(0.8 / 0.76), np.log(0.55 / 0.5))
    assert ratio_bounds(first, second)[0] == pytest.approx(1.6 * np.exp(-margin), rel=0.02)
    assert ratio_bounds(first, second)[1] == pytest.approx(1.6 * np.exp(margin), rel=0.02)
