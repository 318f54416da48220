"""Tables of labels: one row per image, with its class and what else is known of it."""

from collections.abc import Iterable
from pathlib import PurePosixPath

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.file_names import FileNames
from lab_utils.data.folders import FileTree
from lab_utils.data.label_cells import BLANK, NO_LABEL, NOBODY, has_several, known_patients, label_of, plain
from lab_utils.data.listing import Layout, Row, make_layout
from lab_utils.data.names import NAMES, is_mask_file, split_side, words_of
from lab_utils.data.sheets import SHEETS
from lab_utils.data.table_columns import ROLES, Columns, find_columns, split_cells
from lab_utils.data.table_files import NOT_READ, OTHER_TABLES, TABLE_ENDINGS, read_text_table

SEXES = {"male": "M", "m": "M", "female": "F", "f": "F"}
MOST_CONTRADICTIONS, HANDFUL = 0.05, 5  # share and number of images: above both the table is refused


class AmbiguousTableError(LabError):
    """A table that is refused, whatever else the data set holds.

    Its cells name several files each, or it competes with another table.
    """


def by_table(tree: FileTree, place: str, asked: str, columns: Columns) -> tuple[Layout | None, list[str]]:
    """Recognise a table of labels.

    It is the one `asked` for, or lies in `place` or in a subfolder without images.

    A table that nobody asked for must name half of the images or more.

    Parameters
    ----------
    columns : dict
        Role (a key of `ROLES`) to column name, where the name is not a common one.

    Returns
    -------
    layout : Layout or None
    reasons : list of str
        Why tables that are there are not used.
    """
    folders = [place, *(child for child in tree.subfolders[place] if not tree.holds_images(child))]
    files = [asked] if asked else [path for folder in folders for path in tree.files[folder]]
    files = [path for path in files if path.lower().endswith(TABLE_ENDINGS) and not path.lower().endswith(SHEETS)]
    if not files:
        return None, _other_tables(tree, place)
    paths = [path for path in tree.below(place) if path in tree.images]
    images = FileNames([path for path in paths if not is_mask_file(path)], place)
    tables, reasons = _read_tables(tree, files, images, columns)
    if not asked:
        counts = {path: _count_images(frame, images) for path, frame in tables.items()}
        large = [path for path, count in counts.items() if 2 * count >= len(images)]
        if len(large) > 1:
            several = ", ".join(tables)
            raise AmbiguousTableError(
                f"several tables of labels: {several}; give one of them as the data set, or move them away"
            )
        for path in [path for path in counts if path not in large]:
            share = "less than half of the" if large else f"{counts[path]:,} of {len(images):,}"
            reasons.append(f"{path} labels {share} images; to use those alone, give it as the data set")
        tables = {path: tables[path] for path in large}
    if not tables:
        return None, reasons
    ((path, frame),) = tables.items()
    rows, problems = table_rows(frame, images, FileNames(paths, place))
    if not (rows["given"] != "").any():
        frame.attrs.pop("split", None)
        rows["given"] = _sides_of_folders(rows["image_id"])
    used = ", ".join(f"{role} {name!r}" for role, name in frame.attrs.items())
    reason = f"{path} names {len(rows):,} of {len(images):,} image files (columns: {used})."
    return make_layout(tree, "table", reason, place, rows, {}, problems), reasons


def _count_images(frame: pd.DataFrame, images: FileNames) -> int:
    """Count the images in rows with a label, whether or not the rows are used."""
    return len(set(frame["image"][frame["label"] != ""].map(images.find)) - {""})


