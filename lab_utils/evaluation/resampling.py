"""Scores with intervals from a bootstrap that draws groups of images within each class.

Every score is a function of weights: how often each image is drawn, for many resamples at once.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.calibration import BINS, bin_numbers
from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of
from lab_utils.evaluation.temperature import log_probabilities
from lab_utils.evaluation.uncertainty import BOUNDS, LEAST_GROUPS, RESAMPLES, resamples

Array = NDArray[np.float64]
Side = NDArray[np.bool_]  # (N,): some of the images
Statistic = Callable[[Array], Array]  # weights of the images (R, N) to scores (R,)

SCORES = ("accuracy", "balanced_accuracy", "macro_f1", "auc", "pair_auc", "average_precision", "ece", "brier")
COLUMNS = ["measure", "class", "other", "value", "low", "high"]


@dataclass(frozen=True)
class Measure:
    """One score of a table of predictions."""

    name: str
    statistic: Statistic
    sides: tuple[Side, ...]  # each needs ten groups of images, or the score has no interval
    label: str = ""  # class that the score is of
    other: str = ""  # class that it is told apart from


def scores_with_intervals(predictions: pd.DataFrame, names: Collection[str] = SCORES, *, seed: int = 0) -> pd.DataFrame:
    """Compute scores with 95 % confidence intervals, over the classes that have images.

    Accuracy has Wilson's interval. The others have a percentile bootstrap (Efron and Tibshirani, An Introduction to the
    Bootstrap, 1993, chapters 8 and 13) of groups, near-duplicates and images of one patient, within each class. The
    calibration error grows in resamples, so its interval is the basic one, which mirrors the resamples at the value
    (Davison and Hinkley, Bootstrap Methods and their Application, 1997, section 5.2).

    Bounds are NaN where a class that a score needs has fewer than ten groups, and where all resamples have one score. A
    score that needs a class without images is left out.

    Parameters
    ----------
    predictions : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`.
    names : collection of str
        Some of `SCORES`.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        Columns measure, class, other, value, low, high. Of auc and average_precision, `class` is told apart from all
        others, of pair_auc from `other`.
    """
    measures = [one for one in measures_of(predictions) if one.name in names]
    groups, weights = predictions["group"], np.ones((1, len(predictions)))
    drawn = [one for one in measures if one.name != "accuracy"]
    samples: dict[int, list[Array]] = {id(one): [] for one in drawn}
    for block in image_weights(groups, predictions["y_true"], seed=seed) if drawn else ():
        for one in drawn:
            samples[id(one)].append(one.statistic(block))
    rows = []
    for one in measures:
        value = float(one.statistic(weights)[0])
        resampled = np.concatenate(samples.get(id(one), [np.empty(0)]))
        rows.append((one.name, one.label, one.other, value, *_bounds(one, value, resampled, predictions)))
    return pd.DataFrame(rows, columns=COLUMNS)


def _bounds(measure: Measure, value: float, resampled: Array, predictions: pd.DataFrame) -> tuple[float, float]:
    """Bounds of a score from its resamples; NaN where these say nothing."""
    groups = predictions["group"]
    if min(groups[side].nunique() for side in measure.sides) < LEAST_GROUPS:
        return np.nan, np.nan
    if measure.name == "accuracy":
        return wilson_interval(predicted_of(predictions) == predictions["y_true"], groups)
    low, high = np.nanquantile(resampled, BOUNDS)
    if measure.name == "ece":
        low, high = max(2 * value - high, 0.0), max(2 * value - low, value)
    return (low, high) if low < high else (np.nan, np.nan)


def image_weights(groups: pd.Series, classes: pd.Series, *, seed: int = 0) -> Iterator[Array]:
    """Draw groups with replacement within each class: weights of the images in blocks (R, N).

    A group that has images of several classes counts to the class of most of them.
    """
    codes, names = pd.factorize(groups)
    labels, kinds = pd.factorize(classes)
    counts = np.zeros((len(names), len(kinds)))
    np.add.at(counts, (codes, labels), 1)
    strata = [np.flatnonzero(counts.argmax(axis=1) == label) for label in range(len(kinds))]
    places = np.argsort(np.concatenate(strata))[codes]  # of each image's group in the order of the strata
    draws = [resamples(len(stratum), RESAMPLES, (seed, label)) for label, stratum in enumerate(strata) if len(stratum)]
    for blocks in zip(*draws, strict=True):
        yield np.concatenate(blocks, axis=1)[:, places]


def measures_of(predictions: pd.DataFrame) -> Iterator[Measure]:
    """Every score of `SCORES` that these predictions have."""
    classes, probabilities = classes_of(predictions), probabilities_of(predictions)
    scores = log_probabilities(predictions)
    true = predictions["y_true"].to_numpy()[:, None] == np.array(classes, object)
    guessed = predicted_of(predictions)[:, None] == np.array(classes, object)
    correct = (true & guessed).any(axis=1)
    everything = np.ones(len(predictions), bool)
    present = [place for place in range(len(classes)) if true[:, place].any()]
    each = tuple(true[:, place] for place in present)
    yield Measure("accuracy", mean_of(correct), (everything,))
    yield Measure("balanced_accuracy", balanced_accuracy(true[:, present], correct), each)
    yield Measure("macro_f1", macro_f1(true[:, present], guessed[:, present]), each)
    for place in present if len(present) > 1 else ():
        side, name = true[:, place], classes[place]
        yield Measure("auc", area_under_roc(scores[:, place], side), (side, ~side), name)
        yield Measure("average_precision", average_precision(scores[:, place], side), (side, ~side), name)
    for first, second in combinations(present, 2):
        sides = true[:, first], true[:, second]
        odds = scores[:, first] - scores[:, second]
        yield Measure("pair_auc", area_under_roc(odds, *sides), sides, classes[first], classes[second])
    yield Measure("ece", calibration_error(probabilities.max(axis=1), correct), (everything,))
    yield Measure("brier", mean_of(((probabilities - true) ** 2).sum(axis=1)), (everything,))


def mean_of(values: NDArray[Any]) -> Statistic:
    """Return the weighted mean of values (N,)."""
    return lambda weights: weights @ values / weights.sum(axis=1)


def balanced_accuracy(true: Side, correct: Side) -> Statistic:
    """Return the mean recall of the classes: `true` is bool (N, C), `correct` bool (N,)."""
    hits, images = (true & correct[:, None]).astype(float), true.astype(float)
    return lambda weights: np.mean((weights @ hits) / (weights @ images), axis=1)


def macro_f1(true: Side, guessed: Side) -> Statistic:
    """Return the mean F1 of the classes: both arguments are bool (N, C)."""
    hits, images = (true & guessed).astype(float), true.astype(float) + guessed
    return lambda weights: np.mean(2 * (weights @ hits) / (weights @ images), axis=1)


def calibration_error(confidence: Array, correct: Side) -> Statistic:
    """Return the expected calibration error: see `lab_utils.evaluation.calibration`."""
    gaps = np.zeros((len(confidence), BINS))
    gaps[np.arange(len(confidence)), bin_numbers(confidence)] = correct - confidence
    return lambda weights: np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)


def area_under_roc(scores: Array, positive: Side, negative: Side | None = None) -> Statistic:
    """Return the probability that a positive image scores higher than a negative one.

    Ties count half.
    """
    above, below = _ordered(scores, positive), _ordered(scores, ~positive if negative is None else negative)
    left, right = (np.searchsorted(scores[below], scores[above], side) for side in ("left", "right"))

    def area(weights: Array) -> Array:
        chosen, lower = weights[:, above], _cumulative(weights[:, below])
        beaten = np.einsum("rn,rn->r", chosen, lower[:, left] + lower[:, right]) / 2
        return beaten / (chosen.sum(axis=1) * lower[:, -1])

    return area


def average_precision(scores: Array, positive: Side) -> Statistic:
    """Return the mean precision at the positive images, as in scikit-learn."""
    above, below = _ordered(scores, positive), _ordered(scores, ~positive)
    in_above, in_below = (np.searchsorted(scores[side], scores[above]) for side in (above, below))

    def precision(weights: Array) -> Array:
        chosen, alarms = _cumulative(weights[:, above]), _cumulative(weights[:, below])
        hits = chosen[:, -1:] - chosen[:, in_above]
        guesses = hits + alarms[:, -1:] - alarms[:, in_below]
        shares = np.divide(hits, guesses, out=np.zeros_like(hits), where=guesses > 0)
        return np.einsum("rn,rn->r", np.diff(chosen, axis=1), shares) / chosen[:, -1]

    return precision


def _ordered(scores: Array, side: Side) -> NDArray[np.int64]:
    """Return the places of some images, by rising score."""
    places = np.flatnonzero(side)
    return places[np.argsort(scores[places], kind="stable")]


def _cumulative(weights: Array) -> Array:
    """Return cumulative sums that begin with 0: (R, n + 1)."""
    sums = np.zeros((len(weights), weights.shape[1] + 1))
    np.cumsum(weights, axis=1, out=sums[:, 1:])
    return sums
