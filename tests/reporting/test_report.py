"""The report of a phantom run: what it holds, and how it behaves in a browser."""

import re
from pathlib import Path
from typing import Any

import pytest
from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader

from lab_utils.core.catalogue import read_table
from lab_utils.core.paths import Workspace
from tests.conftest import SCENARIOS, opened

WIDTHS, THEMES = (375, 768, 1280), ("light", "dark")


@pytest.fixture(scope="session")
def page(report: Path) -> BeautifulSoup:
    return BeautifulSoup((report / "lab_report.html").read_text(), "html.parser")


@pytest.fixture(scope="session")
def document(report: Path) -> PdfReader:
    return PdfReader(report / "lab_report.pdf")


def captions(page: BeautifulSoup, kind: str) -> list[str]:
    return [caption.text for caption in page.find_all("figcaption") if caption.text.startswith(kind)]


def test_it_has_the_write_up_s_sections(page: BeautifulSoup) -> None:
    headings = [heading.text for heading in page.find_all("h2")]
    assert headings == [
        "Introduction",
        "Dataset description",
        "Data preprocessing",
        "Model architecture",
        "Evaluation results",
        "Training time comparison",
        "Discussion",
        "Conclusion",
        "Reproduction",
        "Audits",
        "Appendix",
    ]
    assert [link.text for link in page.select("nav a")] == headings


def test_it_has_the_write_up_s_figures_and_tables_and_counts_on(page: BeautifulSoup) -> None:
    figures, tables = captions(page, "Figure"), captions(page, "Table")
    assert [caption.split(":")[0] for caption in figures] == [f"Figure {n}" for n in range(1, len(figures) + 1)]
    assert [caption.split(":")[0] for caption in tables] == [f"Table {n}" for n in range(1, len(tables) + 1)]
    assert figures[0].startswith("Figure 1: Model architecture")
    assert [f"Figure {n}: Scenario {n - 1}: accuracy and loss curves" for n in (2, 3, 4)] == figures[1:4]
    assert figures[4].startswith("Figure 5: Training time across scenarios")
    assert tables[:3] == [f"Table {n}: Classification report, scenario {n}" for n in (1, 2, 3)]
    for figure in page.find_all("figure"):
        own = [child.name for child in figure.find_all(recursive=False)]
        assert own.index("figcaption") == (0 if "tbl" in figure["class"] else 1)


def test_its_numbers_are_the_tables(page: BeautifulSoup, finished: tuple[Path, Path]) -> None:
    reports = read_table(Workspace(finished[0]), "reports")
    for place, name in enumerate(SCENARIOS, start=1):
        rows = page.select(f"#tbl-report-{name} tbody tr, #tbl-report-{name} tfoot tr")
        own = reports[reports["scenario"] == name]
        assert len(rows) == len(own) == 7, place
        for row, expected in zip(rows, own.itertuples(), strict=True):
            cells = [cell.text for cell in row.find_all(["th", "td"])]
            assert cells[3:] == [f"{expected.f1:.2f}", f"{expected.support:,}"]


def test_audits_and_cards_are_there_and_say_what_the_tables_say(
    page: BeautifulSoup, finished: tuple[Path, Path]
) -> None:
    ids = {element["id"] for element in page.find_all(id=True)}
    assert {"fig-shortcuts", "fig-gradcam", "fig-attribution", "fig-pairs", "tbl-sources"} <= ids
    assert [caption.split(": ")[1] for caption in captions(page, "Table")[-2:]] == ["Model card", "Data card"]
    shortcuts = read_table(Workspace(finished[0]), "probes").set_index("input")
    said = page.get_text()
    for name in ("full", "lungs_erased", "permuted_labels"):
        row = shortcuts.loc[name]
        assert f"{100 * row['accuracy']:.1f} % [{100 * row['low']:.1f}, {100 * row['high']:.1f}]" in said, name


