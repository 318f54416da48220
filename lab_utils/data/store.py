"""Decode and resize radiographs; keep them as one uint8 array on disk that is read through a memory map."""

import io
import os
import typing
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.files import check_seal, digest, seal, whole
from lab_utils.core.machine import in_parallel
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.data.download import Dataset

Pixels = NDArray[np.uint8]


class Sliced(typing.Protocol):
    """Images that can be read by slices: uint8 (N, H, W) or (N, H, W, 3), not necessarily in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, H, W) or (N, H, W, 3)."""

    def __len__(self) -> int:
        """N."""

    def __getitem__(self, place: slice, /) -> Pixels:
        """Some of the images, in memory."""


RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}
UNREADABLE = (OSError, ValueError)  # of reading a file and decoding it


def decode(data: bytes) -> Pixels:
    """Decode one PNG or JPEG.

    Returns
    -------
    uint8 (H, W) or (H, W, 3), in [0, 255]
        One channel where the image is grey, also if it is stored as three equal ones. Sixteen-bit
        images keep their upper eight bits; transparency is dropped.

    Raises
    ------
    ValueError
        With the decoder's reason.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.mode.startswith("I"):
                return (np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1", "LA") else "RGB"))
    except Exception as error:  # Pillow's own, and whatever spoilt chunks make of its decoders
        raise ValueError(str(error) or type(error).__name__) from error
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., 0]) if grey else pixels


def mode_of(data: bytes) -> str:
    """How a PNG or JPEG stores its pixels, in Pillow's terms: L, LA, P, RGB, RGBA, CMYK, I;16 ..."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        return image.mode


def resize(pixels: Pixels, size: int, interpolation: str) -> Pixels:
    """Resize to a square of `size` pixels, aspect ratio ignored, as the write-up and Keras do.

    Bilinear is Pillow's, which averages over the source pixels when it shrinks; nearest is Keras' default.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), RESAMPLING[interpolation]))


def store_key(manifest: pd.DataFrame, protocol: Protocol, size: int) -> str:
    """The key of the store: the files' bytes in their order, the size, and the interpolation."""
    return digest(size, protocol.interpolation, bool(manifest["grey"].all()), *manifest["sha256"])


def ensure_store(dataset: Dataset, manifest: pd.DataFrame, protocol: Protocol, size: int, workspace: Workspace) -> str:
    """Write the image store of `manifest` unless it is there.

    Parameters
    ----------
    manifest : DataFrame
        Columns image_id (path below the data set's root), sha256, grey; row i becomes image i.
    size : int
        Side in pixels.

    Returns
    -------
    str
        The key for `open_store`. The file is uint8 (N, size, size), or (N, size, size, 3) if any image has colour.

    Raises
    ------
    LabError
        If a file that the manifest lists can no longer be read.
    """
    key = store_key(manifest, protocol, size)
    shape = (len(manifest), size, size) + (() if manifest["grey"].all() else (3,))

    def load(image_id: str) -> Pixels:
        pixels = resize(_decoded_again(dataset.root / image_id), size, protocol.interpolation)
        return np.broadcast_to(pixels[..., None], shape[1:]) if pixels.ndim < len(shape) - 1 else pixels

    _ensure_array(workspace.images(key) / "images.npy", shape, load, manifest["image_id"])
    return key


def ensure_masks(dataset: Dataset, manifest: pd.DataFrame, size: int, workspace: Workspace) -> str:
    """Write a store of lung masks unless it is there; shrunk and enlarged by the nearest pixel.

    Parameters
    ----------
    manifest : DataFrame
        Columns mask (path below the data set's root), lungs; row i becomes row i, black where there are no lungs.
    size : int
        Side in pixels.

    Returns
    -------
    str
        The key for `open_store`. The file is uint8 (N, size, size): 255 for lungs, else 0.
    """
    usable = manifest["mask"].where(manifest["lungs"] > 0, "")
    key = digest("masks", dataset.fingerprint, size, *usable, *manifest["lungs"].fillna(0).round(6))

    def load(mask: str) -> Pixels:
        if not mask:
            return np.zeros((size, size), np.uint8)
        lungs = np.where(lungs_in(_decoded_again(dataset.root / mask)), np.uint8(255), np.uint8(0))
        return resize(lungs, size, "nearest")

    _ensure_array(workspace.images(key) / "images.npy", (len(usable), size, size), load, usable)
    return key


def lungs_in(mask: Pixels) -> NDArray[np.bool_]:
    """Which pixels of a decoded mask are lungs, (H, W): those above half of its brightest, be that 1 or 255."""
    flat = mask if mask.ndim == 2 else mask.max(axis=-1)
    return flat > flat.max() // 2


def _decoded_again(path: Path) -> Pixels:
    try:
        return decode(path.read_bytes())
    except UNREADABLE as error:
        raise LabError(
            f"{path}: was readable when the manifest was made and is not now ({error}); run stage 20 again"
        ) from error


def _ensure_array(target: Path, shape: tuple[int, ...], load: Callable[[str], Pixels], items: pd.Series) -> None:
    """Write what `load` makes of each item into the rows of an array of `shape`, unless it is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(target.with_suffix(".lock")):
        if target.is_file():
            with suppress(LabError):
                check_seal(target, stage="20_preprocess")
                return
        with (
            whole(target) as draft,
            ArrayWriter(draft, shape, np.dtype(np.uint8)) as writer,
            progress(total=len(items), desc="resize", unit="image") as bar,
        ):
            for row, pixels in enumerate(in_parallel(load, items)):
                writer.write(row, pixels[None])
                bar.update()
            seal(target, draft)


def open_store(workspace: Workspace, key: str) -> Pixels:
    """The store as a read-only memory map: uint8 (N, size, size) or (N, size, size, 3) in [0, 255].

    Raises
    ------
    LabError
        If it is not there, or not as stage 20 wrote it.
    """
    path = workspace.images(key) / "images.npy"
    check_seal(path, stage="20_preprocess")
    try:
        store: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise LabError(f"{path}: not there; run stage 20_preprocess again") from None
    except (ValueError, OSError) as error:
        raise LabError(f"{path}: damaged ({error}); delete it and run stage 20_preprocess again") from error
    return store


class ArrayWriter:
    """Writes a .npy file of known shape block by block, with no more than a block in memory.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        Of the whole array.
    dtype : numpy.dtype
    """

    def __init__(self, path: Path, shape: tuple[int, ...], dtype: np.dtype) -> None:
        self._shape, self._dtype = shape, dtype
        self._written = np.zeros(shape[0], bool)
        self._file = path.open("wb", buffering=0)
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(self._file, header)
        self._offset = self._file.tell()

    def write(self, start: int, block: np.ndarray) -> None:
        """Write rows from row `start` on: an array (n, *shape[1:]). Several threads may, in any order."""
        if block.shape[1:] != self._shape[1:]:
            raise ValueError(f"rows of shape {block.shape[1:]}, expected {self._shape[1:]}")
        data = np.ascontiguousarray(block, self._dtype).reshape(-1).view(np.uint8).data
        place = self._offset + start * (len(data) // len(block))
        while data:
            done = os.pwrite(self._file.fileno(), data, place)
            data, place = data[done:], place + done
        self._written[start : start + len(block)] = True

    def __enter__(self) -> "ArrayWriter":
        return self

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._file.close()
        if kind is None and not self._written.all():
            raise ValueError(f"{self._written.sum()} rows written, {self._shape[0]} announced")
