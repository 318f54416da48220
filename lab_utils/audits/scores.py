"""Scores of several inputs on the same images, each paired with the score of the full image."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from lab_utils.evaluation.intervals import paired_difference, scores_with_intervals

MEASURES = {"accuracy": "accuracy", "balanced_accuracy": "balanced_accuracy", "macro_auc": "auc"}  # measure to column
SCORES = [
    *("images", "accuracy", "low", "high", "balanced_accuracy", "balanced_accuracy_low", "balanced_accuracy_high"),
    *("auc", "auc_low", "auc_high"),
]
DIFFERENCE = ["difference", "difference_low", "difference_high"]
ADULTS = ("COVID", "Lung_Opacity")  # classes of the real database whose images are all of adults


def score_columns(predictions: pd.DataFrame) -> dict[str, Any]:
    """Return the columns `SCORES` of a table of predictions."""
    row: dict[str, Any] = {"images": len(predictions)}
    scores = scores_with_intervals(predictions, list(MEASURES))
    for measure, *values in scores[["measure", "value", "low", "high"]].itertuples(index=False):
        name = MEASURES[str(measure)]
        prefix = "" if name == "accuracy" else f"{name}_"
        row |= dict(zip((name, f"{prefix}low", f"{prefix}high"), values, strict=True))
    return row


def paired_scores(predictions: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Scores of several inputs, and how far the AUC lies from that of the input "full".

    Parameters
    ----------
    predictions : mapping
        Name of the input to the predictions of the same images.

    Returns
    -------
    DataFrame
        Columns input, `SCORES`, and `DIFFERENCE` with its 95 % interval, missing for the full image.
    """
    rows = []
    for name, table in predictions.items():
        row = {"input": name, **score_columns(table)}
        if name != "full":
            row |= dict(zip(DIFFERENCE, paired_difference(table, predictions["full"], "macro_auc"), strict=True))
        rows.append(row)
    return pd.DataFrame(rows, columns=["input", *SCORES, *DIFFERENCE])
