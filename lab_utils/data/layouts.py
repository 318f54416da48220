"""Layouts of a data set: class folders, given splits, or a table of labels; all else is refused."""

from dataclasses import replace
from pathlib import PurePosixPath

from lab_utils.data.class_folders import by_folders, class_folders, single_folder
from lab_utils.data.folders import FileTree
from lab_utils.data.label_tables import Columns, by_table
from lab_utils.data.listing import Layout, refusal
from lab_utils.data.names import is_class_name

MOST_CLASSES = 50
MOST_STRAYS = 5  # images beside a single folder, such as a preview
MOST_NAMES = 8  # in a message


def recognise(tree: FileTree, shown_as: str, *, table: str = "", columns: Columns | None = None) -> Layout:
    """Recognise the layout of a data set, and list its images and masks.

    Parameters
    ----------
    tree : FileTree
        The files of the data set.
    shown_as : str
        Its name in messages.
    table : str
        Path of the table to use; empty: one that is found in the data set, if any.
    columns : dict
        Role to column name of the table, see `by_table`.

    Raises
    ------
    LabError
        If the layout is none of the three, a class has no images, or there are not 2 to 50 classes.
    """
    place: str | None = ""
    layout, reasons = None, []
    while layout is None and place is not None:
        last = place
        layout, table_reasons = by_table(tree, place, table, columns or {})
        reasons += table_reasons
        if layout is None and not table:
            layout = by_folders(tree, place, shown_as)
        is_end = table or len(tree.images_in(place)) > MOST_STRAYS
        place = None if is_end else single_folder(tree, place)
    if columns and (layout is None or layout.name != "table"):
        why = "; ".join(reasons) or "there is no table (CSV, TSV, XLSX, Parquet)"
        raise refusal(tree, shown_as, f"the experiment file names columns of a table, but {why}")
    if layout is None:
        raise refusal(tree, shown_as, "; ".join(reasons if table else [_reason(tree, last), *reasons]))
    classes = sorted(set(layout.listing["class"]))
    some = ", ".join(classes[:MOST_NAMES]) + ", ..." * (len(classes) > MOST_NAMES)
    if len(classes) < 2:
        why = f"one class only ({some}); a classifier needs two or more"
        raise refusal(tree, shown_as, "; ".join([why, *reasons]))
    folded = [name.casefold() for name in classes]
    if alike := [name for name in classes if folded.count(name.casefold()) > 1]:
        raise refusal(tree, shown_as, f"the classes {', '.join(alike)} differ in case only; spell them alike")
    if len(classes) > MOST_CLASSES:
        room = f"figures and tables have room for {MOST_CLASSES}; merge classes, or leave some out"
        raise refusal(tree, shown_as, f"{len(classes)} classes ({some}); {room}")
    unused = [("table not used", "", "", f"{reason}.", "left out") for reason in reasons]
    return replace(layout, problems=[*layout.problems, *unused])


def _reason(tree: FileTree, place: str) -> str:
    """Say why the folders in `place` are no classes."""
    where = repr(place) if place else "the data set"
    if not tree.images:
        return "no class folders and no images in it"
    classes = [PurePosixPath(child).name for child in class_folders(tree, place)]
    inner = [PurePosixPath(child).name for child in tree.subfolders[place] if tree.holds_images(child)]
    names = ", ".join(map(repr, inner[:MOST_NAMES])) + ", ..." * (len(inner) > MOST_NAMES)
    if tree.images_in(place) and place and is_class_name(place) and not inner:
        classes = [PurePosixPath(place).name]
    if len(classes) == 1:
        return f"one class only ({classes[0]}); a classifier needs two or more"
    if not inner:
        return f"no class folders in {where}, and no table that gives its images labels"
    if not any(map(is_class_name, inner)):
        return f"no class folders in {where}, because {names} cannot be classes by their names; no table gives labels"
    deeper = [PurePosixPath(path).name for child in tree.subfolders[place] for path in class_folders(tree, child)]
    if len(set(deeper)) < len(deeper):  # the same classes in several folders
        return f"class folders in each of {names}; give one of these as the data set"
    return f"no images in {names} themselves, only deeper; put all images of a class into one folder"
