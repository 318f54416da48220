"""Metadata sheets: sources by file name, bad sheets passed over."""

from pathlib import Path

import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.sheets import read_sheet, sheet_key
from tests.data.conftest import layout_of, write_tree


def test_a_sheet_gives_each_file_its_source_however_it_spells_the_name(tmp_path: Path) -> None:
    sheet = pd.DataFrame({"FILE NAME": ["NORMAL-1", " Normal-2 ", "normal-3.PNG"], "URL": ["x", "y", "z"]})
    sheet.to_excel(tmp_path / "Normal.metadata.xlsx", index=False)
    urls = read_sheet(tmp_path, "Normal")
    assert [urls[sheet_key(f"Normal-{n}.png")] for n in (1, 2, 3)] == ["x", "y", "z"]
    assert len(read_sheet(tmp_path, "COVID")) == 0
    (tmp_path / "Normal.metadata.xlsx").rename(tmp_path / "COVID.matadata.xlsx")  # as in the database's first version
    assert len(read_sheet(tmp_path, "COVID")) == 3


@pytest.mark.parametrize("columns", [["FILE NAME"], ["URL"], []])
def test_a_sheet_without_its_columns_is_refused(columns: list[str], tmp_path: Path) -> None:
    pd.DataFrame({name: ["a"] for name in columns}).to_excel(tmp_path / "a.metadata.xlsx", index=False)
    with pytest.raises(
        LabError, match=r"a\.metadata\.xlsx is not read, expected a workbook with the columns FILE NAME"
    ):
        read_sheet(tmp_path, "a")


def test_a_sheet_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"FILE NAME": ["a-1"], "URL": ["x"]}).to_excel(tmp_path / "a.metadata.xlsx", index=False)
    assert len(read_sheet(tmp_path, "a")) == 1
    monkeypatch.setattr("lab_utils.data.sheets.SHEET_BYTES", 1000)
    with pytest.raises(LabError, match=r"a\.metadata\.xlsx is not read, it unpacks to"):
        read_sheet(tmp_path, "a")


def test_a_damaged_sheet_costs_the_sources_and_is_a_finding(tmp_path: Path) -> None:
    root = write_tree(tmp_path, "a/x*2.png", "b/y*2.png", "a.metadata.xlsx")
    ((check, name, _, detail, action),) = layout_of(root).problems
    assert (check, name, action) == ("metadata sheet", "a", "left out; sources are unknown")
    assert detail == "a.metadata.xlsx is not read, expected a workbook with the columns FILE NAME and URL."
