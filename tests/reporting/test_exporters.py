import base64
import hashlib
import io
import re
from html import escape as html_escape
from pathlib import Path
from typing import Any

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbconvert.exporters import get_exporter
from nbconvert.nbconvertapp import NbConvertApp
from pypdf import PdfReader

from lab_utils.core.errors import LabError

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
SVG = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="90" height="30"><rect width="90" height="30" fill="#0072B2"/></svg>'
)
FRONT = {"title": "Title & <b>", "author": "A. Author", "date": "2026-01-01", "notices": ["Not a medical device."]}
SPECIAL = r"100 % & $x$ # _under_ {braces} ~ ^ \ <tag> é 中 العربية 한"


def shown(data: dict[str, str], **metadata: Any) -> nbformat.NotebookNode:
    output = nbformat.v4.new_output("display_data", data=data, metadata=metadata)
    return nbformat.v4.new_code_cell("secret = 1", outputs=[output])


def captioned(data: dict[str, str], label: str, number: str, caption: str, **more: str) -> nbformat.NotebookNode:
    return shown(data, label=label, number=number, caption=caption, **more)


def table(label: str, rows: int = 2, text: str = "cell", number: str = "Table 1") -> nbformat.NotebookNode:
    body = "".join(f'<tr><td class="text">{text}</td><td class="number">{row}</td></tr>' for row in range(rows))
    head = '<thead><tr><th scope="col">Class</th><th scope="col" class="number">N</th></tr></thead>'
    page = f"<table>{head}<tbody>{body}</tbody></table>"
    return captioned({"text/html": page}, label, number, "A table & more")


def figure(label: str, number: str = "Figure 1", **images: str) -> nbformat.NotebookNode:
    data = {"text/plain": "alt", **(images or {"image/png": PIXEL})}
    return captioned(data, label, number, "A figure", alt="A blue rectangle")


def notebook(*cells: nbformat.NotebookNode) -> nbformat.NotebookNode:
    front = shown({"text/html": "<h1>x</h1>"}, front=FRONT)
    return nbformat.v4.new_notebook(cells=[front, *cells])


def html(*cells: nbformat.NotebookNode) -> BeautifulSoup:
    page, _ = get_exporter("lab-html")().from_notebook_node(notebook(*cells))
    return BeautifulSoup(page, "html.parser")


def pdf(*cells: nbformat.NotebookNode) -> PdfReader:
    data, _ = get_exporter("lab-pdf")().from_notebook_node(notebook(*cells))
    return PdfReader(io.BytesIO(data))


def text_of(document: PdfReader) -> str:
    return "\n".join(page.extract_text() for page in document.pages)


def test_numbers_come_from_the_notebook_and_references_lead_to_them() -> None:
    text = shown({"text/markdown": "See [Table 2](#tbl-b) and [Figure 1](#fig-a)."})
    cells = (table("tbl-a"), figure("fig-a"), table("tbl-b", number="Table 2"), table("fig-b", number="Figure 2"))
    page = html(nbformat.v4.new_markdown_cell("# Results"), text, *cells)
    captions = [caption.text for caption in page.find_all("figcaption")]
    assert captions == [
        "Table 1: A table & more",
        "Figure 1: A figure",
        "Table 2: A table & more",
        "Figure 2: A table & more",
    ]
    links = {link.text: link["href"] for link in page.select("p a")}
    assert links == {"Table 2": "#tbl-b", "Figure 1": "#fig-a"}
    for target in links.values():
        assert page.select_one(str(target)) is not None


def test_captions_stand_above_tables_and_below_figures() -> None:
    page = html(table("tbl-a"), figure("fig-a"))
    above, below = page.find_all("figure")
    assert [child.name for child in above.find_all(recursive=False)] == ["figcaption", "div"]
    assert [child.name for child in below.find_all(recursive=False)] == ["label", "figcaption"]


def test_the_page_is_self_contained_escaped_and_has_alternative_texts() -> None:
    page = html(figure("fig-a"), figure("fig-b", "Figure 2", **{"image/svg+xml": SVG, "image/png": PIXEL}))
    assert page.title is not None
    assert page.title.text == FRONT["title"]
    assert [bold.text for bold in page.find_all("b")] == ["Figure 1:", "Figure 2:"]
    images = page.find_all("img")
    assert len(images) == 2
    assert all(str(image["src"]).startswith("data:image/") and image["alt"] == "A blue rectangle" for image in images)
    assert [str(image["src"])[:14] for image in images] == ["data:image/web", "data:image/svg"]  # SVG where both are
    assert not re.search(r'(src|href)="https?:', str(page))
    assert "Not a medical device." in page.text


