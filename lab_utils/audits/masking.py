"""Masked images: lungs, all but the lungs, or all but the border in black."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.files import digest
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.sources import NBSP
from lab_utils.data.store import ensure_masks, open_store

MASK_SHARE = 0.9  # of every class's images that must have a lung mask for the inputs that need one
BORDER = 1 / 8  # width of the border, as a share of the side


@dataclass(frozen=True)
class MaskedImages:
    """Images of a store with a part of each in black, masked when they are read."""

    images: Pixels  # uint8 (N, H, W) or (N, H, W, 3)
    rows: NDArray[np.int64]  # (n,): which images, in this order
    masks: Pixels | None = None  # uint8 (N, H, W): the part above 127 is kept
    inverted: bool = False  # that part is erased instead

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W) or (n, H, W, 3)."""
        return (len(self.rows), *self.images.shape[1:])

    def __getitem__(self, place: slice) -> Pixels:
        """Read and mask the images of a slice: uint8 (m, H, W) or (m, H, W, 3)."""
        images = self.images[self.rows[place]]
        if self.masks is None:
            return images
        kept = (self.masks[self.rows[place]] > 127) != self.inverted
        return images * (kept if images.ndim == 3 else kept[..., None])


@dataclass(frozen=True)
class AuditImages:
    """The images of a protocol that the audits use: one split for every input."""

    manifest: pd.DataFrame  # their rows
    inputs: dict[str, MaskedImages]  # full, border and, where there are lung masks, lungs_erased and lungs_only
    masks: Pixels | None  # uint8 (N, H, W): lung masks of all images of the store, lungs above 127
    key: str  # key of what the inputs were made from
    without_masks: str = ""  # why there are no inputs that need lung masks

    def positions(self, split: str) -> NDArray[np.int64]:
        """Positions of the images on one side of the split, "train" or "validation": int64."""
        return np.flatnonzero(self.manifest["split"] == split)


def choose_audit_images(dataset: Dataset, data: LabelledImages, workspace: Workspace) -> AuditImages:
    """Choose the images of the audits: training and validation images.

    Where nearly all have a lung mask, only these are taken.

    Lung masks that count as images are left out, and the images of a test set. The masks are resized and kept in the
    workspace.
    """
    manifest, images = data.manifest, data.images
    is_image = (manifest["kind"] == "image") & manifest["split"].isin(["train", "validation"])
    has_lungs = manifest["lungs"] > 0
    without_masks = _lack_of_masks(has_lungs[is_image], manifest.loc[is_image, "class"])
    rows = np.flatnonzero(is_image if without_masks else is_image & has_lungs)
    size, masks, masks_key = images.shape[1], None, ""
    inputs = {"full": MaskedImages(images, rows), "border": MaskedImages(images, rows, _border(len(images), size))}
    if not without_masks:
        masks_key = ensure_masks(dataset, manifest, size, workspace)
        masks = open_store(workspace, masks_key)
        inputs["lungs_erased"] = MaskedImages(images, rows, masks, inverted=True)
        inputs["lungs_only"] = MaskedImages(images, rows, masks)
    key = digest(data.store_key, masks_key, rows.tolist(), BORDER)
    return AuditImages(manifest.iloc[rows].reset_index(drop=True), inputs, masks, key, without_masks)


def _lack_of_masks(has_lungs: pd.Series, classes: pd.Series) -> str:
    """Say which class has too few lung masks; empty where none has."""
    if not has_lungs.any():
        return "no image has a lung mask"
    name = has_lungs.groupby(classes).mean().idxmin()
    of_class = has_lungs[classes == name]
    if of_class.mean() >= MASK_SHARE:
        return ""
    needed = f"{100 * MASK_SHARE:.0f}{NBSP}%"
    return f"{of_class.sum():,} of {len(of_class):,} images of class {name} have a lung mask; {needed} are needed"


def _border(count: int, size: int) -> Pixels:
    """One mask that keeps the border, for each of `count` images: uint8 (count, size, size)."""
    border, width = np.full((size, size), 255, np.uint8), round(size * BORDER)
    border[width:-width, width:-width] = 0
    return np.broadcast_to(border, (count, size, size))
