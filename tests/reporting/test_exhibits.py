from base64 import b64decode
from collections.abc import Iterator
from io import BytesIO
from typing import Any

import pandas as pd
import pytest
from bs4 import BeautifulSoup
from matplotlib import pyplot as plt
from matplotlib.figure import Figure
from nbconvert.filters import markdown2html
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.reporting import exhibits
from lab_utils.reporting.exhibits import DARK_PNG, ReportFigure, ReportTable, notices, numbered, verbatim
from lab_utils.reporting.style import panels

Outputs = list[tuple[dict[str, str], dict[str, Any]]]


@pytest.fixture
def outputs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Outputs]:
    """What a cell shows: data and metadata; numbers begin at 1."""
    shown: Outputs = []
    monkeypatch.setattr(exhibits, "_numbers", {})
    monkeypatch.setattr(exhibits, "display", lambda data, raw, metadata=None: shown.append((data, metadata or {})))
    yield shown


def test_a_table_escapes_and_formats(outputs: Outputs) -> None:
    table = pd.DataFrame({"<class>": ["<script>x</script>", "total"], "count": [12345, 1], "recall": [0.876, None]})
    ReportTable(table, "C & D", "tbl-x", {"recall": ".2f"}, foot=1)._ipython_display_()
    (caption, of_caption), (data, metadata) = outputs
    assert caption["text/markdown"] == r"*Table 1\: C \& D*"
    assert of_caption == {"is_caption": True}
    page = data["text/html"]
    assert "<script>" not in page
    assert "&lt;script&gt;x&lt;/script&gt;" in page
    assert '<th scope="col" class="text">&lt;class&gt;</th>' in page
    assert '<th scope="row" class="text">total</th>' in page
    assert '<td class="number">12,345</td><td class="number">0.88</td>' in page
    assert (
        '<tfoot><tr><th scope="row" class="text">total</th><td class="number">1</td><td class="number"></td></tr></tfoot>'
        in page
    )
    assert metadata == {"caption": "C & D", "label": "tbl-x", "number": "Table 1"}


def test_signs_in_tables_are_set_as_in_print() -> None:
    table = ReportTable(
        pd.DataFrame({"a": ["x-y"], "b": [-0.021], "c": [0.5]}), "c", "tbl-x", {"b": "+.1f", "c": ".0%"}
    )
    cells = [cell.text for cell in BeautifulSoup(table.to_html(), "html.parser").select("tbody > tr > *")]
    assert cells == ["x-y", "−0.0", "50\N{NO-BREAK SPACE}%"]


def test_a_figure_is_the_same_file_each_time(outputs: Outputs) -> None:
    for _ in range(2):
        figure, (ax,) = panels(1, 2.0, columns=1)
        ax.plot([1, 2])
        ReportFigure(figure, "c", "fig-x", "a rising line")._ipython_display_()
    (first, metadata), (caption, _), (second, _), _ = outputs
    assert first == second
    assert first["image/svg+xml"].startswith("<?xml")
    assert first["image/png"].startswith("iVBOR")  # for a notebook that is not trusted
    assert metadata.pop("image/png") == {"width": 605}
    assert metadata == {"caption": "c", "label": "fig-x", "number": "Figure 1", "alt": "a rising line"}
    assert caption["text/markdown"] == r"*Figure 1\: c*"
    assert plt.get_fignums() == []


def test_a_figure_is_drawn_once_per_format_and_keeps_its_layout_engine(
    outputs: Outputs, monkeypatch: pytest.MonkeyPatch
) -> None:
    figure, _ = panels(1, 2.0, columns=1)
    layout, draw, drawn = figure.get_layout_engine(), Figure.draw, []
    monkeypatch.setattr(Figure, "draw", lambda self, renderer: drawn.append(draw(self, renderer)))
    shown = ReportFigure(figure, "c", "fig-x", "empty axes")
    shown._ipython_display_()
    assert len(drawn) == 2
    assert figure.get_layout_engine() is layout
    shown._ipython_display_()  # as a cell does that somebody runs again
    sizes = [Image.open(BytesIO(b64decode(outputs[place][0]["image/png"]))).size for place in (0, 2)]
    assert sizes == [(945, 300)] * 2  # 6.3 by 2 inches


def test_a_photograph_is_no_svg(outputs: Outputs) -> None:
    figure, (ax,) = panels(1, 1.0)
    title = ax.set_title("title", color="#123456")
    ReportFigure(figure, "c", "fig-x", "a chest", photographic=True)._ipython_display_()
    assert set(outputs[0][0]) == {"image/png", DARK_PNG, "text/plain"}
    light, dark = (Image.open(BytesIO(b64decode(outputs[0][0][name]))) for name in ("image/png", DARK_PNG))
    assert (light.getpixel((0, 0))[:3], dark.getpixel((0, 0))[:3]) == ((255, 255, 255), (26, 26, 26))
    assert title.get_color() == "#123456"
    assert figure.get_facecolor() == (1, 1, 1, 1)


def test_labels_keep_their_numbers_in_order_of_first_mention(outputs: Outputs) -> None:
    labels = ["fig-b", "tbl-a", "fig-a", "fig-b"]
    assert [numbered(label) for label in labels] == ["Figure 1", "Table 1", "Figure 2", "Figure 1"]
    for label in ("b", "fig-", 'fig-"><script>', "tbl-a b"):
        with pytest.raises(LabError, match="expected fig- or tbl-"):
            numbered(label)


def test_phantoms_and_untrained_backbones_are_announced() -> None:
    assert any("Synthetic phantoms" in line for line in notices(synthetic=True, weights="imagenet"))
    assert any("Untrained backbone" in line for line in notices(synthetic=False, weights="random"))
    assert notices(synthetic=False, weights="imagenet") == [
        "Not a medical device: a teaching exercise, not for diagnosis."
    ]


@pytest.mark.parametrize(
    "text",
    [r"<script>alert(1)</script> & $x$ *a* _b_ [c](d) \ `e` # f ~g~ ^h^ |", "1. é 中", "- x", "https://evil.example"],
)
def test_what_is_verbatim_is_shown_as_it_is(text: str) -> None:
    page = BeautifulSoup(markdown2html(f"- {verbatim(text)}"), "html.parser")
    assert page.text.strip() == text
    assert {element.name for element in page.find_all()} <= {"ul", "li"}


def test_a_name_stays_on_its_line() -> None:
    assert verbatim("a\n\n# b\u2028c") == r"a \# b c"
