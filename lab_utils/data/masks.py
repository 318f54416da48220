"""Lung masks: which file is the mask of which image, by the usual conventions."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

import pandas as pd

from lab_utils.data.names import image_key, is_mask_folder, mask_subject, plain_name, split_side, words_of

Scope = tuple[str, str]  # class and given side, "" for any


def lung_masks(masks: list[str], classes: Iterable[str]) -> list[str]:
    """Select the masks whose folders name lungs or a class alone.

    Infection masks and segmented images are none.
    """
    subjects = {frozenset[str](), *map(words_of, classes)}
    return [mask for mask in masks if all(mask_subject(step) in subjects for step in _mask_folders(mask))]


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
    """Return the class and the given side of a mask.

    They are those of the class folder above it, or follow from the names of its folders.
    """
    parents = [str(parent) for parent in PurePosixPath(mask).parents]
    for parent in parents:
        if parent in folders:
            return folders[parent]
    names = {name for name, _ in folders.values()}
    steps = PurePosixPath(mask).parts[:-1]
    subjects = [mask_subject(step) for step in _mask_folders(mask)]
    by_words = [name for name in names if words_of(name) and words_of(name) in subjects]
    name = next((name for name in map(plain_name, steps) if name in names), by_words[0] if len(by_words) == 1 else "")
    return name, next(filter(None, map(split_side, steps)), "")


def _mask_folders(mask: str) -> list[str]:
    return [step for step in PurePosixPath(mask).parts[:-1] if is_mask_folder(step)]


def unpaired_masks(
    images: pd.DataFrame, masks: list[str], others: list[str]
) -> Iterator[tuple[str, str, str, str, str]]:
    """Report lung masks that belong to no image, and masks of other things.

    The numbers of masks, images and pairs are given.
    """
    used = set(images["mask"])
    if unused_others := [mask for mask in others if mask not in used]:
        detail = (
            f"{len(unused_others):,} image files lie in folders that are named after masks, but neither after lungs "
            f"alone nor after a class, the first {unused_others[0]}."
        )
        yield "mask not paired", "", "", detail, "not used as a mask; rename the folder if it holds lung masks"
    if unused := [mask for mask in masks if mask not in used]:
        paired = int((images["mask"] != "").sum())
        detail = (
            f"{len(unused):,} of {len(masks):,} mask files are paired with no image: no image has their name, or "
            f"several masks have; {paired:,} of {len(images):,} images have a mask. The first is {unused[0]}."
        )
        yield "mask not paired", "", "", detail, "not used as a mask; rename it after its image"
