"""Files that the cells of a table name: by path, end of a path, name, or number."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable
from pathlib import PurePosixPath

from lab_utils.data.folders import IMAGE_ENDINGS

NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
WHOLE_NUMBER = re.compile(r"0*(\d+)(\.0*)?")  # 7, 007 and 7.0


class FileNames:
    """An index of files by the ends of their paths.

    A cell matches a file if one path ends with the other. Endings of images may differ.
    """

    def __init__(self, paths: Collection[str], place: str) -> None:
        """Index `paths`; cells are relative to the folder `place`."""
        self._files, self._place = paths, place
        self.first = next(iter(paths), "")
        self._whole: dict[str, list[str]] = defaultdict(list)  # by the path
        self._ends: dict[str, list[str]] = defaultdict(list)  # by every end of the path
        self._numbers: dict[str, list[str]] = defaultdict(list)  # by a name that is a number
        self._known: dict[str, list[str]] = {}  # cells to paths
        self.by_name_alone = False
        for path in paths:
            key = _key(path.removeprefix(f"{place}/" if place else ""))
            self._whole[key].append(path)
            for end in _ends(key):
                self._ends[end].append(path)
            if number := WHOLE_NUMBER.fullmatch(key.rpartition("/")[2]):
                self._numbers[number[1]].append(path)

    def __len__(self) -> int:
        return len(self._files)

    def select(self, is_selected: Callable[[str], bool]) -> "FileNames":
        """Index those of the files that a function selects."""
        return FileNames([path for path in self._files if is_selected(path)], self._place)

    def find(self, cell: str) -> str:
        """Return the path of the one file that a cell names; "" where it names none, or several."""
        paths = self.matches(cell)
        return paths[0] if len(paths) == 1 else ""

    def matches(self, cell: str) -> list[str]:
        """Return the paths of all files that a cell names."""
        if cell not in self._known:
            self._known[cell] = self._matches(cell)
        return self._known[cell]

    def allow_other_folders(self, cells: Iterable[str]) -> None:
        """Let names alone decide if no cell matches.

        No two files and no two cells may have the same name.

        The folders of the table are then those of another machine.
        """
        cells = [cell for cell in cells if cell]
        names = Counter(_key(cell).rpartition("/")[2] for cell in set(cells))
        files = Counter(key.rpartition("/")[2] for key in self._whole)
        is_unique = max(names.values(), default=0) == 1 and max(files.values(), default=0) == 1
        if is_unique and not any(map(self.matches, cells)):
            self.by_name_alone = True
            self._known.clear()

    def _matches(self, cell: str) -> list[str]:
        key = _key(cell)
        paths = self._whole.get(key) or self._ends.get(key, [])
        if not paths:
            paths = next((self._whole[end] for end in _ends(key) if end in self._whole), [])
        if not paths and self.by_name_alone:
            paths = self._ends.get(key.rpartition("/")[2], [])
        if not paths and (number := WHOLE_NUMBER.fullmatch(key)):
            paths = self._numbers.get(number[1], [])
        if len(paths) > 1:
            same_name = [path for path in paths if _name(path) == _name(cell)]
            paths = same_name or [path for path in paths if _ending(path) == _ending(cell)] or paths
        return paths


def is_number(cells: Iterable[str]) -> bool:
    """Whether all cells that are not empty are numbers."""
    return all(NUMBER.fullmatch(cell) for cell in cells if cell)


def _ends(key: str) -> list[str]:
    """List the ends of a path, the path first: a/b/c, b/c, c."""
    parts = PurePosixPath(key).parts
    return ["/".join(parts[start:]) for start in range(len(parts))]


def _name(path: str) -> str:
    return unicodedata.normalize("NFC", path.replace("\\", "/").rpartition("/")[2])


def _ending(path: str) -> str:
    return next((ending for ending in IMAGE_ENDINGS if path.lower().endswith(ending)), "")


def _key(text: str) -> str:
    """Reduce a path to the form that cells and files share.

    It has slashes, one case, one form of accents, no query and no image ending.
    """
    if "://" in text:
        text = text.partition("?")[0]
    path = PurePosixPath(unicodedata.normalize("NFC", text.replace("\\", "/")).casefold())
    name = path.as_posix() if path.parts else ""
    return name.removesuffix(_ending(name)) if _ending(name) else name
