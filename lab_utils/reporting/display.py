"""What a notebook shows: figures and tables with captions, labels and alternative texts in their output metadata.

The report's exporters number captioned outputs and resolve references such as ``[](#fig-balance)``; the label's
prefix, ``fig-`` or ``tbl-``, decides the kind. In JupyterLab the same outputs appear with their captions.
"""

import html
import io
import re
from base64 import b64encode
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import pandas as pd
from IPython.display import display
from matplotlib.figure import Figure

from lab_utils.data.dataset import Dataset

PIXELS_PER_INCH = 150
TABLE_STYLE = (  # for JupyterLab alone: a page of the report has its own, and leaves this out
    "<style>.lab-table{border-top:2px solid;border-bottom:2px solid}.lab-table thead{border-bottom:1px solid}"
    ".lab-table tfoot{border-top:1px solid}.lab-table tbody th{font-weight:400}"
    ".lab-table .text{text-align:left!important}"
    ".lab-table .number{text-align:right!important;font-variant-numeric:tabular-nums}</style>"
)
PUNCTUATION = re.compile(r"[!-/:-@\[-`{-~]")  # of ASCII: what a backslash can escape in CommonMark


def verbatim(text: str) -> str:
    """`text` for use inside markdown, shown as it is: who names a class or a file writes no markup and no script."""
    return PUNCTUATION.sub(r"\\\g<0>", text)


def show_markdown(text: str) -> None:
    """Show markdown computed by a cell."""
    display({"text/markdown": text, "text/plain": text}, raw=True)


def show_figure(figure: Figure, *, caption: str, label: str, alt: str, pixels: bool = False) -> None:
    """Show a figure and close it.

    Parameters
    ----------
    caption : str
    label : str
        "fig-...", unique in the notebook.
    alt : str
        What the figure shows, for those who do not see it.
    pixels : bool
        PNG for pictures; SVG, with text as paths, otherwise.
    """
    buffer = io.BytesIO()
    with mpl.rc_context({"svg.fonttype": "path", "svg.hashsalt": label}):  # the salt makes the file the same each time
        if pixels:
            figure.savefig(buffer, format="png", dpi=PIXELS_PER_INCH)
            data = {"image/png": b64encode(buffer.getvalue()).decode()}
        else:
            figure.savefig(buffer, format="svg", metadata={"Date": None})
            data = {"image/svg+xml": buffer.getvalue().decode()}
    plt.close(figure)
    display({**data, "text/plain": alt}, raw=True, metadata={"caption": caption, "label": label, "alt": alt})
    _show_caption(caption)


def show_table(
    table: pd.DataFrame, *, caption: str, label: str, formats: dict[str, str] | None = None, foot: int = 0
) -> None:
    """Show a table: the first column names the rows, numbers to the right, everything escaped, missing values blank.

    Parameters
    ----------
    caption : str
    label : str
        "tbl-...", or "fig-..." for a table that is counted as a figure.
    formats : dict
        Column to format specification, as ``{"recall": ".2f"}``.
    foot : int
        How many of the last rows are totals, set off by a rule.
    """
    formats, names = formats or {}, [str(name) for name in table.columns]
    aligned = ["number" if pd.api.types.is_numeric_dtype(kind) else "text" for kind in table.dtypes]

    def cell(place: int, value: Any) -> str:
        text = (
            ""
            if pd.isna(value) or value == ""
            else format(value, formats.get(names[place], ",d" if isinstance(value, int) else ""))
        )
        tag, end = ('th scope="row"', "th") if place == 0 else ("td", "td")
        return f'<{tag} class="{aligned[place]}">{html.escape(text)}</{end}>'

    head = "".join(
        f'<th scope="col" class="{side}">{html.escape(name)}</th>' for name, side in zip(names, aligned, strict=True)
    )
    rows = [
        "<tr>" + "".join(cell(place, value) for place, value in enumerate(row)) + "</tr>"
        for row in table.itertuples(index=False)
    ]
    body, tail = "".join(rows[: len(rows) - foot]), "".join(rows[len(rows) - foot :])
    page = (
        f'{TABLE_STYLE}<table class="lab-table"><thead><tr>{head}</tr></thead><tbody>{body}</tbody>'
        f"{f'<tfoot>{tail}</tfoot>' if foot else ''}</table>"
    )
    _show_caption(caption)
    display(
        {"text/html": page, "text/plain": table.to_string(index=False)},
        raw=True,
        metadata={"caption": caption, "label": label},
    )


def _show_caption(caption: str) -> None:
    """Show a caption in a notebook; on a page of the report the template sets it."""
    text = f"*{verbatim(caption)}*"
    display({"text/markdown": text, "text/plain": caption}, raw=True, metadata={"is_caption": True})


def show_title(title: str, *, author: str, date: str, notices: list[str]) -> None:
    """Show the title block; the exporters set it as such, with the notices on every page."""
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in (author, date, *notices) if line)
    front = {"title": title, "author": author, "date": date, "notices": notices}
    display(
        {"text/html": f"<h1>{html.escape(title)}</h1>{lines}", "text/plain": title}, raw=True, metadata={"front": front}
    )


def notices(dataset: Dataset, weights: str) -> list[str]:
    """What a reader must not miss, for the top of every page."""
    found = ["Not a medical device: a teaching exercise, not for diagnosis."]
    if dataset.synthetic:
        found.insert(0, "Synthetic phantoms, not radiographs: these numbers say nothing about patients.")
    if weights == "random":
        found.insert(0, "Untrained backbone (random features): these numbers say nothing about transfer learning.")
    return found


def show_notices(lines: list[str]) -> None:
    """Show notices in a stage notebook."""
    show_markdown("\n".join(f"> **{line}**\n>" for line in lines))
