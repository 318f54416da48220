"""Temperature scaling: one number that makes a network as confident as it is right.

Guo et al., *On Calibration of Modern Neural Networks*, ICML 2017 (arXiv 1706.04599), section 4.2. The temperature
divides the scores before the softmax. The predicted class stays the same.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax
from sklearn.model_selection import GroupKFold

from lab_utils.evaluation.predictions import classes_of, probabilities_of

Array = NDArray[np.float64]

SMALLEST = float(np.finfo(np.float32).tiny)  # a probability that float32 has rounded to 0
RANGE = (0.05, 20.0)  # of temperatures that are tried
FOLDS = 5


def fit_temperature(predictions: pd.DataFrame) -> float:
    """Find the temperature of the least cross-entropy: above 1 for an overconfident network.

    Without a wrong prediction the cross-entropy falls without end as the temperature falls; the result is then 1.

    Parameters
    ----------
    predictions : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`; the network must not have been trained on its images.

    Returns
    -------
    float in [0.05, 20]
    """
    scores = log_probabilities(predictions)
    truth = pd.Index(classes_of(predictions)).get_indexer(pd.Index(predictions["y_true"]))
    rows = np.arange(len(truth))
    if np.all(scores.argmax(axis=1) == truth):
        return 1.0

    def cross_entropy(inverse: float) -> float:  # a convex function
        return -float(log_softmax(scores * inverse, axis=1)[rows, truth].mean())

    return 1 / float(minimize_scalar(cross_entropy, bounds=(1 / RANGE[1], 1 / RANGE[0]), method="bounded").x)


def with_temperature(predictions: pd.DataFrame, temperature: float) -> pd.DataFrame:
    """Return the predictions with probabilities at another temperature (above 0)."""
    names = [f"p_{name}" for name in classes_of(predictions)]
    scaled = softmax(log_probabilities(predictions) / temperature, axis=1)
    return predictions.assign(**dict(zip(names, scaled.T, strict=True)))


def with_cross_fitted_temperature(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scale each fifth of the images by the temperature of the other four fifths.

    A temperature that was fitted on the images that it is judged on would look too good. Groups stay together. With one
    group the predictions stay as they are.
    """
    groups = predictions["group"].to_numpy()
    if (folds := min(FOLDS, len(np.unique(groups)))) < 2:
        return predictions
    parts = [
        with_temperature(predictions.iloc[judged], fit_temperature(predictions.iloc[fitted]))
        for fitted, judged in GroupKFold(folds).split(predictions, groups=groups)
    ]
    return pd.concat(parts).loc[predictions.index]


def log_probabilities(predictions: pd.DataFrame) -> Array:
    """Return log p (N, C): the scores before the softmax, up to a constant of each image."""
    return np.log(np.clip(probabilities_of(predictions), SMALLEST, None))
