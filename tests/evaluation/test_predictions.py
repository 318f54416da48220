from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.catalogue import write_table_file
from lab_utils.core.errors import LabError
from lab_utils.evaluation.predictions import (
    classes_of,
    predicted_of,
    predictions_table,
    probabilities_of,
    read_predictions,
)


def table(classes: tuple[str, ...] = ("a", "b")) -> pd.DataFrame:
    manifest = pd.DataFrame({"image_id": ["a/1.png", "b/1.png"], "group": [0, 1], "class": list(classes)})
    return predictions_table(manifest, list(classes), np.array([[0.9, 0.1], [0.4, 0.6]], np.float32))


def test_columns_and_classes() -> None:
    assert list(table().columns) == ["image_id", "group", "y_true", "p_a", "p_b"]
    assert classes_of(table()) == ["a", "b"]
    assert predicted_of(table()).tolist() == ["a", "b"]
    assert probabilities_of(table()).shape == (2, 2)


@pytest.mark.parametrize(
    "classes", [("NA", "None"), ("p_x", "x"), ("1", "2"), ("é 中", 'a "b", c'), ("y_true", "group")]
)
def test_odd_class_names_survive_the_file(tmp_path: Path, classes: tuple[str, str]) -> None:
    write_table_file(tmp_path / "predictions.csv", "predictions", table(classes))
    back = read_predictions(tmp_path / "predictions.csv")
    assert classes_of(back) == list(classes)
    assert back["y_true"].tolist() == list(classes)
    assert predicted_of(back).tolist() == list(classes)


def test_a_missing_table_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="run stage 30_train first"):
        read_predictions(tmp_path / "predictions.csv")


def test_other_columns_are_refused(tmp_path: Path) -> None:
    table().drop(columns="group").to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(LabError, match="missing columns: group.*run stage 30_train again"):
        read_predictions(tmp_path / "predictions.csv")


def test_a_class_without_probabilities_is_refused(tmp_path: Path) -> None:
    table().replace({"y_true": {"a": "c"}}).to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(LabError, match="y_true has classes without a column p_<class>"):
        read_predictions(tmp_path / "predictions.csv")


def test_a_table_of_one_class_is_refused(tmp_path: Path) -> None:
    table().drop(columns="p_b").to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(LabError, match="two classes or more; run stage 30_train again"):
        read_predictions(tmp_path / "predictions.csv")


def test_probabilities_must_be_numbers(tmp_path: Path) -> None:
    table().assign(p_a="high").to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(LabError, match="run stage 30_train again"):
        read_predictions(tmp_path / "predictions.csv")


def test_probabilities_must_sum_to_one(tmp_path: Path) -> None:
    table().assign(p_a=0.9).to_csv(tmp_path / "predictions.csv", index=False)
    with pytest.raises(LabError, match="do not sum to 1"):
        read_predictions(tmp_path / "predictions.csv")
