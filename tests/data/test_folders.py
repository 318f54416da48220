"""The walk over the files of a data set: what is listed, what is passed over, what changes the fingerprint."""

import os
from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.folders import FileTree
from tests.conftest import write_classes


def test_files_are_listed_in_lexicographic_order_without_hidden_and_system_ones(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 11, "b": 1}, size=4)
    for name in (
        ".DS_Store",
        "a/._a-1.png",
        "a/Thumbs.db",
        "__MACOSX/a/a-1.png",
        ".git/x.png",
        "b/DESKTOP.INI",
        "DICOMDIR",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("no image")
    tree = FileTree.read(tmp_path)
    assert tree.subfolders[""] == ["a", "b"]
    assert tree.files["a"][:3] == ["a/a-1.png", "a/a-10.png", "a/a-11.png"]
    assert list(tree.below(""))[-1] == "b/b-1.png"
    assert len(tree.images) == 12


def test_images_are_known_by_their_ending_or_by_their_first_bytes(tmp_path: Path) -> None:
    image = next(write_classes(tmp_path / "d", {"a": 1}).glob("a/*.png")).read_bytes()
    for name, data in {"x.txt": image, "y": image, "broken.png": b"", "notes.txt": b"text", "z.gif": b"GIF89a"}.items():
        (tmp_path / name).write_bytes(data)
    assert FileTree.read(tmp_path).images_in("") == ["broken.png", "x.txt", "y"]


def test_links_are_followed_and_never_in_a_circle(tmp_path: Path) -> None:
    pool = write_classes(tmp_path / "pool", {"p": 2})
    root = write_classes(tmp_path / "root", {"a": 1})
    (root / "b").symlink_to(pool / "p")
    (root / "a" / "up").symlink_to(root)
    (root / "a" / "self.png").symlink_to(root / "a" / "self.png")
    (root / "a" / "dead.png").symlink_to("nowhere.png")
    os.mkfifo(tmp_path / "pipe")
    (root / "a" / "pipe.png").symlink_to(tmp_path / "pipe")
    tree = FileTree.read(root)
    assert list(tree.below("")) == ["a/a-1.png", "a/dead.png", "a/self.png", "b/p-1.png", "b/p-2.png"]
    before = tree.fingerprint()
    assert FileTree.read(root).fingerprint() == before
    (pool / "p" / "p-1.png").write_bytes(b"another image")
    assert FileTree.read(root).fingerprint() != before


def test_what_is_not_listed_changes_no_fingerprint(tmp_path: Path) -> None:
    before = FileTree.read(write_classes(tmp_path, {"a": 1})).fingerprint()
    (tmp_path / ".DS_Store").write_text("x")
    assert FileTree.read(tmp_path).fingerprint() == before
    (tmp_path / "labels.csv").write_text("x")
    assert FileTree.read(tmp_path).fingerprint() != before


def test_the_description_counts_the_kinds_of_files_and_stays_short(tmp_path: Path) -> None:
    for number in range(9):
        (tmp_path / f"f{number}" / "x" / "y" / "z").mkdir(parents=True)
        (tmp_path / f"f{number}" / "a.JFIF").touch()
    image = next(write_classes(tmp_path / "d", {"a": 1}).glob("a/*.png")).read_bytes()
    for name in ("image.0001", "image.0002"):
        (tmp_path / name).write_bytes(image)
    text = FileTree.read(tmp_path).describe()
    assert "./: 2 PNG" in text
    assert "    f0/: 1 .jfif" in text
    assert "... and 4 more folders" in text
    assert len(text.splitlines()) < 40


def test_a_tree_may_be_as_deep_as_the_disk_admits(tmp_path: Path) -> None:
    folders = ["", *("/".join("a" * depth) for depth in range(1, 2000))]
    subfolders = {folder: folders[place + 1 : place + 2] for place, folder in enumerate(folders)}
    tree = FileTree(tmp_path, subfolders, {**{folder: [] for folder in folders}, folders[-1]: ["x.txt"]})
    assert list(tree.below("")) == ["x.txt"]
    assert tree.describe().count("\n") == 4


def test_a_folder_that_cannot_be_listed_is_a_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("lab_utils.data.folders.os.scandir", refuse)
    with pytest.raises(LabError, match=r"cannot be listed \(Permission denied\)"):
        FileTree.read(tmp_path)
