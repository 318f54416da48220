"""Scores of predictions with 95 % confidence intervals that have a width, also for a perfect score of few images."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from lab_utils.data.proportions import effective_images, wilson_bounds, wilson_interval
from lab_utils.evaluation import influence
from lab_utils.evaluation.calibration import calibration_error, error_bounds
from lab_utils.evaluation.influence import QUANTILE, Array, Clusters, Side
from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of
from lab_utils.evaluation.temperature import log_probabilities, with_cross_fitted_temperature

LEVEL = 0.95  # of every interval
ALPHA = 1 - LEVEL
PRIOR = 10  # groups of images at which estimated and least effective number of images count alike
TINY = 1e-12  # share of the largest variance that is rounding
OVER_ALL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece", "brier", "scaled_ece", "scaled_brier")
OF_CLASS = ("auc", "average_precision", "sensitivity_at_95", "precision", "recall", "specificity", "f1")
MEANS = {"balanced_accuracy": "recall", "macro_f1": "f1", "macro_auc": "auc"}  # over the classes with images
ORDER = (*OVER_ALL[:4], *OF_CLASS, *OVER_ALL[4:])
REPORTED = tuple(name for name in ORDER if name != "macro_auc")
COLUMNS = ["measure", "class", "other", "value", "low", "high"]
INTERVAL = ["measure", "class", "value", "low", "high"]


@dataclass(frozen=True, eq=False)
class Score:
    """A score, its interval, and the influence of each image on it."""

    measure: str
    value: float
    influence: Array
    low: float
    high: float
    label: str = ""  # class that the score is of
    other: str = ""  # class that it is told apart from

    def row(self) -> tuple[Any, ...]:
        """Return the row of the score: `COLUMNS`."""
        return self.measure, self.label, self.other, self.value, self.low, self.high


def intervals(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores with 95 % confidence intervals: table intervals of one run.

    Scores of a class without images are missing. `scores_of` says how the intervals are made.

    Parameters
    ----------
    predictions : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`.
    """
    return reported_scores(scores_of(predictions, REPORTED), predictions)


def reported_scores(scores: Sequence[Score], predictions: pd.DataFrame) -> pd.DataFrame:
    """Tabulate scores in the order of the table intervals; classes without images have rows without values."""
    table = pd.DataFrame([score.row() for score in scores], columns=COLUMNS)
    keys = [(name, label) for name in REPORTED for label in (classes_of(predictions) if name in OF_CLASS else [""])]
    return pd.DataFrame(keys, columns=["measure", "class"]).merge(table, how="left")[INTERVAL]


def scores_with_intervals(predictions: pd.DataFrame, names: Collection[str]) -> pd.DataFrame:
    """Compute some scores with 95 % confidence intervals, see `scores_of`.

    Returns
    -------
    DataFrame
        Columns measure, class, other, value, low, high. Scores that need a class without images are left out. Of auc
        and average_precision, `class` is told apart from all others, of pair_auc from `other`.
    """
    return pd.DataFrame([score.row() for score in scores_of(predictions, names)], columns=COLUMNS)


def scores_of(predictions: pd.DataFrame, names: Collection[str]) -> list[Score]:
    """Compute some scores of `OVER_ALL`, `OF_CLASS` and pair_auc, with 95 % confidence intervals.

    Images of one group, near-duplicates and images of one patient, are no independent evidence.

    - Shares of images have Wilson's interval, see `lab_utils.data.proportions`; so has F1, by F1 = 2 F* / (1 + F*),
      where F* is the share of correct images among those of the class or predicted as it (Lam et al., arXiv 2309.14621,
      2023).
    - Other scores have Wilson's interval with the effective number of images that `Clusters` gives, see `_bounds`.
    - Means over classes combine the intervals of the classes (Zou and Donner, Stat. Med. 27, 2008).
    - The calibration error has `lab_utils.evaluation.calibration.error_bounds`.

    bench/coverage.py measures how often the intervals contain the true value; docs/statistics.md has the table.
    """
    found = Scorer(predictions).scores(names)
    if any(name.startswith("scaled_") for name in names):
        again = Scorer(with_cross_fitted_temperature(predictions)).scores(
            [name.removeprefix("scaled_") for name in names]
        )
        found += [replace(one, measure=f"scaled_{one.measure}") for one in again if f"scaled_{one.measure}" in names]
    return found


