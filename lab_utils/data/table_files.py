"""Read tables of any common file format as text."""

import csv
import glob
import io
from contextlib import suppress
from pathlib import Path

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.sheets import read_workbook

TABLE_ENDINGS = (".csv", ".tsv", ".xlsx", ".parquet")


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV, XLSX or Parquet file: text without blanks around it, "" for empty cells.

    The delimiter is the most frequent one of the header. Of two columns of one name the first counts. A damaged file
    is a LabError.
    """
    try:
        if path.suffix.lower() == ".xlsx":
            frame = read_workbook(path)
        elif path.suffix.lower() == ".parquet":
            frame = _parquet(path)
        else:
            frame = _delimited(path)
    except LabError:
        raise
    except Exception as error:  # damaged files cause errors of many kinds
        raise LabError(f"{path}: cannot be read as a table; save it as CSV (UTF-8)") from error
    frame.columns = frame.columns.map(str).str.strip()
    frame = frame.loc[:, ~frame.columns.duplicated()]
    text = frame.convert_dtypes().astype(object).where(frame.notna(), "").astype(str)
    return text.apply(lambda column: column.str.strip())


def _delimited(path: Path) -> pd.DataFrame:
    text = _decoded(path.read_bytes())
    delimiter = max(",\t;|", key=text.partition("\n")[0].count)
    header, *lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    for number, line in enumerate(lines, 2):
        if len(line) > len(header) and any(line[len(header) :]):
            cells = f"row {number} has {len(line)} cells, the header {len(header)}"
            raise LabError(f"{path}: {cells}; put text with the delimiter in quotes")
    rows = [[*line, *[""] * len(header)][: len(header)] for line in lines if any(line)]
    return pd.DataFrame(rows, columns=header, dtype=object)


def _decoded(data: bytes) -> str:
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")


def _parquet(path: Path) -> pd.DataFrame:
    import duckdb  # takes 0.1 s to import

    table = duckdb.read_parquet(glob.escape(str(path)), hive_partitioning=False)
    return table.select(*(duckdb.ColumnExpression(name).cast("VARCHAR").alias(name) for name in table.columns)).df()
