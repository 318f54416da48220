"""Columns of a table: by common names, by their cells, and those that nothing decides between."""

import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.file_names import FileNames
from lab_utils.data.table_columns import find_columns, split_cells

IMAGES = FileNames([f"img/{n}.png" for n in range(1, 7)], "")
NUMBERS, REVERSED = [list("123456"), list("654321")]
NAMES = [f"{n}.png" for n in NUMBERS]
LABELS = list("ababab")
SETS = ["train", "train", "validate", "eval", "test", ""]


def columns_of(**cells: list[str]) -> dict[str, str]:
    return find_columns("t.csv", pd.DataFrame({"label": LABELS, **cells}), IMAGES, {})


@pytest.mark.parametrize(
    ("cells", "image"),
    [
        ({"No": NUMBERS, "image_id": REVERSED}, "image_id"),
        ({"No": NUMBERS, "image_id": ["6", *"xxxxx"]}, "image_id"),
        ({"slice": NUMBERS, "image": ["scan"] * 6}, "image"),  # names nothing, which is refused later
        ({"slice": NUMBERS, "xray": NAMES}, "xray"),
        ({"mask": NAMES, "xray": NAMES}, "xray"),
        ({"age": NUMBERS, "id": REVERSED}, "id"),
        ({"Unnamed: 0": NUMBERS, "id": REVERSED}, "id"),
        ({"patient": NAMES}, "patient"),
        ({"image": NUMBERS, "path": NAMES}, "path"),
        ({"a": NAMES, "b": [*NAMES[:4], "", ""]}, "a"),
        ({"previous": [*NAMES[1:4], "", "", ""], "xray": NAMES}, "xray"),
    ],
)
def test_the_image_column(cells: dict[str, list[str]], image: str) -> None:
    assert columns_of(**cells)["image"] == image


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"lfd": NUMBERS, "Bildnr": REVERSED}, "'lfd' and 'Bildnr' name different images; .*columns: {image: lfd}"),
        ({"front": NAMES, "side": NAMES[::-1]}, "columns 'front' and 'side' name different images"),
        ({"image": NAMES, "path": NAMES[::-1]}, "columns 'image' and 'path' name different images"),
        ({"patient": NUMBERS}, "no column for image under a common name"),
        ({"1.png": NAMES}, "first line is no header, it names the image '1.png'"),
    ],
)
def test_columns_that_do_not_decide_are_refused(cells: dict[str, list[str]], why: str) -> None:
    with pytest.raises(LabError, match=why):
        columns_of(**cells)


@pytest.mark.parametrize(
    ("cells", "split", "source"),
    [
        ({"phase": SETS}, "phase", ""),
        ({"dataset": SETS, "hospital": LABELS}, "dataset", "hospital"),
        ({"dataset": LABELS}, "", "dataset"),
        ({"split": [*SETS[:5], "exclude"], "phase": SETS}, "split", ""),
        ({"split": NUMBERS, "phase": SETS}, "phase", ""),
        ({"phase": [*SETS[:5], "exclude"]}, "", ""),
        ({"is_test": list("000011")}, "is_test", ""),
        ({"test": list("000011")}, "", ""),
    ],
)
def test_the_split_column_is_known_by_its_cells(cells: dict[str, list[str]], split: str, source: str) -> None:
    columns = columns_of(image=NAMES, **cells)
    assert (columns.get("split", ""), columns.get("source", "")) == (split, source)


def test_flags_become_sides() -> None:
    flags = pd.Series(["1", "0", "", "True"])
    assert split_cells("is_test", flags).tolist() == ["test", "train", "", "test"]
    assert split_cells("in train", flags).tolist() == ["train", "test", "", "train"]
