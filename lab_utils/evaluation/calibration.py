"""Calibration: whether a network is right as often as it is confident."""

from collections.abc import Callable
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from lab_utils.data.proportions import LEVEL, wilson_bounds, wilson_interval
from lab_utils.evaluation.predictions import classes_of, correct_in, probabilities_of
from lab_utils.evaluation.temperature import fit_temperature, with_cross_fitted_temperature

Array = NDArray[np.float64]

BINS = 15  # the number of Guo et al.
DRAWS = 1000  # simulated networks
BOUNDS = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)  # quantiles of an interval


def bin_numbers(confidence: Array) -> NDArray[np.int64]:
    """Return the bin, from 0, of each confidence (N,): bins of equal numbers of images.

    Equal confidences share a bin, so bins can differ in size or be empty. Equal numbers make the calibration error less
    biased than equal widths do (Roelofs et al., AISTATS 2022).
    """
    ranks = pd.Series(confidence).rank(method="average").to_numpy()
    return np.minimum((BINS * (ranks - 0.5) / len(ranks)).astype(int), BINS - 1)


def reliability(predictions: pd.DataFrame) -> pd.DataFrame:
    """Accuracy by confidence, with Wilson's interval of each bin: table calibration of one run."""
    confidence = probabilities_of(predictions).max(axis=1)
    correct = correct_in(predictions)
    rows = []
    numbers = bin_numbers(confidence)
    for number in np.unique(numbers):
        chosen = numbers == number
        low, high = wilson_interval(correct[chosen], predictions["group"][chosen])
        inside = confidence[chosen]
        rows.append((inside.min(), inside.max(), len(inside), inside.mean(), correct[chosen].mean(), low, high))
    return pd.DataFrame(rows, columns=["bin_low", "bin_high", "images", "confidence", "accuracy", "low", "high"])


def calibration_error(confidence: Array, correct: NDArray[np.bool_]) -> tuple[float, Array]:
    """Expected calibration error, and the influence of each image on it (N,).

    The error (Guo et al., ICML 2017) is the mean over bins of the gap between accuracy and confidence, each bin
    weighted by its images.
    """
    numbers, gaps = bin_numbers(confidence), correct - confidence
    sums = np.bincount(numbers, gaps, BINS)
    value = float(np.abs(sums).sum() / len(gaps))
    return value, (np.sign(sums)[numbers] * gaps - value) / len(gaps)


def error_bounds(confidence: Array, correct: NDArray[np.bool_], images: float) -> tuple[float, float]:
    """Bound the calibration error that a network has on very many images: 95 % interval.

    On few images it shows a larger error, even if it is perfectly calibrated. The interval therefore holds the errors
    of simulated networks that show an error like the observed one (test inversion: Carpenter, J. R. Stat. Soc. B 61,
    1999). Their gaps are multiples of the observed gaps. The error is never less than the gap between mean confidence
    and accuracy, so the upper bound is not below that of this gap.

    Parameters
    ----------
    confidence : float (N,)
    correct : bool (N,)
    images : float
        Effective number of images, see `lab_utils.data.proportions.effective_images`.
    """
    numbers, value = bin_numbers(confidence), calibration_error(confidence, correct)[0]
    sizes = np.bincount(numbers, minlength=BINS)
    used = sizes > 0
    share = sizes[used] / len(numbers)
    mean, hits = (np.bincount(numbers, kind, BINS)[used] / sizes[used] for kind in (confidence, correct))
    noise = np.random.default_rng(0).normal(size=(DRAWS, len(share))) / np.sqrt(share * images)

    def accuracies(factor: float) -> Array:
        return np.clip(mean + factor * (hits - mean), 0, 1)

    def is_shown(factor: float, quantile: float) -> bool:
        accuracy = accuracies(factor)
        shown = np.abs(accuracy - mean + noise * np.sqrt(accuracy * (1 - accuracy))) @ share
        return bool(np.quantile(shown, quantile) >= value)

    ends = [_crossing(partial(is_shown, quantile=quantile), 1 / max(value, 1e-6)) for quantile in reversed(BOUNDS)]
    low, high = (float(np.abs(accuracies(factor) - mean) @ share) for factor in ends)
    gaps = np.subtract(wilson_bounds(float(correct.mean()), images), confidence.mean())
    return min(low, value), max(high, value, float(np.abs(gaps).max()))


def _crossing(is_past: Callable[[float], bool], end: float) -> float:
    """Return the least number in [0, end] from which on a condition holds."""
    low, high = 0.0, end
    if is_past(low):
        return low
    for _ in range(30):
        middle = (low + high) / 2
        low, high = (low, middle) if is_past(middle) else (middle, high)
    return high


def calibrated_errors(confidence: Array, groups: ArrayLike) -> Array:
    """Simulate calibration errors of a calibrated network with these confidences: (1000,).

    Images of one group, such as copies, are right or wrong together.
    """
    numbers, random = bin_numbers(confidence), np.random.default_rng(0)
    codes, names = pd.factorize(np.asarray(groups))
    order = np.argsort(numbers, kind="stable")
    starts = np.flatnonzero(np.diff(numbers[order], prepend=-1))
    ordered, codes = confidence[order], codes[order]
    sums = [np.add.reduceat((random.random(len(names))[codes] < ordered) - ordered, starts) for _ in range(DRAWS)]
    return np.abs(np.stack(sums)).sum(axis=1) / len(ordered)


def brier_score(predictions: pd.DataFrame) -> float:
    """Brier score (Mon. Weather Rev. 78, 1950): 0 is perfect, 2 is certain and wrong.

    scikit-learn's ``brier_score_loss`` warns of probabilities in float32, whose sum differs from 1 by rounding.
    """
    truth = predictions["y_true"].to_numpy()[:, None] == np.array(classes_of(predictions), object)
    return float(((probabilities_of(predictions) - truth) ** 2).sum(axis=1).mean())


def calibration_scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """Calibration errors with what to compare them to: table calibration_scores of one run.

    A perfectly calibrated network also shows an error, because each bin has few images. The reference of the Brier
    score answers with the shares of the classes for every image. Cross-validation fits the temperature, see
    `lab_utils.evaluation.temperature.with_cross_fitted_temperature`.
    """
    scaled = with_cross_fitted_temperature(predictions)
    shares = predictions["y_true"].value_counts(normalize=True)
    confidence = probabilities_of(predictions).max(axis=1)
    null = calibrated_errors(confidence, predictions["group"])
    row = {
        "images": len(predictions),
        "temperature": fit_temperature(predictions),
        "ece": _error_of(predictions),
        "ece_null": null.mean(),
        "ece_null_high": np.quantile(null, LEVEL),
        "brier": brier_score(predictions),
        "brier_reference": 1 - float((shares**2).sum()),
        "scaled_ece": _error_of(scaled),
        "scaled_brier": brier_score(scaled),
    }
    return pd.DataFrame([row])


def _error_of(predictions: pd.DataFrame) -> float:
    return calibration_error(probabilities_of(predictions).max(axis=1), correct_in(predictions))[0]
