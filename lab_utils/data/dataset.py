"""The data set: obtained from one of five kinds of sources, checked, recorded."""

from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from lab_utils.core.catalogue import read_table_file, write_table_file
from lab_utils.core.config import Fault
from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import atomic_write, digest, read_json, sha256, write_json
from lab_utils.core.paths import Workspace
from lab_utils.data.archives import split_archive_path, unpack
from lab_utils.data.decode import ImageError, format_of, read_bytes, read_record
from lab_utils.data.folders import FileTree
from lab_utils.data.kaggle import download_database
from lab_utils.data.layouts import recognise
from lab_utils.data.listing import Layout, Row
from lab_utils.data.phantoms import write_phantoms
from lab_utils.data.table_columns import Columns
from lab_utils.data.table_files import NOT_READ, OTHER_TABLES, TABLE_ENDINGS

SIDES = ("train", "validation", "test")
LISTING = "listing.csv"  # beside dataset.json
DATA_SET = "a data set is 'kaggle', 'phantom', or the path of an archive, a folder or a table"


@dataclass(frozen=True)
class Dataset:
    """A data set that stage 10 obtained."""

    kind: str  # kaggle, archive, folder or phantom
    root: Path  # the folder of the class folders, of the given splits or of the table
    fingerprint: str  # digest of the archive's bytes, or of the folder's files (names, sizes, times)
    classes: dict[str, dict[str, int]]  # number of images and of masks per class, in alphabetical order
    layout: str = ""  # class folders, given splits or table
    layout_reason: str = ""  # one sentence: what the layout was recognised by
    patients_known: bool = False  # whether a table or DICOM files name patients
    given: dict[str, int] = field(default_factory=dict)  # images per given side: train, validation, test; {} without
    problems: list[Row] = field(default_factory=list)  # rows of the findings table: what was not used, and why
    listing: pd.DataFrame = field(default_factory=pd.DataFrame, compare=False, repr=False)  # the table listing

    @property
    def synthetic(self) -> bool:
        """Whether the images are phantoms, from which nothing medical follows."""
        return self.kind == "phantom"

    @property
    def sources(self) -> dict[str, dict[str, int]]:
        """Images per class and source, where a metadata sheet or a table names it."""
        known = self.listing[self.listing["source"] != ""].groupby("class")["source"]
        return {str(name): {str(url): int(n) for url, n in urls.value_counts().items()} for name, urls in known}

    def images_of(self, name: str) -> pd.DataFrame:
        """Return the rows of the listing that are images of one class, in Keras' order."""
        return self.listing[(self.listing["class"] == name) & (self.listing["kind"] == "image")]

    def counts(self) -> pd.DataFrame:
        """Tabulate images and masks per class, with a total: columns class, images, masks."""
        table = pd.DataFrame([{"class": name, **count} for name, count in self.classes.items()])
        total = pd.DataFrame([{"class": "all", "images": table["images"].sum(), "masks": table["masks"].sum()}])
        return pd.concat([table, total], ignore_index=True)


def obtain(
    dataset: str,
    workspace: Workspace,
    *,
    phantoms: int = 480,
    faults: Collection[Fault] = (),
    columns: Columns | None = None,
    hospital: int = 1,
) -> Dataset:
    """Bring a data set into the workspace and record it.

    An earlier data set is replaced only when the new one is complete. A folder stays in its place;
    archives are unpacked to raw/files.

    Parameters
    ----------
    dataset : str
        "kaggle", "phantom", or the path of an archive, of a folder (also inside an archive) or of a table of labels.
    phantoms, faults, hospital
        Number of images that "phantom" makes, the faults it plants, and the hospital, see `write_phantoms`.
    columns : dict
        Role to column name of a table of labels, see `by_table`.

    Raises
    ------
    LabError
        If the path does not exist, the archive is damaged or unsafe, or the layout is not recognised.
    """
    for fault in faults:
        choose("fault", fault, get_args(Fault))
    if faults and dataset != "phantom":
        raise LabError(f"{dataset}: faults ({', '.join(faults)}) are planted in phantoms only; leave them out")
    columns = {} if dataset in ("phantom", "kaggle") else columns
    raw = workspace.writable.raw()
    with atomic_write(raw) as draft:
        draft.mkdir(parents=True)
        files, table = draft / "files", ""
        if dataset == "phantom":
            kind, fingerprint = "phantom", digest("phantom", phantoms, *faults, *[hospital] * (hospital > 1))
            write_phantoms(files, phantoms, faults=faults, hospital=hospital)
        elif dataset == "kaggle":
            archive = download_database(workspace.archive())
            kind, fingerprint = "kaggle", sha256(archive)
            unpack(archive, files, delete_damaged=True)
        else:
            kind, fingerprint, files, table = _open_path(dataset, workspace, files)
        layout = recognise(FileTree.read(files), dataset, table=table, columns=columns)
        root = files / layout.place
        final = (Path(raw.name) / root.relative_to(draft)).as_posix() if root.is_relative_to(draft) else str(root)
        fingerprint = digest(fingerprint, columns) if columns else fingerprint
        write_table_file(draft / LISTING, "listing", layout.listing)
        record = {"kind": kind, "root": final, "fingerprint": fingerprint, **_describe(layout, root)}
        write_json(draft / "dataset.json", record)
    return load_dataset(workspace)


