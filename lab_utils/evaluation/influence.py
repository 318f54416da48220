"""Scores with the influence of each image.

An influence is the derivative of a score by the weight of an image. Sums of influences over groups of images give the
variance of a score, and covariances of several scores (infinitesimal jackknife: Efron, The Jackknife, the Bootstrap and
Other Resampling Plans, 1982, chapter 6). A bootstrap of groups within classes approaches it with many resamples. For
the area under the ROC curve it is the method of DeLong et al. (Biometrics 44, 1988), with groups that of Obuchowski
(Biometrics 53, 1997).
"""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm

from lab_utils.data.proportions import LEVEL

Array = NDArray[np.float64]
Side = NDArray[np.bool_]  # (N,): some of the images
Influence = tuple[float, Array]  # a score, and the influence of each image (N,)

SPECIFICITY = 0.95  # at which sensitivities are given
QUANTILE = float(norm.ppf((1 + LEVEL) / 2))  # of intervals


class Clusters:
    """Groups of images, each drawn from one class.

    A group that has images of several classes counts to the class of most of them.
    """

    def __init__(self, groups: pd.Series, classes: pd.Series) -> None:
        self.codes, names = pd.factorize(groups)
        labels, kinds = pd.factorize(classes)
        counts = np.zeros((len(names), len(kinds)))
        np.add.at(counts, (self.codes, labels), 1)
        self.strata = [np.flatnonzero(counts.argmax(axis=1) == label) for label in range(len(kinds))]

    def covariance(self, influences: Array) -> Array:
        """Estimate the covariance of scores from the influences of the images: (K, N) to (K, K)."""
        count = int(self.codes.max()) + 1
        sums = np.stack([np.bincount(self.codes, row, count) for row in influences])
        total = np.zeros((len(sums), len(sums)))
        for stratum in self.strata:
            if len(stratum) > 1:
                centered = sums[:, stratum] - sums[:, stratum].mean(axis=1, keepdims=True)
                total += centered @ centered.T * len(stratum) / (len(stratum) - 1)
        return total

    def correlation(self, influences: Array) -> Array:
        """Estimate the correlation of scores: (K, N) to (K, K).

        A score without variance has no correlation with others.
        """
        covariance = self.covariance(influences)
        deviation = np.sqrt(np.diag(covariance))
        scale = np.outer(deviation, deviation)
        correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
        np.fill_diagonal(correlation, 1)
        return correlation

    def variance(self, influence: Array) -> float:
        """Estimate the variance of one score from the influences of the images (N,)."""
        return float(self.covariance(influence[None])[0, 0])


def clusters_of(predictions: pd.DataFrame) -> Clusters:
    """Groups of the images of a table of predictions, within their classes."""
    return Clusters(predictions["group"], predictions["y_true"])


def mean_of(values: NDArray[Any], among: Side | None = None) -> Influence:
    """Mean of values (N,) over some images."""
    chosen = np.ones(len(values), bool) if among is None else among
    if not chosen.any():
        return 0.0, np.zeros(len(values))
    mean = float(values[chosen].mean())
    return mean, np.where(chosen, values - mean, 0) / chosen.sum()


def f1_of(true: Side, guessed: Side) -> Influence:
    """F1 of a class that has images."""
    members = true.astype(float) + guessed
    value = 2 * float((true & guessed).sum()) / members.sum()
    return value, (2 * (true & guessed) - value * members) / members.sum()


def area_under_roc(scores: Array, positive: Side, negative: Side) -> Influence:
    """Probability that a positive image scores higher than a negative one; ties count half."""
    above, below = scores[positive], scores[negative]
    beaten, beating = _shares_below(above, below), 1 - _shares_below(below, above)
    value = float(beaten.mean())
    influence = np.zeros(len(scores))
    influence[positive] = (beaten - value) / len(above)
    influence[negative] = (beating - value) / len(below)
    return value, influence


def _shares_below(scores: Array, others: Array) -> Array:
    """Return the share of the others that each score exceeds; ties count half."""
    ordered = np.sort(others)
    places = np.searchsorted(ordered, scores, "left") + np.searchsorted(ordered, scores, "right")
    return places / (2 * len(others))


def average_precision(scores: Array, positive: Side) -> Influence:
    """Mean precision at the positive images, as in scikit-learn."""
    above, below = np.sort(scores[positive]), np.sort(scores[~positive])
    hits = len(above) - np.searchsorted(above, above, "left")
    alarms = len(below) - np.searchsorted(below, above, "left")
    precision = hits / (hits + alarms)
    value = float(precision.mean())
    # An image changes the precision at all positive images that score no higher.
    gains, losses = (np.concatenate([[0], np.cumsum(part / (hits + alarms) ** 2)]) for part in (alarms, hits))
    places = np.searchsorted(above, scores, "right")
    influence = -losses[places]
    ranks = np.searchsorted(above, scores[positive], "left")
    influence[positive] = precision[ranks] - value + gains[places[positive]]
    return value, influence / len(above)


def sensitivity_at_specificity(scores: Array, positive: Side, specificity: float) -> Influence:
    """Sensitivity at the threshold that leaves a specificity, the largest where several do."""
    negative = np.sort(scores[~positive])
    alarms = min(int((1 - specificity) * len(negative) + 1e-9), len(negative) - 1)
    return mean_of(scores > negative[-1 - alarms], positive)
