"""Obtain a data set (Kaggle, a zip, a folder, phantoms) as folders of classes, checked, under raw/."""

import os
import shutil
import stat
import subprocess
import sys
import time
import zipfile
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from tempfile import TemporaryFile
from typing import get_args

import pandas as pd

from lab_utils.core.config import Fault
from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import digest, read_json, sha256, whole, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.data.phantoms import write_phantoms

KAGGLE = "tawsifurrahman/covid19-radiography-database"
PUBLISHED_COUNTS = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}  # images
EXTENSIONS = (".png", ".jpg", ".jpeg")
OTHER_FORMATS = (".tif", ".tiff", ".dcm", ".dicom", ".bmp", ".gif", ".webp", ".jp2", ".npy", ".nii", ".nii.gz")
MOST_CLASSES = 50
SHEET_BYTES = 50_000_000  # that a metadata sheet may unpack to; the database's largest takes about 3 million
BOMB_BYTES, BOMB_RATIO = 200_000_000, 50  # a zip that unpacks to more than both is refused: pictures hardly shrink
LAYOUTS = "expected <class>/images/*.png (with <class>/masks/*.png) as in Kaggle's archive, or <class>/*.png or *.jpg"


@dataclass(frozen=True)
class Dataset:
    """A data set at rest.

    Parameters
    ----------
    kind : {"kaggle", "zip", "folder", "phantom"}
    root : Path
        The folder whose subfolders are the classes.
    fingerprint : str
        Of the archive's bytes, or of the folder's listing (names, sizes, times).
    classes : dict
        Class to its number of images and masks, in alphabetical order.
    sources : dict
        Class to the sources its metadata sheet names, each with its number of images; empty without sheets.
    """

    kind: str
    root: Path
    fingerprint: str
    classes: dict[str, dict[str, int]]
    sources: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def synthetic(self) -> bool:
        """Whether these are phantoms: nothing medical follows from them."""
        return self.kind == "phantom"

    def counts(self) -> pd.DataFrame:
        """Images and masks per class, with a total: columns class, images, masks."""
        table = pd.DataFrame([{"class": name, **count} for name, count in self.classes.items()])
        total = pd.DataFrame([{"class": "all", "images": table["images"].sum(), "masks": table["masks"].sum()}])
        return pd.concat([table, total], ignore_index=True)


def obtain(dataset: str, workspace: Workspace, *, phantoms: int = 480, faults: Collection[Fault] = ()) -> Dataset:
    """Bring a data set into the workspace and record it; an earlier one is replaced only when the new one is whole.

    A folder is used where it lies; archives are extracted to raw/files.

    Parameters
    ----------
    dataset : str
        "kaggle", "phantom", or the path of a zip or a folder.
    workspace : Workspace
    phantoms : int
        Number of images "phantom" makes.
    faults : collection of str
        What is wrong with them, as of `lab_utils.data.phantoms.write_phantoms`.

    Raises
    ------
    LabError
        If there is no such thing, an archive is damaged or unsafe, or the class folders are not there or not two.
    """
    for fault in faults:
        choose("fault", fault, get_args(Fault))
    with whole(workspace.raw()) as draft:
        draft.mkdir(parents=True)
        files = draft / "files"
        if dataset == "phantom":
            kind, fingerprint = "phantom", digest("phantom", phantoms, *faults)
            write_phantoms(files, phantoms, faults=faults)
        elif dataset == "kaggle":
            kind, archive = "kaggle", download_kaggle(workspace.archive())
            fingerprint = sha256(archive)
            extract(archive, files, is_download=True)
        elif (path := _resolved(dataset)).is_dir():
            _refuse_one_in_the_other(path, workspace)
            kind, fingerprint, files = "folder", listing_fingerprint(path), path
        elif path.is_file():
            _refuse_one_in_the_other(path, workspace)
            kind, fingerprint = "zip", sha256(path)
            extract(path, files)
        else:
            raise _absent(dataset)
        root = find_root(files, shown_as=dataset)
        classes = inspect(root, shown_as=dataset)
        final = workspace.raw() / root.relative_to(draft) if root.is_relative_to(draft) else root
        record = {
            "kind": kind,
            "root": workspace.relative(final),
            "fingerprint": fingerprint,
            "classes": classes,
            "sources": read_sources(root, classes),
        }
        write_json(draft / workspace.dataset().name, record)
    return load_dataset(workspace)


