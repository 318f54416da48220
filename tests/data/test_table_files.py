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


def test_a_row_with_too_many_cells_is_named(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("image,label\n1.png,a\n2.png,b,c\n")
    with pytest.raises(LabError, match="row 3 has 3 cells, the header 2; put text with the delimiter in quotes"):
        read_text_table(tmp_path / "t.csv")
