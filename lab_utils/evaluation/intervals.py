"""Scores of predictions with 95 % confidence intervals that always have a width."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import t as student

from lab_utils.data.proportions import LEVEL, effective_images, wilson_bounds
from lab_utils.evaluation import influence
from lab_utils.evaluation.influence import QUANTILE, Clusters, clusters_of
from lab_utils.evaluation.predictions import classes_of
from lab_utils.evaluation.scorer import OF_CLASS, ORDER, PRIOR, TINY, Score, Scorer
from lab_utils.evaluation.temperature import with_cross_fitted_temperature

ALPHA = 1 - LEVEL  # of every test
REPORTED = (*(name for name in ORDER if name != "macro_auc"), "scaled_ece", "scaled_brier")
COLUMNS = ["measure", "class", "other", "value", "low", "high"]
INTERVAL = ["measure", "class", "value", "low", "high"]


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
    """Tabulate scores as the table intervals has them.

    Classes without images have rows without values.
    """
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
    """Compute some scores of `REPORTED`, macro_auc and pair_auc, with 95 % confidence intervals.

    Images of one group, near-duplicates and images of one patient, are no independent evidence.

    - Shares of images have Wilson's interval, see `lab_utils.data.proportions`; so has F1, by F1 = 2 F* / (1 + F*),
      where F* is the share of correct images among those of the class or predicted as it (Lam et al., arXiv 2309.14621,
      2023).
    - Other scores have Wilson's interval with the effective number of images that `Clusters` gives, see `Scorer`.
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
    """Compare a score of two predictions of the same images, with a 95 % interval.

    The squares of the halves of both intervals add up, less their correlation (Zou and Donner, Stat. Med. 27, 2008).
    The correlation is drawn towards 0, most for a rare class, as `Scorer` draws variances: the images of a few groups
    are often alike to both predictions by chance, and equal scores do not prove that there is no difference.

    Parameters
    ----------
    first, second : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`; the same images in the same order.
    name, label : str
        Score of `REPORTED` or macro_auc, and its class.

    Returns
    -------
    difference, low, high : float
        First minus second, and its bounds.
    """
    one, other = (
        next(score for score in scores_of(table, [name]) if score.label == label) for table in (first, second)
    )
    clusters = clusters_of(first)
    groups = first.groupby("y_true")["group"].agg(effective_images).min()
    correlation = clusters.correlation(np.stack([one.influence, other.influence]))[0, 1] * groups / (groups + PRIOR)

    def margin(half: float, opposite: float) -> float:
        return float(np.sqrt(half**2 + opposite**2 - 2 * correlation * half * opposite))

    difference = one.value - other.value
    low = difference - margin(one.value - one.low, other.high - other.value)
    return difference, low, difference + margin(one.high - one.value, other.value - other.low)
