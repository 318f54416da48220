"""Class folders and given splits: which folders are classes, and why."""

from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from tests.data.conftest import classes_of, layout_of, write_tree

A, B = "a/x*3.png", "b/y*2.png"


@pytest.mark.parametrize(
    ("paths", "place"),
    [
        ([A, B], ""),
        (["d/" + A, "d/" + B, "readme.txt"], "d"),
        (["v1/data/final/" + A, "v1/data/final/" + B], "v1/data/final"),
        (["images/" + A, "images/" + B, "masks/a/x*3.png", "docs/guide.pdf"], ""),
        (["a/images/x*3.png", "b/Images/y*2.png", "a/masks/x*3.png"], ""),
        (["a/x*3.png", "b/CXR_png/y*2.png"], ""),
        ([A, B, "papers/one.pdf", "notes/todo.txt", "masks/x*3.png", "sample_images/x1.png"], ""),
        (["train/" + A, "train/" + B], "train"),
        (["train/" + A, "train/" + B, "docs/fig.png"], "train"),
        (["train/" + A, "train/" + B, "test/z*4.png"], "train"),
        (["d/" + A, "d/" + B, "d/preview.png"], "d"),
    ],
)
def test_class_folders(paths: list[str], place: str, tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, *paths))
    assert (layout.name, layout.place) == ("class folders", place)
    assert classes_of(layout) == {"a": 3, "b": 2}
    assert layout.reason == "Sibling folders hold images: a, b."
    assert layout.listing["image_id"].map(lambda name: (tmp_path / place / name).is_file()).all()


@pytest.mark.parametrize(
    ("names", "given"),
    [
        (("train", "val", "test"), {"train": 5, "validation": 5, "test": 5}),
        (("Training", "Validation"), {"train": 5, "validation": 5}),
        (("train_images", "test_images"), {"train": 5, "test": 5}),
        (("train", "valid", "test/images"), {"train": 5, "validation": 5, "test": 5}),
    ],
)
def test_given_splits(names: tuple[str, ...], given: dict[str, int], tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, *(f"set/{name}/{part}" for name in names for part in (A, B))))
    assert (layout.name, layout.place) == ("given splits", "set")
    assert layout.listing["given"].value_counts().to_dict() == given
    assert layout.listing["class"].is_monotonic_increasing
    assert "hold class folders" in layout.reason


def test_the_best_known_pneumonia_set(tmp_path: Path) -> None:
    copy = [f"{s}/{c}/{s}{c}*2.jpeg" for s in ("train", "val", "test") for c in ("NORMAL", "PNEUMONIA")]
    clutter = ["chest_xray/.DS_Store.txt", "chest_xray/__MACOSX/chest_xray/train/NORMAL/._x.jpeg", "__MACOSX/x.jpeg"]
    nested = [f"chest_xray/{top}{path}" for top in ("", "chest_xray/") for path in copy]
    layout = layout_of(write_tree(tmp_path, *nested, *clutter))
    assert (layout.name, layout.place) == ("given splits", "chest_xray")
    assert layout.listing["given"].value_counts().to_dict() == {"train": 4, "validation": 4, "test": 4}
    ((check, _, _, detail, _),) = layout.problems
    assert check == "image not used"
    assert detail.startswith("12 image files have the names of images that are used")


def test_names_of_folders_that_mean_something_else_are_never_classes(tmp_path: Path) -> None:
    others = ("Masks", "lung masks", "images", "Test", "validation_set", "annotations", "part2", "__MACOSX", ".cache")
    layout = layout_of(write_tree(tmp_path, A, B, *(f"{name}/z*2.png" for name in others if name != "Test")))
    assert set(classes_of(layout)) == {"a", "b"}
    assert [row[0] for row in layout.problems] == ["image not used", "mask not paired"]


def test_an_empty_folder_beside_the_classes_is_a_class_without_images(tmp_path: Path) -> None:
    write_tree(tmp_path, A, B)
    (tmp_path / "c").mkdir()
    with pytest.raises(LabError, match="class 'c' holds no images of its own"):
        layout_of(tmp_path)
