import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import classification_report as sklearn_report

from lab_utils.evaluation.metrics import (
    classification_report,
    confusion,
    curve_summary,
    extremes,
    scores,
)
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
    assert score["confidence"] == 1


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


@pytest.mark.parametrize("guess", [["a", "a"], ["a", "c"]])
def test_a_class_that_is_never_predicted_counts_as_zero_and_one_without_images_not_at_all(guess: list[str]) -> None:
    table = predictions(["a", "b"], guess)
    report = by_class(classification_report(table))
    assert report.loc["c", ["precision", "recall", "f1"]].isna().all()
    assert report.loc["c", "support"] == 0
    assert report.loc["b", ["precision", "recall", "f1", "support"]].tolist() == [0, 0, 0, 1]
    assert report.loc["accuracy", "f1"] == 0.5
    assert report.loc["macro avg", "f1"] == scores(table)["macro_f1"][0] == report.loc[["a", "b"], "f1"].mean()
    assert "c" not in extremes(table)[["lowest_class", "highest_class"]].to_numpy()


def test_confusion_counts_every_pair() -> None:
    pairs = confusion(predictions(["a", "a", "b"], ["a", "b", "b"])).set_index(["y_true", "y_pred"])["images"]
    assert len(pairs) == 9
    assert pairs.sum() == 3
    assert (pairs["a", "a"], pairs["a", "b"], pairs["b", "b"], pairs["c", "c"]) == (1, 1, 1, 0)


def test_a_class_with_the_name_of_a_summary_row_keeps_its_scores() -> None:
    table = predictions(["a", "a", "b"], ["a", "b", "b"]).replace({"y_true": {"a": "accuracy"}})
    report = classification_report(table.rename(columns={"p_a": "p_accuracy"}))
    assert report["class"].tolist() == ["accuracy", "b", "c", "accuracy", "macro avg", "weighted avg"]
    assert report["support"].tolist() == [2, 1, 0, 3, 3, 3]
    assert report["recall"].iloc[0] == 0.5


def test_the_easiest_and_the_hardest_class() -> None:
    table = extremes(predictions(["a", "a", "a", "b", "b", "c"], ["a", "a", "b", "b", "c", "c"])).set_index("measure")
    assert table.loc["f1"].tolist() == ["b", 0.5, "a", pytest.approx(0.8)]
    assert table.loc["recall", ["lowest_class", "highest_class"]].tolist() == ["b", "c"]


def test_curves_are_summed_up() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "accuracy": [0.5, 0.7, 0.95],
            "val_accuracy": [0.4, 0.9, 0.8],
            "loss": [1.0, 0.5, 0.25],
            "val_loss": [1.5, 0.75, 0.875],
        }
    )
    (row,) = curve_summary(history).to_dict("records")
    assert row == pytest.approx(
        {
            "epochs": 3,
            "first_accuracy": 0.4,
            "best_epoch": 2,
            "best_accuracy": 0.9,
            "final_accuracy": 0.8,
            "final_loss": 0.875,
            "final_train_accuracy": 0.95,
            "final_train_loss": 0.25,
            "tail": 3,
            "accuracy_range": 0.5,
            "gap": 0.15,
        }
    )


def test_oscillation_is_that_of_the_last_ten_epochs() -> None:
    values = [0.1, 0.9, *[0.5, 0.6] * 5]
    history = pd.DataFrame({"epoch": range(1, 13), "val_accuracy": values, "accuracy": 0.55})
    row = curve_summary(history.assign(loss=1.0, val_loss=1.0)).iloc[0]
    assert (row["tail"], row["best_epoch"]) == (10, 2)
    assert row["accuracy_range"] == pytest.approx(0.1)
    assert row["gap"] == pytest.approx(-0.05), "validation may be above training"
