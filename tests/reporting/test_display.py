from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from bs4 import BeautifulSoup
from nbconvert.filters import markdown2html

from lab_utils.data.dataset import Dataset
from lab_utils.reporting import display


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """What a cell would show: data and metadata."""
    outputs: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(display, "display", lambda data, raw, metadata=None: outputs.append((data, metadata or {})))
    return outputs


def test_a_table_escapes_and_formats(shown: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    table = pd.DataFrame({"<class>": ["<script>x</script>", "total"], "count": [12345, 1], "recall": [0.876, None]})
    display.show_table(table, caption="C & D", label="tbl-x", formats={"recall": ".2f"}, foot=1)
    (caption, of_caption), (data, metadata) = shown
    assert caption["text/markdown"] == r"*C \& D*"
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
    assert metadata == {"caption": "C & D", "label": "tbl-x"}


def test_a_figure_is_the_same_file_each_time(shown: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    for _ in range(2):
        figure, ax = plt.subplots()
        ax.plot([1, 2])
        display.show_figure(figure, caption="c", label="fig-x", alt="a rising line")
    (first, metadata), _, (second, _), _ = shown
    assert first == second
    assert first["image/svg+xml"].startswith("<?xml")
    assert metadata["alt"] == "a rising line"
    assert plt.get_fignums() == []


def test_phantoms_and_untrained_backbones_are_announced() -> None:
    phantom, folder = (Dataset(kind, Path(), "", {}) for kind in ("phantom", "folder"))
    assert any("Synthetic phantoms" in line for line in display.notices(phantom, "imagenet"))
    assert any("Untrained backbone" in line for line in display.notices(folder, "random"))
    assert display.notices(folder, "imagenet") == ["Not a medical device: a teaching exercise, not for diagnosis."]


@pytest.mark.parametrize(
    "text",
    [r"<script>alert(1)</script> & $x$ *a* _b_ [c](d) \ `e` # f ~g~ ^h^ |", "1. é 中", "- x", "https://evil.example"],
)
def test_what_is_verbatim_is_shown_as_it_is(text: str) -> None:
    page = BeautifulSoup(markdown2html(f"- {display.verbatim(text)}"), "html.parser")
    assert page.text.strip() == text
    assert {element.name for element in page.find_all()} <= {"ul", "li"}
