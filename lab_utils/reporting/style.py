"""The look of every figure: type, sizes, and what a colour, a marker and a name stand for."""

from collections.abc import Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import matplotlib as mpl
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import FontManager, fontManager
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from lab_utils.core.config import Scenario
from lab_utils.reporting import fonts
from lab_utils.reporting.names import short

WIDTH = 6.3  # inches: the text width of the report's page
TALLEST = 7.6  # inches: a figure with its caption fits on a page
FEW = 6  # classes; figures of more have smaller type, and fewer images of each
# Okabe and Ito's colours for the colour-blind (jfly.uni-koeln.de/color, 2008), without yellow: scenarios only.
SCENARIO_COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
# Paul Tol's muted scheme (personal.sron.nl/~pault, 2021): classes only.
CLASS_COLORS = ("#332288", "#CC6677", "#117733", "#88CCEE", "#AA4499", "#999933", "#882255", "#44AA99", "#DDCC77")
# Everything else (training and validation, protocols, right and wrong) is a grey with its own marker or hatch.
GREYS = ("#3a3a3a", "#949494", "#c8c8c8")  # of areas and lines
NEUTRALS = ("#222222", "#707070", "#949494")  # of marks, at a contrast of three to one at least
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
OUTLINE = "#E69F00"  # of a lung mask on a radiograph
STYLE: dict[Any, Any] = {
    "font.family": fonts.FAMILIES,
    "mathtext.fontset": "stix",
    "font.size": 10,  # points, as the page's text: a figure is as wide as the text and is never scaled
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.title_fontsize": 9,
    "text.parse_math": False,  # a dollar in the name of a class is a dollar
    "axes.prop_cycle": cycler(color=SCENARIO_COLORS),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.facecolor": "white",
}


def use_style() -> None:
    """Set matplotlib to the style of the lab for the rest of the notebook.

    Settings of the user do not apply.
    """
    known = {Path(font.fname) for font in fontManager.ttflist}
    for path in fonts.figure_fonts():
        if path not in known:
            fontManager.addfont(path)
    # For each text, matplotlib searches the fonts of all families, which takes a third of the time of a figure.
    found = cache(partial(FontManager._find_fonts_by_props, fontManager))
    fontManager._find_fonts_by_props = found  # type: ignore[assignment, method-assign]
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)


def scenario_marks(scenario: Scenario) -> dict[str, Any]:
    """Return the colour and the marker of a scenario, which follow from its place in lab.yaml."""
    place = scenario.number - 1
    return {
        "color": SCENARIO_COLORS[place % len(SCENARIO_COLORS)],
        "marker": MARKERS[place % len(MARKERS)],
    }


def class_marks(count: int) -> dict[str, Any]:
    """Return colours and markers of as many classes or trainings, as seaborn takes them."""
    return {
        "palette": [CLASS_COLORS[place % len(CLASS_COLORS)] for place in range(count)],
        "markers": [MARKERS[place % len(MARKERS)] for place in range(count)],
    }


def neutral_marks(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return a grey and a marker for each of `names`, which are no scenarios."""
    return {
        name: {"color": NEUTRALS[place % len(NEUTRALS)], "marker": MARKERS[place % len(MARKERS)]}
        for place, name in enumerate(names)
    }


def legend_of(marks: Mapping[str, Mapping[str, Any]]) -> list[Line2D]:
    """Return the entries of a legend for marks."""
    return [Line2D([], [], linestyle="none", label=name, **mark) for name, mark in marks.items()]


def panels(count: int, height: float, *, columns: int = 3, **options: Any) -> tuple[Figure, list[Axes]]:
    """Make a figure as wide as the page with `count` panels in rows of `height` inches.

    The figure is not registered with pyplot, so that a notebook shows it once and nobody has to close it.
    """
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, height * rows))
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    for ax in grid.flat[count:]:
        ax.set_axis_off()
    return figure, list(grid.flat[:count])


def label_outer(axes: list[Axes], *, columns: int = 3) -> None:
    """Leave labels to the panels on the left and to those with no panel below them."""
    for place, ax in enumerate(axes):
        label = ax.get_xlabel()
        ax.label_outer()
        if place + columns >= len(axes):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(label)


def percent_axis(ax: Axes, *directions: str) -> None:
    """Print the fractions of an axis ("x", "y") as per cent; its label carries the sign."""
    for direction in directions:
        axis = ax.xaxis if direction == "x" else ax.yaxis
        axis.set_major_formatter(FuncFormatter(lambda fraction, _: f"{100 * fraction:.6g}".replace("-", "−")))


def spacing(*texts: str) -> dict[str, Any]:
    """Return the spacing of lines.

    STIX (Latin, Greek, Cyrillic) has much room between them, other fonts have none.
    """
    is_tall = any("\u0530" <= sign < "\u1e00" or sign >= "\u2e80" for sign in "".join(texts))
    return {"linespacing": 1.15 if is_tall else 0.95}


def name_rows(ax: Axes, names: Sequence[str], width: int = 30) -> Axes:
    """Name the rows of a horizontal chart, the first on top."""
    names = [short(name, width) for name in names]
    ax.set_yticks(range(len(names)), names, **spacing(*names))
    ax.set(ylabel="", ylim=(len(names) - 0.5, -0.5))
    ax.grid(axis="y", visible=False)
    ax.grid(axis="x", visible=True)
    return ax
