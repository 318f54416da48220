"""Layouts of a data set: class folders, given splits, or a table of labels."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from lab_utils.core.errors import LabError
from lab_utils.data.class_folders import (
    MOST_STRAYS,
    by_folders,
    class_folders,
    possible_classes,
    single_folder,
    unread_files,
)
from lab_utils.data.folders import FileTree
from lab_utils.data.label_tables import by_table
from lab_utils.data.listing import Layout, refusal
from lab_utils.data.names import is_class_name, plain_name, sides_in, split_side, unread_ending
from lab_utils.data.table_columns import Columns

MOST_CLASSES = 50
MOST_NAMES = 8  # in a message
NO_LABELS = "no table gives labels"


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
        if layout is not None and not table and not columns:
            _refuse_contradictory_labels(tree, place, layout, shown_as)
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
    some = _some(classes)
    if len(classes) < 2:
        why = f"one class only ({some}); a classifier needs two or more"
        raise refusal(tree, shown_as, "; ".join([why, *reasons]))
    folded = [" ".join(name.casefold().replace("_", " ").split()) for name in classes]
    if alike := [name for name, key in zip(classes, folded, strict=True) if folded.count(key) > 1]:
        raise refusal(tree, shown_as, f"the classes {', '.join(alike)} differ in case or blanks only; spell them alike")
    if len(classes) > MOST_CLASSES:
        room = f"figures and tables have room for {MOST_CLASSES}; merge classes, or leave some out"
        raise refusal(tree, shown_as, f"{len(classes)} classes ({some}); {room}")
    unused = [("table not used", "", "", f"{reason}.", "left out") for reason in reasons]
    return replace(layout, problems=[*layout.problems, *unused])


def _refuse_contradictory_labels(tree: FileTree, place: str, table: Layout, shown_as: str) -> None:
    """Refuse class folders beside a table that gives their images other labels.

    Differences of accents, case and signs do not count.
    """
    folders = _folders_below(tree, place, shown_as)
    if folders is None:
        return
    by_folder, by_table = folders.labels(), table.labels()
    both = by_folder.index.intersection(by_table.index)
    plain = [labels[both].map(lambda name: re.sub(r"[\W_]+", "", name).casefold()) for labels in (by_folder, by_table)]
    differing = both[(plain[0] != plain[1]).to_numpy()]
    if len(differing):
        first, name = differing[0], table.reason.split(" names ")[0]
        why = (
            f"class folders and the table {name} give different labels to {len(differing):,} of {len(both):,} images, "
            f"the first {first}: {by_folder[first]} by its folder, {by_table[first]} by the table; "
            "to use the table, give its path as the data set; to use the folders, move the table away"
        )
        raise refusal(tree, shown_as, why)


def _folders_below(tree: FileTree, start: str, shown_as: str) -> Layout | None:
    """Recognise class folders in a folder, or below it in single folders; None without any."""
    place: str | None = start
    while place is not None:
        try:
            layout = by_folders(tree, place, shown_as)
        except LabError:
            return None
        if layout is not None:
            return layout if layout.listing["class"].nunique() <= MOST_CLASSES else None
        place = single_folder(tree, place)
    return None


def _reason(tree: FileTree, place: str) -> str:
    """Say why the folders in `place` are no classes."""
    where = repr(place) if place else "the data set"
    if not tree.images:
        unread = Counter(filter(None, (unread_ending(path) for path in tree.below(""))))
        return "no class folders and no images in it" + (f"; it holds {unread_files(unread)}" if unread else "")
    children = [child for child in tree.subfolders[place] if tree.holds_images(child)]
    classes = [plain_name(child) for child in class_folders(tree, place)]
    inner = [plain_name(child) for child in children]
    names = _some(map(repr, inner))
    if tree.images_in(place) and place and is_class_name(place) and not inner:
        classes = [plain_name(place)]
    possible = [plain_name(child) for child in possible_classes(tree, place)]
    if len(classes) == 1:
        others = [name for name in inner if name not in possible]
        aside = f"; no class by its name: {_some(map(repr, others))}" if others else ""
        return f"one class only ({classes[0]}); a classifier needs two or more{aside}"
    if not inner:
        return f"no class folders in {where}, and no table that gives its images labels"
    if not set(inner) & set(possible):
        are_sets = len(set().union(*map(sides_in, inner))) > 1 and any(class_folders(tree, child) for child in children)
        remedy = "if they are the sets of one split, name them train, val and test" if are_sets else NO_LABELS
        return f"no class folders in {where}, because {names} cannot be classes by their names; {remedy}"
    sets = {plain_name(path) for child in children for path in tree.subfolders[child] if split_side(path)}
    if len(set(map(split_side, sets))) > 1:
        return (
            f"the sets {_some(sorted(sets))} lie inside {names}; put the sets above the classes: "
            "train/<class>, test/<class>"
        )
    deeper = [plain_name(path) for child in children for path in class_folders(tree, child)]
    if len(set(deeper)) < len(deeper):  # the same classes in several folders
        return (
            f"class folders in each of {names}; give one of these as the data set, or name them train, val and test "
            "if they are the sets of one split"
        )
    return f"no images in {names} themselves, only deeper; put all images of a class into one folder"


def _some(names: Iterable[str]) -> str:
    first, more = (names := list(names))[:MOST_NAMES], len(names) > MOST_NAMES
    return ", ".join(first) + ", ..." * more
