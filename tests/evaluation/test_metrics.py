import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report as sklearn_report

from lab_utils.evaluation.metrics import classification_report, confusion, operating_points, scores
from lab_utils.evaluation.predictions import predicted_of, predictions_table

CLASSES = ["a", "b", "c"]


def predictions(truth: list[str], guess: list[str]) -> pd.DataFrame:
    manifest = pd.DataFrame(
        {"image_id": [f"{n}.png" for n in range(len(truth))], "group": range(len(truth)), "class": truth}
    )
    certain = np.array([[float(name == answer) for name in CLASSES] for answer in guess], np.float32)
    return predictions_table(manifest, CLASSES, certain)


def by_class(report: pd.DataFrame) -> pd.DataFrame:
    return report.set_index("class")


def test_a_case_counted_by_hand() -> None:
    table = predictions(["a", "a", "a", "b", "b", "c"], ["a", "a", "b", "b", "c", "c"])
    report = by_class(classification_report(table))
    assert report.loc["a", ["precision", "recall", "f1", "support"]].tolist() == pytest.approx([1, 2 / 3, 0.8, 3])
    assert report.loc["b", ["precision", "recall", "f1", "support"]].tolist() == pytest.approx([1 / 2, 1 / 2, 1 / 2, 2])
    assert report.loc["c", ["precision", "recall", "f1", "support"]].tolist() == pytest.approx([1 / 2, 1, 2 / 3, 1])
    assert report.loc["accuracy", "f1"] == pytest.approx(4 / 6)
    assert np.isnan(report.loc["accuracy", "precision"])
    assert report.loc["macro avg", "f1"] == pytest.approx((0.8 + 0.5 + 2 / 3) / 3)
    assert report.loc["weighted avg", "f1"] == pytest.approx((3 * 0.8 + 2 * 0.5 + 2 / 3) / 6)
    score = scores(table).iloc[0]
    assert (score["accuracy"], score["majority"]) == pytest.approx((4 / 6, 1 / 2))
    assert score["macro_f1"] == pytest.approx(report.loc["macro avg", "f1"])


def test_the_report_is_scikit_learn_s() -> None:
    rng = np.random.default_rng(0)
    table = predictions(*(rng.choice(CLASSES, 200).tolist() for _ in range(2)))
    expected = sklearn_report(table["y_true"], predicted_of(table), output_dict=True)
    report = by_class(classification_report(table))
    for name in [*CLASSES, "macro avg", "weighted avg"]:
        row = [expected[name][key] for key in ("precision", "recall", "f1-score", "support")]
        assert report.loc[name, ["precision", "recall", "f1", "support"]].tolist() == pytest.approx(row)
    assert report.loc["accuracy", "f1"] == pytest.approx(expected["accuracy"])


def test_all_correct() -> None:
    report = by_class(classification_report(predictions(CLASSES, CLASSES)))
    assert (report["f1"] == 1).all()


def test_a_class_that_is_absent_or_never_predicted_counts_as_zero() -> None:
    report = by_class(classification_report(predictions(["a", "b"], ["a", "a"])))
    assert report.loc["c", ["precision", "recall", "f1", "support"]].tolist() == [0, 0, 0, 0]
    assert report.loc["b", ["precision", "recall", "f1", "support"]].tolist() == [0, 0, 0, 1]


def test_confusion_counts_every_pair() -> None:
    pairs = confusion(predictions(["a", "a", "b"], ["a", "b", "b"])).set_index(["y_true", "y_pred"])["images"]
    assert len(pairs) == 9
    assert pairs.sum() == 3
    assert (pairs["a", "a"], pairs["a", "b"], pairs["b", "b"], pairs["c", "c"]) == (1, 1, 1, 0)


def test_operating_points_by_hand() -> None:
    table = predictions(["a"] * 2 + ["b"] * 40, ["a"] * 2 + ["b"] * 40)
    table["p_a"] = [0.9, 0.1] + [0.5] + [0.05] * 39
    found = operating_points(table).set_index("class")
    assert found.loc["a", "sensitivity"] == 1  # one of forty false alarms is within 5 %
    assert found.loc["a", "auc"] == pytest.approx(79 / 80)
    assert found.loc["c"].isna().all()
