import pandas as pd

from lab_utils.reporting import tables
from tests.reporting.conftest import ONE, TWO
from tests.reporting.test_external_figures import TITLES, means


def test_tables_of_outside_collections_name_both_ways_of_judging() -> None:
    scores = tables.external_scores(means(), [ONE, TWO], TITLES)
    rows = scores.frame.map(lambda cell: str(cell).replace("\N{NO-BREAK SPACE}", " ")).to_numpy().tolist()
    accuracies = ["90.0 % [85.0, 95.0]", "50.0 % [40.0, 70.0]", "50.0 % [40.0, 70.0]"]
    assert rows[0] == ["a <hospital>", "all classes", "S1", "40", *accuracies, "0.500 / 0.500"]
    assert [row[1] for row in rows] == ["all classes", "shared classes"] * 4
    assert "a &lt;hospital&gt;" in scores.to_html()
    areas = tables.external_areas(means(), ONE, TITLES).frame
    assert areas["Against"].tolist() == ["all others", "c"] * 2
    assert areas["Class"].unique().tolist() == ["a b"]
    assert areas["95 % interval"].unique().tolist() == ["0.400–0.700"]
    counts = {
        "title": "t",
        "label": ["x", "y"],
        "class": ["a_b", ""],
        "images": 3,
        "unreadable": 1,
        "copies": 2,
        "judged": 0,
    }
    images = tables.external_images(pd.DataFrame(counts))
    assert images.frame["Class"].tolist() == ["a b", "none"]