class Scorer:
    """Predictions of one run, and what their scores share."""

    def __init__(self, predictions: pd.DataFrame) -> None:
        self.classes = classes_of(predictions)
        self.groups = predictions["group"].to_numpy()
        self.clusters = Clusters(predictions["group"], predictions["y_true"])
        self.probabilities, self.odds = probabilities_of(predictions), log_probabilities(predictions)
        self.true = predictions["y_true"].to_numpy()[:, None] == np.array(self.classes, object)
        self.guessed = predicted_of(predictions)[:, None] == np.array(self.classes, object)
        self.correct = (self.true & self.guessed).any(axis=1)
        self.present = [place for place in range(len(self.classes)) if self.true[:, place].any()]

    def scores(self, names: Collection[str]) -> list[Score]:
        """Compute some scores, those over all classes first."""
        needed = {*names, *(MEANS[name] for name in names if name in MEANS)}
        of_classes = [self.of_class(name, place) for name in OF_CLASS if name in needed for place in self.present]
        scores = [score for score in of_classes if score]
        means = [
            self.mean(name, [score for score in scores if score.measure == part])
            for name, part in MEANS.items()
            if name in names and any(score.measure == part for score in scores)
        ]
        found = [*self.over_all(names), *means, *(score for score in scores if score.measure in names)]
        found.sort(key=lambda score: ORDER.index(score.measure))
        return found + (list(self.pairs()) if "pair_auc" in names else [])

    def over_all(self, names: Collection[str]) -> Iterator[Score]:
        """Compute accuracy, calibration error and Brier score."""
        if "accuracy" in names:
            yield Score("accuracy", *influence.mean_of(self.correct), *wilson_interval(self.correct, self.groups))
        if "ece" in names:
            confidence, images = self.probabilities.max(axis=1), effective_images(self.groups)
            value, change = calibration_error(confidence, self.correct)
            yield Score("ece", value, change, *error_bounds(confidence, self.correct, images))
        if "brier" in names:
            value, change = influence.mean_of(((self.probabilities - self.true) ** 2).sum(axis=1) / 2)
            images = effective_images(self.groups)
            low, high = self._bounds(value, change, images, images)
            high = max(high, wilson_bounds(0.0, images)[1])  # that no image is wrong leaves this share of errors
            yield Score("brier", 2 * value, 2 * change, 2 * low, 2 * high)

    def of_class(self, name: str, place: int) -> Score | None:
        """Compute a score of a class that has images; None where it needs images of other classes."""
        label, true, guessed = self.classes[place], self.true[:, place], self.guessed[:, place]
        shares = {"recall": true, "precision": guessed, "specificity": ~true}
        if name in shares:
            among = shares[name]
            if name == "specificity" and not among.any():
                return None
            right = true == guessed
            return Score(
                name, *influence.mean_of(right, among), *wilson_interval(right[among], self.groups[among]), label
            )
        if name == "f1":
            among = true | guessed
            share = wilson_interval((true & guessed)[among], self.groups[among])
            low, high = (2 * bound / (1 + bound) for bound in share)
            return Score(name, *influence.f1_of(true, guessed), low, high, label)
        return self.ranked(name, true, label) if not true.all() else None

    def ranked(self, name: str, true: Side, label: str) -> Score:
        """Compute a score of the order of the images by the probability of a class."""
        odds, images = self.odds[:, list(self.classes).index(label)], effective_images(self.groups[true])
        if name == "auc":
            return self._area(name, odds, true, ~true, label)
        if name == "average_precision":
            value, change = influence.average_precision(odds, true)
            # With all variation between the positive images: Boyd et al., ECML PKDD 2013.
            return Score(name, value, change, *self._bounds(value, change, images, images), label)
        return self._sensitivity(odds, true, label)

    def pairs(self) -> Iterator[Score]:
        """Compute the area under the ROC curve of each pair of classes."""
        for first, second in combinations(self.present, 2):
            odds = self.odds[:, first] - self.odds[:, second]
            sides = self.true[:, first], self.true[:, second]
            yield self._area("pair_auc", odds, *sides, self.classes[first], self.classes[second])

    def mean(self, name: str, scores: Sequence[Score]) -> Score:
        """Compute the mean of scores of the classes.

        The squares of the halves of their intervals add up, with the correlations of the scores.
        """
        covariance = self.clusters.covariance(np.stack([score.influence for score in scores]))
        deviation = np.sqrt(np.diag(covariance))
        scale = np.outer(deviation, deviation)
        correlation = np.divide(covariance, scale, out=np.zeros_like(scale), where=scale > 0)
        np.fill_diagonal(correlation, 1)
        value = float(np.mean([score.value for score in scores]))
        below = np.array([score.value - score.low for score in scores]) / len(scores)
        above = np.array([score.high - score.value for score in scores]) / len(scores)
        low, high = (float(np.sqrt(max(half @ correlation @ half, 0))) for half in (below, above))
        change = np.mean([score.influence for score in scores], axis=0)
        return Score(name, value, change, max(value - low, 0), min(value + high, 1))

    def _sensitivity(self, odds: Array, true: Side, label: str) -> Score:
        """Sensitivity at a specificity of 95 %.

        Its interval adds that of the share of images and that of the threshold, a quantile of the other images: the
        sensitivities at both ends of Wilson's interval of the specificity (Woodruff, J. Am. Stat. Assoc. 47, 1952).
        """
        least, most = wilson_bounds(influence.SPECIFICITY, effective_images(self.groups[~true]))
        (value, change), (lower, _), (higher, _) = (
            influence.sensitivity_at_specificity(odds, true, specificity)
            for specificity in (influence.SPECIFICITY, most, least)
        )
        low, high = wilson_bounds(value, effective_images(self.groups[true]))
        low, high = value - np.hypot(value - low, value - lower), value + np.hypot(high - value, higher - value)
        return Score("sensitivity_at_95", value, change, max(low, 0), min(high, 1), label)

    def _area(self, name: str, scores: Array, positive: Side, negative: Side, label: str, other: str = "") -> Score:
        """Area under the ROC curve; its largest variance is that of Newcombe (Stat. Med. 25, 2006), method 5."""
        value, change = influence.area_under_roc(scores, positive, negative)
        first, second = (effective_images(self.groups[side]) for side in (positive, negative))
        spread = (1 - value) / (2 - value) + value / (1 + value)
        least = first * second / (1 + ((first + second) / 2 - 1) * spread)
        return Score(name, value, change, *self._bounds(value, change, least, min(first, second)), label, other)

    def _bounds(self, value: float, change: Array, least: float, groups: float) -> tuple[float, float]:
        """Bound a score in [0, 1] by Wilson's interval with an effective number of images.

        The variance gives this number. A few images often show too little variance: none of them is ranked low. The
        number is therefore drawn, on a logarithmic scale, towards the least that the score can have. Both count alike
        at ten groups. The ten was chosen by simulation (bench/coverage.py).
        """
        variance, worst = self.clusters.variance(change), value * (1 - value)
        if variance <= TINY * worst:
            return wilson_bounds(value, least)
        weight, images = PRIOR / (PRIOR + groups), max(worst / variance, least)
        return wilson_bounds(value, least**weight * images ** (1 - weight))


