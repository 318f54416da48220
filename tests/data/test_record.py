"""Values of any depth become grey levels of 8 bits by one rule."""

import numpy as np
import pytest

from lab_utils.data.record import to_8_bits


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0, 1, 2, 4095], [0, 0, 0, 255]),
        ([1000, 1016, 3040], [0, 2, 255]),
        ([-1000, 0, 1000], [0, 128, 255]),
        ([0.25, 0.5, 0.75], [0, 128, 255]),
        ([0, 65535 * 2**15], [0, 255]),
        ([7, 7], [0, 0]),
        ([np.nan, 1, 2, np.inf, -np.inf], [0, 0, 255, 255, 0]),
        ([np.nan, np.nan], [0, 0]),
    ],
)
def test_the_smallest_value_is_black_and_the_largest_white(values: list[float], expected: list[int]) -> None:
    assert to_8_bits(np.array(values)).tolist() == expected


def test_values_outside_a_given_range_are_clipped() -> None:
    assert to_8_bits(np.array([-5, 0, 5, 10, 99]), 0, 10).tolist() == [0, 0, 128, 255, 255]
