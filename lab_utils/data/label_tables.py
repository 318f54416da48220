"""Tables of labels: one row per image, with its class and what else is known of it."""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath

import pandas as pd

from lab_utils.core.config import TableColumn
from lab_utils.core.errors import LabError, unknown
from lab_utils.data.folders import IMAGE_ENDINGS, FileTree
from lab_utils.data.listing import Layout, Row, make_layout
from lab_utils.data.names import NAMES, is_mask_file, split_side
from lab_utils.data.table_files import TABLE_ENDINGS, read_text_table

ROLES: dict[str, list[str]] = NAMES["columns"]  # common names of each column, the more specific ones first
Columns = Mapping[TableColumn, str]  # role to name of a column
SHEETS = ".metadata.xlsx"  # the database's sheets give sources, not labels
BLANK, NOBODY = set(NAMES["blank"]), {*NAMES["blank"], *NAMES["nobody"]}
SEXES = {"male": "M", "m": "M", "female": "F", "f": "F"}
MOST_CONTRADICTIONS, HANDFUL = 0.05, 5  # share and number of images: above both the table is refused
SAMPLE = 300  # rows that decide which column names the images


class FileNames:
    """Files that cells of a table name: by path, by the end of a path, by name, or by name without ending."""

    def __init__(self, paths: Collection[str], place: str) -> None:
        """Index `paths`; cells are relative to the folder `place`."""
        self._count, self.first = len(paths), next(iter(paths), "")
        self._paths: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            inner = _key(path.removeprefix(f"{place}/" if place else ""))
            name = PurePosixPath(inner).name
            for key in {inner, name, _stem(name)}:
                self._paths[key].append(path)

    def __len__(self) -> int:
        return self._count

    def find(self, cell: str) -> str:
        """Return the path of the one file that a cell names; "" where it names none, or several."""
        parts = PurePosixPath(_key(cell.replace("\\", "/"))).parts
        keys = ["/".join(parts[start:]) for start in range(len(parts))]
        keys += [_stem(key) for key in keys[-1:]]
        paths = next((self._paths[key] for key in keys if key in self._paths), [])
        return paths[0] if len(paths) == 1 else ""


def by_table(tree: FileTree, place: str, asked: str, columns: Columns) -> tuple[Layout | None, list[str]]:
    """Recognise a table of labels: the one `asked` for, or one in `place` or in a subfolder without images.

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
        return None, []
    paths = [path for path in tree.below(place) if path in tree.images]
    images = FileNames([path for path in paths if not is_mask_file(path)], place)
    tables, reasons = _read_tables(tree, files, images, columns)
    if len(tables) != 1:
        several = f"several tables of labels: {', '.join(tables)}; give one of them as the data set"
        return None, [*reasons, *[several] * bool(tables)]
    ((path, frame),) = tables.items()
    rows, problems = table_rows(frame, images, FileNames(paths, place))
    if not asked and 2 * len(rows) < len(images):
        few = f"{path} labels {len(rows):,} of {len(images):,} images; to use those alone, give it as the data set"
        return None, [*reasons, few]
    if "split" not in frame:
        rows["given"] = _sides_of_folders(rows["image_id"])
    used = ", ".join(f"{role} {name!r}" for role, name in frame.attrs.items())
    reason = f"{path} names {len(rows):,} of {len(images):,} image files (columns: {used})."
    return make_layout(tree, "table", reason, place, rows, {}, problems), reasons


def _read_tables(
    tree: FileTree, files: list[str], images: FileNames, columns: Columns
) -> tuple[dict[str, pd.DataFrame], list[str]]:
    """Read the tables of labels among `files`, those of the sets of a split as one; return why others are not used."""
    tables, reasons = {}, []
    for path in files:
        try:
            tables[path] = _label_columns(tree, path, images, columns)
        except LabError as error:
            reasons.append(str(error))
    if len(tables) > 1 and all(map(split_side, tables)):  # train.csv and test.csv
        parts = [frame.assign(split=split_side(path)) for path, frame in tables.items()]
        tables = {", ".join(tables): pd.concat(parts, ignore_index=True)}
    return tables, reasons


def _label_columns(tree: FileTree, path: str, images: FileNames, columns: Columns) -> pd.DataFrame:
    """Read a table's columns under the names of their roles; a LabError says why it is no table of labels."""
    frame = read_text_table(tree.root / path)
    present = [str(name) for name in frame]
    for column in columns.values():
        if column not in present:
            raise LabError(f"{path}: {unknown('column', column, present)} (see columns: in the experiment file)")
    plain = {re.sub(r"[\W_]+", "", column).casefold(): column for column in reversed(present)}
    names = {role: next((plain[name] for name in common if name in plain), "") for role, common in ROLES.items()}
    hits = {column: sum(bool(images.find(cell)) for cell in frame[column].head(SAMPLE)) for column in present}
    best = max(hits, key=lambda column: (hits[column], column == names["image"]), default="")
    names["image"] = best if hits.get(best) else names["image"]
    names.update({str(role): name for role, name in columns.items()})
    lacking = [role for role in ("image", "label") if not names[role]]
    if lacking:
        raise LabError(
            f"{path}: no column for {' and '.join(lacking)} under a common name, its columns are "
            f"{', '.join(present[:12]) or 'none'}; name it in the experiment file, columns: {{{lacking[0]}: NAME}}"
        )
    if not any(map(images.find, frame[names["image"]])):
        first = frame[names["image"]].iloc[0] if len(frame) else ""
        raise LabError(
            f"{path}: column {names['image']!r} names none of the {len(images):,} images beside and below the table, "
            f"the first cell is {first!r}, the first image is {images.first!r}; put the table beside or above them"
        )
    used = {role: name for role, name in names.items() if name}
    table = pd.DataFrame({role: frame[name] for role, name in used.items()})
    _refuse_several_labels(path, table)
    table.attrs.update(used)
    return table


