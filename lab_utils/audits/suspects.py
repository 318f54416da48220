"""Suspect labels: images that the other images' labels contradict.

Linear discriminant analysis gives each image the probability of its label, without having seen the image, its copies or
its patient. Wrong labels among the others move the mean of a class only a little, and a few parameters cannot fit them.
The images with the lowest probabilities are the suspects. Some are mislabelled, and some are only difficult.
Difficult images alone must not lead to a claim, so two explanations are compared: hardly any label is wrong, or a
larger share of them was replaced at random.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax
from scipy.stats import chi2
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits.discriminant import require_finite
from lab_utils.audits.inputs import Float
from lab_utils.audits.tables import AuditError

SUSPECTS = ["image_id", "class", "suggested", "probability_given", "probability_suggested", "wrong", "rank", "claimed"]
FOLDS = 5
COMPONENTS = 200  # principal components of the features; more add time and no information
SHRINKAGE = 0.2  # of the covariance towards equal variances
TOLERATED = 0.01  # share of wrong labels that shows nothing: a few images that are unlike all others look as wrong
SIGNIFICANCE = 0.0001  # of the test whether more labels are wrong; far below 5 %, because p is no perfect model
FALSE_SHARE = 0.5  # of the claimed images that may be expected to have a right label

Array = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True)
class LabelNoise:
    """Label noise, judged by probabilities of a model that has not seen the images."""

    share: float  # of all labels that were replaced at random; 0 where the test shows none
    p_value: float  # of the test against "at most 1 % of the labels are wrong"
    probabilities: Array  # (n, C): of the classes, without the replacement
    wrong: Array  # (n,), in [0, 1]: probability that the image's label is wrong


def suspect_labels(values: Float, manifest: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Rank the images whose label the other images contradict: table suspects of one protocol.

    The largest set of images is claimed of which half or more are expected to have a wrong label; none is claimed where
    `label_noise` shows no wrong labels. cleanlab (Northcutt et al., *Confident Learning*, JAIR 2021, arXiv 1911.00068)
    ranks by the probability of the given label.

    Parameters
    ----------
    values : float32 (n, K)
        Pooled features.
    manifest : DataFrame (n rows)
        Columns image_id, class, group.
    classes : sequence of str
        Those without an image are ignored.

    Returns
    -------
    DataFrame
        Columns `SUSPECTS`; one row per image for which another class is more probable, by rank.

    Raises
    ------
    AuditError
        If an image's class has images of fewer than five groups, or there is one class only.
    """
    from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]

    names = np.array([name for name in classes if (manifest["class"] == name).any()], object)
    labels = pd.Index(names).get_indexer(pd.Index(manifest["class"])).astype(np.int64)
    groups = manifest["group"].to_numpy()
    noise = label_noise(_held_out_probabilities(values, labels, groups, names), labels, groups)
    order = np.argsort(get_label_quality_scores(labels, noise.probabilities), kind="stable")
    best = noise.probabilities.argmax(axis=1)
    order = order[best[order] != labels[order]]
    expected_false = np.cumsum(1 - noise.wrong[order]) / np.arange(1, len(order) + 1)
    claimed = np.flatnonzero(expected_false <= FALSE_SHARE).max(initial=-1) + 1 if noise.share else 0
    ranks = np.arange(1, len(order) + 1)
    given, suggested = noise.probabilities[order, labels[order]], noise.probabilities[order, best[order]]
    columns = (manifest["image_id"].to_numpy()[order], names[labels[order]], names[best[order]], given, suggested)
    return pd.DataFrame(dict(zip(SUSPECTS, (*columns, noise.wrong[order], ranks, ranks <= claimed), strict=True)))


def _held_out_probabilities(
    values: Float, labels: Places, groups: NDArray[np.int64], names: NDArray[np.object_]
) -> Array:
    """Out-of-fold probabilities (n, C): no model was fitted on an image of the same group."""
    least = pd.Series(groups).groupby(labels).nunique()
    if len(names) < 2 or least.min() < FOLDS:
        found = f"class {names[least.argmin()]} has {least.min()}" if len(names) > 1 else "there is one class"
        raise AuditError(f"{found}; cross-validation needs two classes with images of {FOLDS} groups each")
    require_finite(values)
    result = np.zeros((len(labels), len(names)))
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=0)
    with threadpool_limits(1):  # products of so small matrices are faster without threads
        for fitted, judged in folds.split(values, labels, groups):
            components = PCA(min(COMPONENTS, len(fitted) - 1, values.shape[1]), random_state=0)
            discriminant = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
            model = make_pipeline(StandardScaler(), components, discriminant).fit(values[fitted], labels[fitted])
            result[np.ix_(judged, model.classes_)] = model.predict_proba(values[judged])
    return result


def label_noise(probabilities: Array, labels: Places, groups: NDArray[np.int64]) -> LabelNoise:
    """Estimate the share of wrong labels by maximum likelihood.

    A test says whether it is above `TOLERATED`.

    The probability of the given label y is (1 − ε) p(y) + ε (1 − p(y)) / (C − 1). A share ε of the labels was replaced
    by another class at random, as in Natarajan et al., *Learning with noisy labels*, NeurIPS 2013. p has a temperature
    of its own, so an over- or underconfident model is no evidence of wrong labels. A group counts once. The test is
    the likelihood ratio against ε = 1 %, whose distribution is half a point at 0 and half chi-square with one degree
    of freedom (Self and Liang, JASA 1987).

    Parameters
    ----------
    probabilities : float (n, C)
    labels : int (n,)
        Columns of the given classes.
    groups : int (n,)
    """
    count = probabilities.shape[1]
    scores = np.log(np.clip(probabilities, np.finfo(float).tiny, None))
    weights = 1 / pd.Series(groups).groupby(groups).transform("size").to_numpy()
    rows = np.arange(len(labels))

    def calibrated(parameters: Array) -> Array:
        return log_softmax(scores * np.exp(parameters[0]), axis=1)

    def cost(parameters: Array) -> float:
        share, given = parameters[1], np.exp(calibrated(parameters)[rows, labels])
        return -float(weights @ np.log((1 - share) * given + share * (1 - given) / (count - 1)))

    def fitted(start: float, most: float) -> tuple[float, Array]:
        result = minimize(cost, [0.0, start], bounds=[(-3, 3), (TOLERATED, most)], method="L-BFGS-B")
        return float(result.fun), result.x

    without, parameters = fitted(TOLERATED, TOLERATED)
    best, with_noise = min((fitted(start, 0.5) for start in (0.02, 0.1)), key=lambda fit: fit[0])
    p_value = 1.0 if best >= without else float(chi2.sf(2 * (without - best), 1) / 2)
    is_shown = p_value < SIGNIFICANCE
    parameters = with_noise if is_shown else parameters
    given = np.exp(calibrated(parameters)[rows, labels])
    replaced, kept = parameters[1] * (1 - given) / (count - 1), (1 - parameters[1]) * given
    wrong = replaced / (replaced + kept) if is_shown else np.zeros(len(labels))
    return LabelNoise(float(parameters[1]) if is_shown else 0.0, p_value, np.exp(calibrated(parameters)), wrong)
