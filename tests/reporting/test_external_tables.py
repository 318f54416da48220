import pandas as pd

from lab_utils.reporting import tables
from tests.reporting.conftest import ONE, TWO
from tests.reporting.test_external_figures import TITLES, means


def test_tables_of_outside_collections_name_both_ways_of_judging() -> None:
    of_first = means().query("collection == 'first'")
    scores = tables.external_scores(of_first, [ONE, TWO], TITLES["first"])
    rows = scores.frame.map(lambda cell: str(cell).replace("\N{NO-BREAK SPACE}", " ")).to_numpy().tolist()
    accuracies = ["90.0 % [85.0, 95.0]", "50.0 % [40.0, 70.0]", "50.0 % [40.0, 70.0]"]
    assert rows[0] == ["S1", "all", *accuracies, "0.500 [0.400, 0.700]"]
    assert [row[:2] for row in rows] == [["S1", "all"], ["S1", "shared"], ["S2", "all"], ["S2", "shared"]]
    assert scores.label == "tbl-external-first"
    assert "a <hospital>" in scores.caption
    areas = tables.external_areas(of_first, ONE, TITLES["first"]).frame
    assert areas["Against"].tolist() == ["all others", "c"]
    assert areas["Class"].unique().tolist() == ["a b"]
    assert areas["AUC"].unique().tolist() == ["0.500 [0.400, 0.700]"]
    assert areas["AUC inside"].unique().tolist() == ["0.900 [0.850, 0.950]"]


def test_a_label_that_is_left_out_has_no_class() -> None:
    counts = {"collection": "x", "title": "t", "label": ["<x>", "y"], "class": ["a_b", ""], "images": 3, "copies": 2}
    shown = tables.external_images(pd.DataFrame({**counts, "unreadable": 1, "judged": 0}))
    assert shown.frame["Class"].tolist() == ["a b", "none"]
    assert "&lt;x&gt;" in shown.to_html()
