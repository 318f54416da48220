"""Comparisons of scenarios over seeds and images.

bench/claims.py measures how often a claim is false.
"""

from collections.abc import Iterable, Mapping
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests

from lab_utils.evaluation.crossed import Estimate, crossed_estimate
from lab_utils.evaluation.influence import Clusters, clusters_of
from lab_utils.evaluation.intervals import ALPHA
from lab_utils.evaluation.judged import JudgedRun, by_protocol, correct_on

Correct = NDArray[np.bool_]  # (runs, images): whether each run is right on each image

LEAST_GROUPS = 10  # of images: differences of fewer have no interval
CLAIM_SEEDS = 5  # runs of each scenario before one is called better
COLUMNS = ["first", "second", "seeds", "difference", "low", "high", "p", "detectable", "better"]


def comparisons(runs: Iterable[JudgedRun]) -> pd.DataFrame:
    """Compare the accuracies of every pair of scenarios of a protocol: table comparisons.

    See `compare_scenarios`. Scenarios with one run have no rows, because one run says nothing about seeds.
    """
    tables = [pd.DataFrame(columns=["protocol", *COLUMNS])]
    for protocol, scenarios in by_protocol(runs).items():
        several = {name: of_scenario for name, of_scenario in scenarios.items() if len(of_scenario) > 1}
        if len(several) > 1:
            predictions = next(iter(several.values()))[0].predictions
            correct = {name: correct_on(of_name, predictions["image_id"]) for name, of_name in several.items()}
            tables.append(compare_scenarios(correct, clusters_of(predictions)).assign(protocol=protocol))
    return pd.concat(tables[1:] or tables, ignore_index=True)[["protocol", *COLUMNS]]


def compare_scenarios(correct: Mapping[str, Correct], clusters: Clusters) -> pd.DataFrame:
    """Compare every pair of scenarios on the same images.

    The interval and the p-value are of Student's t, with the variance over seeds and images of `crossed_estimate`.
    p-values are corrected by Holm's method (Scand. J. Stat. 6, 1979) over the pairs. A scenario is called better if its
    p-value is below 5 %, and both scenarios have five runs. The detectable difference takes Holm's first step, the
    strictest. With fewer than ten groups of images there is neither interval nor test.

    Parameters
    ----------
    correct : mapping
        Name of a scenario to bool (runs, images), two runs or more.
    clusters : Clusters
        Groups of the images.

    Returns
    -------
    DataFrame
        Columns `COLUMNS`.
    """
    pairs = list(combinations(correct, 2))
    estimates = [accuracy_difference(correct[first], correct[second], clusters) for first, second in pairs]
    if group_count(clusters) < LEAST_GROUPS:
        p_values = np.full(len(pairs), np.nan)
    else:
        p_values = multipletests([estimate.p_value for estimate in estimates], ALPHA, "holm")[1]
    rows = []
    for (first, second), estimate, p in zip(pairs, estimates, p_values, strict=True):
        seeds = min(len(correct[first]), len(correct[second]))
        better = (first if estimate.value > 0 else second) if p < ALPHA and seeds >= CLAIM_SEEDS else ""
        detectable = np.nan if np.isnan(p) else estimate.detectable(len(pairs))
        rows.append((first, second, seeds, estimate.value, *bounds(estimate, clusters), p, detectable, better))
    return pd.DataFrame(rows, columns=COLUMNS)


def accuracy_difference(first: Correct, second: Correct, clusters: Clusters) -> Estimate:
    """Estimate the mean accuracy of some runs minus that of others on the same images.

    The variance over images is at least that of one group on which they differ: identical predictions of a sample do
    not prove that there is no difference (Agresti and Min, Stat. Med. 24, 2005).
    """
    runs, groups = np.concatenate([first, second]), group_count(clusters)
    accuracies = runs.mean(axis=1)
    covariance = clusters.covariance((runs - accuracies[:, None]) / runs.shape[1])
    sets = np.split(accuracies, [len(first)])
    return crossed_estimate(sets, covariance, groups, least_variance=1 / (groups + 2) ** 2)


def group_count(clusters: Clusters) -> int:
    """Count the groups of images."""
    return sum(map(len, clusters.strata))


def bounds(estimate: Estimate, clusters: Clusters) -> tuple[float, float]:
    """Bound a difference by its 95 % interval; NaN with fewer than ten groups of images."""
    return estimate.interval if group_count(clusters) >= LEAST_GROUPS else (np.nan, np.nan)
