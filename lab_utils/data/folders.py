"""The files of a data set: one walk that the reader and the fingerprint share."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath

from lab_utils.core.errors import LabError
from lab_utils.core.files import digest
from lab_utils.data.decode import format_of

IMAGE_ENDINGS = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".tif", ".tiff", ".bmp", ".webp", ".dcm", ".dicom")
SYSTEM_NAMES = (
    *("__macosx", "thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "@eadir", "icon\r"),
    "dicomdir",  # a list of DICOM files in DICOM's format
)
MOST_FOLDERS, MOST_LEVELS = 6, 3  # of a tree in a message


@dataclass(frozen=True)
class FileTree:
    """The folders and files below a folder, without hidden and system names; links are followed.

    Paths are relative to `root`, with slashes; "" is the root. Names are in lexicographic order, as Keras lists them.
    """

    root: Path
    subfolders: dict[str, list[str]]  # path of each folder to the paths of its subfolders
    files: dict[str, list[str]]  # path of each folder to the paths of its files
    unnamed: list[str] = field(default_factory=list)  # paths left out, for the name's bytes are not UTF-8

    @classmethod
    def read(cls, root: Path, *, refuse_names: bool = True) -> "FileTree":
        """Walk a folder. A folder that cannot be read is a LabError.

        So is a name that is not UTF-8, unless `refuse_names` is False.
        """
        tree = cls(root, {}, {})
        waiting: list[tuple[str, frozenset[tuple[int, int]]]] = [("", frozenset())]
        while waiting:
            path, ancestors = waiting.pop()
            status = (root / path).stat()
            place = status.st_dev, status.st_ino
            if place in ancestors:  # a link to a folder that contains it
                parent = str(PurePosixPath(path).parent)
                tree.subfolders["" if parent == "." else parent].remove(path)
                continue
            tree.subfolders[path], tree.files[path], unnamed = _entries(root, path)
            if unnamed and refuse_names:
                raise LabError(f"{root / path}: the name {unnamed[0]} is not UTF-8; rename it")
            tree.unnamed.extend(f"{path}/{name}".lstrip("/") for name in unnamed)
            waiting += [(child, ancestors | {place}) for child in reversed(tree.subfolders[path])]
        return tree

    def below(self, path: str) -> Iterator[str]:
        """Iterate over the files below a folder, its own first."""
        waiting = [path]
        while waiting:
            folder = waiting.pop()
            yield from self.files[folder]
            waiting += reversed(self.subfolders[folder])

    @cached_property
    def images(self) -> frozenset[str]:
        """The files that are images by their ending or by their first bytes."""
        paths = (path for files in self.files.values() for path in files)
        return frozenset(p for p in paths if p.lower().endswith(IMAGE_ENDINGS) or format_of(self.root / p))

    def images_in(self, path: str) -> list[str]:
        """List the images of a folder, without those of its subfolders."""
        return [file for file in self.files[path] if file in self.images]

    def holds_images(self, path: str) -> bool:
        """Whether there are images in or below a folder."""
        return any(file in self.images for file in self.below(path))

    def fingerprint(self) -> str:
        """Digest the path, size and modification time of every file."""
        listing = []
        for files in self.files.values():
            for path in files:
                try:
                    status = (self.root / path).stat()
                except OSError:  # a dead link
                    status = (self.root / path).lstat()
                listing.append((path, status.st_size, status.st_mtime_ns))
        return digest(*sorted(listing))

    def describe(self, path: str = "", level: int = 1) -> str:
        """Describe the folders and the kinds of their files, one line per folder, for a message."""
        kinds = Counter(map(self._kind, self.files[path]))
        counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.most_common(4)) or "no files"
        counts += ", ..." * (len(kinds) > 4)
        lines = ["    " * level + f"{PurePosixPath(path).name if path else '.'}/: {counts}"]
        children = self.subfolders[path]
        if level <= MOST_LEVELS:
            lines += [self.describe(child, level + 1) for child in children[:MOST_FOLDERS]]
        hidden = children[MOST_FOLDERS:] if level <= MOST_LEVELS else children
        if hidden:
            lines.append("    " * (level + 1) + f"... and {len(hidden):,} more folders")
        return "\n".join(lines)

    def _kind(self, path: str) -> str:
        """The ending of a file, or the format of an image whose ending tells nothing."""
        ending = PurePosixPath(path).suffix.lower()
        is_hidden_image = path in self.images and ending not in IMAGE_ENDINGS
        return (format_of(self.root / path) if is_hidden_image else ending) or "without ending"


def _entries(root: Path, path: str) -> tuple[list[str], list[str], list[str]]:
    """List the subfolders and the files of one folder, each as a path below `root`.

    The third list has the names that are not UTF-8.
    """
    folders, files, unnamed = [], [], []
    try:
        with os.scandir(root / path) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.name.startswith((".", "~$")) or entry.name.lower() in SYSTEM_NAMES:
                    continue
                if not _is_utf8(entry.name):
                    unnamed.append(repr(os.fsencode(entry.name)))
                    continue
                target = Path(entry.path) if entry.is_symlink() else entry  # an entry cannot follow a circle of links
                is_dead = isinstance(target, Path) and not target.exists()  # reading it reports it
                if target.is_dir():
                    folders.append(f"{path}/{entry.name}".lstrip("/"))
                elif target.is_file() or is_dead:
                    files.append(f"{path}/{entry.name}".lstrip("/"))
    except OSError as error:
        raise LabError(f"{root / path}: cannot be listed ({error.strerror}); allow it, or leave it out") from error
    return folders, files, unnamed


def _is_utf8(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True
