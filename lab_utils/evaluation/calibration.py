"""Whether a network is right as often as it is sure."""

import numpy as np
import pandas as pd

from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of

BINS = 15  # as Guo et al. have it


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """How often the predicted class is right, by how sure the network was (Guo et al., ICML 2017, arXiv 1706.04599).

    Returns
    -------
    DataFrame
        One row per bin of confidence that has images: low, high (bounds), images, confidence and accuracy (means).
    """
    confidence = probabilities_of(predictions).max(axis=1)
    right = predicted_of(predictions) == predictions["y_true"].to_numpy()
    place = np.clip(np.ceil(confidence * BINS).astype(int) - 1, 0, BINS - 1)
    table = pd.DataFrame({"bin": place, "confidence": confidence, "accuracy": right.astype(float)})
    found = table.groupby("bin").agg(
        images=("bin", "size"), confidence=("confidence", "mean"), accuracy=("accuracy", "mean")
    )
    found.insert(0, "low", found.index / BINS)
    found.insert(1, "high", (found.index + 1) / BINS)
    return found.reset_index(drop=True)


def calibration_error(bins: pd.DataFrame) -> float:
    """Expected calibration error of a table of `reliability`: the gap between confidence and accuracy, over images."""
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    return float((gaps * bins["images"]).sum() / bins["images"].sum())


def brier(predictions: pd.DataFrame) -> float:
    """Brier's score over all classes (Mon. Weather Rev. 78, 1950): from 0, perfect, to 2, sure and always wrong."""
    probabilities = probabilities_of(predictions)
    truth = predictions["y_true"].to_numpy()[:, None] == np.array(classes_of(predictions), object)[None]
    return float(((probabilities - truth) ** 2).sum(axis=1).mean())
