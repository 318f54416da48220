import numpy as np
import pandas as pd
import pytest

from lab_utils.data.proportions import effective_images, majority_accuracy, wilson_bounds, wilson_interval


def by_formula(share: float, images: float) -> list[float]:
    z = 1.959964
    center = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    return [center - half, center + half]


def test_the_interval_is_wilson_s_and_five_images_of_a_patient_are_one() -> None:
    hits = np.array([True] + [False] * 9)
    assert wilson_interval(hits, range(10)) == pytest.approx(by_formula(0.1, 10), abs=1e-6)
    assert wilson_interval(hits.repeat(5), np.arange(10).repeat(5)) == pytest.approx(by_formula(0.1, 10), abs=1e-6)
    assert wilson_interval([False] * 10, range(10))[0] == 0
    assert wilson_interval([], []) == (0, 1), "no image says nothing"


def test_the_number_of_images_may_be_an_effective_one() -> None:
    assert effective_images([0, 0, 0, 1]) == pytest.approx(16 / 10)
    assert wilson_bounds(0.3, 12.5) == pytest.approx(by_formula(0.3, 12.5), abs=1e-6)
    assert wilson_bounds(1.0, 8.0) == pytest.approx((8 / (8 + 1.959964**2), 1))


def test_the_majority_class_baseline() -> None:
    assert majority_accuracy(pd.Series(list("aaab"))) == 0.75
