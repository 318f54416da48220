"""A page of cards, one per image: one HTML file without scripts, which loads nothing."""

import base64
import io
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import matplotlib as mpl
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.files import atomic_write
from lab_utils.data.decode import Pixels
from lab_utils.reporting import fonts
from lab_utils.reporting.names import CONTROLS, isolated
from lab_utils.reporting.policy import content_policy
from lab_utils.reporting.text import percent

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "templates"
SIDE, SMALL_SIDE = 160, 72  # pixels at most: of an image, and of a similar image
QUALITY = 80  # of the JPEG files
OPACITY = 0.45  # of a heat map over its image, as in the figures
LONGEST = 200  # characters of a text, before its middle is cut
MARKUP = 1000  # bytes of a card without its images
MOST_BYTES = 9_500_000  # of the cards of a page: browsers and mail take 10 MB


@dataclass(frozen=True)
class Card:
    """What a page says about one image; its texts are plain, and the page escapes them."""

    heading: str
    image: Pixels | None = None  # uint8 (H, W) or (H, W, 3)
    heat: NDArray[np.floating[Any]] | None = None  # (h, w), not negative: a Grad-CAM map of the image
    lines: Sequence[str] = ()
    bars: Mapping[str, float] = field(default_factory=dict)  # text to a fraction in [0, 1], drawn as a bar
    link: str = ""  # path of the image file from the page's folder, with slashes
    flag: str = ""  # why a reader must look at this image
    neighbours: Sequence[tuple[Pixels, str]] = ()  # similar images, each with its text


@dataclass(frozen=True)
class Section:
    """Cards below one heading."""

    title: str
    cards: Sequence[Card]
    text: str = ""  # what the section shows
    rest: str = ""  # where to find the images for which the page has no room


def write_cards(
    path: Path,
    title: str,
    notices: Sequence[str],
    introduction: Sequence[str],
    sections: Sequence[Section],
    *,
    most_bytes: int = MOST_BYTES,
) -> int:
    """Write a page of cards, and return the number of cards for which it has room.

    Parameters
    ----------
    path : Path
        The HTML file.
    title : str
    notices : sequence of str
        What no reader must miss; it stays at the top of the window.
    introduction : sequence of str
        Paragraphs below the title.
    sections : sequence of Section
        In the order of the page. Where the cards would exceed `most_bytes`, the last ones are left out, and their
        section says how many.
    """
    filled = _filled(sections, most_bytes)
    values = {"title": title, "notices": notices, "introduction": introduction, "sections": filled}
    template = _environment().get_template("cards.html.j2")
    text = template.render(values, styles=[], policy="")
    folder = TEMPLATES / "lab_cards"
    sheets = [(folder / name).read_text(encoding="utf-8") for name in ("../lab_report/article.css", "cards.css")]
    styles = [Markup(style) for style in [*sheets, fonts.web_fonts("".join(set(text)))]]
    page = template.render(values, styles=styles, policy=content_policy(styles))
    with atomic_write(path) as draft:
        draft.write_text(page, encoding="utf-8")
    return sum(len(entry["cards"]) for entry in filled)


def _filled(sections: Sequence[Section], room: int) -> list[dict[str, Any]]:
    """Return each section with those of its cards for which there is room, in bytes."""
    filled: list[dict[str, Any]] = []
    for section in sections:
        views: list[dict[str, Any]] = []
        for card in section.cards:
            view = _view(card)
            if view["bytes"] > room:
                break
            room -= view["bytes"]
            views.append(view)
        filled.append({"section": section, "cards": views})
    return filled


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES / "lab_cards"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _shown, "percent": percent, "path": lambda link: quote(os.fsencode(link))}
    return environment


def _shown(text: str) -> str:
    """Return a text without control characters, its middle cut, its direction isolated."""
    text = CONTROLS.sub(" ", str(text))
    half = LONGEST // 2
    return isolated(text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}")


def _view(card: Card) -> dict[str, Any]:
    """Return a card with its images as data URIs."""
    image = _uri(card.image, SIDE) if card.image is not None else ""
    heat = _uri(overlay(card.image, card.heat), SIDE) if card.image is not None and card.heat is not None else ""
    neighbours = [(_uri(pixels, SMALL_SIDE), text) for pixels, text in card.neighbours]
    return {
        "card": card,
        "image": image,
        "heat": heat,
        "neighbours": neighbours,
        "bytes": MARKUP + sum(map(len, [image, heat, *(uri for uri, _ in neighbours)])),
    }


def overlay(image: Pixels, heat: NDArray[np.floating[Any]]) -> Pixels:
    """Lay a heat map (h, w) over an image (H, W) or (H, W, 3).

    The map is scaled from 0 to its maximum, as in the figures. The result is uint8 (H', W', 3), at most 160 pixels wide
    and high.
    """
    picture = _thumbnail(image, SIDE).convert("RGB")
    largest = float(heat.max())
    scaled = Image.fromarray(np.asarray(heat / largest if largest > 0 else heat, np.float32))
    colours = mpl.colormaps["inferno"](np.asarray(scaled.resize(picture.size, Image.Resampling.BILINEAR)))
    mixed = (1 - OPACITY) * np.asarray(picture, float) + OPACITY * 255 * colours[..., :3]
    return mixed.round().astype(np.uint8)


def _thumbnail(pixels: Pixels, side: int) -> Image.Image:
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((side, side))
    return picture


def _uri(pixels: Pixels, side: int) -> str:
    """Return an image as a JPEG data URI of at most `side` pixels."""
    file = io.BytesIO()
    _thumbnail(pixels, side).save(file, "JPEG", quality=QUALITY)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"
