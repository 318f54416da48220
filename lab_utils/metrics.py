"""Scores of predictions, and the classification report in the write-up's form."""

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_recall_fscore_support

from lab_utils.predictions import classes_of, predicted_of
from lab_utils.runs import Run

SUMMARY = ("accuracy", "macro avg", "weighted avg")


def classification_report(predictions: pd.DataFrame) -> pd.DataFrame:
    """Precision, recall, F1 and support of each class, then accuracy and the averages.

    Parameters
    ----------
    predictions : DataFrame
        As of `lab_utils.predictions.predictions_table`.

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
    """One row: images, accuracy, macro_f1, weighted_f1, majority (accuracy of always naming the commonest class)."""
    truth, guess, classes = predictions["y_true"], predicted_of(predictions), classes_of(predictions)
    row = {
        "images": len(truth),
        "accuracy": accuracy_score(truth, guess),
        "macro_f1": f1_score(truth, guess, labels=classes, average="macro", zero_division=0),
        "weighted_f1": f1_score(truth, guess, labels=classes, average="weighted", zero_division=0),
        "majority": truth.value_counts(normalize=True).iloc[0],
    }
    return pd.DataFrame([row])


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Counts of every pair of classes: columns y_true, y_pred, images."""
    classes = classes_of(predictions)
    counts = confusion_matrix(predictions["y_true"], predicted_of(predictions), labels=classes)
    pairs = [(true, guess) for true in classes for guess in classes]
    return pd.DataFrame({"y_true": [p[0] for p in pairs], "y_pred": [p[1] for p in pairs], "images": counts.ravel()})


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
        rows.append(
            {
                **run.labels(),
                **{name: seconds[name] for name in ("extraction", "shared", "training", "plain")},
            }
        )
    return pd.DataFrame(rows)


def over_runs(runs: Iterable[Run], measure: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """`measure` of every run's predictions, under the columns protocol, scenario, seed."""
    tables = []
    for run in runs:
        table = measure(run.predictions())
        for place, (name, value) in enumerate(run.labels().items()):
            table.insert(place, name, value)
        tables.append(table)
    return pd.concat(tables, ignore_index=True)
