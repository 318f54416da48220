"""Class folders and given splits: folders whose names are the labels of their images."""

from collections import Counter

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.folders import FileTree
from lab_utils.data.listing import Layout, Row, make_layout, refusal
from lab_utils.data.names import (
    is_class_name,
    is_image_folder,
    is_mask_file,
    is_set_aside,
    plain_name,
    sides_in,
    split_side,
    unread_ending,
)
from lab_utils.data.sheets import read_sheet, sheet_key

MOST_STRAYS = 5  # images beside a single folder, or in a class whose other images lie deeper, such as a preview


def by_folders(tree: FileTree, place: str, shown_as: str) -> Layout | None:
    """Recognise given splits or class folders in the folder `place`; None where it has neither.

    Raises
    ------
    LabError
        If both are there, a class has no images that can be used, or a class has no training images.
    """
    classes = class_folders(tree, place)
    sides = {c: side for c in tree.subfolders[place] if (side := split_side(c)) and _class_place(tree, c) is not None}
    if classes and sides:
        names = ", ".join(map(plain_name, sides))
        raise refusal(tree, shown_as, f"class folders lie beside {names}; move them into a folder train")
    if len(sides) > 1:
        return _given_splits(tree, place, sides, shown_as)
    if not classes:
        return None
    _refuse_unusable_classes(tree, place, shown_as)
    if len(classes) == 1:
        return None  # a wrapping folder, if it has classes or a table
    names = ", ".join(map(plain_name, classes[:4])) + ", ..." * (len(classes) > 4)
    reason = f"Sibling folders hold images: {names}."
    folders = {folder: (plain_name(folder), "") for folder in classes}
    return _layout(tree, place, "class folders", reason, folders, _documents(tree, [place]))


def class_folders(tree: FileTree, place: str) -> list[str]:
    """List the subfolders of `place` that hold images and can be classes by their names."""
    return [child for child in possible_classes(tree, place) if _class_images(tree, child)]


def possible_classes(tree: FileTree, place: str) -> list[str]:
    """List the subfolders of `place` that can be classes by their names.

    Names that mention two sets of a split or more, such as stage_2_train and stage_2_test, are no classes.
    """
    children = tree.subfolders[place]
    sides = {child: sides_in(child) for child in children if sides_in(child) and tree.holds_images(child)}
    are_sets = len(set().union(*sides.values())) > 1
    return [child for child in children if is_class_name(child) and not (are_sets and child in sides)]


def single_folder(tree: FileTree, place: str) -> str | None:
    """Return the only subfolder besides those with images, masks and documents.

    None with several, or none.

    Sets without class folders, such as the test images of a competition, are also aside.
    """
    inner = [child for child in tree.subfolders[place] if not is_set_aside(child) and tree.holds_images(child)]
    if len(inner) > 1 and all(map(split_side, inner)):
        inner = [child for child in inner if _class_place(tree, child) is not None]
    return inner[0] if len(inner) == 1 else None


def _class_place(tree: FileTree, place: str | None) -> str | None:
    """Find the folder that holds the class folders.

    It is `place`, or lies below it at the end of a chain of single folders.
    """
    while place is not None and not class_folders(tree, place):
        place = single_folder(tree, place)
    return place


def _class_images(tree: FileTree, folder: str) -> list[str]:
    """List the images of a class folder: those of its images/, else its own; never masks."""
    within = [tree.images_in(child) for child in tree.subfolders[folder] if is_image_folder(child)]
    images = next(filter(None, within), []) or tree.images_in(folder)
    return [path for path in images if not is_mask_file(path)]


def _refuse_unusable_classes(tree: FileTree, place: str, shown_as: str) -> None:
    """Refuse a folder with a class that cannot be used.

    Such a class has no images, has unread formats, or is an archive.
    """
    classes = possible_classes(tree, place)
    with_images = class_folders(tree, place)
    for child in classes:
        if [child] == with_images:  # a wrapping folder perhaps, with a preview
            continue
        if why := _why_unusable(tree, child):
            raise refusal(tree, shown_as, f"class {child!r} holds {why}")
    known = set(map(plain_name, classes))
    for path in tree.files[place]:
        ending = unread_ending(path, "archives")
        stem = plain_name(path)[: -len(ending) - 1]
        if ending and is_class_name(stem) and stem not in known:
            raise refusal(tree, shown_as, f"the archive {path} lies beside class folders; unpack it, or move it away")


