"""How sure a score is: intervals over images and seeds, paired tests."""

from collections.abc import Iterator, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lab_utils.evaluation.predictions import classes_of, predicted_of
from lab_utils.evaluation.runs import Run

Array = NDArray[np.float64]

RESAMPLES = 2000
LEVEL = 0.95  # of every interval
ALPHA = 1 - LEVEL
AT_ONCE = 100  # resamples in memory together
CLAIM_SEEDS = 5  # runs of each scenario before one is called better: its interval without 0, McNemar beyond its null


def intervals(predictions: pd.DataFrame, *, seed: int = 0) -> pd.DataFrame:
    """Scores with 95 % intervals by the percentile bootstrap over groups of near-duplicates.

    Whole groups are drawn, for copies of an image are no further evidence (Efron and Tibshirani, An Introduction to
    the Bootstrap, 1993, chapters 8 and 13).

    Parameters
    ----------
    predictions : DataFrame
        As of `lab_utils.evaluation.predictions.predictions_table`.
    seed : int
        Of the resampling.

    Returns
    -------
    DataFrame
        Columns measure (accuracy, macro_f1, precision, recall, f1), class (empty for the first two), value, low, high;
        all fractions in [0, 1].
    """
    classes, counts = classes_of(predictions), _confusions(predictions)
    found = _scores(counts.sum(axis=0))
    flat = counts.reshape(len(counts), -1)
    drawn = [
        _scores((weights @ flat).reshape(-1, *counts.shape[1:])) for weights in _resamples(len(counts), RESAMPLES, seed)
    ]
    rows = []
    for name, value in found.items():
        low, high = np.quantile(np.concatenate([one[name] for one in drawn]), [ALPHA / 2, 1 - ALPHA / 2], axis=0)
        labels = classes if value.ndim else [""]
        rows += list(zip([name] * len(labels), labels, *map(np.atleast_1d, (value, low, high)), strict=True))
    return pd.DataFrame(rows, columns=["measure", "class", "value", "low", "high"])


def mean_interval(values: Array, groups: NDArray[np.int64], *, seed: int = 0) -> tuple[float, float, float]:
    """A mean with its 95 % interval by the same bootstrap over groups.

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
    means = [weights @ sums / (weights @ sizes) for weights in _resamples(len(sizes), RESAMPLES, seed)]
    low, high = np.quantile(np.concatenate(means), [ALPHA / 2, 1 - ALPHA / 2])
    return float(values.mean()), float(low), float(high)


def comparisons(runs: Sequence[Run], *, seed: int = 0) -> pd.DataFrame:
    """Every pair of scenarios of a protocol: difference in accuracy, its interval over seeds and images, paired tests.

    The interval is a bootstrap of two levels, runs and then groups of images, so that it holds what another seed would
    change. McNemar's exact test (Psychometrika 12, 1947) compares two runs on the same images and knows nothing of
    seeds: it stands beside its own null, how often it calls two runs of the *same* scenario different. p-values are
    Holm's (Scand. J. Stat. 6, 1979) over all pairs of runs of a protocol. Tests and Holm by statsmodels.

    Returns
    -------
    DataFrame
        Columns protocol, first, second (scenarios), seeds, difference (first minus second, of mean accuracies), low,
        high, different (share of pairs of runs that McNemar with Holm calls different), null (that share among
        pairs of runs of one scenario; missing with one seed), better (the scenario that may be called better; empty
        where neither may).
    """
    rows = []
    for protocol in dict.fromkeys(run.protocol.name for run in runs):
        own = [run for run in runs if run.protocol.name == protocol]
        names = list(dict.fromkeys(run.scenario.name for run in own))
        right, groups = _correct(own)
        correct = {name: right[[run.scenario.name == name for run in own]] for name in names}
        pairs = list(combinations(range(len(own)), 2))
        adjusted = holm([mcnemar_p(right[a], right[b]) for a, b in pairs]) if pairs else np.empty(0)
        kinds = [(own[a].scenario.name, own[b].scenario.name) for a, b in pairs]
        same = np.array([a == b for a, b in kinds])
        null = float((adjusted[same] < ALPHA).mean()) if same.any() else np.nan
        for first, second in combinations(names, 2):
            differences = _differences(correct[first], correct[second], groups, seed)
            low, high = np.quantile(differences, [ALPHA / 2, 1 - ALPHA / 2])
            value = correct[first].mean() - correct[second].mean()
            ours = np.array([set(kind) == {first, second} for kind in kinds])
            seeds = min(len(correct[first]), len(correct[second]))
            different = float((adjusted[ours] < ALPHA).mean())
            is_claimed = seeds >= CLAIM_SEEDS and (low > 0 or high < 0) and different > null
            rows.append(
                {
                    "protocol": protocol,
                    "first": first,
                    "second": second,
                    "seeds": seeds,
                    "difference": value,
                    "low": low,
                    "high": high,
                    "different": different,
                    "null": null,
                    "better": (first if value > 0 else second) if is_claimed else "",
                }
            )
    columns = ["protocol", "first", "second", "seeds", "difference", "low", "high", "different", "null", "better"]
    return pd.DataFrame(rows, columns=columns)


def mcnemar_p(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """p-value of McNemar's exact test for two classifiers on the same images; 1 where they never differ.

    Parameters
    ----------
    first, second : bool (N,)
        Whether each image is classified correctly.
    """
    table = [[np.sum(first & second), np.sum(first & ~second)], [np.sum(~first & second), np.sum(~first & ~second)]]
    return float(mcnemar(table, exact=True).pvalue) if (first != second).any() else 1.0


def holm(p_values: Sequence[float]) -> Array:
    """p-values made larger for being several, by Holm's method: (N,)."""
    return np.asarray(multipletests(p_values, method="holm")[1])


