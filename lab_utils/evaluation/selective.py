"""Accuracy where a network answers, or where images come from, only some of the images."""

import numpy as np
import pandas as pd

from lab_utils.data.proportions import wilson_interval
from lab_utils.data.sources import LEAST_IMAGES
from lab_utils.evaluation.predictions import correct_in, probabilities_of

COVERAGES = np.arange(20, 1, -1) / 20  # 1.00, 0.95, …, 0.10


def accuracy_by_coverage(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of a network that answers only at high confidence: table selective of one run.

    El-Yaniv and Wiener, J. Mach. Learn. Res. 11 (2010); Geifman and El-Yaniv, NeurIPS 2017. Images of equal confidence
    are answered together, so there can be more images than the coverage says.
    """
    confidence = probabilities_of(predictions).max(axis=1)
    correct, ordered = correct_in(predictions), np.sort(confidence)[::-1]
    rows = []
    for coverage in COVERAGES:
        threshold = ordered[int(np.ceil(coverage * len(ordered) - 1e-9)) - 1]
        answered = confidence >= threshold
        rows.append((coverage, answered.sum(), threshold, *_accuracy(correct[answered], predictions[answered])))
    return pd.DataFrame(rows, columns=["coverage", "images", "threshold", "accuracy", "low", "high"])


def accuracy_by_source(predictions: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Accuracy on the images of each large source: table source_scores of one run.

    Each class of the source has a row too.

    Parameters
    ----------
    manifest : DataFrame
        Columns image_id, source.
    """
    sources = predictions["image_id"].map(manifest.set_index("image_id")["source"])
    correct, rows = correct_in(predictions), []
    for source, count in sources[sources != ""].value_counts().items():
        if count < LEAST_IMAGES:
            continue
        is_source = (sources == source).to_numpy()
        for name in ["", *sorted(predictions["y_true"][is_source].unique())]:
            chosen = is_source & (predictions["y_true"] == name).to_numpy() if name else is_source
            rows.append((source, name, chosen.sum(), *_accuracy(correct[chosen], predictions[chosen])))
    return pd.DataFrame(rows, columns=["source", "class", "images", "accuracy", "low", "high"])


def _accuracy(correct: np.ndarray, images: pd.DataFrame) -> tuple[float, float, float]:
    return float(correct.mean()), *wilson_interval(correct, images["group"])
