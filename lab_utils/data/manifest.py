"""The manifest: one row per image, with all that later stages need to know about it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from PIL import Image

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.machine import in_parallel
from lab_utils.core.progress import progress
from lab_utils.data.download import Dataset, list_images, list_masks, read_sheet, sheet_key
from lab_utils.data.splits import split
from lab_utils.data.store import UNREADABLE, decode, lungs_in, mode_of

FATAL_SHARE = 0.05  # of a class that may be unreadable
COLUMNS = [
    "image_id",
    "class",
    "kind",
    "source",
    "mask",
    "lungs",
    "split",
    "group",
    "width",
    "height",
    "mode",
    "grey",
    "mean",
    "deviation",
    "levels",
    "sha256",
    "pixels",
    "phash",
]


@dataclass(frozen=True)
class Unreadable:
    """A file that could not be decoded and is left out."""

    image_id: str
    label: str
    reason: str


def build_manifest(dataset: Dataset, protocol: Protocol) -> tuple[pd.DataFrame, list[Unreadable]]:
    """Read every image of a data set once and split them by the protocol.

    Returns
    -------
    manifest : DataFrame
        In order of class, then path. Columns:
        image_id (path below the data set's root, with '/'), class, kind ("image", or "mask" where the protocol
        counts masks as images), source (as its metadata sheet has it; empty without one), mask (path of the lung mask;
        empty without one), lungs (the share of the image that it covers, in [0, 1]; missing where it cannot be read),
        split ("train", "validation"), group (number shared by images with the same perceptual hash), width and height
        (pixels), mode (of the file: L, RGB, ...), grey (bool: no colour in it), mean and deviation (of its grey levels,
        in [0, 255]), levels (how many different ones), sha256 (of the file), pixels (SHA-256 of the decoded pixels and
        their shape),
        phash (64-bit perceptual hash, hexadecimal; Zauner 2010, as in the imagehash library).
    unreadable : list of Unreadable

    Raises
    ------
    LabError
        If over 5 % of a class cannot be decoded, or a class ends up on one side of the split only.
    """
    listing = list_items(dataset, masks=protocol.masks)
    bar = progress(total=len(listing), desc="read", unit="image")
    facts = []
    paths = zip(listing["image_id"], listing["mask"], strict=True)
    for fact in in_parallel(lambda own: _examine(dataset.root, *own), paths):
        facts.append(fact)
        bar.update()
    bar.close()
    failed = [isinstance(fact, str) for fact in facts]
    unreadable = [
        Unreadable(image_id, label, str(facts[i]))
        for i, (image_id, label) in enumerate(zip(listing["image_id"], listing["class"], strict=True))
        if failed[i]
    ]
    _refuse_spoilt(listing, unreadable)
    kept = listing[~np.array(failed)].reset_index(drop=True)
    manifest = kept.join(pd.DataFrame([fact for fact in facts if isinstance(fact, dict)]))
    manifest["group"] = pd.factorize(manifest["phash"])[0]
    manifest["split"] = split(manifest, protocol)
    return manifest[COLUMNS], unreadable


def list_items(dataset: Dataset, *, masks: bool) -> pd.DataFrame:
    """List a data set's images (and its masks, if they count as images) in the order Keras walks them.

    Returns
    -------
    DataFrame
        Columns image_id, class, kind, source, mask.
    """
    rows = []
    for name in dataset.classes:
        folder = dataset.root / name
        own_masks = list_masks(folder)
        mask_of = {path.stem: path for path in own_masks}
        source_of = read_sheet(dataset.root, name).to_dict()
        for path in list_images(folder):
            source, mask = source_of.get(sheet_key(path.name), ""), mask_of.get(path.stem)
            rows.append((_id(dataset, path), name, "image", source, _id(dataset, mask) if mask else ""))
        if masks:
            rows += [(_id(dataset, path), name, "mask", "", "") for path in own_masks]
    return pd.DataFrame(rows, columns=["image_id", "class", "kind", "source", "mask"])


def _id(dataset: Dataset, path: Path) -> str:
    return path.relative_to(dataset.root).as_posix()


def _examine(root: Path, image_id: str, mask: str) -> dict[str, object] | str:
    """The facts about one image and its mask, or why it cannot be read."""
    try:
        data = (root / image_id).read_bytes()
        pixels = decode(data)
        mode = mode_of(data)
    except UNREADABLE as error:
        return str(error)
    levels = np.bincount(pixels.ravel(), minlength=256)
    mean = np.average(np.arange(256), weights=levels)
    return {
        "lungs": _lungs(root / mask) if mask else np.nan,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "mode": mode,
        "grey": pixels.ndim == 2,
        "mean": mean,
        "deviation": np.sqrt(np.average((np.arange(256) - mean) ** 2, weights=levels)),
        "levels": np.count_nonzero(levels),
        "sha256": hashlib.sha256(data).hexdigest(),
        "pixels": hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        "phash": str(imagehash.phash(Image.fromarray(pixels))),
    }


def _lungs(mask: Path) -> float:
    try:
        return float(lungs_in(decode(mask.read_bytes())).mean())
    except UNREADABLE:
        return np.nan


def _refuse_spoilt(listing: pd.DataFrame, unreadable: list[Unreadable]) -> None:
    for name, count in listing["class"].value_counts().items():
        lost = [item for item in unreadable if item.label == name]
        if len(lost) > FATAL_SHARE * count:
            first = lost[0]
            raise LabError(
                f"class {name}: {len(lost)} of {count} images cannot be decoded, more than {FATAL_SHARE:.0%}; "
                f"the first is {first.image_id} ({first.reason}); "
                "repair or remove these files and run stages 10 and 20 again"
            )