def _confusions(predictions: pd.DataFrame) -> Array:
    """Confusion counts of each group: (groups, true classes, predicted classes)."""
    classes = classes_of(predictions)
    groups, names = pd.factorize(predictions["group"])
    truth, guess = (
        pd.Categorical(values, categories=classes).codes
        for values in (predictions["y_true"], predicted_of(predictions))
    )
    counts = np.zeros((len(names), len(classes), len(classes)))
    np.add.at(counts, (groups, truth, guess), 1)
    return counts


def _scores(confusions: Array) -> dict[str, Array]:
    """Scores of confusion matrices (..., C, C); what is undefined counts as 0, as in the classification report."""
    hits = np.diagonal(confusions, axis1=-2, axis2=-1)
    true, guessed = confusions.sum(axis=-1), confusions.sum(axis=-2)

    def ratio(upper: Array, lower: Array) -> Array:
        return np.divide(upper, lower, out=np.zeros_like(upper, float), where=lower > 0)

    f1 = ratio(2 * hits, true + guessed)
    return {
        "accuracy": hits.sum(axis=-1) / confusions.sum(axis=(-2, -1)),
        "macro_f1": f1.mean(axis=-1),
        "precision": ratio(hits, guessed),
        "recall": ratio(hits, true),
        "f1": f1,
    }


def _resamples(units: int, count: int, seed: int) -> Iterator[Array]:
    """How often each unit is drawn in each resample: blocks of (resamples, units)."""
    random = np.random.default_rng(seed)
    for start in range(0, count, AT_ONCE):
        size = (min(AT_ONCE, count - start), units)
        drawn = random.integers(0, units, size) + units * np.arange(size[0])[:, None]
        yield np.bincount(drawn.ravel(), minlength=size[0] * units).reshape(size).astype(float)


def _correct(runs: Sequence[Run]) -> tuple[NDArray[np.bool_], NDArray[np.int64]]:
    """Which images each run has right (runs, images), in one order of images, and their groups (images,)."""
    tables = [run.predictions().set_index("image_id") for run in runs]
    order = tables[0].index
    right = [(predicted_of(table) == table["y_true"].to_numpy()) for table in (one.loc[order] for one in tables)]
    return np.array(right), pd.factorize(tables[0]["group"])[0]


def _differences(first: NDArray[np.bool_], second: NDArray[np.bool_], groups: NDArray[np.int64], seed: int) -> Array:
    """Differences of mean accuracy in resamples of runs and groups: (RESAMPLES,)."""
    random, found = np.random.default_rng(seed), []
    sizes = np.bincount(groups)
    sums = [np.array([np.bincount(groups, run) for run in runs]) for runs in (first, second)]
    for weights in _resamples(len(sizes), RESAMPLES, seed):
        total = (weights @ sizes)[:, None]
        means = []
        for counts in sums:
            accuracy = weights @ counts.T / total
            drawn = random.integers(0, len(counts), accuracy.shape)
            means.append(np.take_along_axis(accuracy, drawn, axis=1).mean(axis=1))
        found.append(means[0] - means[1])
    return np.concatenate(found)
