"""The page of cards: what it shows of hostile names, how large it becomes, and how it behaves in a browser."""

import os
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pytest
from bs4 import BeautifulSoup

from lab_utils.reporting import fonts
from lab_utils.reporting.cards import OPACITY, Card, Section, overlay, write_cards
from tests.conftest import opened

NOTICES = ["Not a medical device: a teaching exercise, not for diagnosis."]
NOISE = np.random.default_rng(0).integers(0, 255, (224, 224), np.uint8)
HOSTILE = [
    "<script>alert(1)</script>.png",
    "a\nb\x00\x1b[31m.png",
    "\"'><img src=x onerror=alert(1)>.png",
    "javascript:alert(1)",
    "\u202egnp.txt \u05e9\u05dc\u05d5\u05dd",
    "{{ 7 * 7 }}{% raw %}|`$x$`",
    "\u80ba\u708e " + "long" * 500,
    os.fsdecode(b"undecodable \xff.png"),
]


def written(path: Path, sections: list[Section], **options: Any) -> tuple[BeautifulSoup, int]:
    shown = write_cards(path, "Predictions of <b>", NOTICES, ["A paragraph & more."], sections, **options)
    return BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser"), shown


def hostile_sections() -> list[Section]:
    heat = np.random.default_rng(1).random((7, 7))
    colour = np.stack([NOISE[:100, :150]] * 3, axis=-1)
    cards = [
        Card(
            heading=name,
            image=NOISE,
            heat=heat,
            lines=[name, f"temperature-scaled: {name}"],
            bars={name: 0.75, "Normal": 0.25},
            link=name,
            flag=name,
            neighbours=[(colour, name), (NOISE, "Normal, similarity 0.98"), (NOISE, "COVID")],
        )
        for name in HOSTILE
    ]
    return [Section(HOSTILE[0], cards, text=HOSTILE[2]), Section("Errors", [Card(HOSTILE[1], lines=["empty file"])])]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, BeautifulSoup, int]:
    path = tmp_path_factory.mktemp("cards") / "page.html"
    return path, *written(path, hostile_sections())


def test_names_are_texts_whatever_they_hold(hostile: tuple[Path, BeautifulSoup, int]) -> None:
    _, page, shown = hostile
    assert shown == len(HOSTILE) + 1
    assert not page.find_all(["script", "link", "iframe", "object", "b"])
    assert not [element for element in page.find_all() if any(name.startswith("on") for name in element.attrs)]
    assert not page.find_all(style=True), "the policy forbids style attributes"
    headings = [heading.text.strip("\u2068\u2069") for heading in page.select("article h3")]
    assert headings[0] == HOSTILE[0]
    assert headings[1].startswith("a b ")
    assert (headings[2], headings[3], headings[5]) == (HOSTILE[2], HOSTILE[3], HOSTILE[5])
    assert "\u202e" not in page.text
    assert len(headings[6]) < 210
    links = [str(link["href"]) for link in page.select("article a")]
    assert [
        os.fsdecode(unquote(link, errors="surrogateescape").encode("utf-8", "surrogateescape")) for link in links
    ] == HOSTILE
    assert not any(":" in link or "\n" in link for link in links)
    assert all(str(image["src"]).startswith("data:image/jpeg;base64,") for image in page.find_all("img"))
    assert [rect["width"] for rect in page.select("article:first-of-type rect")][:2] == ["75.00%", "25.00%"]
    assert NOTICES[0] in page.select_one(".notices").text  # type: ignore[union-attr]


def test_a_page_has_room_for_some_images_and_says_how_many_it_leaves_out(tmp_path: Path) -> None:
    cards = [Card(f"image {number}", NOISE) for number in range(9)]
    sections = [Section("First", cards[:2]), Section("Second", cards[2:], rest="All are in predictions.csv.")]
    page, shown = written(tmp_path / "page.html", sections, most_bytes=100_000)
    assert 2 < shown < 9
    assert len(page.select("article")) == shown
    assert (tmp_path / "page.html").stat().st_size < 100_000 + 20_000 + len(fonts.web_fonts(""))
    assert f"The page has room for {shown - 2} of 7 images. All are in predictions.csv." in page.text
    assert page.text.count("The page has room") == 1


def test_a_heat_map_is_laid_over_its_image() -> None:
    heat = np.zeros((2, 2))
    heat[0, 0] = 5.0
    mixed = overlay(np.full((300, 200), 100, np.uint8), heat)
    assert mixed.shape == (160, 107, 3)
    assert mixed[0, 0].sum() > mixed[-1, -1].sum() + 200, "the map is bright at the top on the left"
    assert mixed[-1, -1] == pytest.approx([(1 - OPACITY) * 100] * 3, abs=3), "the lowest colour is black"
    assert np.array_equal(overlay(np.full((2, 2), 100, np.uint8), np.zeros((2, 2)))[0, 0], mixed[-1, -1])


@pytest.mark.parametrize(("width", "theme"), [(375, "light"), (375, "dark"), (1280, "light"), (1280, "dark")])
def test_it_is_accessible_at_every_width_and_theme(
    browser: Any, hostile: tuple[Path, BeautifulSoup, int], width: int, theme: str
) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    said: list[str] = []
    tab = opened(browser, hostile[0], width, theme, said)
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert tab.evaluate("getComputedStyle(document.querySelector('.grid')).display") == "grid", "the style is applied"
    found = axe.Axe().run(tab)
    tab.close()
    assert said == []
    assert found.violations_count == 0, found.generate_report()
