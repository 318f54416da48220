import numpy as np
import pandas as pd
import pytest

from lab_utils.data.proportions import wilson_interval


def by_formula(share: float, images: int) -> list[float]:
    z = 1.959964
    center = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    half = z * np.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    return [center - half, center + half]


def test_the_interval_is_wilson_s_and_five_images_of_a_patient_are_one() -> None:
    hits = pd.Series([True] + [False] * 9)
    assert wilson_interval(hits, pd.Series(range(10))) == pytest.approx(by_formula(0.1, 10), abs=1e-6)
    images, patients = (
        hits.repeat(
            5,
        ),
        pd.Series(range(10)).repeat(5),
    )
    assert wilson_interval(images, patients) == pytest.approx(by_formula(0.1, 10), abs=1e-6)
    assert wilson_interval(hits & False, pd.Series(range(10)))[0] == 0
