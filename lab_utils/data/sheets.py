"""Metadata sheets: the source of each image, as `<class>.metadata.xlsx` names it."""

import zipfile
from pathlib import Path

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.folders import IMAGE_ENDINGS

SHEETS = (".metadata.xlsx", ".matadata.xlsx")  # the second as in the database's first version
SHEET_BYTES = 50_000_000  # limit of an unpacked sheet; the database's largest takes about 3 million


def read_sheet(root: Path, name: str) -> pd.Series:
    """Read the URL of each image of one class, indexed by `sheet_key` of its file name.

    The sheet has the columns FILE NAME, FORMAT, SIZE, URL. The Series is empty without a sheet; one that cannot be
    read is a LabError.
    """
    paths = [root / f"{name}{ending}" for ending in SHEETS]
    path = next(filter(Path.is_file, paths), None)
    if path is None:
        return pd.Series(dtype=str)
    try:
        first, *_ = read_workbook(path, header=0).values()
        sheet = first[["FILE NAME", "URL"]].dropna()
    except LabError:
        raise
    except Exception as error:  # a damaged workbook causes errors of many kinds
        raise LabError(f"{path.name} is not read, expected a workbook with the columns FILE NAME and URL") from error
    return sheet.set_index(sheet["FILE NAME"].map(sheet_key))["URL"]


def read_workbook(path: Path, header: int | None) -> dict[str, pd.DataFrame]:
    """Read the sheets of an XLSX file as text, NaN for empty cells.

    A sheet above 50 MB is a LabError.
    """
    with zipfile.ZipFile(path) as opened:
        size = sum(member.file_size for member in opened.infolist())
    if size > SHEET_BYTES:
        limit = f"expected {SHEET_BYTES / 1e6:.0f} at most; save it as CSV"
        raise LabError(f"{path.name} is not read, it unpacks to {size / 1e6:.0f} MB, {limit}")
    return pd.read_excel(path, sheet_name=None, header=header, dtype=str, keep_default_na=False, na_values=[""])


def sheet_key(file_name: str) -> str:
    """Reduce a file's name to what sheet and folder share: NORMAL-1 and Normal-1.png."""
    name = file_name.strip().casefold()
    return next((name.removesuffix(ending) for ending in IMAGE_ENDINGS if name.endswith(ending)), name)