def load_dataset(workspace: Workspace) -> Dataset:
    """The data set that stage 10 obtained.

    Raises
    ------
    LabError
        If stage 10 has not run, or a folder that it recorded has moved away.
    """
    path = workspace.dataset()
    record = read_json(path, stage="10_download")
    try:
        dataset = Dataset(**{**record, "root": workspace.root / record["root"]})
    except (KeyError, TypeError) as error:
        raise LabError(f"{path}: edited, or of another version of the lab ({error}); run stage 10 again") from error
    if not dataset.root.is_dir():
        raise LabError(f"{dataset.root}: the data set was here when stage 10 ran and is gone; run stage 10 again")
    return dataset


def listing_fingerprint(folder: Path) -> str:
    """A digest of every file's name, size and modification time below `folder`, without reading any of them."""
    listing = []
    for path in _files(folder):
        status = path.stat()
        listing.append((path.relative_to(folder).as_posix(), status.st_size, status.st_mtime_ns))
    return digest(*sorted(listing))


def source_fingerprint(dataset: str) -> tuple[str, str]:
    """What a data set's name stands for here and now, to see whether stage 10 must run again.

    Returns
    -------
    dataset : str
        As given, or the absolute path.
    fingerprint : str
        Changes when the zip or a file of the folder does; empty for "kaggle" and "phantom".

    Raises
    ------
    LabError
        If it is a path to nothing.
    """
    if dataset in ("kaggle", "phantom"):
        return dataset, ""
    path = _resolved(dataset)
    if path.is_dir():
        return str(path), listing_fingerprint(path)
    if path.is_file():
        return str(path), digest(path.stat().st_size, path.stat().st_mtime_ns)
    raise _absent(dataset)


def _resolved(dataset: str) -> Path:
    if not dataset:
        raise _absent("''")
    try:
        return Path(dataset).expanduser().resolve()
    except RuntimeError as error:  # ~nobody
        raise _absent(dataset) from error


def _refuse_one_in_the_other(source: Path, workspace: Workspace) -> None:
    """A workspace is the lab's to write into and to clear; what is in its download/ is there for this."""
    is_ours = source.is_relative_to(workspace.root) and not source.is_relative_to(workspace.archive())
    if is_ours or workspace.root.is_relative_to(source):
        raise LabError(
            f"{source}: data set and workspace ({workspace.root}) lie in one another; "
            "move the data set, or choose another WORKSPACE"
        )


def _absent(dataset: str) -> LabError:
    return LabError(
        f"{dataset}: no such file or folder; a data set is 'kaggle', 'phantom', or the path of a zip or a folder"
    )


