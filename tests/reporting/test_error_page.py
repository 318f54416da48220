"""The gallery of errors: what it shows, where its links lead, and what it says of many errors and of none."""

from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pandas as pd
import pytest
from bs4 import BeautifulSoup

from lab_utils.core.config import Protocol, Scenario
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset
from lab_utils.data.labelled import LabelledImages
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.runs import Run
from lab_utils.reporting import error_page
from lab_utils.reporting.error_page import write_error_page
from tests.conftest import SCENARIOS

NAMES = ["a b/<b>&\"'#?%.png", "../ß\u202e.png", "c/50%25 | x.dcm", "d/right.png"]


def write_run(folder: Path, scenario: str, probabilities: list[float]) -> Run:
    """A run that gives the class "x" these probabilities; the true class of every image is "y_z"."""
    manifest = pd.DataFrame({"image_id": NAMES, "group": range(4), "class": "y_z"})
    pairs = np.column_stack([probabilities, 1 - np.array(probabilities)])
    folder.mkdir(parents=True)
    predictions_table(manifest, ["x", "y_z"], pairs).to_csv(folder / "predictions.csv", index=False)
    protocol = Protocol(name="described", title="described")
    return Run(protocol, Scenario(name=scenario, title="<i>", trainable_convs=0), 0, folder)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, BeautifulSoup, list[str]]:
    """The page of a run with three errors and of one without any, and its sentences."""
    images = np.random.default_rng(0).integers(0, 255, (4, 32, 32), np.uint8)
    manifest = pd.DataFrame({"image_id": NAMES, "class": "y_z", "split": "validation", "group": range(4)})
    data = LabelledImages(images, manifest, ("x", "y_z"), "key", tmp_path)
    wrong = write_run(tmp_path / "wrong", "fc_only", [0.6, 0.9, 0.8, 0.1])
    right = write_run(tmp_path / "right", "last_conv", [0.1, 0.2, 0.3, 0.4])
    page, maps = tmp_path / "workspace" / "report" / "errors.html", {NAMES[1]: np.ones((7, 7), np.float32)}
    shown = write_error_page(page, [(wrong, maps), (right, {})], data, tmp_path / "my images", ["Not for diagnosis."])
    assert shown == min(3, error_page.MOST)
    soup = BeautifulSoup(page.read_text(encoding="utf-8"), "html.parser")
    return page, soup, [" ".join(line.get_text().split()) for line in soup.select("main p")]


def test_errors_are_shown_with_the_surest_first(written: tuple[Path, BeautifulSoup, list[str]]) -> None:
    _, soup, said = written
    assert [heading.text for heading in soup.select("h2")] == ["Scenario fc_only", "Scenario last_conv"]
    assert "3 of 4 validation images are classified wrongly." in said
    assert "All 4 validation images are classified correctly." in said
    assert "An image without a map was not audited, or Grad-CAM is not possible for the network." in said
    cells = [[cell.get_text() for cell in card.select("tr :is(th, td.number)")] for card in soup.select("article")]
    assert [row[1].replace("\xa0", " ") for row in cells] == ["90.0 %", "80.0 %", "60.0 %"]
    assert [cells[0][0], cells[0][2], cells[0][3].replace("\xa0", " ")] == ["predicted: x", "true: y z", "10.0 %"]
    assert [len(card.select("img")) for card in soup.select("article")] == [2, 1, 1]
    assert not soup.select("b, i, script")


def test_links_lead_to_the_files_outside_the_workspace_too(written: tuple[Path, BeautifulSoup, list[str]]) -> None:
    page, soup, _ = written
    links = [unquote(link["href"]) for link in soup.select("article a")]
    places = [(page.parent / link).resolve() for link in links]
    assert places == [(page.parents[2] / "my images" / NAMES[place]).resolve() for place in (1, 2, 0)]
    assert not any(set(link["href"]) & set(" <>\"'#?|") for link in soup.select("article a"))


def test_many_errors_are_cut_with_a_sentence(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(error_page, "MOST", 2)
    _, soup, said = request.getfixturevalue("written")
    assert len(soup.select("article")) == 2
    assert (
        "3 of 4 validation images are classified wrongly. The 2 errors of the highest probability are shown. "
        "The file predictions.csv of the run described/fc_only/seed-0 has every prediction."
    ) in said


def test_the_pipeline_writes_the_page_and_the_report_links_it(finished: tuple[Path, Path], report: Path) -> None:
    workspace = Workspace.open(str(finished[0]))
    soup = BeautifulSoup((report / "errors.html").read_text(encoding="utf-8"), "html.parser")
    assert [heading.text for heading in soup.select("h2")] == [f"Scenario {name}" for name in SCENARIOS]
    folders = [workspace.run("described", name, 0) for name in SCENARIOS]
    tables = [pd.read_csv(folder / "predictions.csv") for folder in folders]
    classes = list(load_dataset(workspace).classes)
    wrong = [
        (table[[f"p_{name}" for name in classes]].idxmax(axis=1) != "p_" + table["y_true"]).sum() for table in tables
    ]
    assert [len(section.select("article")) for section in soup.select("section")] == wrong
    assert len(soup.select("article img")) == 2 * sum(wrong), "every error has its Grad-CAM map"
    links = [link["href"] for link in soup.select("article a")]
    assert all((workspace.root / "report" / unquote(link)).is_file() for link in links)
    page = BeautifulSoup((report / "lab_report.html").read_text(encoding="utf-8"), "html.parser")
    assert page.select('a[href="errors.html"]')
