import numpy as np
import pytest
from scipy.stats import t as student

from lab_utils.evaluation.crossed import Estimate, crossed_estimate


def two_way(runs: int, groups: int, seed: float, image: float, both: float, number: int) -> np.ndarray:
    """Effects of seeds, of groups of images, and of both: (runs, groups)."""
    random = np.random.default_rng(number)
    effects = seed * random.normal(size=(runs, 1)) + image * random.normal(size=(1, groups))
    return effects + both * random.normal(size=(runs, groups))


def estimate_of(*sets: np.ndarray, least_variance: float = 0.0) -> Estimate:
    """The estimate of means of (runs, groups) over the same groups."""
    every = np.concatenate(sets)
    covariance = np.atleast_2d(np.cov(every)) / every.shape[1]
    values = [runs.mean(axis=1) for runs in sets]
    return crossed_estimate(values, covariance, every.shape[1], least_variance=least_variance)


def test_the_variance_is_that_of_the_two_way_analysis_of_variance() -> None:
    data = two_way(4, 50, 0.5, 1.0, 0.3, 0)
    rest = data - data.mean(axis=1, keepdims=True) - data.mean(axis=0) + data.mean()
    seeds, images = data.mean(axis=1).var(ddof=1) / 4, data.mean(axis=0).var(ddof=1) / 50
    interaction = (rest**2).sum() / (3 * 49) / 200
    estimate = estimate_of(data)
    assert estimate.variance == pytest.approx(seeds + images - interaction)
    assert estimate.seed_variance == pytest.approx(seeds - interaction)
    expected = estimate.variance**2 / (seeds**2 / 3 + images**2 / 49)
    assert estimate.freedom == pytest.approx(expected)
    half = student.ppf(0.975, expected) * np.sqrt(estimate.variance)
    assert estimate.interval == pytest.approx((data.mean() - half, data.mean() + half))


def test_intervals_of_differences_cover_the_true_one() -> None:
    covered = []
    for number in range(400):
        data = two_way(10, 40, 0.3, 1.0, 0.5, number)
        low, high = estimate_of(data[:5], data[5:]).interval
        covered.append(low <= 0 <= high)
    assert 0.93 <= np.mean(covered) <= 0.99


def test_what_all_runs_find_difficult_is_no_difference() -> None:
    data = np.tile(np.random.default_rng(0).normal(size=(1, 60)), (6, 1))
    assert estimate_of(data).variance == pytest.approx(data[0].var(ddof=1) / 60)
    same = estimate_of(data[:3], data[3:], least_variance=1e-4)
    assert (same.value, same.variance) == (0, 1e-4)
    assert same.p_value == 1
    assert same.interval[0] < 0 < same.interval[1]


def test_one_run_knows_the_images_alone() -> None:
    data = two_way(2, 40, 3.0, 1.0, 0.5, 0)
    estimate = estimate_of(data[:1], data[1:])
    assert estimate.variance == pytest.approx((data[0] - data[1]).var(ddof=1) / 40)
    assert estimate.freedom == pytest.approx(39)
    assert estimate.seed_variance == 0


def test_the_detectable_difference_is_detected_with_a_power_of_eighty_percent() -> None:
    one = Estimate(0.0, 0.01**2, freedom=1e6)
    assert one.detectable() == pytest.approx(0.01 * (1.959964 + 0.841621), rel=1e-4)
    assert one.detectable(tests=3) == pytest.approx(0.01 * (2.393980 + 0.841621), rel=1e-4)
    assert Estimate(0.0, 0.01**2, freedom=4).detectable() > one.detectable()