def _read_tables(
    tree: FileTree, files: list[str], images: FileNames, columns: Columns
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Read the tables of labels among `files`; return why others are not used.

    Those of the sets of a split are read as one.
    """
    tables, reasons = {}, []
    for path in files:
        try:
            tables[path] = _label_columns(tree, path, images, columns)
        except AmbiguousTableError:
            raise
        except LabError as error:
            reasons.append(str(error))
    if len(tables) > 1 and all(map(split_side, tables)):  # train.csv and test.csv
        parts = [frame.assign(split=split_side(path)) for path, frame in tables.items()]
        tables = {", ".join(tables): pd.concat(parts, ignore_index=True)}
    return tables, reasons


def _other_tables(tree: FileTree, place: str) -> list[str]:
    """Name tables of labels that the lab does not read, in `place` and in split folders."""
    reasons = [f"{path}: {NOT_READ}" for path in tree.files[place] if _is_unread_table(path)]
    sides = [child for child in tree.subfolders[place] if split_side(child)]
    tables = [path for side in sides for path in tree.files[side] if path.lower().endswith(TABLE_ENDINGS)]
    if tables:
        way_out = "join them in one table above these folders, with the columns image, label and split"
        reasons.append(f"tables lie in the folders of a split ({', '.join(tables)}); {way_out}")
    return reasons


def _is_unread_table(path: str) -> bool:
    stem, _, ending = path.rpartition("/")[2].rpartition(".")
    is_table = bool(words_of(stem) & set(NAMES["labels"])) or split_side(stem) != ""
    return is_table and f".{ending.lower()}" in OTHER_TABLES


def _label_columns(tree: FileTree, path: str, images: FileNames, columns: Columns) -> pd.DataFrame:
    """Read a table's columns under the names of their roles.

    A LabError says why it is no table of labels.
    """
    frame = read_text_table(tree.root / path)
    used = find_columns(path, frame, images, columns)
    table = pd.DataFrame({role: frame[name] for role, name in used.items()})
    if side := split_side(PurePosixPath(path).stem):  # train.csv names the images in train/ first
        same_side = images.select(lambda file: side in map(split_side, PurePosixPath(file).parts[:-1]))
        table["image"] = table["image"].map(lambda cell: same_side.find(cell) or cell)
    if "split" in table:
        table["split"] = split_cells(used["split"], table["split"])
    images.allow_other_folders(table["image"])
    refuse_unusable_cells(path, used["image"], table["image"], images)
    table["label"] = plain(table["label"]).map(label_of)
    _refuse_several_labels(path, table)
    table.attrs.update(used)
    return table


def refuse_unusable_cells(path: str, column: str, cells: pd.Series, images: FileNames) -> None:
    """Refuse a table whose cells name no images, or mostly several each."""
    if cells.empty:
        raise LabError(f"{path}: a header without rows")
    if not len(images):
        raise LabError(f"{path}: no images lie beside or below the table; put it beside or above them")
    counts = cells.map(lambda cell: len(images.matches(cell)))
    if (counts > 1).sum() > (counts == 1).sum():
        first = cells[counts > 1].iloc[0]
        some = " and ".join(images.matches(first)[:2])
        each = f"each cell names {counts.max()} files" if (counts == counts.max()).all() else "cells name several files"
        raise AmbiguousTableError(
            f"{path}: column {column!r}: {each}, {first!r} for example {some}; "
            "give the path in the column, such as folder/name.png, or remove the table"
        )
    if not counts.any():
        raise LabError(
            f"{path}: column {column!r} names none of the {len(images):,} images beside and below the table, "
            f"the first cell is {cells.iloc[0]!r}, the first image is {images.first!r}; "
            "put the table beside or above them"
        )


def table_rows(frame: pd.DataFrame, images: FileNames, files: FileNames) -> tuple[pd.DataFrame, list[Row]]:
    """Turn a table of labels into rows of the listing by class and path.

    Findings describe the rows that are left out.
    """
    images.allow_other_folders(frame["image"])
    columns = {role: frame.get(role, pd.Series("", frame.index)) for role in ROLES}
    rows = pd.DataFrame(
        {
            "image_id": frame["image"].map(images.find),
            "class": frame["label"].where(~frame["label"].str.casefold().isin(NO_LABEL), ""),
            "source": columns["source"].where(~columns["source"].str.casefold().isin(NOBODY - {"0"}), ""),
            "mask": columns["mask"].map(files.find),
            "patient": known_patients(columns["patient"]),
            "age": pd.to_numeric(columns["age"].str.extract(r"^(\d+(?:\.\d*)?)\s*[Yy]?$")[0]),
            "sex": columns["sex"].map(lambda sex: SEXES.get(sex.casefold(), sex)),
            "given": columns["split"].map(split_side),
        }
    )
    rows["mask"] = rows["mask"].where(rows["mask"] != rows["image_id"], "")
    no_label, no_file, no_set = rows["class"] == "", rows["image_id"] == "", rows["given"] == ""
    has_split = not no_set.all()
    is_sound = ~no_label & ~no_file & ~(has_split & no_set)
    labels = rows[is_sound].groupby("image_id")["class"].transform("nunique")
    sound = rows[is_sound]
    repeated = sound.duplicated("image_id") & (labels == 1)
    is_blank = frame["label"].str.casefold().isin(BLANK)
    words = sorted(set(frame["label"][no_label & ~is_blank]))
    no_name = "name no set among train, validation and test"
    cases = (
        ("row without label", frame[no_label & is_blank], "have no label", "left out"),
        ("unknown label", frame[no_label & ~is_blank], f"have {' or '.join(map(repr, words))} as label", "left out"),
        ("row without file", frame[no_file & ~no_label], "name no file, or several", "left out"),
        ("image in several rows", frame.loc[repeated.index[repeated]], "repeat an image and its label", "used once"),
        ("contradictory labels", frame.loc[labels.index[labels > 1]], "give one image different labels", "left out"),
        ("unknown split", frame[has_split & no_set & ~no_label & ~no_file], no_name, "left out"),
        ("unknown split", frame[(not has_split) & (columns["split"] != "")], no_name, "column not used"),
    )
    return sound[(labels == 1) & ~repeated].sort_values(["class", "image_id"], ignore_index=True), _row_problems(
        frame, cases
    )


def _row_problems(frame: pd.DataFrame, cases: Iterable[tuple[str, pd.DataFrame, str, str]]) -> list[Row]:
    """Report the rows of each case: check, rows of the table, what they do, action."""
    problems = []
    for check, lines, what, action in cases:
        if len(lines):
            first = lines["image"].iloc[0] or "an empty cell"
            detail = f"{len(lines):,} of {len(frame):,} rows {what}, the first for {first}."
            problems.append((check, "", "", detail, action))
    return problems


def _sides_of_folders(paths: pd.Series) -> pd.Series:
    """Take the given side from the names of the folders, where they name two sets or more."""
    sides = paths.map(lambda path: next(filter(None, map(split_side, PurePosixPath(path).parts[:-1])), ""))
    return sides if len(set(sides) - {""}) > 1 else sides.map(lambda _: "")


def _refuse_several_labels(path: str, frame: pd.DataFrame) -> None:
    """Refuse a table whose images have several labels, in one cell or in several rows.

    A few contradictory rows are findings.
    """
    labels = frame["label"]
    cells = has_several(labels)
    images = frame[labels != ""].groupby("image")["label"].nunique() > 1
    if cells.any():
        what = f"{cells.sum():,} of {len(labels):,} rows have several labels, the first {labels[cells].iloc[0]!r}"
    elif images.sum() > max(MOST_CONTRADICTIONS * len(images), HANDFUL):
        what = f"{images.sum():,} of {len(images):,} images have several labels, the first {images.idxmax()!r}"
    else:
        return
    raise LabError(
        f"{path}: {what}; the lab gives each image one class: keep the rows with one label, or add a column with one "
        "label and name it in the experiment file, columns: {label: NAME}"
    )
