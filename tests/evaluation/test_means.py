import numpy as np
import pytest
from scipy.stats import norm
from scipy.stats import t as student

from lab_utils.evaluation.influence import Clusters
from lab_utils.evaluation.intervals import scores_of
from lab_utils.evaluation.means import mean_bounds, mean_scores
from tests.evaluation.test_intervals import network


def test_one_seed_has_the_interval_of_its_images_and_equal_seeds_too() -> None:
    assert mean_bounds(np.array([[0.5, 0.4, 0.7]])) == pytest.approx((0.5, 0.4, 0.7))
    equal = np.full((3, 3), 1e-4)
    assert mean_bounds(np.array([[0.5, 0.4, 0.7]] * 3), equal) == pytest.approx((0.5, 0.4, 0.7))


def test_seeds_add_student_s_interval_without_what_images_already_say() -> None:
    seeds = np.array([[0.45, 0.35, 0.55], [0.5, 0.4, 0.6], [0.55, 0.45, 0.65]])
    quantile = student.ppf(0.975, 2)
    assert mean_bounds(seeds)[2] - 0.5 == pytest.approx(np.hypot(0.1, quantile * 0.05 / np.sqrt(3)))
    apart = np.eye(3) * 6e-4  # over samples of images the runs vary on their own
    margin = np.sqrt(quantile**2 * 0.05**2 / 3 - norm.ppf(0.975) ** 2 * 6e-4 / 3)
    assert mean_bounds(seeds, apart)[2] - 0.5 == pytest.approx(np.hypot(0.1 / np.sqrt(3), margin))
    assert mean_bounds(np.array([[1.0, 0.8, 1.0]] * 2), np.zeros((2, 2))) == (1, 0.8, 1)


def test_every_score_has_a_mean_between_its_bounds() -> None:
    tables = [network({"a": 40, "b": 40, "c": 8}, seed=seed) for seed in range(8)]
    scores = [scores_of(table, ["accuracy", "recall", "ece", "scaled_brier"]) for table in tables]
    found = mean_scores(scores, Clusters(tables[0]["group"], tables[0]["y_true"]))
    assert found["measure"].tolist() == ["accuracy", "recall", "recall", "recall", "ece", "scaled_brier"]
    assert found["value"][0] == pytest.approx(np.mean([one[0].value for one in scores]))
    assert ((found["low"] < found["value"]) & (found["value"] < found["high"])).all()
    assert found["high"][0] - found["low"][0] < scores[0][0].high - scores[0][0].low, "unequal errors average out"
    low = np.mean([one[4].low for one in scores])
    assert found["measure"][4] == "ece"
    assert found["low"][4] <= low, "the error of few images is too large in every run"
