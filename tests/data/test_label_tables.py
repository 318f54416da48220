"""Tables of labels: columns by their common names or by the experiment file, rows without label or file."""

from pathlib import Path

import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain, source_fingerprint
from tests.data.conftest import classes_of, layout_of, write_tree

ROWS = [(f"x{n}.png", "ab"[n % 2]) for n in range(1, 7)]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "data", "images/x*6.png")


def write(
    root: Path, rows: list[tuple[str, ...]] = ROWS, header: str = "image,label", name: str = "labels.csv"
) -> Path:
    """Write a table of labels."""
    (root / name).parent.mkdir(exist_ok=True)
    pd.DataFrame(rows, columns=header.split(",")).to_csv(root / name, index=False)
    return root


@pytest.mark.parametrize(
    ("header", "cell", "name"),
    [
        ("image,label", "x1.png", "labels.csv"),
        ("Image Index,Finding Labels", "x1.png", "Data_Entry.csv"),
        ("filename,diagnosis", "x1", "labels/table.csv"),
        ("path,class", "./images/x1.png", "t.csv"),
        ("path,class", "C:\\scans\\images\\X1.PNG", "t.csv"),
        ("path,class", "/kaggle/input/images/x1.png", "t.csv"),
        ("anything,Category", "x1.dcm", "t.csv"),
    ],
)
def test_columns_are_found_and_cells_name_files_in_many_ways(header: str, cell: str, name: str, root: Path) -> None:
    rows = [(cell.replace("1", str(n), 1), label) for n, (_, label) in enumerate(ROWS, 1)]
    layout = layout_of(write(root, rows, header, name))
    assert (layout.name, classes_of(layout), layout.problems) == ("table", {"a": 3, "b": 3}, [])
    image, label = header.split(",")
    assert layout.reason == f"{name} names 6 of 6 image files (columns: image {image!r}, label {label!r})."
    assert layout.listing["image_id"].tolist()[:2] == ["images/x2.png", "images/x4.png"]


def test_what_else_a_table_tells(root: Path) -> None:
    write_tree(root, "masks/x1.png")
    rows = [
        ("x1.png", "b", "p1", "TRAIN", "Hannover", "045Y", "Male"),
        ("x2.png", "a", "unknown", "val", "", "7.5", "F"),
        ("x3.png", "a", "p1", "testing", "Madrid", "old", "x"),
    ]
    layout = layout_of(write(root, rows, "image,label,Patient ID,dataset_type,hospital,age,gender"), "labels.csv")
    images = (
        layout.listing[layout.listing["kind"] == "image"]
        .set_index("image_id")
        .loc[[f"images/x{n}.png" for n in (1, 2, 3)]]
    )
    assert images["patient"].tolist() == ["p1", "", "p1"]
    assert images["given"].tolist() == ["train", "validation", "test"]
    assert images["source"].tolist() == ["Hannover", "", "Madrid"]
    assert images["age"].tolist()[:2] == [45, 7.5]
    assert images["age"].isna().iloc[2]
    assert images["sex"].tolist() == ["M", "F", "x"]
    assert images["mask"].tolist() == ["masks/x1.png", "", ""]


def test_rows_that_cannot_be_used_are_findings(root: Path) -> None:
    extra = [("x1.png", "b"), ("x3.png", "a"), ("none.png", "a"), ("x9.png", "a"), ("x5.png", "")]
    layout = layout_of(write(root, [*ROWS[:4], *extra]))
    assert classes_of(layout) == {"a": 2, "b": 1}
    assert [(row[0], row[3].split(", ")[0], row[4]) for row in layout.problems] == [
        ("row without label", "1 of 9 rows have no label", "left out"),
        ("row without file", "2 of 9 rows name no file", "left out"),
        ("image in several rows", "1 of 9 rows repeat an image and its label", "used once"),
        ("contradictory labels", "2 of 9 rows give one image different labels", "left out"),
        ("image not used", "3 image files have no class", "left out"),
    ]


