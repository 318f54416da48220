"""Lung masks: which file is the mask of which image, by the usual conventions."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import PurePosixPath

import pandas as pd

from lab_utils.data.names import image_key, split_side

Scope = tuple[str, str]  # class and given side, "" for any


def pair_masks(images: pd.DataFrame, masks: list[str], folders: Mapping[str, Scope]) -> tuple[pd.Series, pd.DataFrame]:
    """Pair images with masks of the same name, within one class where the folders name it.

    A mask lies in a folder for masks of the class (a/masks/1.png), beside its image with a word for masks in its name
    (a/1_mask.png), or in a folder of its own for all images (masks/1.png, masks/a/1_mask.png).

    Parameters
    ----------
    images : DataFrame
        Columns image_id, class, given.
    masks : list of str
        Paths of all mask files.
    folders : dict
        Path of each class folder to its class and given side.

    Returns
    -------
    paired : Series
        The mask of each image, "" without one.
    listed : DataFrame
        One row per mask whose class is known: image_id, class, given.
    """
    scopes = {mask: _scope_of(mask, folders) for mask in masks}
    places = {mask: (*scope, image_key(mask)) for mask, scope in scopes.items()}
    count = Counter(places.values())
    by_key = {place: mask for mask, place in places.items() if count[place] == 1}  # left and right masks are no pair
    keys = images["image_id"].map(image_key)
    unique = keys.map(Counter(keys)) == 1

    def mask_of(name: str, given: str, key: str, is_unique: bool) -> str:
        ways = [(name, given, key), (name, "", key), *([("", given, key), ("", "", key)] if is_unique else [])]
        return next((by_key[way] for way in ways if way in by_key), "")

    columns = (images["class"], images["given"], keys, unique)
    paired = pd.Series([mask_of(*row) for row in zip(*columns, strict=True)], index=images.index, dtype=object)
    known = {mask: scope for mask, scope in scopes.items() if scope[0]}
    rows = images.assign(mask=paired)[["mask", "class", "given"]].itertuples(index=False, name=None)
    known |= {mask: (name, given) for mask, name, given in rows if mask and mask not in known}
    listed = [(mask, *known[mask]) for mask in masks if mask in known]
    return paired, pd.DataFrame(listed, columns=["image_id", "class", "given"])


def _scope_of(mask: str, folders: Mapping[str, Scope]) -> Scope:
    """Return the class and the given side of a mask: of the class folder above it, or by the names of its folders."""
    parents = [str(parent) for parent in PurePosixPath(mask).parents]
    for parent in parents:
        if parent in folders:
            return folders[parent]
    names = {name for name, _ in folders.values()}
    steps = PurePosixPath(mask).parts[:-1]
    name = next((step for step in steps if step in names), "")
    return name, next(filter(None, map(split_side, steps)), "")


def unpaired_masks(images: pd.DataFrame, masks: list[str]) -> Iterator[tuple[str, str, str, str, str]]:
    """Report masks that belong to no image, with the numbers of masks, images and pairs."""
    used = set(images["mask"])
    if unused := [mask for mask in masks if mask not in used]:
        paired = int((images["mask"] != "").sum())
        detail = (
            f"{len(unused):,} of {len(masks):,} mask files are paired with no image: no image has their name, or "
            f"several masks have; {paired:,} of {len(images):,} images have a mask. The first is {unused[0]}."
        )
        yield "mask not paired", "", "", detail, "not used as a mask; rename it after its image"
