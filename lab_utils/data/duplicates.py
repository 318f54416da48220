"""Duplicates: images with identical pixels or identical or similar perceptual hashes."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Protocol
from lab_utils.data.proportions import wilson_interval

MOST_BITS = 10  # of 64: pairs of perceptual hashes are counted up to this distance
MOST_IMAGES = 25_000  # among which pairs are counted: their number grows with the square
QUERY_BLOCK = 256  # images that are compared with all later ones at once


def duplicates(images: pd.DataFrame, protocol: Protocol) -> Iterator[tuple[str, str, str, str, str]]:
    """Report images with the pixels, or with the 64-bit perceptual hash, of an earlier image.

    The hash is that of Zauner (Implementation and benchmarking of perceptual image hash functions, 2010). Only
    distance 0 counts as a duplicate: radiographs are similar, and larger distances also occur between patients.
    """
    firsts = {key: images.drop_duplicates(key).set_index(key) for key in ("pixels", "phash")}
    for copy in images[images.duplicated("phash") | images.duplicated("pixels")].to_dict("records"):
        exact = firsts["pixels"].loc[copy["pixels"]]
        is_exact = exact["image_id"] != copy["image_id"]
        original = exact if is_exact else firsts["phash"].loc[copy["phash"]]
        check = "exact duplicate" if is_exact else "near-duplicate"
        agreement = "pixels are identical to those" if is_exact else "perceptual hash is identical to that"
        crosses = original["split"] != copy["split"]
        side = "other" if crosses else "same"
        detail = f"Its {agreement} of {original['image_id']}, on the {side} side of the split"
        if original["class"] != copy["class"]:
            detail += f", in another class ({original['class']})"
        action = "kept on one side, with its group" if protocol.split == "grouped" else "kept"
        yield check, copy["class"], copy["image_id"], f"{detail}.", "kept on both sides" if crosses else action


def leaks(manifest: pd.DataFrame) -> pd.DataFrame:
    """Count validation images with a duplicate, or a patient, in the training set: one row.

    Columns validation (images), copied (those whose perceptual hash a training image has), share, low, high (95 %
    interval, see `wilson_interval`), same_patient (those whose patient has training images; missing where no patient
    is known).
    """
    images = manifest[manifest["kind"] == "image"]
    train, validation = (images[images["split"] == side] for side in ("train", "validation"))
    is_copied = validation["phash"].isin(train["phash"])
    low, high = wilson_interval(is_copied, validation["group"])
    patients = validation["patient"].isin(train.loc[train["patient"] != "", "patient"])
    row = {
        "validation": len(validation),
        "copied": int(is_copied.sum()),
        "share": is_copied.mean(),
        "low": low,
        "high": high,
        "same_patient": int(patients.sum()) if (images["patient"] != "").any() else pd.NA,
    }
    return pd.DataFrame([row]).astype({"same_patient": "Int64"})


def matches(manifest: pd.DataFrame, closest: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Count pairs of images by the Hamming distance of their perceptual hashes.

    Of more than 25,000 images, 25,000 are taken, evenly spaced.

    Returns
    -------
    counts : DataFrame
        Columns distance (bits, 0 to 10), within, across (pairs of one class, of two).
    pairs : DataFrame
        The `closest` pairs of different classes: columns distance, first, second (image_id).
    """
    rows = np.flatnonzero(manifest["kind"] == "image")
    if len(rows) > MOST_IMAGES:
        rows = rows[np.linspace(0, len(rows) - 1, MOST_IMAGES).astype(int)]
    hashes = np.array([int(text, 16) for text in manifest["phash"].iloc[rows]], np.uint64)
    names, labels = manifest["image_id"].to_numpy()[rows], pd.factorize(manifest["class"].iloc[rows])[0]
    counts, closest_pairs = np.zeros((2, MOST_BITS + 1), int), []
    for start in range(0, len(rows), QUERY_BLOCK):
        first, second, distance = _similar_pairs(hashes, start)
        across = labels[first] != labels[second]
        for kind in (0, 1):
            counts[kind] += np.bincount(distance[across == kind], minlength=MOST_BITS + 1)
        pairs = pd.DataFrame({"distance": distance, "first": names[first], "second": names[second]})[across]
        closest_pairs.append(pairs.nsmallest(closest, "distance"))
    table = pd.DataFrame({"distance": range(MOST_BITS + 1), "within": counts[0], "across": counts[1]})
    return table, pd.concat(closest_pairs).nsmallest(closest, "distance").reset_index(drop=True)


def _similar_pairs(
    hashes: NDArray[np.uint64], start: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Compare a block of rows with all later rows: row, later row, distance in bits."""
    block = hashes[start : start + QUERY_BLOCK]
    distance = np.bitwise_count(block[:, None] ^ hashes[None, start:])
    first, second = np.nonzero(np.triu(distance <= MOST_BITS, k=1))
    return first + start, second + start, distance[first, second]