def test_the_pdf_has_everything_the_page_has() -> None:
    markdown = nbformat.v4.new_markdown_cell(
        "# Results\n\nSee [Table 2](#tbl-b).\n\n- one\n- two **bold** *slanted* `code`\n\n<https://example.org/a_b>"
    )
    svg = figure("fig-b", "Figure 2", **{"image/svg+xml": SVG, "image/png": PIXEL})
    document = pdf(markdown, table("tbl-a"), figure("fig-a"), svg, table("tbl-b", number="Table 2"))
    text = text_of(document)
    for part in (
        "Title & <b>",
        "A. Author",
        "1 Results",
        "See Table 2.",
        "two bold slanted code",
        "Table 1: A table & more",
        "Figure 1: A figure",
        "Figure 2: A figure",
        "Not a medical device.",
    ):
        assert part in text, part
    assert document.metadata is not None
    assert document.metadata.title == FRONT["title"]
    assert [entry["/Title"] for entry in document.outline] == ["1 Results"]
    notes = [note.get_object() for page in document.pages for note in page.get("/Annots") or []]
    targets = [note["/A"]["/URI"] for note in notes if "/A" in note]
    assert "https://example.org/a_b" in targets


def test_code_appears_in_neither_document() -> None:
    printed = nbformat.v4.new_output("stream", name="stdout", text="/home/somebody/file")
    text = nbformat.v4.new_code_cell("%%text\nsecret {{ x }}", outputs=shown({"text/markdown": "said"}).outputs)
    cells = (figure("fig-a"), text, nbformat.v4.new_code_cell("secret()", outputs=[printed]))
    page = html(*cells)
    assert len(page.select("pre.code")) == 4  # hidden until the switch shows it
    for code in page.select(".code"):
        code.decompose()
    for said in (page.text, text_of(pdf(*cells))):
        assert "said" in said
        assert not re.search("secret|%%|somebody", said)


def test_a_notebook_s_own_styles_and_captions_stay_there() -> None:
    styled = table("tbl-a")
    styled.outputs[0].data["text/html"] = "<style>td{color:red}</style>" + styled.outputs[0].data["text/html"]
    caption = shown({"text/markdown": "*A table*"}, is_caption=True)
    page = html(caption, styled)
    assert len(page.find_all("style")) == 2  # that of the page and its fonts
    assert "color:red" not in str(page)
    assert page.text.count("A table") == 1


def test_headings_stand_below_the_title_and_in_the_contents() -> None:
    page = html(nbformat.v4.new_markdown_cell("# A & b\n\n## Part\n\n# A & b"))
    assert [(head.name, head.text.removesuffix("#")) for head in page.find_all(["h1", "h2", "h3"])] == [
        ("h1", FRONT["title"]),
        ("h2", "A & b"),
        ("h3", "Part"),
        ("h2", "A & b"),
    ]
    assert [link["href"] for link in page.select("nav a")] == ["#section-a-b", "#section-a-b-2"]
    assert {element["id"] for element in page.select("h2, h3")} == {"section-a-b", "section-part", "section-a-b-2"}
    assert [link["href"] for link in page.select("h3 .permalink")] == ["#section-part"]