def test_every_reference_leads_somewhere(page: BeautifulSoup, report: Path) -> None:
    assert "??" not in page.text
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = [str(link["href"]) for link in page.find_all("a")]
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)
    files = [target for target in targets if target.startswith("../")]
    assert len(files) >= 4 + len(SCENARIOS)
    assert all((report / target).is_file() for target in files)


def test_pictures_say_what_they_show(page: BeautifulSoup) -> None:
    alternatives = [str(image["alt"]) for image in page.find_all("img")]
    assert len(alternatives) >= 7
    assert all(len(text) > 40 for text in alternatives)
    assert re.search(r"ends at \d+\.\d %", alternatives[0])


def test_tables_name_their_columns_and_rows(page: BeautifulSoup) -> None:
    for table in page.find_all("table"):
        assert all(head["scope"] == "col" for head in table.select("thead th"))
        assert all(row.find()["scope"] == "row" for row in table.select("tbody tr"))  # type: ignore[index]


def test_it_says_what_it_is(page: BeautifulSoup, document: PdfReader) -> None:
    notices = page.select_one(".notices")
    assert notices is not None
    for line in ("Synthetic phantoms", "Untrained backbone", "Not a medical device"):
        assert line in notices.text
        assert all(line in sheet.extract_text() for sheet in document.pages)


def test_it_says_how_to_run_it_again(page: BeautifulSoup) -> None:
    assert "make report CONFIG=lab.yaml" in page.get_text()  # not the project's own lab.yaml, though it is named so


def test_it_is_one_small_file_that_fetches_nothing(page: BeautifulSoup, report: Path) -> None:
    assert (report / "lab_report.html").stat().st_size < 3e6
    assert not page.find_all(["script", "link", "iframe", "object"])
    assert not [element for element in page.find_all() if any(name.startswith("on") for name in element.attrs)]
    assert all(str(image["src"]).startswith("data:image/") for image in page.find_all("img"))
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert isinstance(policy, Tag)
    assert str(policy["content"]).startswith("default-src 'none'; img-src data:; style-src 'sha256-")


def test_code_waits_behind_a_disclosure(page: BeautifulSoup) -> None:
    disclosures = page.select("details.code")
    assert len(disclosures) > 10
    assert not [details for details in disclosures if details.has_attr("open")]
    assert "show_table" in page.select_one("details.code pre:-soup-contains(show_table)").text  # type: ignore[union-attr]


def test_the_pdf_is_accessible_and_has_bookmarks(document: PdfReader, page: BeautifulSoup) -> None:
    root: Any = document.trailer["/Root"]
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_object().get_data()
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    bookmarks = [str(entry["/Title"]) for entry in document.outline if isinstance(entry, dict)]
    assert [title.split(" ", 1)[1] for title in bookmarks if title[0].isdigit()] == [
        h.text for h in page.find_all("h2")
    ]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_it_is_accessible_at_every_width_and_theme(browser: Any, report: Path, width: int, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    said: list[str] = []
    tab = opened(browser, report / "lab_report.html", width, theme, said)
    assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
    assert tab.evaluate("getComputedStyle(document.querySelector('h1')).fontWeight") == "400", (
        "the style is not applied"
    )
    paper = tab.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(255, 255, 255)", "dark": "rgb(26, 26, 26)"}[theme]
    tab.locator("details.code summary").first.click()
    assert said == []
    found = axe.Axe().run(tab)
    tab.close()
    assert found.violations_count == 0, found.generate_report()


def test_it_can_be_used_by_keyboard(browser: Any, report: Path) -> None:
    tab = opened(browser, report / "lab_report.html", 375, "light", [])
    tab.keyboard.press("Tab")
    assert tab.evaluate("document.activeElement.className") == "skip"
    zoom = tab.locator("#fig-confusion input")
    picture = tab.locator("#fig-confusion img")
    before = picture.bounding_box()["width"]
    zoom.focus()
    tab.keyboard.press("Space")
    assert picture.bounding_box()["width"] > 2 * before
    tab.keyboard.press("Space")
    assert picture.bounding_box()["width"] == before
    tab.close()
