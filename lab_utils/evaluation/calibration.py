"""Calibration: whether a network is right as often as it is confident."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of

BINS = 15  # the number of Guo et al.


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by confidence (Guo et al., ICML 2017): table calibration of one run.

    scikit-learn's ``calibration_curve`` has the same bins, but gives neither their bounds nor their numbers of images.
    """
    confidence = probabilities_of(predictions).max(axis=1)
    correct = predicted_of(predictions) == predictions["y_true"].to_numpy()
    images = pd.DataFrame(
        {"number": bin_numbers(confidence), "confidence": confidence, "accuracy": correct.astype(float)}
    )
    bins = images.groupby("number").agg(
        images=("number", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    bins.insert(0, "bin_low", bins.index / BINS)
    bins.insert(1, "bin_high", (bins.index + 1) / BINS)
    return bins.reset_index(drop=True)


def bin_numbers(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the bin, from 0, of each confidence (N,).

    A confidence at a bound belongs to the lower bin.
    """
    return np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error: mean gap of confidence and accuracy in `reliability`."""
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gaps * bins["images"]).sum() / bins["images"].sum())


def brier_score(predictions: pd.DataFrame) -> float:
    """Brier score (Mon. Weather Rev. 78, 1950): 0 is perfect, 2 is certain and wrong.

    scikit-learn's ``brier_score_loss`` warns of probabilities in float32, whose sum differs from 1 by rounding.
    """
    truth = predictions["y_true"].to_numpy()[:, None] == np.array(classes_of(predictions), object)
    return float(((probabilities_of(predictions) - truth) ** 2).sum(axis=1).mean())
