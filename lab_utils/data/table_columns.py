"""Columns of a table of labels: which one has which role."""

import re
from collections.abc import Iterable, Mapping

import pandas as pd

from lab_utils.core.config import TableColumn
from lab_utils.core.errors import LabError, unknown
from lab_utils.data.file_names import FileNames, is_number
from lab_utils.data.folders import IMAGE_ENDINGS
from lab_utils.data.names import NAMES, letters_of, split_side

ROLES: dict[str, list[str]] = NAMES["columns"]  # common names of each column, the more specific ones first
YES, NO = {"1", "1.0", "true", "yes"}, {"0", "0.0", "false", "no"}  # cells of a column such as is_test
Columns = Mapping[TableColumn, str]  # role to name of a column


def find_columns(
    path: str, frame: pd.DataFrame, images: FileNames, columns: Columns, *, needed: Iterable[str] = ("image", "label")
) -> dict[str, str]:
    """Return role to column.

    It is the column that `columns` names, one with a common name, or one found by its cells.

    The image column is, in this order, one with a common name that names images; another with text that names images;
    one of numbers, if no column has a common name; or the patient's. The split is also known by its cells.

    Raises
    ------
    LabError
        If a `needed` role has no column, or several columns name different images.
    """
    present = [str(name) for name in frame]
    for column in columns.values():
        if column not in present:
            raise LabError(f"{path}: {unknown('column', column, present)} (see columns: in the experiment file)")
    if titles := [name for name in present if name.lower().endswith(IMAGE_ENDINGS) and images.matches(name)]:
        raise LabError(
            f"{path}: the first line is no header, it names the image {titles[0]!r}; "
            "add a line with the names of the columns, such as image,label"
        )
    common = _by_common_name(present)
    roles = {role: next(iter(names), "") for role, names in common.items()} | {str(r): c for r, c in columns.items()}
    if "split" not in columns:
        roles["split"] = _split_column(frame, roles)
        if roles["split"] in common["source"] and "source" not in columns:
            roles["source"] = next((name for name in common["source"] if name != roles["split"]), "")
    if "image" not in columns:
        roles["image"] = _image_column(path, frame, images, common["image"], roles)
    lacking = [role for role in needed if not roles[role]]
    if lacking:
        raise LabError(
            f"{path}: no column for {' and '.join(lacking)} under a common name, its columns are "
            f"{', '.join(present[:12]) or 'none'}; name it in the experiment file, columns: {{{lacking[0]}: NAME}}"
        )
    return {role: name for role, name in roles.items() if name}


def _by_common_name(present: Iterable[str]) -> dict[str, list[str]]:
    return {
        role: [column for name in common for column in present if letters_of(column) == name]
        for role, common in ROLES.items()
    }


def _split_column(frame: pd.DataFrame, roles: Mapping[str, str]) -> str:
    """Return the column with a common name for the split.

    Otherwise it is one whose cells all name a side of a split.
    """
    others = [name for name in map(str, frame) if name not in (roles["split"], roles["image"], roles["label"])]
    for column in [roles["split"]] * bool(roles["split"]) + others:
        sides = [bool(split_side(cell)) for cell in frame[column].unique() if cell]
        if sides and (all(sides) or (column == roles["split"] and any(sides))):
            return column
    return roles["split"] or next((name for name in others if _flagged_side(name) and _is_flag(frame[name])), "")


def split_cells(column: str, cells: pd.Series) -> pd.Series:
    """Return the cells of a split column; those of a flag such as is_test become names of sides.

    Rows without the flag are training images; those without is_train are test images.
    """
    side = _flagged_side(column)
    if not side or not _is_flag(cells):
        return cells
    other = "test" if side == "train" else "train"
    names = {"": "", **dict.fromkeys(YES, side), **dict.fromkeys(NO, other)}
    return cells.str.casefold().map(names)


def _flagged_side(column: str) -> str:
    name = re.sub(r"^(is|in)[\s_]+", "", column, flags=re.IGNORECASE)
    return split_side(name) if name != column else ""


def _is_flag(cells: pd.Series) -> bool:
    values = set(cells.str.casefold()) - {""}
    return bool(values & YES and values & NO) and values <= YES | NO


def _image_column(
    path: str, frame: pd.DataFrame, images: FileNames, common: list[str], roles: Mapping[str, str]
) -> str:
    """Return the column that names the images; "" without one."""
    present = [str(name) for name in frame]
    numbers = {name for name in present if is_number(frame[name])}
    named = {name: count for name in common if (count := _hits(frame, name, images))}
    if named:
        texts = {name: count for name, count in named.items() if name not in numbers}
        return _only_one(path, frame, images, texts or named)
    taken = {name for role, name in roles.items() if role != "image"}
    hits = {name: _hits(frame, name, images) for name in present if name not in taken}
    texts = {name: count for name, count in hits.items() if count and name not in numbers}
    if texts:
        return _only_one(path, frame, images, texts)
    if common:
        return common[0]
    counts = {name: count for name, count in hits.items() if count and name in numbers}
    titled = [name for name in counts if name and not name.startswith("Unnamed:")]
    if counts:
        return _only_one(path, frame, images, dict.fromkeys(titled or counts, 1))  # their hits say nothing
    patient = roles["patient"]
    names_images = patient and patient not in numbers and any(map(images.matches, frame[patient]))
    return patient if names_images else ""


def _hits(frame: pd.DataFrame, column: str, images: FileNames) -> int:
    return sum(1 for cell in frame[column] if images.matches(cell))


def _only_one(path: str, frame: pd.DataFrame, images: FileNames, hits: Mapping[str, int]) -> str:
    """Return the column with most `hits`.

    Another with more than half of them must name the same images.
    """
    first, *others = sorted(hits, key=lambda name: -hits[name])
    for other in others:
        cells = zip(frame[first], frame[other], strict=True)
        differ = any(images.matches(a) != images.matches(b) for a, b in cells if a and b)
        if differ and 2 * hits[other] > hits[first]:
            raise LabError(
                f"{path}: the columns {first!r} and {other!r} name different images; "
                f"choose one in the experiment file, columns: {{image: {first}}}"
            )
    return first
