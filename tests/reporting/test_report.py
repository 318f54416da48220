"""The report of a phantom run: what it holds, and how it behaves in a browser."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pypdfium2
import pytest
from bs4 import BeautifulSoup, Tag
from pypdf import PdfReader

from lab_utils.core.catalogue import read_table
from lab_utils.core.config import load_experiment
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.reporting.text import number_interval
from tests.conftest import PROJECT, SCENARIOS, opened

WIDTHS, THEMES = (375, 768, 1280, 1920), ("light", "dark")


@pytest.fixture(scope="session")
def page(report: Path) -> BeautifulSoup:
    return BeautifulSoup((report / "lab_report.html").read_text(), "html.parser")


@pytest.fixture(scope="session")
def document(report: Path) -> PdfReader:
    return PdfReader(report / "lab_report.pdf")


def captions(page: BeautifulSoup, kind: str) -> list[str]:
    texts = ["".join(part.text for part in one.contents if part.name != "span") for one in page.find_all("figcaption")]
    return [text for text in texts if text.startswith(kind)]


def test_every_figure_and_table_is_referred_to_before_it_appears(page: BeautifulSoup) -> None:
    seen: set[str] = set()
    for element in page.select("main a[href], main figure"):
        if element.name == "a":
            seen.add(str(element["href"]).removeprefix("#"))
        else:
            assert element["id"] in seen, element["id"]


def test_it_has_the_write_up_s_sections(page: BeautifulSoup) -> None:
    headings = [heading.text.removesuffix("#") for heading in page.find_all("h2")]
    assert headings == [
        "Summary",
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
        "Elsewhere",
        "References",
        "Appendix A: further figures and tables",
        "Appendix B: settings, cards and how to run it again",
    ]
    assert [link.text for link in page.select("nav a")] == headings
    numbered = [heading.text for heading in page.find_all("h2") if heading.get("class") != ["unnumbered"]]
    assert numbered[:8] == [f"{title}#" for title in headings[1:9]]


def test_it_has_the_write_up_s_figures_and_tables_and_counts_on(page: BeautifulSoup) -> None:
    figures, tables = captions(page, "Figure"), captions(page, "Table")
    assert [caption.split(":")[0] for caption in figures] == [f"Figure {n}" for n in range(1, len(figures) + 1)]
    assert [caption.split(":")[0] for caption in tables] == [f"Table {n}" for n in range(1, len(tables) + 1)]
    assert figures[0].startswith("Figure 1: Model architecture")
    labels = [scenario.label for scenario in load_experiment().chosen_scenarios()]
    for number, name in enumerate(labels, start=2):
        assert figures[number - 1].startswith(f"Figure {number}: Training curves, {name}: accuracy")
    assert figures[4].startswith("Figure 5: Training time across scenarios")
    for number, name in enumerate(labels, start=1):
        assert tables[number - 1].startswith(f"Table {number}: Classification report, {name}, with 95")
    for figure in page.find_all("figure"):
        own = [child.name for child in figure.find_all(recursive=False)]
        assert own.index("figcaption") == (0 if "tbl" in figure["class"] else 1)


def test_its_numbers_are_the_tables(page: BeautifulSoup, finished: tuple[Path, Path]) -> None:
    reports, means = (read_table(Workspace(finished[0]), name) for name in ("reports", "means"))
    for name in SCENARIOS:
        rows = [[cell.text for cell in row.find_all(["th", "td"])] for row in page.select(f"#tbl-report-{name} tr")[1:]]
        f1 = means[(means["scenario"] == name) & means["measure"].isin(["f1", "accuracy", "macro_f1"])]
        expected = {(row["measure"], row["class"]): number_interval(row, digits=2) for row in f1.to_dict("records")}
        supports = reports[reports["scenario"] == name]["support"].tolist()
        assert [row[3] for row in rows[:4]] == [cell for (measure, _), cell in expected.items() if measure == "f1"]
        assert rows[4][:2] == ["Accuracy", f"{expected['accuracy', '']} ({supports[4]:,} samples)"]
        assert [row[0] for row in rows[5:]] == ["Macro Avg", "Weighted Avg"]
        assert rows[5][3] == expected["macro_f1", ""]
        assert [row[4] for row in rows[:4]] == [f"{support:,}" for support in supports[:4]]


def read(page: BeautifulSoup) -> str:
    """The text of the page with plain spaces."""
    shown = BeautifulSoup(str(page), "html.parser")
    for element in shown.select(".code, script"):  # which a switch shows
        element.decompose()
    return re.sub(r"\s+", " ", shown.get_text())


def test_audits_are_there_and_say_what_the_tables_say(page: BeautifulSoup, finished: tuple[Path, Path]) -> None:
    ids = {element["id"] for element in page.find_all(id=True)}
    assert {"fig-summary", "fig-probes", f"fig-gradcam-{SCENARIOS[0]}", "fig-attribution", "fig-pairs"} <= ids
    for table in ("probes", "network_inputs"):
        scores = read_table(Workspace(finished[0]), table).query("among == ''").set_index("input")
        for name in ("full", "lungs_erased"):
            row = scores.loc[name]
            assert f"{row['auc']:.3f} [{row['auc_low']:.3f}, {row['auc_high']:.3f}]" in read(page), (table, name)


def test_the_model_card_has_the_numbers_of_the_run(page: BeautifulSoup, finished: tuple[Path, Path]) -> None:
    lab = Workspace(finished[0])
    card = read(page).split("The card follows Mitchell")[1].split("The card follows Pushkarna")[0]
    record = read_json(lab.run("described", "fc_only", 0) / "run.json", stage="30")
    assert re.search("Not for: diagnosis", card)
    assert "Training data: 37 images, protocol described" in card
    assert "untrained (random features)" in card
    assert record["weights_sha256"][:32] in card
    assert 0.1 < record["memory_mb"] / 1000 < 8
    accuracy = read_table(lab, "metrics").set_index("scenario")["accuracy"]["fc_only"]
    assert f"head only: accuracy {100 * accuracy:.1f} %" in card
    assert card.count("macro F1") == len(SCENARIOS)


def test_the_data_card_says_what_the_data_are(page: BeautifulSoup) -> None:
    card = read(page).split("The card follows Pushkarna")[1]
    assert "Classes: COVID 8 (8 masks); Lung Opacity" in card
    assert re.search("Split: 37 for training and 16 for validation, at random within each class", card)
    assert "https://example.org/synthetic-phantom" in card
    assert "Images: 299 × 299 pixels (100 % of them)" in card


def executed(finished: tuple[Path, Path]) -> Iterator[tuple[Path, list[nbformat.NotebookNode]]]:
    """Every executed notebook with the outputs that have a label."""
    kept = finished[0].parent / "kept"
    for path in kept.rglob("*.ipynb"):
        cells = nbformat.read(path, as_version=4).cells
        yield path, [out for cell in cells for out in cell.get("outputs", []) if "label" in out.get("metadata", {})]


def test_numbers_ascend_in_every_executed_notebook(finished: tuple[Path, Path]) -> None:
    notebooks = list(executed(finished))
    assert len(notebooks) >= 5 + len(SCENARIOS)
    for path, outputs in notebooks:
        for kind in ("Figure", "Table"):
            numbers = [out.metadata["number"] for out in outputs if out.metadata["number"].startswith(kind)]
            assert numbers == [f"{kind} {place}" for place in range(1, len(numbers) + 1)], path.name


def test_every_figure_of_an_executed_notebook_can_be_shown_untrusted_and_has_words(
    finished: tuple[Path, Path],
) -> None:
    for path, outputs in executed(finished):
        for out in outputs:
            if "text/html" not in out.data:
                assert "image/png" in out.data, path.name
                assert out.data["text/plain"] == out.metadata["alt"]
                assert len(out.metadata["alt"]) > 30


def test_every_reference_leads_somewhere(page: BeautifulSoup, report: Path) -> None:
    assert "??" not in page.text
    ids = [element["id"] for element in page.find_all(id=True)]
    assert len(ids) == len(set(ids))
    targets = [str(link["href"]) for link in page.find_all("a")]
    assert {target[1:] for target in targets if target.startswith("#")} <= set(ids)
    files = [target for target in targets if "://" not in target and not target.startswith("#")]
    assert len([target for target in files if target.startswith("notebooks/")]) >= 4 + len(SCENARIOS)
    assert {"../results/probes.csv", "glossary.html", "errors.html"} <= set(files)
    assert all((report / target).is_file() for target in files)


def test_pictures_say_what_they_show(page: BeautifulSoup) -> None:
    alternatives = [str(image["alt"]) for image in page.find_all("img")]
    assert len(alternatives) >= 7
    assert all(len(text) > 40 for text in alternatives)
    assert alternatives[0].startswith("Accuracies. majority-class baseline")
    assert re.search(r"ends at \d+\.\d\s%", alternatives[1])


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
    assert not page.find_all(["link", "iframe", "object"])
    (script,) = page.find_all("script")
    assert len(script.text) < 4000
    assert not [element for element in page.find_all() if any(name.startswith("on") for name in element.attrs)]
    assert all(str(image["src"]).startswith("data:image/") for image in page.find_all("img"))
    policy = page.find("meta", attrs={"http-equiv": "Content-Security-Policy"})
    assert isinstance(policy, Tag)
    assert re.match(
        r"default-src 'none'; img-src data:; style-src 'sha256-\S+ 'sha256-\S+; script-src 'sha256-\S+;",
        policy["content"],
    )


def test_no_plumbing_is_shown(page: BeautifulSoup, document: PdfReader, finished: tuple[Path, Path]) -> None:
    shown = BeautifulSoup(str(page), "html.parser")
    for element in shown.select(".code, script"):  # which a switch shows
        element.decompose()
    for said in (shown.get_text(), "".join(sheet.extract_text() for sheet in document.pages)):
        for word in ("%%text", "{{", "import ", "lab.table", str(finished[0].parent), str(PROJECT)):
            assert word not in said, word


def test_the_pdf_is_accessible_and_has_bookmarks(document: PdfReader, page: BeautifulSoup) -> None:
    root: Any = document.trailer["/Root"]
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_object().get_data()
    assert root["/MarkInfo"]["/Marked"]
    assert root["/Lang"] == "en"
    bookmarks = [str(entry["/Title"]) for entry in document.outline if isinstance(entry, dict)]
    titles = [heading.text.removesuffix("#") for heading in page.find_all("h2")]
    assert [re.sub(r"^\d+\s", "", title) for title in bookmarks] == titles
    assert [title.split(" ", 1)[0] for title in bookmarks[1:9]] == [str(number) for number in range(1, 9)]


def test_the_body_has_eight_pages_and_no_page_is_left_a_sixth_empty(document: PdfReader, report: Path) -> None:
    starts = {str(entry["/Title"]): document.get_destination_page_number(entry) for entry in document.outline}
    assert starts["References"] <= 8  # pages count from 0
    top, bottom = 2.5 / 29.7, 1 - 2.2 / 29.7  # margins of article.typ
    empty = {}
    for number, sheet in enumerate(pypdfium2.PdfDocument(report / "lab_report.pdf"), start=1):
        grey = np.asarray(sheet.render(scale=1).to_pil().convert("L"))
        text = grey[round(top * len(grey)) : round(bottom * len(grey))]
        inked = np.flatnonzero((text < 200).any(axis=1))
        empty[number] = 1 - (inked.max() + 1) / len(text)
    del empty[len(document.pages)]
    assert not {number: round(share, 2) for number, share in empty.items() if share > 1 / 6}


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
    tab.keyboard.press("Escape")
    assert picture.bounding_box()["width"] == before
    tab.close()


def test_a_script_helps_and_the_page_is_whole_without_it(browser: Any, report: Path) -> None:
    said: list[str] = []
    tab = opened(browser, report / "lab_report.html", 1440, "light", said)
    code = tab.locator(".code").first
    assert not code.is_visible()
    tab.locator("#show-code").check()
    assert code.is_visible()
    tab.locator('main a[href="#fig-times"]').first.hover()
    assert tab.locator(".preview figcaption").inner_text().startswith("Figure 5")
    tab.keyboard.press("Escape")
    assert not tab.locator(".preview").is_visible()
    head = tab.locator("#tbl-ranking thead button").nth(1)
    head.click()
    assert tab.locator("#tbl-ranking th[aria-sort=ascending]").count() == 1
    tab.locator("#section-discussion").evaluate("heading => heading.scrollIntoView()")
    tab.wait_for_selector('nav a[href="#section-discussion"][aria-current]')
    assert said == []
    tab.close()
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto((report / "lab_report.html").as_uri())
    assert plain.locator("#tbl-ranking").is_visible()
    context.close()
