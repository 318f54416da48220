import re

import nbformat
import pytest
from pybtex.database import parse_file

from lab_utils.core.errors import LabError
from lab_utils.reporting.references import reference_number, show_references
from lab_utils.reporting.text import cite
from tests.conftest import PROJECT

ENTRIES = parse_file(str(PROJECT / "report" / "references.bib")).entries


def test_the_report_cites_every_entry_and_no_other() -> None:
    sources = [cell.source for cell in nbformat.read(PROJECT / "report" / "lab_report.ipynb", 4).cells]
    cited = {key for keys in re.findall(r"cite\(([^)]*)\)", "".join(sources)) for key in re.findall(r'"(\w+)"', keys)}
    assert cited == set(ENTRIES)


def test_every_entry_can_be_found_by_a_reader() -> None:
    for key, entry in ENTRIES.items():
        assert {"doi", "url", "institution"} & set(entry.fields), key
        assert re.fullmatch(r"10\.\d{4,}/\S+", entry.fields.get("doi", "10.1000/x")), key


def test_citations_are_numbered_links() -> None:
    assert cite("sandler2018", "serghine2025") == r"\[[1](#ref-sandler2018), [3](#ref-serghine2025)\]"
    assert reference_number("deng2009") == 2
    with pytest.raises(LabError, match=r"no reference 'sandler2081'.*did you mean 'sandler2018'"):
        cite("sandler2081")


def test_the_list_has_authors_titles_and_addresses(capsys: pytest.CaptureFixture[str]) -> None:
    show_references()
    said = capsys.readouterr().out
    assert said.count("<li id=") == len(ENTRIES)
    assert '<li id="ref-sandler2018">Mark Sandler, Andrew Howard' in said
    assert '<a href="https://doi.org/10.1109/CVPR.2018.00474">' in said
