"""Shares of images, some of which belong together, and their intervals."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from statsmodels.stats.proportion import proportion_confint

LEVEL = 0.95  # of every interval


def wilson_interval(hits: ArrayLike, groups: ArrayLike) -> tuple[float, float]:
    """Bound the share of `hits` by Wilson's 95 % interval, see `wilson_bounds`.

    Parameters
    ----------
    hits : bool (N,)
    groups : (N,)
        Group of each image, see `effective_images`.

    Returns
    -------
    low, high : float
        0 and 1 without images.
    """
    shares = np.asarray(hits, float)
    return wilson_bounds(float(shares.mean()), effective_images(groups)) if len(shares) else (0.0, 1.0)


def effective_images(groups: ArrayLike) -> float:
    """Count the images that are independent evidence.

    Kish's effective sample size (Survey Sampling, 1965) is the squared sum of the group sizes over the sum of their
    squares.
    """
    sizes = np.unique(groups, return_counts=True)[1].astype(float)
    return float(sizes.sum() ** 2 / (sizes**2).sum()) if len(sizes) else 0.0


def wilson_bounds(value: float, images: float) -> tuple[float, float]:
    """Bound a value in [0, 1] by Wilson's 95 % interval (J. Am. Stat. Assoc. 22, 1927).

    With an effective number of images, value (1 − value) / variance, the interval suits every mean of values in [0, 1]
    (Franco et al., J. Surv. Stat. Methodol. 7, 2019). It always has a width.
    """
    low, high = proportion_confint(value * images, images, 1 - LEVEL, method="wilson")
    return max(min(float(low), value), 0.0), min(max(float(high), value), 1.0)


def majority_accuracy(classes: pd.Series) -> float:
    """Accuracy of the majority-class baseline: the most frequent class for every image."""
    return float(classes.value_counts(normalize=True).iloc[0])
