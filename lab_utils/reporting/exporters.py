"""nbconvert exporters for the report: an HTML page, and the PDF of that page.

``jupyter nbconvert --to lab-html`` and ``--to lab-pdf`` find them by entry point.
"""

import base64
import re
from copy import deepcopy
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import typst
from bs4 import BeautifulSoup
from jupyter_core.paths import ENV_JUPYTER_PATH
from nbconvert.exporters.html import HTMLExporter
from nbformat import NotebookNode

from lab_utils.core.errors import LabError
from lab_utils.reporting import fonts
from lab_utils.reporting.policy import content_policy

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "templates"
TEMPLATE = "lab_report"


class LabHTMLExporter(HTMLExporter):
    """The report as one self-contained HTML page without scripts and code."""

    export_from_notebook = "Lab report (HTML)"
    embed_images = exclude_anchor_links = True
    embeds_fonts = True
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
        outputs = [output.get("metadata", {}) for cell in nb.cells for output in cell.get("outputs", [])]
        front = next((meta["front"] for meta in outputs if "front" in meta), None)
        if front is None:
            raise LabError("the report has no title block; was it executed to its end?")
        nb = deepcopy(nb)
        nb.metadata["front"] = front
        page, resources = super().from_notebook_node(nb, resources, **options)
        soup = BeautifulSoup(page, "html.parser")
        _outline(soup)
        for label in _mark_lost_references(soup):
            self.log.warning("no figure or table is labelled %r", label)
        if self.embeds_fonts:
            _embed_fonts(soup)
        _forbid_everything_else(soup)
        return str(soup), resources


def _outline(soup: BeautifulSoup) -> None:
    """Put the headings of the notebook below the title, and fill in the table of contents."""
    contents = soup.new_tag("ol")
    for place, heading in enumerate(soup.select("main > :is(h1, h2, h3)"), start=1):
        is_section = heading.name == "h1"
        heading.name = f"h{int(heading.name[1]) + 1}"
        heading["id"] = f"section-{place}"
        if is_section:
            entry, link = soup.new_tag("li"), soup.new_tag("a", href=f"#section-{place}")
            link.string = heading.get_text()
            entry.append(link)
            contents.append(entry)
    nav = soup.select_one("nav")
    if nav is not None:
        nav.append(contents)


def _mark_lost_references(soup: BeautifulSoup) -> list[str]:
    """Show references to absent figures and tables as "??", and return their labels."""
    labels = {str(figure.get("id")) for figure in soup("figure")}
    lost = [link for link in soup.select('a[href^="#fig-"], a[href^="#tbl-"]') if str(link["href"])[1:] not in labels]
    for link in lost:
        link.string = "??"
    return [str(link["href"])[1:] for link in lost]


def _embed_fonts(soup: BeautifulSoup) -> None:
    """Bring the glyphs of names in other scripts, which the reader's machine may lack."""
    css = fonts.web_fonts(soup.get_text())
    if css and soup.head is not None:
        style = soup.new_tag("style")
        style.string = css
        soup.head.append(style)


def _forbid_everything_else(soup: BeautifulSoup) -> None:
    """Let the page forbid scripts, styles other than its template's, and everything remote."""
    for style in soup.select("main style"):
        style.decompose()
    policy = content_policy(style.encode_contents().decode() for style in soup("style"))
    if soup.head is not None:
        soup.head.insert(0, soup.new_tag("meta", attrs={"http-equiv": "Content-Security-Policy", "content": policy}))


class LabPDFExporter(LabHTMLExporter):
    """The same page as tagged PDF/UA-1, typeset by Typst (a wheel: no TeX, no browser)."""

    export_from_notebook = "Lab report (PDF)"
    output_mimetype, file_extension, template_extension = "application/pdf", ".pdf", ".html.j2"
    embeds_fonts = False

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
        for element in body(["style", "script", "input"]):
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
