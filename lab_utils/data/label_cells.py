"""Cells of a table as values: one spelling of blanks and numbers, and the labels in a cell."""

import re
from collections.abc import Collection

import pandas as pd

from lab_utils.data.names import NAMES

BLANK, NO_LABEL = set(NAMES["blank"]), {*NAMES["blank"], *NAMES["unlabelled"]}
NOBODY = {*NAMES["blank"], *NAMES["nobody"]}
QUOTED = re.compile(r"'([^']*)'|\"([^\"]*)\"")
SEPARATOR = re.compile(r"\s*[,/+]\s*")  # also part of a name: "Pneumonia, viral"


def plain(cells: pd.Series) -> pd.Series:
    """Write a cell in one form.

    Any run of blanks is one blank, whole numbers have no ".0", and words for an empty cell are "".
    """
    cells = cells.str.replace(r"\s+", " ", regex=True).str.strip().str.replace(r"^(-?\d+)\.0+$", r"\1", regex=True)
    return cells.where(~cells.str.casefold().isin(BLANK), "")


def label_of(cell: str) -> str:
    """Return the label of a cell: the element of a list of one, such as ['normal'].

    An empty list gives "".

    The elements of a longer list are joined with "|".
    """
    if not (cell.startswith("[") and cell.endswith("]")):
        return cell
    quoted = ["".join(pair) for pair in QUOTED.findall(cell)]
    elements = map(str.strip, quoted or cell[1:-1].split(","))
    return "|".join(dict.fromkeys(filter(None, elements)))


def has_several(labels: pd.Series) -> pd.Series:
    """Mark the cells that hold several labels.

    The signs | and ; always divide labels. A comma, a slash or a plus do so if another cell has one of the parts
    alone, or the same parts in another order; a blank, if other cells have all parts alone.
    """
    known = set(labels.str.casefold())
    orders: dict[frozenset[str], set[str]] = {}
    for label in known:
        orders.setdefault(frozenset(SEPARATOR.split(label)), set()).add(label)

    def is_several(label: str) -> bool:
        folded = label.casefold()
        parts = frozenset(SEPARATOR.split(folded)) - {""}
        words = folded.split()
        return (
            _count(re.split(r"[|;]", label)) > 1
            or (len(parts) > 1 and (bool(parts & known) or len(orders[frozenset(SEPARATOR.split(folded))]) > 1))
            or (len(words) > 1 and known.issuperset(words))
        )

    several = {label: is_several(label) for label in labels.unique()}
    return labels.map(several).astype(bool)


def _count(parts: Collection[str]) -> int:
    return len({part.strip() for part in parts} - {""})


def known_patients(cells: pd.Series) -> pd.Series:
    """Return the names of the patients, "" where unknown.

    0 is unknown, unless patients are numbered from it.
    """
    names = plain(cells)
    unknown = NOBODY - {"0"} if (names == "1").any() else NOBODY
    return names.where(~names.str.casefold().isin(unknown), "")
