"""nbconvert exporters for the report: an HTML page, and the PDF of that page.

``jupyter nbconvert --to lab-html`` and ``--to lab-pdf`` find them by entry point.
"""

import base64
import io
import re
from collections.abc import Mapping
from copy import deepcopy
from itertools import chain, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import typst
from bs4 import BeautifulSoup
from jupyter_core.paths import ENV_JUPYTER_PATH
from nbconvert.exporters.html import HTMLExporter
from nbformat import NotebookNode
from PIL import Image

from lab_utils.core.catalogue import shown_in
from lab_utils.core.errors import LabError
from lab_utils.reporting import fonts
from lab_utils.reporting.exhibits import NOT_A_DEVICE
from lab_utils.reporting.policy import content_policy

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "templates"
TEMPLATE = "lab_report"
UNNUMBERED = re.compile("Summary|References|Appendix")  # headings; the sections of the write-up have its numbers


class LabHTMLExporter(HTMLExporter):
    """The report as one self-contained HTML page; its code is hidden until a switch shows it."""

    export_from_notebook = "Lab report (HTML)"
    embed_images = exclude_anchor_links = True
    is_web = True
    template_name, extra_template_basedirs = TEMPLATE, [str(TEMPLATES)]

    def __init__(self, config: Any = None, **options: Any) -> None:
        """Leave out `config`: the user's settings for other notebooks."""
        super().__init__(**options)

    def get_prefix_root_dirs(self) -> list[str]:
        """Find nbconvert's templates in this environment, before those of the user."""
        return [*ENV_JUPYTER_PATH, *super().get_prefix_root_dirs()]

    def from_notebook_node(
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """Render the page.

        Raises
        ------
        LabError
            If the notebook has no title block.
        """
        nb = deepcopy(nb)
        nb.metadata["front"] = self.front(nb)
        page, resources = super().from_notebook_node(nb, resources, **options)
        soup = BeautifulSoup(page, "html.parser")
        _outline(soup)
        if "run" in nb.metadata["front"]:
            _link_data(soup, nb.metadata["front"]["run"])
        for label in _mark_lost_references(soup):
            self.log.warning("no figure or table is labelled %r", label)
        if self.is_web:
            _embed_fonts(soup)
            _compress_photographs(soup)
        _forbid_everything_else(soup)
        return str(soup), resources

    def front(self, nb: NotebookNode) -> dict[str, Any]:
        """Return the title block: title, author, date and notices."""
        outputs = [output.get("metadata", {}) for cell in nb.cells for output in cell.get("outputs", [])]
        found = next((meta["front"] for meta in outputs if "front" in meta), None)
        if found is None:
            raise LabError("the report has no title block; was it executed to its end?")
        return dict(found)


class LabPageExporter(LabHTMLExporter):
    """Another notebook as a page like the report, with its code and all its outputs."""

    export_from_notebook = ""  # in no menu

    def front(self, nb: NotebookNode) -> dict[str, Any]:
        """Take the title from the first heading, and prepare the cells for a page."""
        for output in [output for cell in nb.cells for output in cell.get("outputs", [])]:
            output.output_type = output.output_type.replace("execute_result", "display_data")
        first = next(cell for cell in nb.cells if cell.cell_type == "markdown")
        first.source = first.source.replace("../docs/glossary.md", "../glossary.html")
        title, _, first.source = first.source.removeprefix("# ").partition("\n")
        return {"title": title, "author": "", "date": "", "notices": [NOT_A_DEVICE], "is_page": True}


def _outline(soup: BeautifulSoup) -> None:
    """Put the headings of the notebook below the title, and fill in the table of contents."""
    contents = soup.new_tag("ol")
    taken: set[str] = set()
    for heading in soup.select("main > :is(h1, h2, h3)"):
        title, is_section = heading.get_text(), heading.name == "h1"
        heading.name = f"h{int(heading.name[1]) + 1}"
        heading["id"] = identifier = _identifier(title, taken)
        if is_section:
            if UNNUMBERED.match(title):
                heading["class"] = "unnumbered"
            entry, link = soup.new_tag("li"), soup.new_tag("a", href=f"#{identifier}")
            link.string = title
            entry.append(link)
            contents.append(entry)
        permalink = soup.new_tag(
            "a", attrs={"class": "permalink", "href": f"#{identifier}", "aria-label": "Link to this section"}
        )
        permalink.string = "#"
        heading.append(permalink)
    nav = soup.select_one("nav")
    if nav is not None:
        nav.append(contents)


def _identifier(title: str, taken: set[str]) -> str:
    """Return the address of a heading, which stays the same while its words do."""
    words = "-".join(["section", *re.findall(r"\w+", title.lower())])
    place = next(name for name in chain([words], (f"{words}-{number}" for number in count(2))) if name not in taken)
    taken.add(place)
    return place


def _mark_lost_references(soup: BeautifulSoup) -> list[str]:
    """Show references to absent figures, tables and entries as "??", and return their labels."""
    labels = {str(element["id"]) for element in soup.find_all(id=True)}
    links = soup.select('a[href^="#fig-"], a[href^="#tbl-"], a[href^="#ref-"]')
    lost = [link for link in links if str(link["href"])[1:] not in labels]
    for link in lost:
        link.string = "??"
    return [str(link["href"])[1:] for link in lost]


def _link_data(soup: BeautifulSoup, run: Mapping[str, Any]) -> None:
    """Put links to the tables that a figure or a table shows into its caption."""
    for figure in soup("figure"):
        label, links = str(figure["id"]), soup.new_tag("span", attrs={"class": "sources"})
        for table in shown_in(label):
            place = table.path.format(scenario=label.removeprefix("fig-curves-"), **run)
            link = soup.new_tag("a", href=f"../{quote(place)}")
            link.string = place.rpartition("/")[2]
            links.extend([" ", link])
        if links.contents and figure.figcaption is not None:
            figure.figcaption.append(links)


def _embed_fonts(soup: BeautifulSoup) -> None:
    """Bring the glyphs of names in other scripts, which the reader's machine may lack."""
    css = fonts.web_fonts(soup.get_text())
    if css and soup.head is not None:
        style = soup.new_tag("style")
        style.string = css
        soup.head.append(style)


def _compress_photographs(soup: BeautifulSoup) -> None:
    """Encode PNG as WebP, which takes a fifth of the place."""
    for element, name in [*((image, "src") for image in soup("img")), *((one, "srcset") for one in soup("source"))]:
        data = re.fullmatch(r"data:image/png;base64,(.*)", str(element.get(name, "")), re.DOTALL)
        if data:
            file = io.BytesIO()
            Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGB").save(file, "WEBP", quality=80)
            element[name] = f"data:image/webp;base64,{base64.b64encode(file.getvalue()).decode()}"


def _forbid_everything_else(soup: BeautifulSoup) -> None:
    """Let the page forbid scripts and styles other than its template's, and everything remote."""
    for element in soup.select("main :is(style, script)"):
        element.decompose()
    styles, scripts = ([element.decode_contents() for element in soup(name)] for name in ("style", "script"))
    policy = content_policy(styles, scripts)
    if soup.head is not None:
        soup.head.insert(0, soup.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": policy}))


class LabPDFExporter(LabHTMLExporter):
    """The same page as tagged PDF/UA-1, typeset by Typst (a wheel: no TeX, no browser)."""

    export_from_notebook = "Lab report (PDF)"
    output_mimetype, file_extension, template_extension = "application/pdf", ".pdf", ".html.j2"
    is_web = False

    def from_notebook_node(  # type: ignore[override]  # a PDF is bytes
        self, nb: NotebookNode, resources: dict[str, Any] | None = None, **options: Any
    ) -> tuple[bytes, dict[str, Any]]:
        """Render the page, then typeset it."""
        page, resources = super().from_notebook_node(nb, resources, **options)
        return self.typeset(page), resources

    def typeset(self, page: str) -> bytes:
        """Typeset an HTML page of the report's template.

        Text reaches Typst as XML and is never part of its source, so that no character can break it.

        Raises
        ------
        LabError
            With Typst's message.
        """
        soup = BeautifulSoup(page, "html.parser")
        body = soup.body
        if body is None or body.main is None:
            raise LabError("the report's template has no <main>")
        for element in body.select("style, script, input, source, .switch, .code, .permalink, .sources"):
            element.decompose()
        with TemporaryDirectory() as folder:
            root = Path(folder)
            for place, image in enumerate(body("img")):
                data = re.fullmatch(r"data:image/([a-z]+)[^;]*;base64,(.*)", str(image.get("src", "")), re.DOTALL)
                image["src"] = f"{place}.{data[1]}" if data else ""
                if data:
                    (root / f"{place}.{data[1]}").write_bytes(base64.b64decode(data[2]))
            xml = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f]", "", body.decode(formatter="minimal"))
            (root / "article.xml").write_text(xml, encoding="utf-8")
            (root / "article.typ").write_bytes((TEMPLATES / TEMPLATE / "article.typ").read_bytes())
            try:
                return self._compile(root / "article.typ")
            except typst.TypstError as error:
                raise LabError(f"the PDF could not be typeset: {error.diagnostic or error}") from error

    def _compile(self, source: Path) -> Any:
        families = typst.Fonts(include_system_fonts=False, font_paths=fonts.folders())
        compiler = typst.Compiler(source, root=source.parent, font_paths=families)
        try:
            return compiler.compile(format="pdf", pdf_standards=["ua-1"])
        except typst.TypstError as error:
            if "PDF/UA-1" not in str(error.diagnostic):
                raise
            self.log.warning("not accessible as PDF/UA-1 asks, written without the claim: %s", error.diagnostic)
            return compiler.compile(format="pdf")
