"""Class folders: where a data set has them, and which images and masks they hold."""

import os
from collections.abc import Callable
from pathlib import Path

from lab_utils.core.errors import LabError

EXTENSIONS = (".png", ".jpg", ".jpeg")
OTHER_FORMATS = (".tif", ".tiff", ".dcm", ".dicom", ".bmp", ".gif", ".webp", ".jp2", ".npy", ".nii", ".nii.gz")
MOST_CLASSES = 50
MOST_NAMES = 8  # in a message
LAYOUTS = "expected <class>/images/*.png (with <class>/masks/*.png) as in Kaggle's archive, or <class>/*.png or *.jpg"

Entry = os.DirEntry[str]


def find_class_root(folder: Path, *, shown_as: str) -> Path:
    """Find the folder of the class folders: `folder`, or at most three levels below.

    `shown_as` is the data set's name in messages. It is a LabError if there is no such folder, or if
    there are several on one level, such as train/ and test/.
    """
    level = [folder]
    for _ in range(4):
        class_counts = {candidate: len(_class_folders(candidate)) for candidate in level}
        roots = [c for c, count in class_counts.items() if count > 1] or [
            c for c, count in class_counts.items() if count
        ]
        if len(roots) > 1:
            several = _some([repr(root.relative_to(folder).as_posix()) for root in roots])
            raise LabError(
                f"{shown_as}: class folders in each of {several}; "
                f"give one of these as the data set, or put all images of a class into one folder; {LAYOUTS}"
            )
        if roots:
            return roots[0]
        level = [child for candidate in level for child in _subfolders(candidate)]
    content = _some(sorted(path.name for path in folder.iterdir())) if folder.is_dir() else ""
    raise LabError(f"{shown_as}: no class folders in it; {LAYOUTS}; found {content or 'nothing'}")


def count_images(root: Path, *, shown_as: str) -> dict[str, dict[str, int]]:
    """Count the images and masks of every class below `root`, in alphabetical order.

    Fewer than 2 classes, more than 50, and a class without images are a LabError.
    """
    classes = {}
    for folder in _subfolders(root):
        images = list_images(folder)
        if not images:
            raise LabError(
                f"{shown_as}: class {folder.name!r} holds no images (PNG or JPEG); fill its folder or remove it"
            )
        classes[folder.name] = {"images": len(images), "masks": len(list_masks(folder))}
    if len(classes) > MOST_CLASSES:
        raise LabError(
            f"{shown_as}: {len(classes)} class folders ({_some(list(classes))}); figures and tables "
            f"have room for {MOST_CLASSES}; merge classes, or leave some out"
        )
    if len(classes) < 2:
        raise LabError(f"{shown_as}: one class only ({', '.join(classes)}); a classifier needs two or more; {LAYOUTS}")
    return classes


def list_images(folder: Path) -> list[Path]:
    """List the images of one class folder in lexicographic order (-1, -10, -100), as Keras does."""
    return _files_in_subfolder(folder, "images") or _files(folder, EXTENSIONS)


def list_masks(folder: Path) -> list[Path]:
    """List the lung masks of one class folder in lexicographic order."""
    return _files_in_subfolder(folder, "masks")


def masks_by_stem(folder: Path) -> dict[str, Path]:
    """Map an image's name without its ending to its lung mask, for one class folder."""
    return {path.stem: path for path in list_masks(folder)}


def list_strays(folder: Path) -> list[Path]:
    """List images below a class folder that are used neither as images nor as masks."""
    used = {*list_images(folder), *list_masks(folder)}
    return [path for path in _files_below(folder, EXTENSIONS) if path not in used]


def list_other_formats(folder: Path) -> list[Path]:
    """List images below a class folder that are neither PNG nor JPEG."""
    return _files_below(folder, OTHER_FORMATS)


def _class_folders(folder: Path) -> list[Path]:
    """List subfolders with images, unless those are only images/ and masks/ of one class."""
    holders = [child for child in _subfolders(folder) if list_images(child)]
    return holders if {child.name.casefold() for child in holders} - {"images", "masks"} else []


def _files_in_subfolder(folder: Path, name: str) -> list[Path]:
    subfolder = next((child for child in _subfolders(folder) if child.name.casefold() == name), None)
    return _files(subfolder, EXTENSIONS) if subfolder else []


def _files_below(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return [path for place, _, _ in os.walk(folder) for path in _files(Path(place), endings)]


def _files(folder: Path, endings: tuple[str, ...]) -> list[Path]:
    return _entries(folder, lambda entry: entry.name.lower().endswith(endings) and _is_file(entry))


def _subfolders(folder: Path) -> list[Path]:
    return _entries(folder, _is_folder) if folder.is_dir() else []


def _entries(folder: Path, is_wanted: Callable[[Entry], bool]) -> list[Path]:
    """List the wanted entries by name, without hidden ones and what macOS adds to zips."""
    with os.scandir(folder) as entries:
        names = sorted(e.name for e in entries if not e.name.startswith((".", "__MACOSX")) and is_wanted(e))
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise LabError(f"{folder}: the name {os.fsencode(name)!r} is not UTF-8; rename it") from None
    return [folder / name for name in names]


def _is_folder(entry: Entry) -> bool:
    return entry.is_dir(follow_symlinks=False) or (entry.is_symlink() and Path(entry.path).is_dir())


def _is_file(entry: Entry) -> bool:
    """Whether an entry is a file or a link to one; reading a dead link reports it."""
    return (entry.is_symlink() and not Path(entry.path).is_dir()) or entry.is_file(follow_symlinks=False)


def _some(names: list[str]) -> str:
    return ", ".join(names[:MOST_NAMES]) + ", ..." * (len(names) > MOST_NAMES)