def test_the_page_s_policy_admits_its_own_style() -> None:
    page, _ = get_exporter("lab-html")().from_notebook_node(notebook())
    style = re.search(r"<style[^>]*>(.*?)</style>", page, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in page


def test_special_characters_reach_both_documents() -> None:
    cells = (table("tbl-a", text=SPECIAL.replace("&", "&amp;").replace("<", "&lt;")),)
    assert SPECIAL in html(*cells).text
    assert SPECIAL.replace(" ", "") in re.sub(r"\s", "", text_of(pdf(*cells)))


def test_a_long_table_runs_over_pages_and_repeats_its_head() -> None:
    document = pdf(table("tbl-a", rows=180))
    assert len(document.pages) >= 3
    assert all("Class" in page.extract_text() for page in document.pages[1:])


def test_much_of_everything_is_typeset_as_accessible_pdf() -> None:
    names = [SPECIAL, "x" * 60, "a name of sixty characters, with words in it, and then more"]
    wide = "".join(f'<th scope="col" class="text">{html_escape(names[place % 3])}</th>' for place in range(12))
    head = f"<table><thead><tr>{wide}</tr></thead><tbody><tr>{wide.replace('th', 'td')}</tr></tbody></table>"
    svg = {"image/svg+xml": SVG.replace("30", "160")}
    cells = [figure(f"fig-{number}", f"Figure {number}", **svg) for number in range(1, 31)]
    wide_table = captioned({"text/html": head}, "tbl-wide", "Table 1", SPECIAL)
    document = pdf(*cells, wide_table, table("tbl-long", rows=120, number="Table 2"))
    text = text_of(document)
    assert all(f"Figure {number}:" in text for number in range(1, 31))
    assert 8 < len(document.pages) < 20
    root = document.trailer["/Root"]
    assert b"<pdfuaid:part>1</pdfuaid:part>" in root["/Metadata"].get_object().get_data()
    fonts = {
        str(font["/BaseFont"]) for page in document.pages for font in (page["/Resources"].get("/Font") or {}).values()
    }
    assert {"NewCM10", "NotoSansSC", "DejaVuSans"} <= {name.split("+")[-1].split("-")[0] for name in fonts}


def test_a_missing_image_is_said_to_be_missing() -> None:
    markdown = nbformat.v4.new_markdown_cell("![gone](nowhere.png)")
    assert "missing image: gone" in text_of(pdf(markdown))


def test_a_reference_to_nothing_is_visible() -> None:
    assert "??" in html(nbformat.v4.new_markdown_cell("See [Figure 1](#fig-none).")).text


def test_a_report_without_a_title_block_is_refused() -> None:
    with pytest.raises(LabError, match="no title block; was it executed to its end"):
        get_exporter("lab-html")().from_notebook_node(nbformat.v4.new_notebook(cells=[table("tbl-a")]))


def test_names_of_other_scripts_are_drawn_wherever_the_page_is_read() -> None:
    page = html(table("tbl-a", text="फेफड़ों में संक्रमण"))
    styles = [str(style.string) for style in page.find_all("style")]
    assert len(styles) == 2
    assert 'font-family:"Lab Scripts"' in styles[1]
    assert '"Lab Scripts", serif' in styles[0]
    policy = str(page.select_one("meta[http-equiv]"))
    assert "font-src data:" in policy
    for style in styles:  # each is admitted by its hash
        assert base64.b64encode(hashlib.sha256(style.encode()).digest()).decode() in policy
    document = pdf(table("tbl-a", text="फेफड़ों में संक्रमण"))
    names = {str(font["/BaseFont"]) for sheet in document.pages for font in sheet["/Resources"]["/Font"].values()}
    assert any("NotoSansDevanagari" in name for name in names)


def test_a_long_word_ends_at_the_margin() -> None:
    document = pdf(nbformat.v4.new_markdown_cell("W" * 150), table("tbl-a", text="W" * 60))
    lines = [line for line in text_of(document).replace("\u200b", "").splitlines() if line.startswith("WW")]
    assert len(lines) > 4
    assert all(line.count("W") < 60 for line in lines)


def test_a_short_list_is_not_divided_by_a_page() -> None:  # with a figure between its parts, PDF/UA-1 forbids it
    items = "\n".join(f"- item {number}" for number in range(8))
    document = pdf(nbformat.v4.new_markdown_cell("\n\n".join(["above", *["filled"] * 32, items])))
    first, second, *_ = (page.extract_text() for page in document.pages)
    assert "filled" in first
    assert "item" not in first
    assert all(f"item {number}" in second for number in range(8))


def test_what_the_user_has_set_for_other_notebooks_does_not_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = tmp_path / "data" / "nbconvert" / "templates" / "base" / "display_priority.j2"
    template.parent.mkdir(parents=True)
    template.write_text("somebody's template")
    (tmp_path / "jupyter_nbconvert_config.py").write_text(
        "c.TemplateExporter.template_name = c.HTMLExporter.template_name = 'classic'\n"
        "c.TemplateExporter.exclude_output = c.TemplateExporter.exclude_markdown = True\n"
        "c.LabHTMLExporter.template_name = 'classic'\n"
        "c.HTMLExporter.embed_images = False\n"
        "c.Exporter.preprocessors = ['nowhere.Preprocessor']\n"
    )
    source = tmp_path / "report.ipynb"
    nbformat.write(notebook(figure("fig-a")), source)
    expected = str(html(figure("fig-a")))
    monkeypatch.setenv("JUPYTER_CONFIG_DIR", str(tmp_path))
    monkeypatch.setenv("JUPYTER_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("JUPYTER_PREFER_ENV_PATH", "0")  # as outside a virtual environment
    app = NbConvertApp(log_level=50)
    app.initialize(["--to", "lab-html", "--output-dir", str(tmp_path / "out"), str(source)])
    assert app.config.HTMLExporter.template_name == "classic"
    app.start()
    assert (tmp_path / "out" / "report.html").read_text() == expected
