"""Array files written block by block are numpy's."""

from pathlib import Path

import numpy as np
import pytest

from lab_utils.data.arrays import ArrayWriter


def test_an_array_written_in_blocks_is_numpy_s(tmp_path: Path) -> None:
    array = np.arange(60, dtype=np.float32).reshape(10, 3, 2)
    with ArrayWriter(tmp_path / "a.npy", array.shape, array.dtype) as writer:
        for start in (8, 0, 4):
            writer.write(start, array[start : start + 4])
    assert (np.load(tmp_path / "a.npy", allow_pickle=False) == array).all()


def test_an_array_must_have_all_its_rows_and_the_right_shape(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="2 rows written, 10 announced"),
        ArrayWriter(tmp_path / "a.npy", (10, 3), np.dtype("f4")) as writer,
    ):
        writer.write(0, np.zeros((2, 3)))
    with (
        pytest.raises(ValueError, match="expected"),
        ArrayWriter(tmp_path / "a.npy", (10, 3), np.dtype("f4")) as writer,
    ):
        writer.write(0, np.zeros((2, 4)))
