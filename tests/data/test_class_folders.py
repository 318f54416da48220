"""Class folders and given splits: which folders are classes, and why."""

import shutil
import unicodedata
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
    write_tree(tmp_path, *nested, *clutter)
    for path in (tmp_path / "chest_xray").glob("chest_xray/*/*/*"):
        shutil.copy(str(path).replace("chest_xray/chest_xray", "chest_xray"), path)
    layout = layout_of(tmp_path)
    assert (layout.name, layout.place) == ("given splits", "chest_xray")
    assert layout.listing["given"].value_counts().to_dict() == {"train": 4, "validation": 4, "test": 4}
    ((check, _, _, detail, _),) = layout.problems
    assert check == "image not used"
    assert detail.startswith("12 image files have the names and the sizes of images that are used")


def test_names_of_folders_that_mean_something_else_are_never_classes(tmp_path: Path) -> None:
    others = ("Masks", "lung masks", "images", "Test", "validation_set", "annotations", "part2", "__MACOSX", ".cache")
    others += ("augmented", "resized_224", "heatmaps", "gradcam", "assets", "screenshots", "unsorted", "backup")
    layout = layout_of(write_tree(tmp_path, A, B, *(f"{name}/z*2.png" for name in others if name != "Test")))
    assert set(classes_of(layout)) == {"a", "b"}
    assert [row[0] for row in layout.problems] == ["image not used", "mask not paired"]


def test_an_empty_folder_beside_the_classes_is_a_class_without_images(tmp_path: Path) -> None:
    write_tree(tmp_path, A, B)
    (tmp_path / "c").mkdir()
    with pytest.raises(LabError, match="class 'c' holds no images of its own"):
        layout_of(tmp_path)


@pytest.mark.parametrize("top", ["", "train/"])
@pytest.mark.parametrize("ending", ["gif", "heic", "jp2", "npy", "nii.gz", "mp4", "zip"])
def test_a_class_in_a_format_that_is_not_read_is_refused(ending: str, top: str, tmp_path: Path) -> None:
    write_tree(tmp_path, *(f"{top}{path}" for path in (A, B, "test/x*2.txt")))
    for number in range(12):
        write_tree(tmp_path, f"{top}tb/{number}.{ending}")
    with pytest.raises(LabError, match=rf"class '{top}tb' holds 12 \.{ending}, which .*, or move the folder away"):
        layout_of(tmp_path if top else write_tree(tmp_path, "notes/a.txt"))


def test_an_archive_of_a_class_beside_the_class_folders_is_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, A, B, "a.zip", "dataset.zip")
    assert classes_of(layout_of(tmp_path)) == {"a": 3, "b": 2}
    with pytest.raises(LabError, match=r"the archive tb\.zip lies beside class folders; unpack it"):
        layout_of(write_tree(tmp_path, "tb.zip"))


def test_a_folder_of_documents_is_a_finding(tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, A, B, "patients/p*2.txt"))
    assert layout.problems == [
        ("folder not used", "", "", "Folder patients holds 2 files, the first patients/p1.txt.", "no class")
    ]


@pytest.mark.parametrize(
    ("folder", "why"), [("train/c", "no images of its own; fill"), ("test/c/deep", "no images of its own, the others")]
)
def test_sets_of_a_given_split_are_checked_as_class_folders_are(folder: str, why: str, tmp_path: Path) -> None:
    write_tree(tmp_path, *(f"{side}/{path}" for side in ("train", "test") for path in (A, B)))
    (tmp_path / folder).mkdir(parents=True)
    if folder.endswith("deep"):
        write_tree(tmp_path, f"{folder}/x*2.png")
    with pytest.raises(LabError, match=f"class '{folder.removesuffix('/deep')}' holds {why}"):
        layout_of(tmp_path)


def test_a_test_set_may_lack_a_class(tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "train/" + A, "train/" + B, "train/c/z*2.png", "test/" + A, "test/" + B))
    ((check, name, _, detail, _),) = layout.problems
    assert (check, name, detail) == ("class not in a set", "c", "The test set has no images of the class c.")


def test_accents_are_stored_in_two_ways(tmp_path: Path) -> None:
    forms = [unicodedata.normalize(form, "Größe") for form in ("NFD", "NFC")]
    sets = [
        f"{side}/{name}/x*2.png" for side, form in zip(("train", "test"), forms, strict=True) for name in (form, "b")
    ]
    assert classes_of(layout_of(write_tree(tmp_path, *sets))) == {forms[1]: 4, "b": 4}


@pytest.mark.parametrize("table", ["a-b", "A,B!", "b-a"])
def test_a_table_beside_class_folders_must_give_the_same_labels(table: str, tmp_path: Path) -> None:
    first, second = table.replace("-", ",").split(",")
    rows = [f"a/x{n}.png,{first}" for n in (1, 2, 3)] + [f"b/y{n}.png,{second}" for n in (1, 2)]
    write_tree(tmp_path, A, B)
    (tmp_path / "t.csv").write_text("\n".join(["image,label", *rows]))
    assert layout_of(tmp_path, "t.csv").name == "table"
    if first == "b":
        why = r"the table t\.csv give different labels to 5 of 5 images.*a/x1\.png: a by its folder, b by the table"
        with pytest.raises(LabError, match=why):
            layout_of(tmp_path)
    else:
        assert layout_of(tmp_path).name == "table"


def test_two_tables_of_labels_beside_class_folders_are_refused(tmp_path: Path) -> None:
    write_tree(tmp_path, A, B)
    for name in ("t.csv", "u.csv"):
        (tmp_path / name).write_text("\n".join(["image,label", "a/x1.png,a", "a/x2.png,a", "b/y1.png,b"]))
    with pytest.raises(LabError, match=r"several tables of labels: t\.csv, u\.csv; give one of them as the data set"):
        layout_of(tmp_path)
