"""Uncertainty of scores: bootstrap intervals over images and seeds, and paired tests."""

from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.predictions import classes_of, predicted_of
from lab_utils.evaluation.runs import Run

Array = NDArray[np.float64]

RESAMPLES = 2000
RESAMPLE_BLOCK = 100  # resamples in memory at once
LEVEL = 0.95  # of every interval
ALPHA = 1 - LEVEL
BOUNDS = [ALPHA / 2, 1 - ALPHA / 2]  # quantiles of the resamples
LEAST_GROUPS = 10  # of images: scores of fewer have no interval
CLAIM_SEEDS = 5  # runs of each scenario before one is called better
INTERVAL = ["measure", "class", "value", "low", "high"]
COMPARISON = ["protocol", "first", "second", "seeds", "difference", "low", "high", "different", "null", "better"]


def intervals(predictions: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Scores with 95 % confidence intervals: table intervals of one run.

    They come from a percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 8 and
    13). It draws groups of images: near-duplicates and images of one patient are no independent evidence. Bounds are
    NaN with fewer than ten groups of images, or of images of the class. Classes without images have no scores.

    All resamples of a perfect score are perfect, so the bootstrap knows no uncertainty there. Accuracy, precision and
    recall then have Wilson's interval, F1 and macro F1 have none.

    Parameters
    ----------
    predictions : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`.
    seed : int
        Of the resampling.
    """
    classes, counts = classes_of(predictions), _confusions(predictions)
    flat = counts.reshape(len(counts), -1)
    resampled = [
        _scores((weights @ flat).reshape(-1, *counts.shape[1:])) for weights in resamples(len(counts), RESAMPLES, seed)
    ]
    groups_per_class = (counts.sum(axis=2) > 0).sum(axis=0)
    rows = []
    for name, value in _scores(counts.sum(axis=0)).items():
        samples = np.concatenate([block[name] for block in resampled])
        labels, groups = (classes, groups_per_class) if value.ndim else ([""], [len(counts)])
        for place, label in enumerate(labels):
            low, high = _bounds(np.atleast_2d(samples.T)[place], groups[place])
            if low == high:
                low, high = _constant_bounds(predictions, name, label)
            rows.append((name, label, np.atleast_1d(value)[place], low, high))
    return pd.DataFrame(rows, columns=INTERVAL)


def _bounds(samples: Array, groups: int) -> Array:
    """Low and high bound from resampled scores (RESAMPLES,) of so many groups: (2,)."""
    return np.nanquantile(samples, BOUNDS) if groups >= LEAST_GROUPS else np.full(2, np.nan)


def _constant_bounds(predictions: pd.DataFrame, measure: str, label: str) -> tuple[float, float]:
    """Wilson's interval of a score that all resamples share.

    NaN for a measure that is no share of images.
    """
    true, predicted = predictions["y_true"], predicted_of(predictions)
    images = {"accuracy": true.notna(), "precision": predicted == label, "recall": true == label}.get(measure)
    if images is None or not images.any():
        return np.nan, np.nan
    return wilson_interval((true == predicted)[images], predictions["group"][images])


def mean_interval(values: Array, groups: NDArray[np.int64], *, seed: int = 0) -> tuple[float, float, float]:
    """A mean with its 95 % interval by the same bootstrap, NaN with fewer than ten groups.

    Parameters
    ----------
    values : float (N,)
    groups : int (N,)

    Returns
    -------
    mean, low, high : float
    """
    codes = pd.factorize(groups)[0]
    sums, sizes = np.bincount(codes, values), np.bincount(codes)
    means = [weights @ sums / (weights @ sizes) for weights in resamples(len(sizes), RESAMPLES, seed)]
    low, high = _bounds(np.concatenate(means), len(sizes))
    return float(values.mean()), float(low), float(high)


def comparisons(runs: Sequence[Run], *, seed: int = 0) -> pd.DataFrame:
    """Compare every pair of scenarios of a protocol: table comparisons.

    The interval is a bootstrap of two levels, runs and then groups of images, so it includes the variation between
    seeds; with fewer than ten groups it is NaN. McNemar's exact test (Psychometrika 12, 1947) compares two runs on the
    same groups of images and ignores seeds. Its null is therefore given too: how often it calls two runs of the *same*
    scenario different. p-values are corrected by Holm's method (Scand. J. Stat. 6, 1979) over all pairs of runs of a
    protocol.
    """
    rows: list[tuple[Any, ...]] = []
    for protocol in dict.fromkeys(run.protocol.name for run in runs):
        rows += _compare_scenarios([run for run in runs if run.protocol.name == protocol], seed)
    return pd.DataFrame(rows, columns=COMPARISON)


def _compare_scenarios(runs: Sequence[Run], seed: int) -> Iterator[tuple[Any, ...]]:
    """Rows of `comparisons` for the runs of one protocol."""
    scenario_of = np.array([run.scenario.name for run in runs], object)
    correct, groups = _correct(runs)
    pairs = list(combinations(range(len(runs)), 2))
    p_values = [mcnemar_p(correct[a], correct[b], groups) for a, b in pairs]
    is_different = dict(zip(pairs, multipletests(p_values, ALPHA, "holm")[0], strict=True)) if pairs else {}
    same = [is_different[a, b] for a, b in pairs if scenario_of[a] == scenario_of[b]]
    null = float(np.mean(same)) if same else np.nan
    for first, second in combinations(dict.fromkeys(scenario_of), 2):
        of_first, of_second = correct[scenario_of == first], correct[scenario_of == second]
        low, high = _bounds(_differences(of_first, of_second, groups, seed), groups.max() + 1)
        difference, seeds = of_first.mean() - of_second.mean(), min(len(of_first), len(of_second))
        different = float(
            np.mean([is_different[a, b] for a, b in pairs if {scenario_of[a], scenario_of[b]} == {first, second}])
        )
        is_claimed = seeds >= CLAIM_SEEDS and (low > 0 or high < 0) and different > null
        better = (first if difference > 0 else second) if is_claimed else ""
        yield runs[0].protocol.name, first, second, seeds, difference, low, high, different, null, better


def mcnemar_p(first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64]) -> float:
    """p-value of McNemar's exact test on groups of images; 1 where no group differs.

    A group counts once, for the run that is right on more of its images; it is the usual test where all groups have
    one image.

    Parameters
    ----------
    first, second : bool (N,)
        Whether each image is classified correctly.
    groups : int (N,)
    """
    gains = np.bincount(groups, first.astype(int) - second)
    table = [[0, np.sum(gains > 0)], [np.sum(gains < 0), 0]]
    return float(mcnemar(table, exact=True).pvalue) if gains.any() else 1.0


def _confusions(predictions: pd.DataFrame) -> Array:
    """Confusion counts of each group: (groups, true classes, predicted classes)."""
    classes = classes_of(predictions)
    groups, names = pd.factorize(predictions["group"])
    true, predicted = (
        pd.Categorical(values, categories=classes).codes
        for values in (predictions["y_true"], predicted_of(predictions))
    )
    counts = np.zeros((len(names), len(classes), len(classes)))
    np.add.at(counts, (groups, true, predicted), 1)
    return counts


def _scores(confusions: Array) -> dict[str, Array]:
    """Scores of confusion matrices (..., C, C); NaN for classes without images.

    The precision of a class that is never predicted is 0, as in scikit-learn, which would need one call per resample.
    """
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, predicted = confusions.sum(axis=-1), confusions.sum(axis=-2)

    def ratio(upper: Array, lower: Array) -> Array:
        return np.divide(upper, lower, out=np.where(true > 0, 0.0, np.nan), where=(true > 0) & (lower > 0))

    f1 = ratio(2 * hits, true + predicted)
    return {
        "accuracy": hits.sum(axis=-1) / confusions.sum(axis=(-2, -1)),
        "macro_f1": np.nanmean(f1, axis=-1),
        "precision": ratio(hits, predicted),
        "recall": ratio(hits, true),
        "f1": f1,
    }


def resamples(units: int, count: int, seed: int | tuple[int, ...]) -> Iterator[Array]:
    """How often each unit is drawn in each resample: blocks of (resamples, units)."""
    random = np.random.default_rng(seed)
    for start in range(0, count, RESAMPLE_BLOCK):
        size = (min(RESAMPLE_BLOCK, count - start), units)
        drawn = random.integers(0, units, size) + units * np.arange(size[0])[:, None]
        yield np.bincount(drawn.ravel(), minlength=size[0] * units).reshape(size).astype(float)


def _correct(runs: Sequence[Run]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Whether each run is right (runs, images), and the groups of the images (images,)."""
    tables = [run.predictions().set_index("image_id") for run in runs]
    tables = [table.loc[tables[0].index] for table in tables]
    correct = [predicted_of(table) == table["y_true"].to_numpy() for table in tables]
    return np.array(correct), pd.factorize(tables[0]["group"])[0]


def _differences(first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64], seed: int) -> Array:
    """Differences of mean accuracy in resamples of runs and groups: (RESAMPLES,)."""
    random, differences = np.random.default_rng(seed), []
    sizes = np.bincount(groups)
    sums = [np.array([np.bincount(groups, run) for run in runs]) for runs in (first, second)]
    for weights in resamples(len(sizes), RESAMPLES, seed):
        total = (weights @ sizes)[:, None]
        means = []
        for counts in sums:
            accuracy = weights @ counts.T / total
            drawn = random.integers(0, len(counts), accuracy.shape)
            means.append(np.take_along_axis(accuracy, drawn, axis=1).mean(axis=1))
        differences.append(means[0] - means[1])
    return np.concatenate(differences)
