"""The catalogue of tables: which stage writes which table where, and what its columns mean."""

from collections.abc import Collection
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from pandas.api.types import is_object_dtype

from lab_utils.core.errors import LabError, choose
from lab_utils.core.files import atomic_write, reading
from lab_utils.core.paths import Workspace
from lab_utils.core.values import Settings
from lab_utils.core.yaml_files import read_yaml

DTYPES = {"text": "object", "integer": "Int64", "number": "float64", "boolean": "boolean"}
GAPLESS = {"integer": "int64", "boolean": "bool"}  # dtypes of columns without empty cells
PER_CLASS = "<class>"  # ends the name of a column that a table has once per class


class Column(Settings):
    """A column's kind, meaning and unit."""

    kind: Literal["text", "integer", "number", "boolean"]
    meaning: str
    unit: str = ""


class Table(Settings):
    """A table: its stage, its path in the workspace, its summary and its columns."""

    name: str
    stage: str
    path: str
    summary: str
    shown_as: tuple[str, ...] = ()  # labels of the report's figures and tables that show it, with * for what varies
    last: str = ""  # file that the stage writes last into the same folder: without it the table does not count
    columns: dict[str, Column]

    def column(self, name: str) -> Column | None:
        """The column `name`, also one that exists once per class; None if there is none."""
        patterns = {key.replace(PER_CLASS, "*"): column for key, column in self.columns.items()}
        return next((column for pattern, column in patterns.items() if fnmatchcase(name, pattern)), None)

    def check(self, columns: Collection[str]) -> None:
        """Raise LabError if these are not the columns of the table."""
        missing = ", ".join(key for key in self.columns if key not in columns and PER_CLASS not in key)
        unknown = ", ".join(key for key in columns if self.column(key) is None)
        if missing or unknown:
            problems = f"missing columns: {missing or 'none'}; unknown columns: {unknown or 'none'}"
            raise LabError(f"table {self.name}: {problems}; lab_utils/core/catalogue.yaml lists the columns")


@cache
def catalogue() -> dict[str, Table]:
    """All tables by name, in the order of the stages."""
    entries = read_yaml(Path(__file__).with_name("catalogue.yaml"))
    return {name: Table(name=name, **entry) for name, entry in entries.items()}


def shown_in(label: str) -> list[Table]:
    """The tables that a figure or a table of the report shows, by its label."""
    return [table for table in catalogue().values() if any(fnmatchcase(label, shown) for shown in table.shown_as)]


def tables_of(stage: str) -> dict[str, Table]:
    """The tables that `stage` (such as "40_evaluate") writes, by name."""
    return {name: table for name, table in catalogue().items() if table.stage == stage}


def _table(name: str) -> Table:
    return catalogue()[choose("table", name, catalogue())]


def table_path(workspace: Workspace, name: str, **keys: object) -> Path:
    """The path of a table; `keys` fill the gaps of its path, such as ``protocol="described"``."""
    table = _table(name)
    folder, _, file = table.path.format(**keys).rpartition("/")
    return workspace.path(folder, last=table.last or file) / file


def write_table(workspace: Workspace, name: str, frame: pd.DataFrame, **keys: object) -> None:
    """Write a table to its place in the workspace; see `table_path` and `write_table_file`."""
    write_table_file(table_path(workspace.writable, name, **keys), name, frame)


def read_table(workspace: Workspace, name: str, **keys: object) -> pd.DataFrame:
    """Read a table from its place in the workspace; see `table_path` and `read_table_file`."""
    return read_table_file(table_path(workspace, name, **keys), name)


def write_table_file(path: Path, name: str, frame: pd.DataFrame) -> None:
    """Write `frame` as table `name`, columns in the catalogue's order, 9 digits per number.

    Raises LabError if the columns are not those of the catalogue.
    """
    table = _table(name)
    table.check(frame.columns)
    listed = [column for column in table.columns if column in frame]
    ordered = frame[[*listed, *frame.columns.drop(listed)]]
    # A table without rows makes those that it is joined to objects, and to_csv would write these numbers in full.
    kinds = {key: column.kind for key in ordered.columns if (column := table.column(key))}
    numbers = [key for key, kind in kinds.items() if kind == "number" and is_object_dtype(ordered[key])]
    with atomic_write(path) as draft:
        ordered.astype(dict.fromkeys(numbers, "float64")).to_csv(
            draft, index=False, float_format="%.9g", lineterminator="\n"
        )


def read_table_file(path: Path, name: str) -> pd.DataFrame:
    """Read table `name` from `path`.

    Text is str (object), with "" for empty cells. Integers are int64 and booleans bool, or pandas' nullable dtypes
    where cells are empty. Numbers are float64, with NaN for empty cells. Raises LabError, which names the stage to run,
    if the file is missing, unreadable, altered, or has other columns.
    """
    table = _table(name)
    options: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "lineterminator": "\n"}
    with reading(path, f"table {name}", stage=table.stage):
        columns = list(pd.read_csv(path, nrows=0, **options))
        table.check(columns)
        kinds = {key: column.kind for key in columns if (column := table.column(key))}
        frame = pd.read_csv(path, dtype={key: DTYPES[kind] for key, kind in kinds.items()}, **options)
        if not isinstance(frame.index, pd.RangeIndex):  # pandas takes surplus cells for an index
            raise ValueError("rows with more cells than the header")
    gapless = {key: GAPLESS[kind] for key, kind in kinds.items() if kind in GAPLESS and not frame[key].isna().any()}
    return frame.astype(gapless).fillna({key: "" for key, kind in kinds.items() if kind == "text"})


def catalogue_markdown() -> str:
    """The catalogue as a page of Markdown: docs/tables.md."""
    lines = [
        "# Tables",
        "",
        "Every table is a CSV file in the workspace (UTF-8, one header line). Each has a checksum file",
        "`.<name>.sha256`, and the lab refuses a table that was altered by hand. This page is made from",
        "`lab_utils/core/catalogue.yaml` with `python -m lab_utils.core.catalogue > docs/tables.md`.",
    ]
    for table in catalogue().values():
        lines += ["", f"## {table.name}", "", f"{table.summary} Stage {table.stage} writes `{table.path}`.", ""]
        lines += ["| column | kind | unit | meaning |", "| --- | --- | --- | --- |"]
        lines += [f"| `{key}` | {one.kind} | {one.unit} | {one.meaning} |" for key, one in table.columns.items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(catalogue_markdown(), end="")