def _why_unusable(tree: FileTree, folder: str) -> str:
    """Say what a class folder holds instead of usable images.

    "" if it has usable images, or documents only.
    """
    files = list(tree.below(folder))
    own, images = _class_images(tree, folder), [path for path in files if path in tree.images]
    deeper = [
        path
        for child in tree.subfolders[folder]
        if not is_set_aside(child) and not is_image_folder(child)
        for path in tree.below(child)
        if path in tree.images and not is_mask_file(path)
    ]
    unread = Counter(filter(None, map(unread_ending, files)))
    if own and (len(own) > MOST_STRAYS or len(deeper) <= len(own)):
        return ""
    if deeper:
        remedy = "put all images of a class into one folder, or move the folder away"
        count = f"{len(own):,} of {len(own) + len(deeper):,} images" if own else "no images of its own"
        return f"{count}, the others lie deeper ({deeper[0]}); {remedy}"
    if images:
        return (
            f"no images of its own: {len(images):,} files, the first {images[0]}, have the names of masks, or lie in "
            "folders for masks; rename them, or move the folder away"
        )
    if unread:
        return unread_files(unread) + ", or move the folder away"
    return "" if files else "no images of its own; fill its folder or remove it"


def unread_files(endings: Counter[str]) -> str:
    """Describe files of formats that are not read: "12 .gif, which ...; convert them to PNG"."""
    counts = ", ".join(f"{count:,} .{ending}" for ending, count in endings.most_common(4))
    are_archives = all(unread_ending(f".{ending}", "archives") == ending for ending in endings)
    return f"{counts}, which the lab does not read; {'unpack them' if are_archives else 'convert them to PNG'}"


def _documents(tree: FileTree, places: list[str]) -> list[Row]:
    """Report folders that could be classes by their names, and hold documents only."""
    folders = [child for place in places for child in possible_classes(tree, place)]
    held = {child: list(tree.below(child)) for child in folders if not tree.holds_images(child)}
    return [
        ("folder not used", "", "", f"Folder {child} holds {len(files):,} files, the first {files[0]}.", "no class")
        for child, files in held.items()
        if files
    ]


def _given_splits(tree: FileTree, place: str, sides: dict[str, str], shown_as: str) -> Layout:
    places = {found: side for child, side in sides.items() if (found := _class_place(tree, child)) is not None}
    for folder in places:
        _refuse_unusable_classes(tree, folder, shown_as)
    folders = {c: (plain_name(c), side) for folder, side in places.items() for c in class_folders(tree, folder)}
    classes = {side: {name for name, given in folders.values() if given == side} for side in sides.values()}
    trained = classes.get("train", set())
    if lacking := sorted(set().union(*classes.values()) - trained):
        why = (
            f"class {', '.join(lacking)} has no training images, the classes of train are {', '.join(sorted(trained))}"
        )
        folded = set(map(str.casefold, trained))
        alike = " (they differ in case only)" if all(name.casefold() in folded for name in lacking) else ""
        raise refusal(tree, shown_as, f"{why}{alike}; give the class folders of each set the same names")
    problems = [
        ("class not in a set", name, "", f"The {side} set has no images of the class {name}.", "not scored in this set")
        for side, names in classes.items()
        for name in sorted(trained - names)
    ]
    reason = f"The folders {', '.join(map(plain_name, sides))} hold class folders."
    return _layout(tree, place, "given splits", reason, folders, [*problems, *_documents(tree, list(places))])


def _layout(
    tree: FileTree, place: str, name: str, reason: str, folders: dict[str, tuple[str, str]], problems: list[Row]
) -> Layout:
    rows = [(path, *scope) for folder, scope in folders.items() for path in _class_images(tree, folder)]
    images = pd.DataFrame(rows, columns=["image_id", "class", "given"])
    urls = {}
    for label in sorted({label for label, _ in folders.values()}):
        try:
            urls[label] = read_sheet(tree.root / place, label).to_dict()
        except LabError as error:
            problems.append(("metadata sheet", label, "", f"{error}.", "left out; sources are unknown"))
            urls[label] = {}
    images["source"] = [urls[label].get(sheet_key(plain_name(path)), "") for path, label, _ in rows]
    return make_layout(tree, name, reason, place, images, folders, problems)
