"""Figures and tables with number, caption, label and alternative text.

All of these lie in the metadata of the output, where the exporters of the report read them.
"""

import html
import io
import re
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import pandas as pd
from IPython.display import display
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.text import Text

from lab_utils.core.errors import LabError
from lab_utils.reporting.names import isolated

NBSP = "\N{NO-BREAK SPACE}"
NOT_A_DEVICE = "Not a medical device: a teaching exercise, not for diagnosis."
KINDS = {"fig": "Figure", "tbl": "Table"}
UNNUMBERED = {"fig-summary": "Summary figure"}  # Figure 1 is that of the write-up
LABEL = re.compile(r"(fig|tbl)-[A-Za-z0-9_./-]+")
PIXELS_PER_INCH = 150
DARK_PNG = "image/png; theme=dark"  # for the page in dark mode, whose colours these are; JupyterLab shows the other one
DARK_PAPER, DARK_INK = "#1a1a1a", "#dddddd"
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # of ASCII: what a backslash can escape in CommonMark
TABLE_STYLE = (  # for JupyterLab alone: the exporters leave it out, for a page of the report has its own
    "<style>.lab-table{border-top:2px solid;border-bottom:2px solid}.lab-table thead{border-bottom:1px solid}"
    ".lab-table tfoot{border-top:1px solid}.lab-table tbody th{font-weight:400}"
    ".lab-table .text{text-align:left!important}"
    ".lab-table .number{text-align:right!important;font-variant-numeric:tabular-nums}</style>"
)
_numbers: dict[str, str] = {}  # label to "Figure 2", in order of first mention; one notebook has one process


def numbered(label: str) -> str:
    """Return "Figure 2" for a label; a new label takes the next number of its kind.

    Raises
    ------
    LabError
        If the label has another form.
    """
    if not LABEL.fullmatch(label):
        raise LabError(f"label {label!r}: expected fig- or tbl- and letters, digits, '_', '-', '.' or '/'")
    if label in UNNUMBERED:
        return UNNUMBERED[label]
    kind = KINDS[label[:3]]
    taken = sum(number.startswith(kind) for number in _numbers.values())
    return _numbers.setdefault(label, f"{kind} {taken + 1}")


def verbatim(text: str) -> str:
    """Escape `text` so that Markdown shows it as it is, without markup or scripts."""
    return PUNCTUATION.sub(r"\\\g<0>", isolated(text))


def unbroken(text: str) -> str:
    """Put a no-break space between a number and its per cent sign."""
    return re.sub(r"(?<=\d) %", f"{NBSP}%", text)


class Exhibit:
    """A figure or a table, which shows itself as the last value of a cell.

    Parameters
    ----------
    caption : str
        Plain text.
    label : str
        "fig-..." or "tbl-...", unique in the notebook.
    """

    def __init__(self, caption: str, label: str) -> None:
        self.caption, self.label = unbroken(caption), label

    def __str__(self) -> str:
        return f"{numbered(self.label)}: {self.caption}"

    @property
    def metadata(self) -> dict[str, str]:
        """What the exporters read."""
        return {"caption": self.caption, "label": self.label, "number": numbered(self.label)}

    def _show_caption(self) -> None:
        text = f"*{verbatim(str(self))}*"
        display({"text/markdown": text, "text/plain": str(self)}, raw=True, metadata={"is_caption": True})


class ReportFigure(Exhibit):
    """A figure with its caption below.

    Parameters
    ----------
    figure : Figure
        Not registered with pyplot; `figure.axes` may be changed before it is shown.
    caption, label : str
    alt : str
        What the figure shows, for readers who do not see it.
    photographic : bool
        PNG alone for photographs; otherwise SVG, with text as paths, and PNG for a notebook that is not trusted.
    """

    def __init__(self, figure: Figure, caption: str, label: str, alt: str, *, photographic: bool = False) -> None:
        super().__init__(caption, label)
        self.figure, self.alt, self.photographic = figure, alt, photographic

    def _ipython_display_(self) -> None:
        data, layout = {"text/plain": self.alt}, self.figure.get_layout_engine()
        if not self.photographic:
            data["image/svg+xml"] = self._svg()
            self.figure.set_layout_engine("none")  # half of the time; PNG has the layout of SVG
        data["image/png"] = self._png()
        if self.photographic:
            data[DARK_PNG] = self._dark_png()
        self.figure.set_layout_engine(layout)
        width = round(96 * self.figure.get_figwidth())  # CSS pixels: PNG is shown as large as SVG, and sharp
        display(data, raw=True, metadata={**self.metadata, "alt": self.alt, "image/png": {"width": width}})
        self._show_caption()

    def _svg(self) -> str:
        """Draw the figure once; `savefig` draws it twice."""
        buffer = io.StringIO()
        with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": self.label}):  # the same file each time
            FigureCanvasSVG(self.figure).print_svg(buffer, metadata={"Date": None})
        return buffer.getvalue()

    def _png(self) -> str:
        buffer = io.BytesIO()
        self.figure.set_dpi(PIXELS_PER_INCH)
        FigureCanvasAgg(self.figure).print_png(buffer)
        return b64encode(buffer.getvalue()).decode()

    def _dark_png(self) -> str:
        """Draw photographs on the dark ground of the page; the figure stays as it was."""
        texts = self.figure.findobj(Text)
        colors = [text.get_color() for text in texts]
        paper = self.figure.get_facecolor()
        for text in texts:
            text.set_color(DARK_INK)
        self.figure.set_facecolor(DARK_PAPER)
        png = self._png()
        self.figure.set_facecolor(paper)
        for text, color in zip(texts, colors, strict=True):
            text.set_color(color)
        return png


