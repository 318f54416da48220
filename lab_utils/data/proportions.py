"""Intervals of shares of images, some of which belong together."""

import pandas as pd
from statsmodels.stats.proportion import proportion_confint


def wilson_interval(hits: pd.Series, groups: pd.Series) -> tuple[float, float]:
    """Bound the share of `hits` by Wilson's 95 % interval (J. Am. Stat. Assoc. 22, 1927).

    Images of one group are no independent evidence. Their number is therefore replaced by Kish's effective sample size
    (Survey Sampling, 1965): the squared sum of the group sizes over the sum of their squares.

    Parameters
    ----------
    hits : Series of bool (N,)
    groups : Series (N,)
        Group of each image.

    Returns
    -------
    low, high : float
    """
    sizes = groups.value_counts()
    images = sizes.sum() ** 2 / (sizes**2).sum()
    low, high = proportion_confint(hits.mean() * images, images, method="wilson")
    return float(low) if hits.any() else 0.0, float(high)
