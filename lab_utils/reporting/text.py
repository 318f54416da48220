r"""Text with numbers in it: Markdown cells that name values, ``{{ accuracy | percent }}``.

A cell that begins with ``%%text`` is a Jinja template over the names of the notebook. Every value is escaped for
Markdown, so that whoever names a class or a file writes no markup and no script. Figures and tables may be named too.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from secrets import token_hex
from typing import Any
from urllib.parse import quote

import pandas as pd
from IPython.core.getipython import get_ipython
from IPython.display import display
from jinja2 import Environment, StrictUndefined, TemplateError, TemplateSyntaxError, Undefined, UndefinedError

from lab_utils.core.errors import LabError
from lab_utils.reporting.exhibits import NBSP, Exhibit, numbered, unbroken, verbatim
from lab_utils.reporting.names import page_of, readable
from lab_utils.reporting.references import reference_number

MINUS = "\N{MINUS SIGN}"
MISSING = "not available"


class Markdown(str):
    """Text that is Markdown already and needs no escaping."""


def _number(value: float, specification: str) -> str:
    return format(value, specification).replace("-", MINUS)


def percent(fraction: float, digits: int = 1) -> str:
    """Return 0.8714 as 87.1 %, with a no-break space."""
    return f"{_number(100 * fraction, f'.{digits}f')}{NBSP}%"


def points(fraction: float, digits: int = 1) -> str:
    """Return a difference of two fractions in percentage points: 0.021 as +2.1."""
    return _number(100 * fraction, f"+.{digits}f")


def count(value: float) -> str:
    """Return 12698 as 12,698."""
    return _number(value, ",.0f")


def number(value: float, digits: int = 2) -> str:
    """Return a number with a fixed count of digits after the point."""
    return _number(value, f",.{digits}f")


def seconds(value: float) -> str:
    """Return a time with three significant digits at least: 2.37 s, 14.0 s, 1,234 s."""
    digits = next((digits for limit, digits in ((10, 2), (100, 1)) if value < limit), 0)
    return f"{_number(value, f',.{digits}f')}{NBSP}s"


def interval(row: Any, value: str = "value", digits: int = 1) -> str:
    """Return a row of a table as a fraction with its interval: 86.1 % [84.0, 88.1].

    Parameters
    ----------
    row : mapping, Series or named tuple
        Holds the columns `value`, low and high, or <value>_low and <value>_high, all fractions.
    value : str
        The column of the fraction.
    """
    return _bracketed(row, value, lambda fraction: _number(100 * fraction, f".{digits}f"), f"{NBSP}%")


def number_interval(row: Any, value: str = "value", digits: int = 3) -> str:
    """Return a row as a number with its interval: 0.861 [0.840, 0.881]; see `interval`."""
    return _bracketed(row, value, lambda bound: number(bound, digits))


def points_interval(row: Any, value: str = "difference", digits: int = 1) -> str:
    """Return a difference in percentage points: +2.1 [−0.3, +4.5]; see `interval`."""
    return _bracketed(row, value, lambda fraction: points(fraction, digits))


def _bracketed(row: Any, value: str, form: Callable[[float], str], unit: str = "") -> str:
    """Return a value of a row, and its bounds in brackets where they are known."""
    names = row.keys() if hasattr(row, "keys") else dir(row)
    pick = row.__getitem__ if hasattr(row, "keys") else row.__getattribute__
    if pd.isna(pick(value)):
        return MISSING
    prefix = f"{value}_" if f"{value}_low" in names else ""
    bounds = [form(end) for end in (pick(f"{prefix}low"), pick(f"{prefix}high")) if pd.notna(end)]
    return form(pick(value)) + unit + (f" [{', '.join(bounds)}]" if bounds else "")


def listing(values: Iterable[Any], last: str = "and") -> Markdown:
    """Return the values as a list in a sentence: a, b and c."""
    *most, end = [_shown(value) for value in values] or [MISSING]
    return Markdown(f"{', '.join(most)} {last} {end}" if most else end)


def ref(label: str) -> Markdown:
    """Return a link to a figure or a table: ``[Figure 2](#fig-curves)``."""
    return Markdown(f"[{numbered(label)}](#{label})")


def cite(*keys: str) -> Markdown:
    """Return citations, by keys of report/references.bib, as links: ``[1, 4]``."""
    return Markdown(rf"\[{', '.join(f'[{reference_number(key)}](#ref-{key})' for key in keys)}\]")


def code(text: Any) -> Markdown:
    """Return a name as code."""
    return Markdown(f"`{' '.join(str(text).replace('`', ' ').split())}`")


def page_link(notebook: str) -> Markdown:
    """Return a link to the page of an executed notebook, from its path inside the workspace."""
    page = page_of(notebook)
    return Markdown(f"[{verbatim(page.rpartition('/')[2].removesuffix('.html'))}]({quote(page)})")


def _shown(value: Any) -> str:
    """Return `value` as Markdown that shows it as it is."""
    return value if isinstance(value, Markdown) else verbatim(str(value))


def _formatting(filter_: Callable[..., str]) -> Callable[..., Markdown]:
    """Mark what a number filter returns as Markdown; a missing value is said to be missing."""

    @wraps(filter_)
    def format_value(value: Any, *arguments: Any, **options: Any) -> Markdown:
        if isinstance(value, Undefined):
            str(value)  # raises: a strict Undefined says its name
        if pd.api.types.is_scalar(value) and pd.isna(value):
            return Markdown(MISSING)
        return Markdown(filter_(value, *arguments, **options))

    return format_value


def parts(text: str, namespace: Mapping[str, Any]) -> list[Markdown | Exhibit]:
    """Fill in a text; return its Markdown and the figures and tables that it names, in order.

    Parameters
    ----------
    text : str
        A Jinja template. Its filters: percent, points, count, number, seconds, interval, number_interval,
        points_interval, readable, listing, code, page_link.
        ``ref("fig-x")`` refers to a figure or a table, ``cite("key")`` to an entry of report/references.bib.
    namespace : mapping
        The values that the text may name.

    Raises
    ------
    LabError
        If the text names an unknown value, or is not a valid template.
    """
    exhibits: list[Exhibit] = []
    mark = f"exhibit{token_hex(8)}"  # nobody can write it into a name in advance

    def finalize(value: Any) -> str:
        if not isinstance(value, Exhibit):
            return _shown(value)
        numbered(value.label)
        exhibits.append(value)
        return mark

    environment = Environment(undefined=StrictUndefined, finalize=finalize, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= FILTERS
    try:
        filled = environment.from_string(text).render({**namespace, "ref": ref, "cite": cite})
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        place = f"text cell, line {error.lineno}" if isinstance(error, TemplateSyntaxError) else "text cell"
        is_unknown = isinstance(error, UndefinedError)
        remedy = "define the value in a cell above, or correct its name" if is_unknown else "correct the text"
        raise LabError(f"{place}: {error}; {remedy}") from error
    texts = [Markdown(unbroken(piece.strip("\n"))) for piece in filled.split(mark)]
    woven: list[Markdown | Exhibit] = [piece for pair in zip(texts, exhibits, strict=False) for piece in pair]
    return [piece for piece in [*woven, texts[-1]] if not isinstance(piece, str) or piece.strip()]


FILTERS = {
    filter_.__name__: _formatting(filter_)
    for filter_ in (percent, points, count, number, seconds, interval, number_interval, points_interval)
} | {
    "readable": readable,
    "listing": listing,
    "code": code,
    "page_link": page_link,
}


def render(text: str, namespace: Mapping[str, Any]) -> str:
    """Fill in a text, and return its Markdown; parameters as of `parts`."""
    return "\n\n".join(str(piece) for piece in parts(text, namespace))


def show_text(text: str, namespace: Mapping[str, Any]) -> None:
    """Show a text in a notebook; parameters as of `parts`."""
    for piece in parts(text, namespace):
        if isinstance(piece, Exhibit):
            display(piece)
        else:
            display({"text/markdown": str(piece), "text/plain": str(piece)}, raw=True)


def register_magic() -> None:
    """Make ``%%text`` known to the notebook; outside a notebook, do nothing."""
    shell = get_ipython()
    if shell is not None:

        def show(line: str, cell: str) -> None:
            show_text(cell, shell.user_ns)

        shell.register_magic_function(show, "cell", "text")  # type: ignore[arg-type]
