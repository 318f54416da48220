"""Scores of one run, each with its interval and the influence of the images on it."""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.data.proportions import effective_images, wilson_bounds, wilson_interval
from lab_utils.evaluation import influence
from lab_utils.evaluation.calibration import calibration_error, error_bounds
from lab_utils.evaluation.influence import Array, Side
from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of
from lab_utils.evaluation.temperature import log_probabilities

PRIOR = 15  # groups of images at which estimated and least effective number of images count alike
TINY = 1e-12  # share of the largest variance that is rounding
OVER_ALL = ("accuracy", "balanced_accuracy", "macro_f1", "macro_auc", "ece", "brier")
OF_CLASS = ("auc", "average_precision", "sensitivity_at_95", "precision", "recall", "specificity", "f1")
MEANS = {"balanced_accuracy": "recall", "macro_f1": "f1", "macro_auc": "auc"}  # over the classes with images
ORDER = (*OVER_ALL[:4], *OF_CLASS, *OVER_ALL[4:])


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
        """Return measure, class, other, value, low and high."""
        return self.measure, self.label, self.other, self.value, self.low, self.high


class Scorer:
    """Predictions of one run, and what their scores share."""

    def __init__(self, predictions: pd.DataFrame) -> None:
        self.classes = classes_of(predictions)
        self.groups = predictions["group"].to_numpy()
        self.clusters = influence.clusters_of(predictions)
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
        correlation = self.clusters.correlation(np.stack([score.influence for score in scores]))
        value = float(np.mean([score.value for score in scores]))
        below = np.array([score.value - score.low for score in scores]) / len(scores)
        above = np.array([score.high - score.value for score in scores]) / len(scores)
        low, high = (float(np.sqrt(max(float(half @ correlation @ half), 0))) for half in (below, above))
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
        """Area under the ROC curve.

        Its largest variance is that of Newcombe (Stat. Med. 25, 2006), method 5.
        """
        value, change = influence.area_under_roc(scores, positive, negative)
        first, second = (effective_images(self.groups[side]) for side in (positive, negative))
        spread = (1 - value) / (2 - value) + value / (1 + value)
        least = first * second / (1 + ((first + second) / 2 - 1) * spread)
        return Score(name, value, change, *self._bounds(value, change, least, min(first, second)), label, other)

    def _bounds(self, value: float, change: Array, least: float, groups: float) -> tuple[float, float]:
        """Bound a score in [0, 1] by Wilson's interval with an effective number of images.

        The variance gives this number. A few images often show too little variance: none of them is ranked low. The
        number is therefore drawn, on a logarithmic scale, towards the least that the score can have. Both count alike
        at fifteen groups, a number that was chosen by simulation (bench/coverage.py).
        """
        variance, worst = self.clusters.variance(change), value * (1 - value)
        if variance <= TINY * worst:
            return wilson_bounds(value, least)
        weight, images = PRIOR / (PRIOR + groups), max(worst / variance, least)
        return wilson_bounds(value, least**weight * images ** (1 - weight))
