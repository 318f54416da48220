"""The data set: obtained from Kaggle, a zip, a folder or phantoms, checked, recorded."""

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args

import pandas as pd

from lab_utils.core.config import Fault
from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import atomic_write, digest, read_json, sha256, write_json
from lab_utils.core.paths import Workspace
from lab_utils.data.archives import unpack
from lab_utils.data.folders import count_images, find_class_root
from lab_utils.data.kaggle import download_database
from lab_utils.data.phantoms import write_phantoms
from lab_utils.data.sheets import read_sources


@dataclass(frozen=True)
class Dataset:
    """A data set that stage 10 obtained."""

    kind: str  # kaggle, zip, folder or phantom
    root: Path  # the folder whose subfolders are the classes
    fingerprint: str  # digest of the archive's bytes, or of the folder's listing (names, sizes, times)
    classes: dict[str, dict[str, int]]  # number of images and of masks per class, in alphabetical order
    sources: dict[str, dict[str, int]] = field(default_factory=dict)  # images per class and source, where known
    layout: str = ""  # class folders, given splits or table
    layout_reason: str = ""  # one sentence: what the layout was recognised by
    patients_known: bool = False  # whether the patient of every image is known
    given: dict[str, int] = field(default_factory=dict)  # images per given side: train, validation, test; {} without

    @property
    def synthetic(self) -> bool:
        """Whether the images are phantoms, from which nothing medical follows."""
        return self.kind == "phantom"

    def counts(self) -> pd.DataFrame:
        """Tabulate images and masks per class, with a total: columns class, images, masks."""
        table = pd.DataFrame([{"class": name, **count} for name, count in self.classes.items()])
        total = pd.DataFrame([{"class": "all", "images": table["images"].sum(), "masks": table["masks"].sum()}])
        return pd.concat([table, total], ignore_index=True)


def obtain(dataset: str, workspace: Workspace, *, phantoms: int = 480, faults: Collection[Fault] = ()) -> Dataset:
    """Bring a data set into the workspace and record it.

    An earlier data set is replaced only when the new one is complete. A folder stays in its place;
    archives are unpacked to raw/files.

    Parameters
    ----------
    dataset : str
        "kaggle", "phantom", or the path of a zip or a folder.
    phantoms, faults
        Number of images that "phantom" makes, and the faults it plants, see `write_phantoms`.

    Raises
    ------
    LabError
        If the path does not exist, the archive is damaged or unsafe, or there are no class folders for 2 to 50 classes.
    """
    for fault in faults:
        choose("fault", fault, get_args(Fault))
    raw = workspace.writable.raw()
    with atomic_write(raw) as draft:
        draft.mkdir(parents=True)
        files = draft / "files"
        if dataset == "phantom":
            kind, fingerprint = "phantom", digest("phantom", phantoms, *faults)
            write_phantoms(files, phantoms, faults=faults)
        elif dataset == "kaggle":
            archive = download_database(workspace.archive())
            kind, fingerprint = "kaggle", sha256(archive)
            unpack(archive, files, delete_damaged=True)
        else:
            kind, fingerprint, files = _open_path(_existing(dataset), workspace, files)
        root = find_class_root(files, shown_as=dataset)
        classes = count_images(root, shown_as=dataset)
        final = (Path(raw.name) / root.relative_to(draft)).as_posix() if root.is_relative_to(draft) else str(root)
        record = {"kind": kind, "root": final, "fingerprint": fingerprint, "classes": classes}
        write_json(draft / "dataset.json", {**record, "sources": read_sources(root, classes)})
    return load_dataset(workspace)


def load_dataset(workspace: Workspace) -> Dataset:
    """Load the record of stage 10; it is a LabError if the recorded folder no longer exists."""
    path = workspace.dataset()
    record = read_json(path, stage="10_download")
    try:
        dataset = Dataset(**{**record, "root": path.parents[1] / record["root"]})
    except (KeyError, TypeError) as error:
        raise LabError(f"{path}: edited, or of another version of the lab ({error}); run stage 10 again") from error
    if not dataset.root.is_dir():
        raise LabError(f"{dataset.root}: the data set was here when stage 10 ran and is gone; run stage 10 again")
    return dataset


def source_fingerprint(dataset: str) -> tuple[str, str]:
    """Return a data set's absolute path and a digest that changes when its files do.

    "kaggle" and "phantom" are returned as they are, with an empty digest. A missing path is a LabError.
    """
    if dataset in ("kaggle", "phantom"):
        return dataset, ""
    path = _existing(dataset)
    status = path.stat()
    return str(path), _listing_digest(path) if path.is_dir() else digest(status.st_size, status.st_mtime_ns)


def _open_path(path: Path, workspace: Workspace, files: Path) -> tuple[str, str, Path]:
    """Unpack a zip into `files`; return kind, fingerprint and the folder with the files."""
    lab_folder = workspace.base
    is_output = path.is_relative_to(lab_folder) and not path.is_relative_to(workspace.archive())
    if is_output or lab_folder.is_relative_to(path):
        raise LabError(
            f"{path}: data set and workspace ({lab_folder}) lie in one another; "
            "move the data set, or choose another WORKSPACE"
        )
    if path.is_dir():
        return "folder", _listing_digest(path), path
    unpack(path, files)
    return "zip", sha256(path), files


def _listing_digest(folder: Path) -> str:
    """Digest the name, size and modification time of every file below `folder`."""
    listing = [
        (path.relative_to(folder).as_posix(), (status := path.stat()).st_size, status.st_mtime_ns)
        for path in folder.rglob("*")
        if path.is_file()
    ]
    return digest(*sorted(listing))


def _existing(dataset: str) -> Path:
    """Resolve the path of a data set; empty, `~nobody` and missing paths are a LabError."""
    try:
        path = Path(dataset).expanduser().resolve()
    except RuntimeError:
        path = None
    if dataset and path and (path.is_dir() or path.is_file()):
        return path
    raise LabError(
        f"{dataset or repr(dataset)}: no such file or folder; "
        "a data set is 'kaggle', 'phantom', or the path of a zip or a folder"
    )
