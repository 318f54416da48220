import numpy as np

from lab_utils.audits.inputs import grey_inputs, histogram, thumbnail


def test_nine_statistics_by_hand() -> None:
    found = histogram(np.array([[0, 0], [10, 10]], np.uint8))
    assert found.tolist() == [5, 5, 0, 1, 0, 0, 0, 10, 10]
    assert histogram(np.full((4, 4), 7, np.uint8)).tolist() == [7, 0, 0, 0, 7, 7, 7, 7, 7]


def test_a_thumbnail_is_of_means() -> None:
    image = np.zeros((16, 16), np.uint8)
    image[:2, :2] = [[10, 20], [30, 40]]
    found = thumbnail(image)
    assert found.shape == (64,)
    assert found[0] == 25
    assert found[1:].sum() == 0


def test_coloured_images_are_judged_by_their_grey_levels() -> None:
    grey = np.random.default_rng(0).integers(0, 255, (3, 16, 16)).astype(np.uint8)
    expected, colour = grey_inputs(grey), grey_inputs(np.stack([grey] * 3, axis=-1))
    assert {name: values.shape for name, values in expected.items()} == {"histogram": (3, 9), "thumbnail_8x8": (3, 64)}
    assert all((expected[name] == colour[name]).all() for name in expected)
