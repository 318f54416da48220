"""Linear discriminant analysis with a ridge penalty, factorised once for many labellings.

The covariance within classes has the penalty added to its diagonal (Friedman, *Regularized Discriminant Analysis*,
JASA 84, 1989). It is the covariance of all images less a matrix of the rank of the classes. One factorisation of the
latter therefore serves every penalty and every permutation of the labels.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.linalg import eigh
from scipy.special import softmax
from scipy.stats import rankdata

from lab_utils.audits.inputs import Float
from lab_utils.audits.tables import AuditError

PENALTIES = 10.0 ** np.arange(-3, 2.1, 0.5)  # in variances of a standardised input
FOLDS = 5  # of a cross-validation, at least
FOLD_IMAGES = 300  # in a fold at most: the cost grows with their cube
SMALLEST = 1e-6  # of the largest variance: directions with less are rounding errors

Array = NDArray[np.float64]
Labels = NDArray[np.object_]


def require_finite(values: Float) -> None:
    """Raise AuditError if some features (n, K) are infinite or not a number."""
    if not np.isfinite(values).all():
        raise AuditError("some features are infinite or not a number; storage float16 holds values up to 65,504")


def one_vs_rest_auc(scores: Array, is_of_class: NDArray[np.bool_]) -> Array:
    """Areas under the ROC curve of many score tables: (..., C).

    The Mann-Whitney statistic; ties count half. It is NaN for a class of none or all images.

    Parameters
    ----------
    scores : float (n, ..., C)
        A higher score speaks for the class.
    is_of_class : bool (n, ..., C)
    """
    positive = is_of_class.sum(axis=0)
    ranks = np.einsum("n...,n...->...", rankdata(scores, axis=0), is_of_class)
    pairs = positive * (len(scores) - positive)
    lowest = positive * (positive + 1) / 2
    return np.divide(ranks - lowest, pairs, out=np.full(ranks.shape, np.nan), where=pairs > 0)


@dataclass(frozen=True)
class Discriminant:
    """Training images in the directions of their principal components, and a penalty."""

    classes: Labels  # (C,) of the training images
    mean: Float  # (K,)
    scale: Float  # (K,) standard deviations; 1 for a constant input
    directions: Float  # (K, r)
    variances: Float  # (r,) of the training images along the directions
    projected: Float  # (n, r)
    penalty: float

    @classmethod
    def fit(cls, values: Float, labels: Labels, groups: NDArray[np.int64]) -> "Discriminant":
        """Factorise training images, and choose the penalty by cross-validation between groups.

        The penalty has the highest mean one-vs-rest AUC of a ridge regression on the classes, on images of groups
        that it was not fitted on.

        Raises AuditError if some values are infinite or not a number.

        Parameters
        ----------
        values : float32 (n, K)
        labels : str (n,)
        groups : int (n,)
        """
        require_finite(values)
        mean, scale = values.mean(axis=0), values.std(axis=0)
        scale = np.where(scale > 0, scale, np.float32(1)).astype(np.float32)
        inputs = ((values - mean) / scale).astype(np.float32)
        count, is_tall = len(inputs), len(inputs) >= inputs.shape[1]
        variances, vectors = eigh((inputs.T @ inputs if is_tall else inputs @ inputs.T) / count, driver="evd")
        kept = variances > SMALLEST * max(variances[-1], 1)
        variances, vectors = variances[kept], vectors[:, kept]
        directions = vectors if is_tall else inputs.T @ vectors / np.sqrt(count * variances)
        projected = inputs @ directions
        classes = np.unique(labels.astype(str)).astype(object)
        penalty = _best_penalty(projected, variances, labels[:, None] == classes, groups)
        return cls(classes, mean, scale, directions, variances, projected, penalty)

    def weights(self, is_of_class: NDArray[np.bool_]) -> tuple[Float, Float]:
        """Weights (L, r, C) and biases (L, C) of the classes for L labellings, bool (n, L, C).

        With total covariance T, class means M and shares P, the covariance within classes is T − MᵀPM. Woodbury's
        identity gives its inverse from that of T.
        """
        count, labellings, classes = is_of_class.shape
        sizes = np.maximum(is_of_class.sum(axis=0), 1).astype(np.float32)
        sums = self.projected.T @ is_of_class.reshape(count, -1).astype(np.float32)
        means = sums.reshape(len(sums), labellings, classes).transpose(1, 0, 2) / sizes[:, None]
        scaled = means / (self.variances + np.float32(self.penalty))[:, None]
        inner = means.transpose(0, 2, 1) @ scaled
        shares = sizes / np.float32(count)
        correction = np.linalg.inv(np.eye(classes, dtype=np.float32) - shares[:, :, None] * inner)
        biases = np.log(shares) - np.einsum("lcd,ldc->lc", inner, correction) / 2
        return scaled @ correction, biases

    def probabilities(self, values: Float, is_of_class: NDArray[np.bool_]) -> Array:
        """Probabilities of the classes of images (m, K), for each of L labellings: (m, L, C)."""
        weights, biases = self.weights(is_of_class)
        projected = ((values - self.mean) / self.scale).astype(np.float32) @ self.directions
        joined = weights.transpose(1, 0, 2).reshape(len(self.variances), biases.size)
        scores = (projected @ joined).reshape(len(values), *biases.shape) + biases
        return softmax(scores.astype(float), axis=-1)

    def coefficients(self, labels: Labels) -> tuple[Float, Float]:
        """Coefficients (C, K) and biases (C,) for the training labels, in units of the inputs."""
        weights, biases = self.weights((labels[:, None] == self.classes)[:, None])
        coefficients = (self.directions @ weights[0]).T / self.scale
        return coefficients.astype(np.float32), (biases[0] - coefficients @ self.mean).astype(np.float32)


def _best_penalty(
    projected: Float, variances: Float, is_of_class: NDArray[np.bool_], groups: NDArray[np.int64]
) -> float:
    """Penalty with the best scores on groups that are left out.

    The residuals of left-out images follow from the fit to all images: (I − H)⁻¹ times the residuals, with the block
    H of the hat matrix that belongs to the fold (Hastie et al., The Elements of Statistical Learning, 2009, ch. 7.10).
    """
    count, answers = len(projected), is_of_class.astype(float)
    centred = (answers - answers.mean(axis=0)).astype(np.float32)
    folds = folds_of(groups)
    best, best_auc = float(PENALTIES[-1]), -np.inf
    for penalty in PENALTIES:
        shrunk = projected / np.sqrt(count * (variances + np.float32(penalty)))
        residuals = centred - shrunk @ (shrunk.T @ centred)
        held_out = np.empty_like(answers)
        for fold in folds:
            hat = (shrunk[fold] @ shrunk[fold].T).astype(float) + 1 / count
            held_out[fold] = answers[fold] - np.linalg.solve(np.eye(len(fold)) - hat, residuals[fold])
        area = float(np.nanmean(one_vs_rest_auc(held_out, is_of_class)))
        if area > best_auc:
            best, best_auc = float(penalty), area
    return best


def folds_of(groups: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Draw the folds of a cross-validation: places of images; a group (n,) lies in one fold."""
    codes, names = pd.factorize(np.asarray(groups))
    order = np.random.default_rng(0).permutation(len(names))
    place = order[codes]  # random place of each image's group
    before = np.cumsum(np.bincount(place, minlength=len(names))) - 1
    count = max(FOLDS, -(-len(groups) // FOLD_IMAGES))
    fold = before[place] * count // len(groups)
    return [np.flatnonzero(fold == number) for number in np.unique(fold)]
