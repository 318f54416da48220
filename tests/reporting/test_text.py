import nbformat
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbclient import NotebookClient
from nbconvert.filters import markdown2html

from lab_utils.core.errors import LabError
from lab_utils.reporting import exhibits
from lab_utils.reporting.exhibits import NBSP, ReportTable
from lab_utils.reporting.text import parts, render

HOSTILE = r"<script>alert(1)</script> [a](javascript:alert(1)) {{ 7 * 7 }} {% raw %} *b* `c` $x$"


@pytest.fixture(autouse=True)
def fresh_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhibits, "_numbers", {})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{{ 0.8714 | percent }}", f"87.1{NBSP}%"),
        ("{{ 0.8714 | percent(0) }}", f"87{NBSP}%"),
        ("A level of 95 %", f"A level of 95{NBSP}%"),
        ("{{ -0.021 | points }}", "−2.1"),
        ("{{ 12698 | count }}", "12,698"),
        ("{{ -1.5 | number }}", "−1.50"),
        (
            "{{ 2.369 | seconds }}, {{ 14 | seconds }}, {{ 1234.5 | seconds }}",
            f"2.37{NBSP}s, 14.0{NBSP}s, 1,234{NBSP}s",
        ),
        ("{{ {'value': 0.861, 'low': 0.84, 'high': 0.881} | interval }}", f"86.1{NBSP}% [84.0, 88.1]"),
        ("{{ {'value': 0.861, 'low': missing, 'high': missing} | interval }}", f"86.1{NBSP}%"),
        (
            "{{ {'a': 0.5, 'a_low': 0.4, 'a_high': 0.6, 'low': 0, 'high': 1} | interval('a') }}",
            f"50.0{NBSP}% [40.0, 60.0]",
        ),
        ("{{ {'value': missing, 'low': missing, 'high': missing} | interval }}", "not available"),
        ("{{ {'value': 0.861, 'low': 0.84, 'high': 0.881} | number_interval(digits=2) }}", "0.86 [0.84, 0.88]"),
        ("{{ {'difference': 0.021, 'low': -0.01, 'high': 0.05} | points_interval }}", "+2.1 [−1.0, +5.0]"),
        ("{{ ['a_b', 'c', 'd'] | listing }}; {{ ['a'] | listing }}", r"a\_b, c and d; a"),
        ("{{ 'Lung_Opacity' | readable }}", "Lung Opacity"),
        ("{{ missing | percent }}", "not available"),
        ("{% for row in rows.itertuples() %}\n- {{ row | interval }}\n{% endfor %}", f"- 50.0{NBSP}% [40.0, 60.0]"),
        ("{{ rows.loc['x'] | interval }}", f"50.0{NBSP}% [40.0, 60.0]"),
        ("{{ '`x`' | code }}", "`x`"),
    ],
)
def test_values_are_written_as_in_print(text: str, expected: str) -> None:
    rows = pd.DataFrame({"value": [0.5], "low": 0.4, "high": 0.6}, index=["x"])
    assert render(text, {"rows": rows, "missing": float("nan")}) == expected


@pytest.mark.parametrize(
    "use", ["{{ name }}", "{{ [name, 'x'] | listing }}", "{{ name | readable }}", "{{ name ~ '' }}"]
)
def test_a_hostile_name_is_shown_as_it_is(use: str) -> None:
    page = BeautifulSoup(markdown2html(render(f"Classes: {use}", {"name": HOSTILE})), "html.parser")
    assert HOSTILE in page.text
    assert {element.name for element in page.find_all()} == {"p"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ nothing }}", "'nothing' is undefined; define the value in a cell above, or correct its name"),
        ("{{ nothing | count }}", "'nothing' is undefined"),
        ("{% if nothing %}x{% endif %}", "'nothing' is undefined"),
        ("{{ table.nothing }}", "has no attribute 'nothing'"),
        ("a\n{% for %}", "line 2"),
        ("{{ 'word' | percent }}", "text cell: .*; correct the text"),
        ("{{ ref('curves') }}", "expected fig- or tbl-"),
    ],
)
def test_mistakes_are_named(text: str, message: str) -> None:
    with pytest.raises(LabError, match=message):
        render(text, {"table": pd.DataFrame()})


def test_figures_and_tables_stand_in_the_text_in_their_order() -> None:
    tables = [ReportTable(pd.DataFrame({"a": [place]}), f"Table of {place}", f"tbl-{place}") for place in (1, 2)]
    text = "{% for table in tables %}\nSee {{ ref(table.label) }}.\n\n{{ table }}\n\n{% endfor %}\nThe end."
    first, one, second, two, end = parts(text, {"tables": tables})
    assert (first, second, end) == ("See [Table 1](#tbl-1).", "See [Table 2](#tbl-2).", "The end.")
    assert [one, two] == tables


def executed(*cells: str) -> nbformat.NotebookNode:
    start = "from lab_utils.reporting.text import register_magic\nregister_magic()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in (start, *cells)])
    return NotebookClient(notebook, kernel_name="python3").execute()


def test_a_text_cell_shows_markdown_with_the_notebook_s_values() -> None:
    notebook = executed("accuracy = 0.945", "%%text\nAccuracy: {{ accuracy | percent }} ({{ ref('fig-a') }}).")
    (output,) = notebook.cells[-1].outputs
    assert output.output_type == "display_data"
    assert output.data["text/markdown"] == f"Accuracy: 94.5{NBSP}% ([Figure 1](#fig-a))."