def mean_interval(values: NDArray[Any], groups: NDArray[Any]) -> tuple[float, float, float]:
    """Compute a mean with its 95 % interval, in which groups of images are the evidence.

    The variance is cluster-robust, and Student's t has one degree of freedom less than there are groups. Values in
    [0, 1] have Wilson's interval with the effective number of images, so it has a width.

    Parameters
    ----------
    values : float (N,) in [0, 1]
    groups : (N,)

    Returns
    -------
    mean, low, high : float
        The bounds are NaN with one group.
    """
    value, change = influence.mean_of(np.asarray(values, float))
    clusters, least = Clusters(pd.Series(groups), pd.Series(np.zeros(len(values)))), effective_images(groups)
    count = len(np.unique(groups))
    if count < 2:
        return value, np.nan, np.nan
    variance, worst = clusters.variance(change), value * (1 - value)
    images = max(worst / variance, least) if variance > TINY * worst else least
    shrink = (QUANTILE / student.ppf((1 + LEVEL) / 2, count - 1)) ** 2
    return value, *wilson_bounds(value, images * shrink)


def paired_difference(
    first: pd.DataFrame, second: pd.DataFrame, name: str, label: str = ""
) -> tuple[float, float, float]:
    """Compare a score of two predictions of the same images: first minus second, with its 95 % interval.

    Parameters
    ----------
    first, second : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`; the same images in the same order.
    name, label : str
        Score of `OVER_ALL` or `OF_CLASS`, and its class.

    Returns
    -------
    difference, low, high : float
    """
    scores = [next(one for one in scores_of(table, [name]) if one.label == label) for table in (first, second)]
    variance = Clusters(first["group"], first["y_true"]).variance(scores[0].influence - scores[1].influence)
    difference, groups = scores[0].value - scores[1].value, first["group"].nunique()
    margin = float(student.ppf((1 + LEVEL) / 2, max(groups - 1, 1)) * np.sqrt(variance))
    return difference, difference - margin, difference + margin
