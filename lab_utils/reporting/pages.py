"""Executed notebooks and the glossary as pages beside the report."""

import sys
from collections.abc import Sequence
from pathlib import Path

import nbformat

from lab_utils.core.files import atomic_write
from lab_utils.core.paths import project_root
from lab_utils.reporting.exporters import LabPageExporter
from lab_utils.reporting.names import page_of

GLOSSARY = "glossary.html"


def main(notebooks: Sequence[str]) -> None:
    """Write a page for each notebook, and the glossary; the working directory is the workspace."""
    exporter = LabPageExporter()
    pages = {page_of(name): nbformat.read(name, as_version=4) for name in notebooks}
    text = (project_root() / "docs" / "glossary.md").read_text(encoding="utf-8")
    pages[GLOSSARY] = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    for name, notebook in pages.items():
        page, _ = exporter.from_notebook_node(notebook)
        (Path("report") / name).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path("report") / name) as draft:
            draft.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
