"""Class folders and given splits: folders whose names are the labels of their images."""

from pathlib import PurePosixPath

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.folders import FileTree
from lab_utils.data.listing import Layout, make_layout, refusal
from lab_utils.data.names import is_class_name, is_image_folder, is_mask_file, is_set_aside, split_side
from lab_utils.data.sheets import read_sheet, sheet_key


def by_folders(tree: FileTree, place: str, shown_as: str) -> Layout | None:
    """Recognise given splits or class folders in the folder `place`; None where it has neither.

    Raises
    ------
    LabError
        If both are there, a class has no images, or a class has no training images.
    """
    classes = class_folders(tree, place)
    sides = {c: side for c in tree.subfolders[place] if (side := split_side(c)) and _class_place(tree, c) is not None}
    if classes and sides:
        names = ", ".join(map(_name, sides))
        raise refusal(tree, shown_as, f"class folders lie beside {names}; move them into a folder train")
    if len(sides) > 1:
        return _given_splits(tree, place, sides, shown_as)
    if not classes:
        return None
    for child in tree.subfolders[place]:
        if child not in classes and is_class_name(child) and (tree.holds_images(child) or not any(tree.below(child))):
            why = f"class {_name(child)!r} holds no images of its own; fill its folder or remove it"
            raise refusal(tree, shown_as, why)
    if len(classes) == 1:
        return None  # a wrapping folder, if it has classes or a table
    names = ", ".join(map(_name, classes[:4])) + ", ..." * (len(classes) > 4)
    reason = f"Sibling folders hold images: {names}."
    return _layout(tree, place, "class folders", reason, {folder: (_name(folder), "") for folder in classes})


def class_folders(tree: FileTree, place: str) -> list[str]:
    """List the subfolders of `place` that hold images and can be classes by their names."""
    return [child for child in tree.subfolders[place] if is_class_name(child) and _class_images(tree, child)]


def single_folder(tree: FileTree, place: str) -> str | None:
    """Return the only subfolder with images, masks and documents aside; None with several, or none.

    Sets without class folders, such as the test images of a competition, are also aside.
    """
    inner = [child for child in tree.subfolders[place] if not is_set_aside(child) and tree.holds_images(child)]
    if len(inner) > 1 and all(map(split_side, inner)):
        inner = [child for child in inner if _class_place(tree, child) is not None]
    return inner[0] if len(inner) == 1 else None


def _class_place(tree: FileTree, place: str | None) -> str | None:
    """Find the folder of the class folders: `place`, or one below it at the end of a chain of single folders."""
    while place is not None and not class_folders(tree, place):
        place = single_folder(tree, place)
    return place


def _class_images(tree: FileTree, folder: str) -> list[str]:
    """List the images of a class folder: those of its images/, else its own; never masks."""
    within = [tree.images_in(child) for child in tree.subfolders[folder] if is_image_folder(child)]
    images = next(filter(None, within), []) or tree.images_in(folder)
    return [path for path in images if not is_mask_file(path)]


def _given_splits(tree: FileTree, place: str, sides: dict[str, str], shown_as: str) -> Layout:
    places = {_class_place(tree, child): side for child, side in sides.items()}
    folders = {c: (_name(c), side) for p, side in places.items() if p is not None for c in class_folders(tree, p)}
    trained = {name for name, side in folders.values() if side == "train"}
    if lacking := sorted({name for name, _ in folders.values()} - trained):
        why = (
            f"class {', '.join(lacking)} has no training images, the classes of train are {', '.join(sorted(trained))}"
        )
        raise refusal(tree, shown_as, f"{why}; give the class folders of each set the same names")
    reason = f"The folders {', '.join(map(_name, sides))} hold class folders."
    return _layout(tree, place, "given splits", reason, folders)


def _layout(tree: FileTree, place: str, name: str, reason: str, folders: dict[str, tuple[str, str]]) -> Layout:
    rows = [(path, *scope) for folder, scope in folders.items() for path in _class_images(tree, folder)]
    images = pd.DataFrame(rows, columns=["image_id", "class", "given"])
    urls, problems = {}, []
    for label in sorted({label for label, _ in folders.values()}):
        try:
            urls[label] = read_sheet(tree.root / place, label).to_dict()
        except LabError as error:
            problems.append(("metadata sheet", label, "", f"{error}.", "left out; sources are unknown"))
            urls[label] = {}
    images["source"] = [urls[label].get(sheet_key(_name(path)), "") for path, label, _ in rows]
    return make_layout(tree, name, reason, place, images, folders, problems)


def _name(path: str) -> str:
    return PurePosixPath(path).name
