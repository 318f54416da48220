"""The manifest: one row per image, with everything that later stages need."""

import hashlib
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.machine import in_parallel
from lab_utils.core.progress import progress
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import ImageError, lungs_in, read_bytes, read_image, read_record
from lab_utils.data.record import NO_PIXELS
from lab_utils.data.splits import UNDIVIDED, split

MOST_UNREADABLE, HANDFUL = 0.05, 5  # share of a class, and files: above both the data set is refused


def build_manifest(dataset: Dataset, protocol: Protocol) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read every image of a data set once, and split the images by the protocol.

    Returns
    -------
    manifest : DataFrame
        One row per image, in order of class, then path; columns as in the catalogue. `phash` is the 64-bit
        perceptual hash of Zauner (2010), as in imagehash; images with an identical hash or patient share a `group`.
    left_out : DataFrame
        One row per file that cannot be decoded, or whose group or patient has images in another set, see `split`:
        columns check, class, image_id, reason.

    Raises
    ------
    LabError
        If more than 5 % of a class and more than five files cannot be decoded, or no image of a class can.
    SplitError
        If the protocol cannot be applied, see `split`.
    """
    listing = list_items(dataset, masks=protocol.masks)
    manifest, left_out = read_images(dataset, listing)
    _refuse_damaged_classes(listing, left_out)
    manifest["split"] = split(manifest, protocol)
    divided = manifest.loc[manifest["split"] == "", ["class", "image_id"]]
    key = UNDIVIDED.get(protocol.split, "")
    divided = divided.assign(check=f"divided {key}", reason=f"Its {key} has images in the validation or test set.")
    manifest = manifest[manifest["split"] != ""].reset_index(drop=True)
    left_out = pd.concat([left_out, divided])[["check", "class", "image_id", "reason"]]
    return manifest[list(catalogue()["manifest"].columns)], left_out


def read_images(dataset: Dataset, listing: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the images of a listing once, without splitting them; a damaged file raises nothing.

    Returns
    -------
    manifest : DataFrame
        One row per readable image, in the order of `listing`: its columns, and those of the manifest but `split`.
    left_out : DataFrame
        One row per file that cannot be decoded: columns check, class, image_id, reason.
    """
    readings: list[dict[str, object] | str] = []
    with progress(total=len(listing), desc="read", unit="image") as bar:
        paths = zip(listing["image_id"], listing["mask"], strict=True)
        for reading in in_parallel(lambda pair: _examine(dataset.root, *pair), paths):
            readings.append(reading)
            bar.update()
    failed = np.array([isinstance(reading, str) for reading in readings], bool)
    reasons = [reading for reading in readings if isinstance(reading, str)]
    left_out = listing.loc[failed, ["class", "image_id"]].assign(check="unreadable", reason=reasons)
    left_out["check"] = left_out["check"].where(left_out["reason"] != NO_PIXELS, "no image")
    measured = [column for column in catalogue()["manifest"].columns if column not in {*listing, "group", "split"}]
    values = pd.DataFrame((r for r in readings if isinstance(r, dict)), columns=[*measured, "patient_hash"])
    manifest = listing[~failed].reset_index(drop=True).join(values)
    manifest["patient"] = manifest["patient"].where(manifest["patient"] != "", manifest["patient_hash"])
    if manifest["patient"].nunique() == 1 and len(manifest) > 1:  # one name for all images names no patient
        manifest["patient"] = ""
    manifest["group"] = _groups(manifest)
    return manifest.drop(columns="patient_hash"), left_out[["check", "class", "image_id", "reason"]]


def list_items(dataset: Dataset, *, masks: bool) -> pd.DataFrame:
    """List images, and masks if they count as images, in the order that Keras lists them."""
    listing = dataset.listing
    return listing if masks else listing[listing["kind"] == "image"].reset_index(drop=True)


def _examine(root: Path, image_id: str, mask: str) -> dict[str, object] | str:
    """Measure one image and its mask, or return why the image cannot be read."""
    try:
        data = read_bytes(root / image_id)
        record = read_record(data)
    except ImageError as error:
        return str(error)
    pixels = record.pixels
    levels = np.bincount(pixels.ravel(), minlength=256)
    mean = np.average(np.arange(256), weights=levels)
    return {
        "lungs": _lung_share(root / mask) if mask else np.nan,
        "height": pixels.shape[0],
        "width": pixels.shape[1],
        "format": record.format,
        "mode": record.mode,
        "bits": record.bits,
        "conversion": "; ".join(record.conversions),
        "patient_hash": record.patient,
        "grey": pixels.ndim == 2,
        "mean": mean,
        "deviation": np.sqrt(np.average((np.arange(256) - mean) ** 2, weights=levels)),
        "levels": np.count_nonzero(levels),
        "sha256": hashlib.sha256(data).hexdigest(),
        "pixels": hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).hexdigest(),
        "phash": str(imagehash.phash(Image.fromarray(pixels))),
    }


def _groups(manifest: pd.DataFrame) -> NDArray[np.int64]:
    """Number the connected components of images that share a perceptual hash or a patient."""
    if manifest.empty:
        return np.zeros(0, np.int64)
    hashes = pd.factorize(manifest["phash"])[0]
    patients = pd.factorize(manifest["patient"].where(manifest["patient"] != "", None))[0]  # unknown: -1
    known = patients >= 0
    edges = (hashes[known], hashes.max() + 1 + patients[known])
    size = hashes.max() + patients.max() + 2
    _, component = connected_components(coo_array((np.ones(known.sum()), edges), shape=(size, size)), directed=False)
    return pd.factorize(component[hashes])[0]


def _lung_share(path: Path) -> float:
    mask = read_image(path)
    return np.nan if mask is None else float(lungs_in(mask).mean())


def _refuse_damaged_classes(listing: pd.DataFrame, unreadable: pd.DataFrame) -> None:
    for name, failed in unreadable.groupby("class"):
        lost = failed[failed["reason"] != NO_PIXELS]
        count = (listing["class"] == name).sum() - (len(failed) - len(lost))
        if not count:
            raise LabError(
                f"class {name}: all {len(failed)} files hold no image ({NO_PIXELS}); add images, or remove it"
            )
        if len(lost) > max(MOST_UNREADABLE * count, HANDFUL) or len(lost) == count:
            first = lost.iloc[0]
            raise LabError(
                f"class {name}: {len(lost)} of {count} images cannot be decoded, more than {MOST_UNREADABLE:.0%} and "
                f"more than {HANDFUL}, or all; the first is {first['image_id']} ({first['reason']}); "
                "repair or remove these files and run stages 10 and 20 again"
            )
