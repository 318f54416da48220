"""Array files that are larger than memory: written block by block, read by slices."""

import os
from pathlib import Path
from typing import Protocol

import numpy as np

from lab_utils.data.decode import Pixels


class SlicedImages(Protocol):
    """Images on disk or in memory, read by slices: uint8 (N, H, W) or (N, H, W, 3)."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W) or (N, H, W, 3)."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, place: slice, /) -> Pixels:
        """Read the images of a slice into memory."""


class ArrayWriter:
    """Writer of a .npy file of known shape, block by block, with one block in memory at most."""

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shape, self._dtype = shape, dtype
        self._written = np.zeros(shape[0], bool)
        self._file = path.open("wb", buffering=0)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._offset = self._file.tell()

    def write(self, start: int, block: np.ndarray) -> None:
        """Write an array to the rows from `start` on; threads may call this in any order."""
        if block.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {block.shape[1:]}, expected {self._shape[1:]}")
        data = np.ascontiguousarray(block, self._dtype).reshape(-1).view(np.uint8).data
        place = self._offset + start * (len(data) // len(block))
        while data:  # not a memory map: on a full disk that ends in SIGBUS, this in an OSError
            done = os.pwrite(self._file.fileno(), data, place)
            data, place = data[done:], place + done
        self._written[start : start + len(block)] = True

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._file.close()
        if kind is None and not self._written.all():
            raise ValueError(f"{self._written.sum()} rows written, {self._shape[0]} announced")
