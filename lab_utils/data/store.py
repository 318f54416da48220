"""The image store: the images of a protocol as one array file, read by memory map."""

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.files import atomic_write, digest, reading, verify_checksum
from lab_utils.core.locks import locked
from lab_utils.core.machine import in_parallel
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.data.arrays import ArrayWriter
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import ImageError, Pixels, decode, lungs_in, read_bytes, resize

STAGE = "20_preprocess"


def store_key(manifest: pd.DataFrame, protocol: Protocol, size: int) -> str:
    """Digest what the store depends on: the decoded pixels in order, size, interpolation."""
    return digest(size, protocol.interpolation, bool(manifest["grey"].all()), *manifest["pixels"])


def ensure_store(dataset: Dataset, manifest: pd.DataFrame, protocol: Protocol, size: int, workspace: Workspace) -> str:
    """Write the image store of `manifest` unless it exists, and return its key for `open_store`.

    Row i of the manifest becomes image i. The file is uint8 (N, size, size), or (N, size, size, 3) if any image
    has colour. A file that the manifest lists and that can no longer be read is a LabError.
    """
    key = store_key(manifest, protocol, size)
    shape = (len(manifest), size, size) + (() if manifest["grey"].all() else (3,))

    def load(image_id: str) -> Pixels:
        pixels = resize(_decode_again(dataset.root / image_id), size, protocol.interpolation)
        return np.broadcast_to(pixels[..., None], shape[1:]) if pixels.ndim < len(shape) - 1 else pixels

    _ensure_array(workspace.images(key) / "images.npy", shape, load, manifest["image_id"])
    return key


def ensure_masks(dataset: Dataset, manifest: pd.DataFrame, size: int, workspace: Workspace) -> str:
    """Write a store of lung masks unless it exists, and return its key for `open_store`.

    Row i of the manifest becomes mask i: uint8 (N, size, size), 255 for lungs, else 0; black without a lung mask.
    Masks are resized by the nearest pixel.
    """
    masks = manifest["mask"].where(manifest["lungs"] > 0, "")
    key = digest("masks", dataset.fingerprint, size, *masks, *manifest["lungs"].fillna(0).round(6))

    def load(mask: str) -> Pixels:
        if not mask:
            return np.zeros((size, size), np.uint8)
        lungs = np.where(lungs_in(_decode_again(dataset.root / mask)), np.uint8(255), np.uint8(0))
        return resize(lungs, size, "nearest")

    _ensure_array(workspace.images(key) / "images.npy", (len(masks), size, size), load, masks)
    return key


def open_store(workspace: Workspace, key: str) -> Pixels:
    """Open a store as a read-only memory map: uint8 (N, size, size) or (N, size, size, 3).

    A store that does not exist, or is not as stage 20 wrote it, is a LabError.
    """
    path = workspace.images(key) / "images.npy"
    with reading(path, "an image store", stage=STAGE):
        store: Pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    return store


def _decode_again(path: Path) -> Pixels:
    try:
        return decode(read_bytes(path))
    except ImageError as error:
        raise LabError(
            f"{path}: was readable when the manifest was made and is not now ({error}); run stage 20 again"
        ) from error


def _ensure_array(target: Path, shape: tuple[int, ...], load: Callable[[str], Pixels], items: pd.Series) -> None:
    """Write `load(item)` of each item into its row of an array, unless the file exists."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with locked(target.with_suffix(".lock")):
        if target.is_file():
            with suppress(LabError):
                verify_checksum(target, stage=STAGE)
                return
        with (
            atomic_write(target) as draft,
            ArrayWriter(draft, shape, np.dtype(np.uint8)) as writer,
            progress(total=len(items), desc="resize", unit="image") as bar,
        ):
            for row, pixels in enumerate(in_parallel(load, items)):
                writer.write(row, pixels[None])
                bar.update()