class ReportTable(Exhibit):
    """A table with its caption above.

    The first column names the rows, missing values are blank, and every text is escaped.

    Parameters
    ----------
    frame : DataFrame
    caption : str
    label : str
        "tbl-...", or "fig-..." for a table that is counted as a figure.
    formats : mapping
        Column to format specification, as ``{"recall": ".2f"}``.
    foot : int
        How many of the last rows are totals, set off by a rule.
    """

    def __init__(
        self, frame: pd.DataFrame, caption: str, label: str, formats: Mapping[str, str] | None = None, foot: int = 0
    ) -> None:
        super().__init__(caption, label)
        self.frame, self.formats, self.foot = frame, formats or {}, foot

    def _ipython_display_(self) -> None:
        self._show_caption()
        data = {"text/html": TABLE_STYLE + self.to_html(), "text/plain": self.frame.to_string(index=False)}
        display(data, raw=True, metadata=self.metadata)

    def to_html(self) -> str:
        """Return the table as HTML with scopes for row and column names."""
        kinds = ["number" if pd.api.types.is_numeric_dtype(kind) else "text" for kind in self.frame.dtypes]
        names = list(map(str, self.frame.columns))
        head = "".join(
            f'<th scope="col" class="{kind}">{html.escape(name)}</th>' for name, kind in zip(names, kinds, strict=True)
        )
        rows = []
        for values in self.frame.itertuples(index=False):
            first, *others = (html.escape(self._text(*cell)) for cell in zip(names, values, strict=True))
            cells = [f'<td class="{kind}">{text}</td>' for text, kind in zip(others, kinds[1:], strict=True)]
            rows.append(f'<tr><th scope="row" class="{kinds[0]}">{first}</th>{"".join(cells)}</tr>')
        cut = len(rows) - self.foot
        foot = f"<tfoot>{''.join(rows[cut:])}</tfoot>" if self.foot else ""
        return (
            f'<table class="lab-table"><thead><tr>{head}</tr></thead><tbody>{"".join(rows[:cut])}</tbody>{foot}</table>'
        )

    def _text(self, name: str, value: Any) -> str:
        if pd.isna(value) or value == "":
            return ""
        if isinstance(value, str):
            return isolated(value)
        text = format(value, self.formats.get(name, ",d" if isinstance(value, int) else ""))
        return text.replace("-", "−").replace("%", f"{NBSP}%")


class Notices(list[str]):
    """Sentences that no reader must miss, for the top of every page."""

    def _repr_markdown_(self) -> str:
        return "\n".join(f"> **{verbatim(line)}**\n>" for line in self)


def notices(*, synthetic: bool, weights: str, own_scaling: str = "") -> Notices:
    """Return what a reader must not miss.

    Parameters
    ----------
    synthetic : bool
        Whether the images are phantoms.
    weights : {"imagenet", "random"}
        What the backbone starts from.
    own_scaling : str
        A backbone whose own scaling replaced the protocol's division by 255, or nothing.
    """
    lines = Notices()
    if weights == "random":
        lines.append("Untrained backbone (random features): these numbers say nothing about transfer learning.")
    if synthetic:
        lines.append("Synthetic phantoms, not radiographs: these numbers say nothing about patients.")
    if own_scaling:
        lines.append(f"{own_scaling} does not take pixel values / 255: its own preprocessing replaced them.")
    lines.append(NOT_A_DEVICE)
    return lines


def show_title(title: str, *, author: str, date: str, notices: list[str], run: Mapping[str, Any]) -> None:
    """Show the title block; the exporters set it as such, with the notices on every page.

    `run` has the protocol and the seed of the run whose curves the report shows, for links to its tables.
    """
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in (author, date, *notices) if line)
    front = {"title": title, "author": author, "date": date, "notices": list(notices), "run": dict(run)}
    page = f"<h1>{html.escape(title)}</h1>{lines}"
    display({"text/html": page, "text/plain": title}, raw=True, metadata={"front": front})
