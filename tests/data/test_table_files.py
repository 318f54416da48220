"""Tables as files: every common format, delimiter and encoding gives the same text."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.table_files import read_text_table

CELLS = pd.DataFrame({"Image": ["1.png", "é.png"], "Label ": ["NA", "a, b"], "Age": ["1", ""]})
EXPECTED = [["1.png", "NA", "1"], ["é.png", "a, b", ""]]
WRITERS: dict[str, Callable[[Path], object]] = {
    "t.csv": lambda path: CELLS.to_csv(path, index=False),
    "semicolon.csv": lambda path: CELLS.to_csv(path, index=False, sep=";"),
    "t.tsv": lambda path: CELLS.to_csv(path, index=False, sep="\t"),
    "mark.csv": lambda path: CELLS.to_csv(path, index=False, encoding="utf-8-sig"),
    "windows.csv": lambda path: CELLS.to_csv(path, index=False, encoding="cp1252"),
    "utf16.CSV": lambda path: CELLS.to_csv(path, index=False, encoding="utf-16"),
    "t.xlsx": lambda path: CELLS.to_excel(path, index=False),
    "[t]*.parquet": lambda path: duckdb.from_df(CELLS).write_parquet(str(path)),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_format_gives_the_same_text(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    table = read_text_table(tmp_path / name)
    assert list(table) == ["Image", "Label", "Age"]
    assert table.to_numpy().tolist() == EXPECTED


@pytest.mark.parametrize("name", ["t.xlsx", "t.parquet"])
def test_a_damaged_file_is_a_message(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("no table")
    with pytest.raises(LabError, match="cannot be read as a table; save it as CSV"):
        read_text_table(tmp_path / name)


@pytest.mark.parametrize(
    "text",
    [
        "sep=;\nfile;label\n1.png;a, b\n",
        "Study of Dr. X, 2024\n\nfile,label\n1.png,'a, b'\n",
        "# exported\nfile,label\n1.png,'a, b'\n",
        "# exported\nscan,dx\n1.png,'a, b'\n",
        "file;label\r1.png;a, b\r",
        "file;label;size (x,y,z,t)\n1.png;a, b;\n2.png;a;\n",
        "file;label;note\n1.png;a, b;c, d, e\n2.png;a;c, d, e\n",
    ],
)
def test_delimiter_and_header_fit_the_rows(text: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(text.replace("'", '"'), newline="")
    table = read_text_table(tmp_path / "t.csv")
    assert list(table)[:2] in (["file", "label"], ["scan", "dx"])
    assert table.iloc[0, :2].tolist() == ["1.png", "a, b"]


def test_the_sheet_with_labels_is_read(tmp_path: Path) -> None:
    with pd.ExcelWriter(tmp_path / "t.xlsx") as book:
        pd.DataFrame({"Notes": ["made by me"]}).to_excel(book, sheet_name="Info", index=False)
        CELLS.to_excel(book, sheet_name="Labels", index=False, startrow=2)
    assert read_text_table(tmp_path / "t.xlsx").to_numpy().tolist() == EXPECTED


def test_an_empty_file_is_a_message(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("")
    with pytest.raises(LabError, match=r"t\.csv: the table is empty"):
        read_text_table(tmp_path / "t.csv")


def test_a_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\n1.png,a\n2.png,b,c\n")
    with pytest.raises(LabError, match="row 3 has 3 cells, the header 2; put text with the delimiter in quotes"):
        read_text_table(tmp_path / "t.csv")