def download_kaggle(folder: Path) -> Path:
    """Download Kaggle's archive with the `kaggle` command, which resumes and needs no account for public data.

    Returns
    -------
    Path
        The zip, in `folder`.

    Raises
    ------
    LabError
        With the command's own words where it fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = shutil.which(
        "kaggle", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    )
    if command is None:
        raise LabError(
            "the `kaggle` command is not installed here; pip install kaggle, "
            "or download the zip by hand and give its path"
        )
    archive = folder / f"{KAGGLE.split('/')[1]}.zip"
    with TemporaryFile("w+") as words:
        download = subprocess.Popen(
            [command, "datasets", "download", KAGGLE, "-p", str(folder), "-q"], stdout=words, stderr=words
        )
        with progress(total=None, desc="download", unit="B") as bar:
            while download.poll() is None:
                time.sleep(0.2)
                bar.update(archive.stat().st_size - bar.n if archive.is_file() else 0)
        words.seek(0)
        said = "\n  ".join(line.strip() for line in words if line.strip())
    if download.returncode != 0 or not archive.is_file():
        raise LabError(
            f"kaggle datasets download {KAGGLE}: {said or 'no message'}\n"
            f"  run again to resume; or download https://www.kaggle.com/datasets/{KAGGLE} in a browser "
            "and give the zip's path as the data set"
        )
    return archive


def extract(archive: Path, folder: Path, *, is_download: bool = False) -> None:
    """Unpack a zip, refusing members that would leave `folder`, links and encrypted members before anything is written.

    Parameters
    ----------
    archive, folder : Path
    is_download : bool
        Whether it is the lab's own, to be deleted where it is damaged: the next run would take it for downloaded.

    Raises
    ------
    LabError
        If the archive is no whole zip (every member's checksum is verified), unsafe, or larger than the disk.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [
                member
                for member in opened.infolist()
                if not member.filename.endswith("/") and not member.filename.startswith("__MACOSX/")
            ]
            for member in members:
                _refuse_unsafe(archive, member)
            _refuse_bomb(archive, sum(member.file_size for member in members), folder)
            with progress(total=len(members), desc="unpack", unit="file") as bar:
                for member in members:
                    if os.path.lexists(folder / member.filename):  # also where A and a are one to the file system
                        raise LabError(
                            f"{archive}: member {member.filename!r} is in it twice, or as file and as folder"
                        )
                    opened.extract(member, folder)
                    bar.update()
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError) as error:
        if is_download:
            archive.unlink()
        raise LabError(f"{archive}: damaged or not a zip ({error}); download it again") from error
    except OSError as error:
        raise LabError(f"{archive}: cannot be unpacked to {folder.parent} ({error})") from error


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    name = member.filename.replace("\\", "/")
    path = PurePosixPath(name)
    if not path.parts:
        raise zipfile.BadZipFile("a member without a name")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise LabError(
            f"{archive}: member {member.filename!r} would be written outside the target folder; "
            "nothing was unpacked, do not trust this archive"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise LabError(f"{archive}: member {member.filename!r} is a link; expected files only; nothing was unpacked")
    if member.flag_bits & 0x1:
        raise LabError(f"{archive}: member {member.filename!r} is encrypted; unpack it by hand and give the folder")


def _refuse_bomb(archive: Path, need: int, folder: Path) -> None:
    size, free = archive.stat().st_size, shutil.disk_usage(folder.parent).free
    if need > free:
        raise LabError(
            f"{archive}: unpacks to {need / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room or choose another WORKSPACE"
        )
    if need > BOMB_BYTES and need > BOMB_RATIO * size:
        raise LabError(
            f"{archive}: unpacks to {need / size:,.0f} times its size, as no pictures do; do not trust this archive"
        )


def find_root(folder: Path, *, shown_as: str) -> Path:
    """The shallowest folder at or below `folder` (three levels at most) that holds class folders.

    Raises
    ------
    LabError
        If there is none, or several side by side, such as train/ and test/.
    """
    level = [folder]
    for _ in range(4):
        holders = {candidate: _class_folders(candidate) for candidate in level}
        found = [candidate for candidate in level if holders[candidate]]
        found = [candidate for candidate in found if len(holders[candidate]) > 1] or found
        if len(found) > 1:
            several = ", ".join(repr(candidate.relative_to(folder).as_posix()) for candidate in found[:8])
            raise LabError(
                f"{shown_as}: class folders in each of {several}{', ...' if len(found) > 8 else ''}; "
                f"give one of these as the data set, or put all images of a class into one folder; {LAYOUTS}"
            )
        if found:
            return found[0]
        level = [child for candidate in level for child in _folders(candidate)]
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    here = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "") or "nothing"
    raise LabError(f"{shown_as}: no class folders in it; {LAYOUTS}; found {here}")


def _class_folders(folder: Path) -> list[Path]:
    found = [child for child in _folders(folder) if list_images(child)]
    return found if {child.name.casefold() for child in found} - {"images", "masks"} else []


def inspect(root: Path, *, shown_as: str) -> dict[str, dict[str, int]]:
    """Count the images and masks of every class.

    Raises
    ------
    LabError
        If there is one class only, or a class without images.
    """
    classes = {}
    for folder in _folders(root):
        images = list_images(folder)
        if not images:
            raise LabError(
                f"{shown_as}: class {folder.name!r} holds no images (PNG or JPEG); fill its folder or remove it"
            )
        classes[folder.name] = {"images": len(images), "masks": len(list_masks(folder))}
    if len(classes) > MOST_CLASSES:
        raise LabError(
            f"{shown_as}: {len(classes)} class folders ({', '.join(list(classes)[:4])}, ...); the lab's figures and "
            f"tables have room for {MOST_CLASSES}; merge classes, or leave some out"
        )
    if len(classes) < 2:
        raise LabError(f"{shown_as}: one class only ({', '.join(classes)}); a classifier needs two or more; {LAYOUTS}")
    return classes


def list_images(folder: Path) -> list[Path]:
    """The images of one class folder in lexicographic order (-1, -10, -100), as Keras lists them."""
    own = _below(folder, "images")
    return (_images_in(own) if own else []) or _images_in(folder)


def list_masks(folder: Path) -> list[Path]:
    """The lung masks of one class folder in lexicographic order; empty where there are none."""
    own = _below(folder, "masks")
    return _images_in(own) if own else []


