"""Variance of means over seeds and images.

Every run judges the same images, so seeds and images are crossed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from lab_utils.data.proportions import LEVEL
from lab_utils.evaluation.intervals import ALPHA

Array = NDArray[np.float64]

POWER = 0.8  # with which an experiment detects its smallest detectable difference


@dataclass(frozen=True)
class Estimate:
    """A mean over runs, or a difference of two means, with its variance over seeds and images."""

    value: float
    variance: float
    freedom: float  # degrees of freedom of the variance
    seed_variance: float = 0.0  # part of the variance that comes from seeds

    @property
    def margin(self) -> float:
        """Half of the 95 % interval."""
        return float(student.ppf((1 + LEVEL) / 2, self.freedom) * np.sqrt(self.variance))

    @property
    def interval(self) -> tuple[float, float]:
        """Student's 95 % interval: low, high."""
        return self.value - self.margin, self.value + self.margin

    @property
    def p_value(self) -> float:
        """Two-sided p-value of the hypothesis that the true value is 0."""
        return float(2 * student.sf(abs(self.value) / np.sqrt(self.variance), self.freedom))

    def detectable(self, tests: int = 1) -> float:
        """Smallest true difference that is detected with a power of about 80 %.

        So many tests share the error rate. See Bloom, Evaluation Review 19, 1995.
        """
        quantiles = student.ppf(1 - ALPHA / tests / 2, self.freedom) + student.ppf(POWER, self.freedom)
        return float(quantiles * np.sqrt(self.variance))


def crossed_estimate(
    values: Sequence[Array], covariance: Array, groups: int, *, least_variance: float = 0.0
) -> Estimate:
    """Estimate the mean of the runs of one set, or the difference between the means of two sets.

    The variance is that of two crossed random effects, seeds and groups of images (Searle, Casella and McCulloch,
    Variance Components, 1992, chapter 4): seeds plus images minus their interaction, which both contain; it is at least
    the images' part. Its degrees of freedom are Satterthwaite's (Biometrics Bulletin 2, 1946). If a set has one run,
    nothing is known about seeds, and the variance is that of the images alone.

    Parameters
    ----------
    values : one or two arrays of float (n,)
        Score of each run of a set.
    covariance : float (R, R)
        Covariance of the scores of all R runs, in this order, over samples of images, such as
        `lab_utils.evaluation.influence.Clusters` gives.
    groups : int
        Number of groups of images, two or more.
    least_variance : float
        Lower bound of the variance that comes from images.
    """
    signed = [sign * np.full(len(runs), 1 / len(runs)) for sign, runs in zip((1, -1), values, strict=False)]
    weights = np.concatenate(signed)
    images = max(float(weights @ covariance @ weights), least_variance)
    total, squares = images, images**2 / (groups - 1)
    if min(map(len, values)) > 1:
        ends = list(accumulate(map(len, values)))
        for runs, end in zip(values, ends, strict=True):
            count = len(runs)
            block = covariance[end - count : end, end - count : end]
            seeds = float(np.var(runs, ddof=1)) / count
            total += seeds - float(np.trace(block) / count - block.mean()) / (count - 1)
            squares += seeds**2 / (count - 1)
        total = max(total, images)
    means = [float(np.mean(runs)) for runs in values]
    freedom = total**2 / squares if squares else np.inf
    return Estimate(means[0] - sum(means[1:]), total, freedom, total - images)
