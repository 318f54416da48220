"""Masked images: the lungs, their outline, all but the lungs, or the border is left."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from lab_utils.core.files import digest
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.sources import NBSP
from lab_utils.data.store import ensure_masks, open_store

MOST = 300  # images drawn at random; docs/statistics.md compares them with all images
MASK_SHARE = 0.9  # of every class's images that must have a lung mask for the inputs that need one
BORDER = 1 / 8  # width of the border, as a share of the side
DILATION = 1 / 16  # by which the erased lungs grow on every side, as a share of the side
FORMAT = 1  # goes up when the same images and masks would give other inputs

Lungs = NDArray[np.bool_]  # (m, H, W)
Mask = Callable[[Pixels, Lungs], Pixels]  # images (m, H, W) or (m, H, W, 3) and their lungs to masked images


def _shown(images: Pixels, kept: Lungs) -> Pixels:
    """Images in which what is not kept is black."""
    return images * (kept if images.ndim == kept.ndim else kept[..., None])


def frame(images: Pixels, lungs: Lungs) -> Pixels:
    """Keep the border of the image."""
    width = round(images.shape[1] * BORDER)
    kept = np.ones(images.shape[:3], bool)
    kept[:, width:-width, width:-width] = False
    return _shown(images, kept)


def without_lungs_mean(images: Pixels, lungs: Lungs) -> Pixels:
    """Replace the lungs by the mean grey level of the rest of each image."""
    result = images.copy()
    for image, inside in zip(result, lungs, strict=True):
        image[inside] = image[~inside].mean(axis=0).round() if not inside.all() else 0
    return result


def without_dilated_lungs(images: Pixels, lungs: Lungs) -> Pixels:
    """Erase the lungs and what lies close to them, so that their outline is coarser."""
    size = 2 * round(images.shape[1] * DILATION) + 1
    grown = maximum_filter1d(maximum_filter1d(lungs.astype(np.uint8), size, axis=1), size, axis=2)
    return _shown(images, grown == 0)


def without_box(images: Pixels, lungs: Lungs) -> Pixels:
    """Erase the smallest rectangle that holds both lungs: no outline is left."""
    kept = np.ones(lungs.shape, bool)
    for box, inside in zip(kept, lungs, strict=True):
        rows, columns = (np.flatnonzero(inside.any(axis=axis)) for axis in (1, 0))
        if len(rows):
            box[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] = False
    return _shown(images, kept)


MASKS: dict[str, Mask] = {
    "border": frame,
    "frame_without_lungs": lambda images, lungs: _shown(frame(images, lungs), ~lungs),
    "lungs_erased": lambda images, lungs: _shown(images, ~lungs),
    "lungs_erased_mean": without_lungs_mean,
    "lungs_erased_dilated": without_dilated_lungs,
    "box_erased": without_box,
    "other_lungs_erased": lambda images, lungs: _shown(images, ~lungs),  # with the lungs of another image
    "lungs_only": _shown,
    "mask_only": lambda images, lungs: _shown(np.full_like(images, 255), lungs),
}
OTHER_LUNGS = "other_lungs_erased"


@dataclass(frozen=True)
class MaskedImages:
    """Images of a store, of which a part is shown, masked when they are read."""

    images: Pixels  # uint8 (N, H, W) or (N, H, W, 3)
    rows: NDArray[np.int64]  # (n,): which images, in this order
    mask: Mask | None = None  # None: the images as they are
    lungs: Pixels | None = None  # uint8 (M, H, W): lung masks, lungs above 127
    lung_rows: NDArray[np.int64] | None = None  # (n,): which lung masks

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
        if self.mask is None:
            return images
        if self.lungs is None or self.lung_rows is None:
            return self.mask(images, np.zeros(images.shape[:3], bool))
        return self.mask(images, self.lungs[self.lung_rows[place]] > 127)

    def among(self, places: NDArray[np.int64]) -> "MaskedImages":
        """Return some of the images (k,)."""
        lung_rows = None if self.lung_rows is None else self.lung_rows[places]
        return replace(self, rows=self.rows[places], lung_rows=lung_rows)


@dataclass(frozen=True)
class AuditImages:
    """A random sample of a protocol's images, for every input."""

    manifest: pd.DataFrame  # their rows
    inputs: dict[str, MaskedImages]  # full, border and, where there are lung masks, the others of `MASKS`
    masks: Pixels | None  # uint8 (n, H, W): their lung masks, lungs above 127
    key: str  # key of what the inputs were made from
    without_masks: str = ""  # why there are no inputs that need lung masks

    @property
    def judged(self) -> NDArray[np.int64]:
        """Places of the validation images, on which networks are judged: int64."""
        return np.flatnonzero(self.manifest["split"] == "validation")


def choose_audit_images(dataset: Dataset, data: LabelledImages, workspace: Workspace) -> AuditImages:
    """Draw the images of the audits.

    They are `MOST` validation images or, if there are fewer, training images as well. Where nearly all have a lung
    mask, only these are drawn. Lung masks that count as images are left out, and the images of a test set. The masks
    of the drawn images are resized and kept in the workspace.
    """
    manifest, images = data.manifest, data.images
    is_image = (manifest["kind"] == "image") & manifest["split"].isin(["train", "validation"])
    has_lungs = manifest["lungs"] > 0
    without_masks = _lack_of_masks(has_lungs[is_image], manifest.loc[is_image, "class"])
    rows = np.flatnonzero(is_image if without_masks else is_image & has_lungs)
    rows = rows[_sample(manifest.iloc[rows])]
    masks, masks_key, inputs = None, "", {"full": MaskedImages(images, rows)}
    chosen = manifest.iloc[rows].reset_index(drop=True)
    if not without_masks:
        masks_key = ensure_masks(dataset, chosen, images.shape[1], workspace)
        masks = open_store(workspace, masks_key)
    for name in MASKS if masks is not None else ("border",):
        lung_rows = _other_images(chosen) if name == OTHER_LUNGS else np.arange(len(rows))
        inputs[name] = MaskedImages(images, rows, MASKS[name], masks, lung_rows)
    key = digest(FORMAT, data.store_key, masks_key, rows.tolist(), BORDER, DILATION)
    return AuditImages(chosen, inputs, masks, key, without_masks)


def _sample(manifest: pd.DataFrame) -> NDArray[np.int64]:
    """Draw images, validation images first: places, ascending.

    Their classes have the shares of all images. A group may be drawn in part: images of more groups say more than as
    many of fewer groups.
    """
    shuffled = manifest.assign(place=range(len(manifest))).sample(frac=1, random_state=0)
    of_class = shuffled.groupby(["split", "class"])["place"]
    shuffled["before"] = (of_class.cumcount() + 0.5) / of_class.transform("size")  # share of its class that comes first
    ordered = shuffled.sort_values(["split", "before"], ascending=[False, True], kind="stable")
    return np.sort(ordered["place"].to_numpy()[:MOST])


def _other_images(manifest: pd.DataFrame) -> NDArray[np.int64]:
    """Draw another image for each image, of another group where there is one: places (n,)."""
    codes, names = pd.factorize(manifest["group"])
    places = np.random.default_rng(0).permutation(len(names))[
        codes
    ]  # images of a group in a row, groups in random order
    order, result = np.argsort(places, kind="stable"), np.arange(len(manifest))
    result[order] = np.roll(order, manifest["group"].value_counts().iloc[0])
    return result


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
