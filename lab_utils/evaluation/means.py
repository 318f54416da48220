"""Means of scores over seeds, with intervals that hold the variation of seeds and of images."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.stats import t as student

from lab_utils.data.proportions import LEVEL
from lab_utils.evaluation.influence import QUANTILE, Array, Clusters
from lab_utils.evaluation.intervals import INTERVAL
from lab_utils.evaluation.scorer import Score


def mean_scores(scores: Sequence[Sequence[Score]], clusters: Clusters) -> pd.DataFrame:
    """Compute means of scores over the seeds of a scenario: table means of one scenario.

    Seeds and groups of images are crossed: all runs of a scenario judge the same images. `mean_bounds` says how both
    enter the interval. The calibration error of few images is too large in every run, so nothing of it averages out.

    Parameters
    ----------
    scores : sequence
        For each seed, what `lab_utils.evaluation.intervals.scores_of` returns.
    clusters : Clusters
        Groups of the images.
    """
    rows = []
    for seeds in zip(*scores, strict=True):
        numbers = np.array([(one.value, one.low, one.high) for one in seeds])
        covariance = clusters.covariance(np.stack([one.influence for one in seeds]))
        bounds = mean_bounds(numbers, None if seeds[0].measure.endswith("ece") else covariance)
        rows.append((seeds[0].measure, seeds[0].label, *bounds))
    return pd.DataFrame(rows, columns=INTERVAL)


def mean_bounds(seeds: Array, covariance: Array | None = None) -> tuple[float, float, float]:
    """Mean of a score over seeds with its 95 % interval; with one seed that of the images alone.

    The square of each half of the interval is the sum of two (Zou and Donner, Stat. Med. 27, 2008): that of the images
    and that of the seeds, by Student's t. Over several seeds, part of the variation of the images averages out. The
    same part lets the seeds differ, and is subtracted there (crossed random effects: Searle et al., Variance
    Components, 1992, chapter 4).

    Parameters
    ----------
    seeds : float (S, 3)
        Value, low and high of each run.
    covariance : float (S, S), optional
        Of the runs' values over samples of images. Without it nothing averages out, and the interval is wider.

    Returns
    -------
    value, low, high : float
    """
    count, (value, low, high) = len(seeds), seeds.mean(axis=0)
    shrink, interaction, margin = 1.0, 0.0, 0.0
    if covariance is not None and (single := np.trace(covariance) / count) > 0:
        shrink = float(np.sqrt(covariance.mean() / single))
        interaction = (single - covariance.mean()) / max(count - 1, 1)
    if count > 1:
        spread = student.ppf((1 + LEVEL) / 2, count - 1) ** 2 * seeds[:, 0].var(ddof=1) / count
        margin = float(np.sqrt(max(spread - QUANTILE**2 * interaction, 0)))
    most = np.ceil(seeds.max()) if seeds.size else 1  # 1, or 2 for a Brier score above 1
    below, above = np.hypot(shrink * (value - low), margin), np.hypot(shrink * (high - value), margin)
    return float(value), float(max(value - below, 0)), float(min(value + above, max(most, 1)))
