"""The references of the report, from report/references.bib."""

from functools import cache

from IPython.display import display

from lab_utils.core.errors import choose
from lab_utils.core.paths import project_root


@cache
def _entries() -> dict[str, str]:
    """Return every entry of the bibliography as HTML, by its key, in the order of the file."""
    from pybtex.backends.html import Backend
    from pybtex.database import parse_file
    from pybtex.style.formatting.unsrt import Style

    entries = parse_file(str(project_root() / "report" / "references.bib")).entries
    html = Backend()
    return {entry.key: entry.text.render(html) for entry in Style().format_entries(entries.values())}


def reference_number(key: str) -> int:
    """Return the number of an entry; raise LabError if the bibliography lacks it."""
    return list(_entries()).index(choose("reference", key, _entries())) + 1


def show_references() -> None:
    """Show the list of references in the order of their numbers."""
    items = "".join(f'<li id="ref-{key}">{entry}</li>' for key, entry in _entries().items())
    display({"text/html": f'<ol class="references">{items}</ol>', "text/plain": "References"}, raw=True)
