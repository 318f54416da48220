"""Read tables of any common file format as text."""

import csv
import glob
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path

import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.data.names import NAMES
from lab_utils.data.sheets import read_workbook

TABLE_ENDINGS = (".csv", ".tsv", ".xlsx", ".parquet")
OTHER_TABLES = (".txt", ".xls", ".xlsb", ".xlsm", ".ods", ".json", ".jsonl", ".npz", ".feather", ".dta", ".sav", ".rds")
NOT_READ = "not a table that the lab reads (CSV, TSV, XLSX, Parquet); save it as CSV"
HEADER_LINES = 10  # lines in which the header is sought, below a title
DELIMITER_LINES = 200  # lines that decide the delimiter
COLUMN_NAMES = {name for role in ("image", "label") for name in NAMES["columns"][role]}


def read_text_table(path: Path) -> pd.DataFrame:
    """Read a CSV, TSV, XLSX or Parquet file: text without blanks around it, "" for empty cells.

    The delimiter is the one that divides most lines into equally many cells. Lines above the header are left out. Of
    a workbook the first sheet with columns for image and label counts, or else the first sheet; of two columns of one
    name, the first. A damaged file is a LabError.
    """
    try:
        if path.suffix.lower() == ".xlsx":
            frame = _sheet(path)
        elif path.suffix.lower() == ".parquet":
            frame = _parquet(path)
        else:
            frame = _delimited(path)
    except LabError:
        raise
    except Exception as error:  # damaged files cause errors of many kinds
        raise LabError(f"{path.name}: cannot be read as a table; save it as CSV (UTF-8)") from error
    frame.columns = frame.columns.map(str).str.strip()
    frame = frame.loc[:, ~frame.columns.duplicated()]
    text = frame.convert_dtypes().astype(object).where(frame.notna(), "").astype(str)
    return text.apply(lambda column: column.str.strip())


def _sheet(path: Path) -> pd.DataFrame:
    sheets = [sheet.fillna("").astype(str).to_numpy().tolist() for sheet in read_workbook(path, header=None).values()]
    rows = next((rows for rows in sheets if _named_header(rows) is not None), sheets[0])
    return _table(path, rows)


def _delimited(path: Path) -> pd.DataFrame:
    text = _decoded(path.read_bytes())
    excel = re.match(r'"?sep=(.)"?[\r\n]+', text)  # a line that Excel writes
    text = text[excel.end() :] if excel else text
    delimiter = excel[1] if excel else max(",\t;|", key=lambda sign: _fit(text, sign))
    return _table(path, list(_rows(text, delimiter)))


def _table(path: Path, rows: Sequence[list[str]]) -> pd.DataFrame:
    """Divide rows into the header and the cells below it.

    A row longer than the header is a LabError.
    """
    if not rows:
        raise LabError(f"{path.name}: the table is empty")
    start = _named_header(rows)
    if start is None:
        widths = [len(line) if any(line) else 0 for line in rows]
        usual = Counter(filter(None, widths)).most_common(1)[0][0] if any(widths) else 0
        start = next(number for number, width in enumerate(widths) if width >= usual)
    header = rows[start]
    for number, line in enumerate(rows[start + 1 :], start + 2):
        if len(line) > len(header) and any(line[len(header) :]):
            cells = f"row {number} has {len(line)} cells, the header {len(header)}"
            raise LabError(f"{path.name}: {cells}; put text with the delimiter in quotes")
    lines = [[*line, *[""] * len(header)][: len(header)] for line in rows[start + 1 :] if any(line)]
    return pd.DataFrame(lines, columns=header, dtype=object)


def _named_header(rows: Sequence[list[str]]) -> int | None:
    """Return the number of the first line with two common names of columns for image or label."""
    for number, line in enumerate(rows[:HEADER_LINES]):
        if sum(re.sub(r"[\W_]+", "", cell).casefold() in COLUMN_NAMES for cell in line) > 1:
            return number
    return None


def _rows(text: str, delimiter: str) -> Iterator[list[str]]:
    return csv.reader(io.StringIO(text, newline=None), delimiter=delimiter)


def _fit(text: str, delimiter: str) -> tuple[int, int]:
    """Count the lines with the most frequent number of cells, and return both.

    That number is two or more.
    """
    with suppress(csv.Error):
        widths = Counter(map(len, islice(_rows(text, delimiter), DELIMITER_LINES)))
        width, count = max(widths.items(), key=lambda item: (item[0] > 1, item[1]), default=(0, 0))
        return (count, width) if width > 1 else (0, 0)
    return 0, 0


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
