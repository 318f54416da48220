"""Images without labels, to predict: a file, a folder, an archive or a table."""

from pathlib import Path

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.archives import archive_format, unpack
from lab_utils.data.dataset import Dataset, existing_path, inner_path, is_table
from lab_utils.data.file_names import FileNames
from lab_utils.data.folders import FileTree
from lab_utils.data.label_cells import known_patients
from lab_utils.data.label_tables import refuse_unusable_cells
from lab_utils.data.listing import COLUMNS, TEXTS, Row
from lab_utils.data.names import unread_ending
from lab_utils.data.table_columns import Columns, find_columns
from lab_utils.data.table_files import NOT_READ, OTHER_TABLES, read_text_table

IMAGES = "images are the path of an image, a folder, an archive or a table"


def list_images(path: str, folder: Path, *, columns: Columns | None = None) -> Dataset:
    """List the images of a file, a folder (at any depth), an archive or a table.

    Masks are images here. Files of formats that hold images and are not read are listed, too: `read_images` then says
    why. Other files of a folder are not listed.

    Parameters
    ----------
    path : str
        Of a table, the columns for image and patient are used. Rows that name no file are a problem of the data set.
    folder : Path
        New folder that an archive is unpacked into.
    columns : dict
        Role to column name of a table, such as ``{"image": "File"}``.

    Returns
    -------
    Dataset
        Without classes: `class` is "" in the listing, whose paths are relative to `root`.

    Raises
    ------
    LabError
        If the path does not exist, the archive is damaged or unsafe, or there is no image.
    """
    place, inner = existing_path(path, IMAGES)
    if place.is_file() and not is_table(place):
        if place.suffix.lower() in OTHER_TABLES:
            raise LabError(f"{path}: {NOT_READ}")
        if archive_format(place):
            folder.parent.mkdir(parents=True, exist_ok=True)
            unpack(place, folder)
            place = inner_path(folder, inner, path)
        elif inner:
            raise LabError(f"{path}: no such file or folder; {IMAGES}")
    root = place if place.is_dir() else place.parent
    rows, problems = pd.DataFrame({"image_id": [place.name]}), list[Row]()
    if place.is_dir():
        tree = FileTree.read(place, refuse_names=False)
        problems = [
            ("name not read", "", name, "The name is not UTF-8; rename the file or folder.", "left out")
            for name in tree.unnamed
        ]
        names = [name for name in tree.below("") if name in tree.images or unread_ending(name, "pictures", "volumes")]
        rows = pd.DataFrame({"image_id": names}, dtype=object)
        if not names and not problems:
            raise LabError(f"{path}: no images in it; it holds\n{tree.describe()}")
    elif is_table(place):
        rows, problems = _table_rows(place, columns or {})
    listing = rows.assign(kind="image", **{"class": ""}).reindex(columns=COLUMNS)
    texts = [*TEXTS, "given"]
    listing = listing.astype({"age": float, **dict.fromkeys(texts, object)})
    listing[texts] = listing[texts].fillna("")
    return Dataset("unlabelled", root, "", {}, problems=problems, listing=listing)


def _table_rows(table: Path, columns: Columns) -> tuple[pd.DataFrame, list[Row]]:
    """Read the images that a table names, each once, with their patients."""
    tree = FileTree.read(table.parent)
    images = FileNames([path for path in tree.below("") if path in tree.images], "")
    frame = read_text_table(table)
    used = find_columns(table.name, frame, images, columns, needed=["image"])
    cells = frame[used["image"]]
    images.allow_other_folders(cells)
    refuse_unusable_cells(table.name, used["image"], cells, images)
    rows = pd.DataFrame({"image_id": cells.map(images.find)})
    rows["patient"] = known_patients(frame[used["patient"]]) if "patient" in used else ""
    missing = rows["image_id"] == ""
    problems = []
    if missing.any():
        detail = (
            f"{missing.sum():,} of {len(rows):,} rows name no file, or several, the first {cells[missing].iloc[0]!r}."
        )
        problems.append(("row without file", "", "", detail, "left out"))
    return rows[~missing].drop_duplicates("image_id").reset_index(drop=True), problems
