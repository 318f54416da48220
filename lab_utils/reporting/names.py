"""Names from the data for print: any script, no control characters, limited width."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import PurePosixPath
from unicodedata import bidirectional

from matplotlib.font_manager import FontProperties
from matplotlib.textpath import text_to_path
from wcwidth import iter_graphemes

from lab_utils.core.config import Scenario
from lab_utils.reporting import fonts

# Control characters, line breaks, undecodable bytes, and marks that change the direction of the text around a name.
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]+")
ISOLATE, END = "\u2068", "\u2069"
ISOLATED = re.compile(f"{ISOLATE}[^{ISOLATE}{END}]*{END}")
UNISOLATED = dict.fromkeys(map(ord, ISOLATE + END))
CHARACTER = 0.5  # ems: the width of an average character


def readable(name: str) -> str:
    """Return the name of a class as it is printed: Lung_Opacity as Lung Opacity."""
    return CONTROLS.sub(" ", str(name)).replace("_", " ")


def isolated(text: str) -> str:
    """Keep a text that runs from right to left from reordering what stands around it.

    Names that are isolated already stay so. Source: Unicode Standard Annex 9, https://www.unicode.org/reports/tr9/.
    """
    outside = ISOLATED.sub("", text)
    if CONTROLS.search(outside) or CONTROLS.search(text.translate(UNISOLATED)):
        text = outside = CONTROLS.sub(" ", text)
    return f"{ISOLATE}{text}{END}" if any(bidirectional(sign) in {"R", "AL"} for sign in outside) else text


@lru_cache(maxsize=10_000)
def short(name: str, width: int = 20, lines: int = 2) -> str:
    """Break a name into lines of `width` average characters.

    What does not fit is cut from its middle.

    Names that differ at their end alone therefore stay apart.
    """
    signs = list(iter_graphemes(readable(name).strip()))
    kept, cut = len(signs), signs
    while len(broken := _lines(cut, width * CHARACTER)) > lines:
        kept -= 1
        cut = [*signs[: kept - kept // 2], "…", *signs[len(signs) - kept // 2 :]]
    return "\n".join(isolated(line) for line in broken)


def _lines(signs: Sequence[str], width: float) -> list[str]:
    """Break a text at its spaces, and within words that are wider than a line."""
    lines, line = [], list[str]()
    for sign in signs:
        line.append(sign)
        if sign != " " and sum(map(_width, line)) > width and len(line) > 1:
            space = max((place for place, other in enumerate(line[:-1]) if other == " "), default=-1)
            end = space if space > 0 else len(line) - 1
            lines.append("".join(line[:end]).strip())
            line = line[end + (space > 0) :]
    return [*lines, "".join(line).strip()]


@lru_cache(maxsize=10_000)
def _width(sign: str) -> float:
    """Return the width of a character in ems."""
    return text_to_path.get_text_width_height_descent(sign, FontProperties(family=list(fonts.FAMILIES), size=1), False)[
        0
    ]


def scenario_numbers(scenarios: Sequence[Scenario]) -> dict[str, str]:
    """Name each scenario by its number: {"fc_only": "S3"}."""
    return {scenario.name: f"S{scenario.number}" for scenario in scenarios}


def page_of(notebook: str) -> str:
    """Return the path of an executed notebook's page inside the report's folder.

    `notebook` is the path inside the workspace: runs/described/fc_only/seed-0/train.ipynb has the page
    notebooks/30_train-described-fc_only-0.html.
    """
    place = PurePosixPath(notebook)
    if place.name != "train.ipynb":
        return f"notebooks/{place.stem}.html"
    protocol, scenario, seed = place.parts[-4:-1]
    return f"notebooks/30_train-{protocol}-{scenario}-{seed.removeprefix('seed-')}.html"