def list_strays(folder: Path) -> list[Path]:
    """Images in a class folder that are neither taken as its images nor as its masks."""
    taken = {*list_images(folder), *list_masks(folder)}
    return [path for place, _, _ in os.walk(folder) for path in _images_in(Path(place)) if path not in taken]


def unlike_published(dataset: Dataset) -> dict[str, str]:
    """What the listing has less or more than the COVID-19 Radiography Database's: images `<class>-1.png` and so on.

    Returns
    -------
    dict
        Class to the difference; empty for data of other classes, unless they come from Kaggle as that database.
    """
    if dataset.kind != "kaggle" and (dataset.synthetic or set(dataset.classes) != set(PUBLISHED_COUNTS)):
        return {}
    differences = {}
    for name in sorted({*dataset.classes, *PUBLISHED_COUNTS}):
        count = PUBLISHED_COUNTS.get(name, 0)
        published = {f"{name}-{number}.png" for number in range(1, count + 1)}
        found = {path.name for path in list_images(dataset.root / name)} if name in dataset.classes else set()
        less_or_more = [
            f"{len(names):,} {what}, the first {min(names, key=lambda own: (len(own), own))}"
            for what, names in (("missing", published - found), ("not among them", found - published))
            if names
        ]
        if less_or_more:
            differences[name] = f"{len(found):,} images, {count:,} published: {'; '.join(less_or_more)}"
    return differences


def list_other_formats(folder: Path) -> list[Path]:
    """Pictures in a class folder, at whatever depth, that are neither PNG nor JPEG."""
    return [path for place, _, _ in os.walk(folder) for path in _images_in(Path(place), OTHER_FORMATS)]


def read_sources(root: Path, classes: Collection[str]) -> dict[str, dict[str, int]]:
    """Count the sources that the metadata sheets name per class.

    True of the class as a whole; the real database's sheets are wrong file by file.
    """
    sheets = {name: read_sheet(root, name) for name in classes}
    return {
        name: {str(url): int(count) for url, count in sheet.value_counts().items()}
        for name, sheet in sheets.items()
        if len(sheet)
    }


def read_sheet(root: Path, name: str) -> pd.Series:
    """The source of each image that `<class>.metadata.xlsx` (columns FILE NAME, FORMAT, SIZE, URL) names.

    Returns
    -------
    Series of str
        URL by `sheet_key` of the file's name; empty without a sheet, or with one that cannot be read: sources are for
        show.
    """
    path = root / f"{name}.metadata.xlsx"
    if not path.is_file():
        return pd.Series(dtype=str)
    try:
        with zipfile.ZipFile(path) as opened:
            size = sum(member.file_size for member in opened.infolist())
        if size > SHEET_BYTES:
            raise ValueError(f"unpacks to {size / 1e6:.0f} MB, expected {SHEET_BYTES / 1e6:.0f} at most")
        sheet = pd.read_excel(path, dtype=str)[["FILE NAME", "URL"]].dropna()
    except Exception as error:  # a spoilt workbook ends in errors of many kinds
        print(f"{path.name}: sources not read ({error})", file=sys.stderr)
        return pd.Series(dtype=str)
    return sheet.set_index(sheet["FILE NAME"].map(sheet_key))["URL"]


def sheet_key(file_name: str) -> str:
    """A file's name as sheets and folders have it in common: one says NORMAL-1, the other Normal-1.png."""
    name = file_name.strip().casefold()
    return next((name.removesuffix(ending) for ending in EXTENSIONS if name.endswith(ending)), name)


def _images_in(folder: Path, endings: tuple[str, ...] = EXTENSIONS) -> list[Path]:
    with os.scandir(folder) as entries:
        names = [
            entry.name
            for entry in entries
            if entry.name.lower().endswith(endings) and not entry.name.startswith(".") and _is_file(entry)
        ]
    _refuse_no_text(folder, names)
    return [folder / name for name in sorted(names)]


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether an entry is a file, or a link that should lead to one: where it does not, reading it will say so."""
    return (entry.is_symlink() and not Path(entry.path).is_dir()) or entry.is_file(follow_symlinks=False)


def _refuse_no_text(folder: Path, names: list[str]) -> None:
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise LabError(f"{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename it") from None


def _below(folder: Path, name: str) -> Path | None:
    """The folder of this name, in whatever case."""
    return next((child for child in _folders(folder) if child.name.casefold() == name), None)


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith((".", "__MACOSX")) and _is_folder(entry)]
    _refuse_no_text(folder, names)
    return [folder / name for name in sorted(names)]


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.is_file())