def _describe(layout: Layout, root: Path) -> dict[str, Any]:
    """What dataset.json says about a layout whose listing is relative to `root`."""
    images = layout.listing[layout.listing["kind"] == "image"]
    return {
        "classes": class_counts(layout.listing),
        "layout": layout.name,
        "layout_reason": layout.reason,
        "patients_known": bool((images["patient"] != "").any()) or _dicom_names_patients(root, images["image_id"]),
        "given": {side: count for side in SIDES if (count := int((images["given"] == side).sum()))},
        "problems": layout.problems,
    }


def _dicom_names_patients(root: Path, paths: Iterable[str]) -> bool:
    """Whether the first readable DICOM file names a patient.

    The manifest has the patients of all files.
    """
    for path in paths:
        if format_of(root / path) == "DICOM":
            with suppress(ImageError):
                return read_record(read_bytes(root / path)).patient != ""
    return False


def class_counts(listing: pd.DataFrame) -> dict[str, dict[str, int]]:
    """Count the images and the masks of each class of a listing, in alphabetical order."""
    counts = pd.crosstab(listing["class"], listing["kind"]).reindex(columns=["image", "mask"], fill_value=0)
    return {str(name): {"images": int(row["image"]), "masks": int(row["mask"])} for name, row in counts.iterrows()}


def load_dataset(workspace: Workspace) -> Dataset:
    """Load what `obtain` recorded; it is a LabError if the recorded folder no longer exists."""
    path, stage = workspace.dataset(), 42 if workspace.collection else 10
    record = read_json(path, stage="42_external" if workspace.collection else "10_download")
    try:
        listing = read_table_file(path.with_name(LISTING), "listing")
        places = {"root": path.parents[1] / record["root"], "problems": [tuple(row) for row in record["problems"]]}
        dataset = Dataset(**{**record, **places}, listing=listing)
    except (KeyError, TypeError) as error:
        raise LabError(
            f"{path}: edited, or of another version of the lab ({error}); run stage {stage} again"
        ) from error
    if not dataset.root.is_dir():
        raise LabError(f"{dataset.root}: the images were here when stage {stage} ran and are gone; run it again")
    return dataset


def source_fingerprint(dataset: str) -> tuple[str, str]:
    """Return a data set's absolute path and a digest that changes when its files do.

    "kaggle" and "phantom" are returned as they are, with an empty digest. A missing path is a LabError.
    """
    if dataset in ("kaggle", "phantom"):
        return dataset, ""
    path, inner = existing_path(dataset)
    if path.is_dir() or is_table(path):
        return str(path), _files_digest(path)
    status = path.stat()
    return str(path / inner), digest(inner, status.st_size, status.st_mtime_ns)


def _open_path(dataset: str, workspace: Workspace, files: Path) -> tuple[str, str, Path, str]:
    """Unpack an archive into `files`.

    Return kind, fingerprint, the folder with the files, and the table to use.
    """
    path, inner = existing_path(dataset)
    lab_folder = workspace.base
    folder = path.parent if is_table(path) else path
    is_output = path.is_relative_to(lab_folder) and not path.is_relative_to(workspace.archive())
    if is_output or lab_folder.is_relative_to(folder):
        raise LabError(
            f"{path}: data set and workspace ({lab_folder}) lie in one another; "
            "move the data set, or choose another WORKSPACE"
        )
    if folder.is_dir():
        return "folder", _files_digest(path), folder, path.name if folder != path else ""
    if path.suffix.lower() in OTHER_TABLES:
        raise LabError(f"{path}: {NOT_READ}")
    unpack(path, files)
    target = inner_path(files, inner, dataset)
    fingerprint = digest(sha256(path), inner) if inner else sha256(path)
    if target.is_file():
        return "archive", fingerprint, target.parent, target.name
    return "archive", fingerprint, target, ""


def inner_path(files: Path, inner: str, shown_as: str) -> Path:
    """Return the path `inner` of an archive that was unpacked into `files`.

    A missing one is a LabError.
    """
    if (files / inner).exists():
        return files / inner
    held = FileTree.read(files).describe()
    raise LabError(f"{shown_as}: the archive has no {inner!r}; choose one of its folders, it holds\n{held}")


def _files_digest(path: Path) -> str:
    """Digest the files of a folder, or of the folder of a table and the table's name."""
    if path.is_dir():
        return FileTree.read(path).fingerprint()
    return digest(path.name, FileTree.read(path.parent).fingerprint())


def is_table(path: Path) -> bool:
    """Whether a path is a file with the ending of a table that the lab reads."""
    return path.is_file() and path.suffix.lower() in TABLE_ENDINGS


def existing_path(text: str, expected: str = DATA_SET) -> tuple[Path, str]:
    """Resolve a path, and the path inside it if it is an archive.

    Empty, `~nobody` and missing paths are a LabError that says what is `expected`.
    """
    with suppress(RuntimeError):  # of a home folder that does not exist
        path, inner = split_archive_path(text)
        path = path.resolve()
        if text and (path.is_dir() or path.is_file()) and not (inner and is_table(path)):
            return path, inner
    raise LabError(f"{text or repr(text)}: no such file or folder; {expected}")
