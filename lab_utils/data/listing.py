"""The listing: every image and mask of a data set in one table, and what was left out of it."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.folders import FileTree
from lab_utils.data.masks import lung_masks, pair_masks, unpaired_masks
from lab_utils.data.names import is_mask_file

TEXTS = ["source", "mask", "patient", "sex"]  # columns that are "" where nothing is known
COLUMNS = ["image_id", "class", "kind", "source", "mask", "patient", "age", "sex", "given"]
UNDERSTOOD = """  the lab understands
    <class>/*.png, or <class>/images/*.png with <class>/masks/*.png
    train|val|test/<class>/*.png
    a table (CSV, TSV, XLSX, Parquet) with one row per image and columns for image and label"""

Row = tuple[str, str, str, str, str]  # of the findings table


@dataclass(frozen=True)
class Layout:
    """A recognised layout, with its images."""

    name: str  # class folders, given splits or table
    reason: str  # one sentence: what it was recognised by
    place: str  # folder inside the data set that the paths of the listing are relative to
    listing: pd.DataFrame  # columns as in the catalogue
    problems: list[Row]

    def labels(self) -> "pd.Series[str]":
        """Return the class of each image by its path from the root of the data set."""
        images = self.listing[self.listing["kind"] == "image"]
        paths = f"{self.place}/" * bool(self.place) + images["image_id"]
        return pd.Series(images["class"].to_numpy(), index=paths.to_numpy())


def refusal(tree: FileTree, shown_as: str, why: str) -> LabError:
    """Say why a data set is refused, what it holds, and what the lab understands."""
    return LabError(f"{shown_as}: {why}\n  this data set holds\n{tree.describe()}\n{UNDERSTOOD}")


def make_layout(
    tree: FileTree,
    name: str,
    reason: str,
    place: str,
    images: pd.DataFrame,
    folders: Mapping[str, tuple[str, str]],
    problems: Collection[Row] = (),
) -> Layout:
    """Pair the images with masks, list both by class, and report what is not used.

    Parameters
    ----------
    place : str
        Folder that the paths of the listing are relative to; one above it, if masks lie there.
    images : DataFrame
        Columns image_id, class, given, and any others of the listing; paths are relative to the root of `tree`.
    folders : dict
        Path of each class folder to its class and given side; empty for a table.
    """
    candidates = [path for path in tree.below("") if path in tree.images and is_mask_file(path)]
    masks = lung_masks(candidates, images["class"].unique())
    others = sorted(set(candidates) - set(masks))
    paired, mask_rows = pair_masks(images, masks, folders)
    images["mask"] = images["mask"].where(images["mask"] != "", paired) if "mask" in images else paired
    used = {*images["image_id"], *images["mask"], *candidates}
    while place and not all(mask.startswith(f"{place}/") for mask in mask_rows["image_id"]):
        place = place.rpartition("/")[0]
    problems = [*problems, *_unused(tree, place, used, folders), *unpaired_masks(images, masks, others)]
    listing = pd.concat([images.assign(kind="image"), mask_rows.assign(kind="mask")], ignore_index=True)
    listing = listing.reindex(columns=COLUMNS).astype({"age": float, **dict.fromkeys(TEXTS, object)})
    listing[TEXTS] = listing[TEXTS].fillna("")
    for column in ("image_id", "mask"):
        listing[column] = listing[column].str.removeprefix(f"{place}/" if place else "")
    return Layout(
        name, reason, place, listing.sort_values(["class", "kind"], kind="stable", ignore_index=True), problems
    )


def _unused(tree: FileTree, place: str, used: Collection[str], folders: Mapping[str, tuple[str, str]]) -> Iterator[Row]:
    """Report files of class folders, and other images, that are neither images nor masks."""
    remaining = tree.images - set(used)
    for folder, (name, _) in folders.items():
        files = list(tree.below(folder))
        for check, paths, what, action in (
            (
                "not in the image folder",
                [path for path in files if path in remaining],
                "image files lie outside the class's image folder",
                "left out",
            ),
            (
                "format not read",
                [path for path in files if path not in tree.images],
                "files are in no format that the lab reads",
                "left out; convert images to PNG",
            ),
        ):
            if paths:
                first = paths[0].removeprefix(f"{place}/" if place else "")
                yield check, name, "", f"{len(paths):,} {what}, the first {first}.", action
        remaining = remaining.difference(files)
    sizes = {(path.rpartition("/")[2], _size(tree, path)) for path in used if path}
    copies = {path for path in remaining if (path.rpartition("/")[2], _size(tree, path)) in sizes}
    for what, unused in (
        ("have the names and the sizes of images that are used", copies),
        ("have no class", remaining - copies),
    ):
        if unused:
            detail = f"{len(unused):,} image files {what}, the first {min(unused)}."
            yield "image not used", "", "", detail, "left out"


def _size(tree: FileTree, path: str) -> int:
    try:
        return (tree.root / path).stat().st_size
    except OSError:  # a dead link
        return -1
