import numpy as np
import pandas as pd
import pytest

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.selective import accuracy_by_coverage, accuracy_by_source


def predictions(confidence: list[float], correct: list[bool]) -> pd.DataFrame:
    count = len(confidence)
    table = pd.DataFrame({"image_id": [str(n) for n in range(count)], "group": range(count)})
    table["y_true"] = np.where(correct, "a", "b")
    return table.assign(p_a=confidence, p_b=1 - np.array(confidence))


def test_the_most_confident_images_are_answered_first() -> None:
    table = predictions([0.6, 0.7, 0.8, 0.9, 0.95] * 4, [False, False, True, True, True] * 4)
    rows = accuracy_by_coverage(table).set_index("coverage")
    assert rows.loc[1.0, ["images", "threshold", "accuracy"]].tolist() == [20, 0.6, 0.6]
    assert rows.loc[0.6, ["images", "threshold", "accuracy"]].tolist() == [12, 0.8, 1]
    assert rows.loc[0.6, ["low", "high"]].tolist() == list(wilson_interval([True] * 12, range(12)))
    assert rows.loc[0.1, "images"] == 4, "equal confidences are answered together"


def test_sources_of_twenty_images_have_their_accuracy() -> None:
    table = predictions([0.9] * 50, [True] * 15 + [False] * 35)
    manifest = pd.DataFrame({"image_id": table["image_id"], "source": ["x"] * 25 + ["y"] * 19 + [""] * 6})
    rows = accuracy_by_source(table, manifest).set_index(["source", "class"])
    assert rows.index.tolist() == [("x", ""), ("x", "a"), ("x", "b")]
    assert rows.loc[("x", ""), ["images", "accuracy"]].tolist() == [25, pytest.approx(0.6)]
    assert rows.loc[("x", "b"), ["images", "accuracy", "low"]].tolist() == [10, 0, 0]
    assert accuracy_by_source(table, manifest.assign(source="")).empty
