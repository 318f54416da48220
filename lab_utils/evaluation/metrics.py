"""Scores of predictions, and the classification report in the write-up's form."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    confusion_matrix,
    f1_score,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from lab_utils.core.errors import LabError
from lab_utils.evaluation.calibration import brier, calibration_error, reliability
from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of
from lab_utils.evaluation.runs import Run

SPECIFICITY = 0.95  # at which sensitivities are given
SUMMARY = ("accuracy", "macro avg", "weighted avg")


def classification_report(predictions: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class, then accuracy and the averages.

    Parameters
    ----------
    predictions : DataFrame
        As of `lab_utils.evaluation.predictions.predictions_table`.

    Returns
    -------
    DataFrame
        Columns class, precision, recall, f1 (fractions in [0, 1]), support (images). The row "accuracy" has the
        accuracy in f1 and nothing in precision and recall, as in scikit-learn's report, after which this is made. What
        is undefined (a class never predicted) counts as 0.
    """
    truth, guess, classes = predictions["y_true"], predicted_of(predictions), classes_of(predictions)
    columns = precision_recall_fscore_support(truth, guess, labels=classes, zero_division=0)
    table = pd.DataFrame(dict(zip(("precision", "recall", "f1", "support"), columns, strict=True)))
    table.insert(0, "class", classes)
    rows = [
        {
            "class": "accuracy",
            "precision": np.nan,
            "recall": np.nan,
            "f1": accuracy_score(truth, guess),
            "support": len(truth),
        }
    ]
    for average in ("macro", "weighted"):
        precision, recall, f1, _ = precision_recall_fscore_support(
            truth, guess, labels=classes, average=average, zero_division=0
        )
        rows.append(
            {"class": f"{average} avg", "precision": precision, "recall": recall, "f1": f1, "support": len(truth)}
        )
    return pd.concat([table, pd.DataFrame(rows)], ignore_index=True).astype({"support": int})


def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row of scores.

    Returns
    -------
    DataFrame
        Columns images, accuracy, macro_f1, weighted_f1, majority (accuracy of always naming the commonest class), ece
        (expected calibration error), brier (Brier's score, 0 to 2).
    """
    truth, guess, classes = predictions["y_true"], predicted_of(predictions), classes_of(predictions)
    row = {
        "images": len(truth),
        "accuracy": accuracy_score(truth, guess),
        "macro_f1": f1_score(truth, guess, labels=classes, average="macro", zero_division=0),
        "weighted_f1": f1_score(truth, guess, labels=classes, average="weighted", zero_division=0),
        "majority": truth.value_counts(normalize=True).iloc[0],
        "ece": calibration_error(reliability(predictions)),
        "brier": brier(predictions),
    }
    return pd.DataFrame([row])


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of every pair of classes: columns y_true, y_pred, images."""
    classes = classes_of(predictions)
    counts = confusion_matrix(predictions["y_true"], predicted_of(predictions), labels=classes)
    pairs = [(true, guess) for true in classes for guess in classes]
    return pd.DataFrame({"y_true": [p[0] for p in pairs], "y_pred": [p[1] for p in pairs], "images": counts.ravel()})


def operating_points(predictions: pd.DataFrame) -> pd.DataFrame:
    """Each class against all others: areas under the curves, and what is found at a specificity of 95 %.

    Returns
    -------
    DataFrame
        Columns class, auc (area under the ROC curve), average_precision, sensitivity (at that specificity);
        missing where a class or all others are absent. By scikit-learn.
    """
    probabilities, rows = probabilities_of(predictions), []
    for place, name in enumerate(classes_of(predictions)):
        truth, score = (predictions["y_true"] == name).to_numpy(), probabilities[:, place]
        if truth.all() or not truth.any():
            rows.append((name, np.nan, np.nan, np.nan))
            continue
        false_positive, sensitivity, _ = roc_curve(truth, score)
        reached = float(sensitivity[false_positive <= 1 - SPECIFICITY].max())
        rows.append((name, roc_auc_score(truth, score), average_precision_score(truth, score), reached))
    return pd.DataFrame(rows, columns=["class", "auc", "average_precision", "sensitivity"])


def times(runs: Iterable[Run]) -> pd.DataFrame:
    """Seconds of each run.

    Returns
    -------
    DataFrame
        Columns protocol, scenario, seed, extraction (seconds of the pass over the images that computed
        the features), shared (how many scenarios' features that one pass computed), training (seconds of all epochs),
        plain (what the same training would take if every epoch ran the frozen part too, at the rate of TensorFlow's
        forward pass as measured when the features were computed: an estimate).
    """
    rows = []
    for run in runs:
        seconds = run.record["seconds"]
        if "plain" not in seconds:
            raise LabError(f"{run.folder / 'run.json'}: of another version of the lab; run stage 30_train again")
        rows.append(
            {
                **run.labels(),
                **{name: seconds[name] for name in ("extraction", "shared", "training", "plain")},
            }
        )
    return pd.DataFrame(rows)


def over_runs(runs: Iterable[Run], measure: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """`measure` of every run's predictions, under the columns protocol, scenario, seed."""
    return pd.concat([run.labelled(measure(run.predictions())) for run in runs], ignore_index=True)
