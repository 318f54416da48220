"""Class folders: which images count, which folders are refused."""

import shutil
from pathlib import Path

from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.folders import list_strays
from tests.conftest import write_classes
from tests.data.conftest import refused


def test_plain_class_folders_of_any_names(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "mine", {"é 中": 5, "-dash": 4, "NA": 3})
    data = obtain(str(root), lab)
    assert data.classes == {
        "-dash": {"images": 4, "masks": 0},
        "NA": {"images": 3, "masks": 0},
        "é 中": {"images": 5, "masks": 0},
    }


def test_hidden_and_system_files_are_passed_over(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "mine", {"a": 4, "b": 4})
    for name in (".DS_Store", "a/._a-1.png", "a/Thumbs.db", "__MACOSX/a/a-1.png", ".git/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    assert obtain(str(root), lab).classes == {"a": {"images": 4, "masks": 0}, "b": {"images": 4, "masks": 0}}


def test_an_empty_class(phantom_copy: Path, lab: Workspace, phantoms: Path) -> None:
    for path in (phantom_copy / "Normal" / "images").iterdir():
        path.unlink()
    refused(phantom_copy, lab, "class 'Normal' holds no images .*; fill its folder or remove it", phantoms)


def test_a_single_class(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    refused(
        write_classes(tmp_path / "one", {"a": 5}),
        lab,
        r"one class only \(a\); a classifier needs two or more",
        phantoms,
    )


def test_strays_are_images_that_are_not_taken(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 2}, folder="images")
    write_classes(tmp_path, {"a": 1}, folder="masks")
    write_classes(tmp_path, {"a": 1}, folder="old")
    shutil.copy(tmp_path / "a/old/a-1.png", tmp_path / "a" / "b.png")
    assert [path.relative_to(tmp_path).as_posix() for path in list_strays(tmp_path / "a")] == [
        "a/b.png",
        "a/old/a-1.png",
    ]
