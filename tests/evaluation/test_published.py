import pandas as pd
import yaml

from lab_utils.evaluation.published import compare_with_published, published_supports
from tests.conftest import PROJECT

PUBLISHED = yaml.safe_load((PROJECT / "report" / "published.yaml").read_text())["scenarios"]


def test_the_supports_are_those_of_images_and_masks_together() -> None:
    for scenario in PUBLISHED.values():
        table = published_supports(scenario)
        assert table["validation"].tolist() == table["published"].tolist() == [2169, 3607, 6115, 807]
        assert (table["images_only"] < table["published"]).all()


def test_a_published_value_is_inside_or_not() -> None:
    measures = [("accuracy", ""), ("macro_f1", ""), ("precision", "a"), ("recall", "a"), ("f1", "a")]
    intervals = pd.DataFrame(
        [(measure, name, 0.9, 0.86, 0.94) for measure, name in measures],
        columns=["measure", "class", "value", "low", "high"],
    )
    report = pd.DataFrame({"class": ["a"], "support": [50]})
    published = {"accuracy": 0.85, "macro_f1": 0.95, "classes": {"a": [0.86, 0.96, 0.9, 2000], "gone": [1, 1, 1, 1]}}
    table = compare_with_published(report, intervals, published).set_index(["measure", "class"])
    assert table["inside"].tolist() == [False, False, True, False, True, None]
    assert table.loc[("accuracy", ""), "difference"] == 0.9 - 0.85
    assert table.loc[("support", "a"), ["published", "reproduced", "difference"]].tolist() == [2000, 50, -1950]
    assert "gone" not in table.index.get_level_values("class")