def table_rows(frame: pd.DataFrame, images: FileNames, files: FileNames) -> tuple[pd.DataFrame, list[Row]]:
    """Turn a table of labels into rows of the listing by class and path, and findings about the rows left out."""
    columns = {role: frame.get(role, pd.Series("", frame.index)) for role in ROLES}
    rows = pd.DataFrame(
        {
            "image_id": frame["image"].map(images.find),
            "class": frame["label"].where(~frame["label"].str.casefold().isin(BLANK), ""),
            "source": columns["source"].where(~columns["source"].str.casefold().isin(NOBODY), ""),
            "mask": columns["mask"].map(files.find),
            "patient": columns["patient"].where(~columns["patient"].str.casefold().isin(NOBODY), ""),
            "age": pd.to_numeric(columns["age"].str.extract(r"^(\d+(?:\.\d*)?)\s*[Yy]?$")[0]),
            "sex": columns["sex"].map(lambda sex: SEXES.get(sex.casefold(), sex)),
            "given": columns["split"].map(split_side),
        }
    )
    rows["mask"] = rows["mask"].where(rows["mask"] != rows["image_id"], "")
    no_label, no_file = rows["class"] == "", rows["image_id"] == ""
    sound = rows[~no_label & ~no_file]
    labels = sound.groupby("image_id")["class"].transform("nunique")
    repeated = sound.duplicated("image_id") & (labels == 1)
    bad_split = (columns["split"] != "") & (rows["given"] == "")
    cases = (
        ("row without label", frame[no_label], "have no label", "left out"),
        ("row without file", frame[no_file & ~no_label], "name no file, or several", "left out"),
        ("image in several rows", frame.loc[repeated.index[repeated]], "repeat an image and its label", "used once"),
        ("contradictory labels", frame.loc[labels.index[labels > 1]], "give one image different labels", "left out"),
        ("unknown split", frame[bad_split], "name a set that is not train, validation or test", "taken as training"),
    )
    problems = []
    for check, lines, what, action in cases:
        if len(lines):
            detail = f"{len(lines):,} of {len(frame):,} rows {what}, the first for {lines['image'].iloc[0]}."
            problems.append((check, "", "", detail, action))
    return sound[(labels == 1) & ~repeated].sort_values(["class", "image_id"], ignore_index=True), problems


def _sides_of_folders(paths: pd.Series) -> pd.Series:
    """Take the given side from the names of the folders, where they name two sets or more."""
    sides = paths.map(lambda path: next(filter(None, map(split_side, PurePosixPath(path).parts[:-1])), ""))
    return sides if len(set(sides) - {""}) > 1 else sides.map(lambda _: "")


def _refuse_several_labels(path: str, frame: pd.DataFrame) -> None:
    """Refuse a table whose images have several labels: in one cell ("Effusion|Mass"), or in several rows.

    "Effusion, Mass" counts as several where another row has one of them alone. A few contradictory rows are findings.
    """
    labels, known = frame["label"], set(frame["label"])

    def is_several(label: str) -> bool:
        parts = {part.strip() for part in re.split(r"[|;]", label)} - {""}
        return len(parts) > 1 or bool(known & (set(re.split(r"\s*[,/]\s*", label)) - {"", label}))

    cells = labels.map(is_several)
    images = frame.groupby("image")["label"].nunique() > 1
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


def _key(text: str) -> str:
    """Reduce letters to one case, and accents to one of the forms in which file systems store them."""
    return unicodedata.normalize("NFC", text).casefold()


def _stem(name: str) -> str:
    return next((name[: -len(ending)] for ending in IMAGE_ENDINGS if name.lower().endswith(ending)), name)
