import re

import nbformat
import pytest

from lab_utils.reporting import pages
from lab_utils.reporting.names import page_of


def test_every_notebook_has_a_page_of_its_own() -> None:
    assert page_of("notebooks/20_preprocess-described.ipynb") == "notebooks/20_preprocess-described.html"
    runs = [f"runs/{protocol}/fc_only/seed-{seed}/train.ipynb" for protocol in ("a", "b") for seed in (0, 1)]
    assert page_of(runs[1]) == "notebooks/30_train-a-fc_only-1.html"
    assert len({page_of(name) for name in runs}) == 4


def test_a_page_has_the_code_the_outputs_and_the_glossary_beside_it(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    cells = [
        nbformat.v4.new_markdown_cell("# 10 · Title & more\n\nText. [Glossary](../docs/glossary.md)"),
        nbformat.v4.new_code_cell(
            "1 < 2", outputs=[nbformat.v4.new_output("execute_result", {"text/plain": "<True>"})]
        ),
    ]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), "10_x.ipynb")
    pages.main(["10_x.ipynb"])
    page = (pages.Path("report") / "notebooks" / "10_x.html").read_text()
    assert "<h1>10 · Title &amp; more</h1>" in page
    assert "1 &lt; 2" in page
    assert "&lt;True&gt;" in page
    assert re.search('<input checked="" id="show-code"', page)
    assert 'href="../glossary.html"' in page
    assert "script-src 'sha256-" in page
    assert "Transfer learning" in (pages.Path("report") / pages.GLOSSARY).read_text()