def test_cells_that_say_that_something_is_unknown(root: Path) -> None:
    rows = [("x1.png", "?", "0"), ("x2.png", "unknown", "7"), ("x3.png", "a", "0"), ("x4.png", "b", "not available")]
    layout = layout_of(write(root, [*rows, ("x5.png", "a", "7.0"), ("x6.png", "['b']", "8")], "image,label,patient"))
    assert classes_of(layout) == {"a": 2, "b": 2}
    assert layout.listing["patient"].tolist() == ["", "7", "", "8"]
    assert layout.problems[0][3] == "2 of 6 rows have '?' or 'unknown' as label, the first for x1.png."
    rows = [(name, label, str(n // 2)) for n, (name, label) in enumerate(ROWS)]
    layout = layout_of(write(root, rows, "image,label,patient"))
    assert set(layout.listing["patient"]) == {"0", "1", "2"}  # numbered from 0


@pytest.mark.parametrize(
    ("sets", "given", "action"),
    [
        (["train", "train", "eval", "test", "", "exclude"], {"train": 2, "validation": 1, "test": 1}, "left out"),
        (["train", "test", *["exclude"] * 4], {"train": 1, "test": 1}, "left out"),
        (list("001122"), {"": 6}, "column not used"),
    ],
)
def test_images_of_no_set_are_not_trained_on(sets: list[str], given: dict[str, int], action: str, root: Path) -> None:
    rows = [(*row, side) for row, side in zip(ROWS, sets, strict=True)]
    layout = layout_of(write(root, rows, "image,label,split"))
    assert layout.listing["given"].value_counts().to_dict() == given
    assert layout.problems[0][::4] == ("unknown split", action)


def test_cells_that_name_several_files_each_are_refused_whatever_else_is_there(tmp_path: Path) -> None:
    root = write(write_tree(tmp_path, "a/x*6.png", "b/x*6.png"))
    with pytest.raises(
        LabError, match=r"each cell names 2 files, 'x1.png' for example a/x1.png and b/x1.png; give the"
    ):
        layout_of(root)


def test_several_labels_in_a_cell_are_refused_with_the_way_out(root: Path) -> None:
    write(root, [*ROWS[:4], ("x5.png", "a|b"), ("x6.png", "b")])
    with pytest.raises(LabError, match=r"1 of 6 rows have several labels, the first '.*one class: keep the rows with"):
        layout_of(root)


def test_an_image_with_several_rows_of_labels_is_refused_too(root: Path) -> None:
    write(root, [*ROWS, *((name, "c") for name, _ in ROWS)])
    with pytest.raises(LabError, match=r"6 of 6 images have several labels, the first 'x1.png'; the lab gives each"):
        layout_of(root)


def test_masks_named_by_the_table(root: Path) -> None:
    write_tree(root, "lungs/x*6.png")
    write(root, [(f"images/{name}", label, f"lungs/{name}") for name, label in ROWS], "image,label,mask")
    layout = layout_of(root, "labels.csv")
    assert layout.listing["mask"].tolist() == layout.listing["image_id"].str.replace("images", "lungs").tolist()
    assert layout.problems == []


def test_one_label_may_have_a_comma(root: Path) -> None:
    layout = layout_of(write(root, [*ROWS[:5], ("x6.png", "Pneumonia, viral")]))
    assert "Pneumonia, viral" in classes_of(layout)


def test_columns_can_be_named_in_the_experiment_file(root: Path, lab: Workspace) -> None:
    write(root, [(*row, "z") for row in ROWS], "Scan,Dx,label")
    assert obtain(str(root), lab, columns={"label": "Dx"}).classes["a"] == {"images": 3, "masks": 0}
    with pytest.raises(LabError, match=r"labels\.csv: no column 'Dxx'.*did you mean 'Dx'"):
        layout_of(root, label="Dxx")
    with pytest.raises(LabError, match="names columns of a table, but there is no table"):
        layout_of(write_tree(root.parent / "plain", "a/x*2.png", "b/y*2.png"), label="Dx")


@pytest.mark.parametrize(
    ("header", "cells", "why"),
    [
        ("image,label", 0, "labels.csv: a header without rows"),
        ("image,weight", 2, "no column for label under a common name, its columns are image, weight; name it"),
        (
            "image,label",
            2,
            "column 'image' names none of the 6 images .* the first cell is 'z.png', the first image is",
        ),
    ],
)
def test_a_table_that_gives_no_labels_is_refused(header: str, cells: int, why: str, root: Path) -> None:
    write(root, [("z.png" if "label" in header else "x1.png", "a")] * cells, header)
    with pytest.raises(LabError, match=f"(?s){why}.*this data set holds"):
        layout_of(root, "labels.csv")


def test_several_tables_are_refused_unless_they_are_the_sets_of_a_split(root: Path) -> None:
    write(root, ROWS[:4], name="train.csv")
    write(root, ROWS[4:], name="test.csv")
    layout = layout_of(root)
    assert layout.listing["given"].value_counts().to_dict() == {"train": 4, "test": 2}
    write(root, name="final.csv")
    with pytest.raises(LabError, match="several tables of labels: final.csv, test.csv, train.csv; give one"):
        layout_of(root)


def test_tables_of_sets_name_the_images_of_their_folders_first(tmp_path: Path) -> None:
    root = write_tree(tmp_path, "train/x*6.png", "test/x*6.png")
    for side in ("train", "test"):
        write(root, name=f"{side}.csv")
    assert layout_of(root).listing["given"].value_counts().to_dict() == {"train": 6, "test": 6}


def test_one_table_of_half_of_the_images_wins_over_smaller_ones(root: Path) -> None:
    write(write(root, name="all.csv"), ROWS[:2], name="boxes.csv")
    layout = layout_of(root)
    assert (layout.reason[:7], layout.problems[0][3][:38]) == ("all.csv", "boxes.csv labels less than half of the")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("labels.xls", r"labels.xls: not a table that the lab reads \(CSV, TSV, XLSX, Parquet\); save it as CSV"),
        ("train.txt", "train.txt: not a table"),
        (
            "train/labels.csv",
            r"tables lie in the folders of a split \(train/labels.csv\); join them in one table above",
        ),
        ("~$labels.csv", "no class folders and no images in it"),
    ],
)
def test_tables_that_cannot_be_used_are_named(name: str, why: str, tmp_path: Path, lab: Workspace) -> None:
    root = write(write_tree(tmp_path, *["train/x*6.png", "test/y*2.png"] * ("$" not in name)), name=name)
    with pytest.raises(LabError, match=why):
        layout_of(root)
    if name.endswith((".xls", ".txt")):
        with pytest.raises(LabError, match=why):
            obtain(str(root / name), lab)


def test_folders_of_sets_are_a_given_split_where_the_table_has_none(tmp_path: Path) -> None:
    root = write_tree(tmp_path, "train/x*4.png", "test/z*2.png")
    write(root, [*ROWS[:4], ("z1.png", "a"), ("z2.png", "b")])
    assert layout_of(root).listing["given"].value_counts().to_dict() == {"train": 4, "test": 2}


def test_class_folders_win_over_a_table_of_few_of_their_images(tmp_path: Path) -> None:
    root = write(write_tree(tmp_path, "a/x*5.png", "b/y*5.png"), ROWS[:2])
    layout = layout_of(root)
    assert layout.name == "class folders"
    ((check, _, _, detail, _),) = layout.problems
    assert (check, detail[:35]) == ("table not used", "labels.csv labels 2 of 10 images; t")
    assert layout_of(root, "labels.csv").name == "table"


def test_a_table_is_a_data_set_and_its_images_are_watched(root: Path, lab: Workspace) -> None:
    table = str(write(root) / "labels.csv")
    data = obtain(table, lab)
    assert (data.kind, data.layout, data.root, data.patients_known) == ("folder", "table", root, False)
    before = source_fingerprint(table)
    assert before[0] == table
    assert data.fingerprint == before[1]
    write_tree(root, "images/x0.png", "images/x1.png")
    assert source_fingerprint(table) != before
