"""Features as numbers to read and points to draw."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.decomposition import PCA

from lab_utils.models.features import Features

DRAWN = 1000  # images in a scatter plot


def cut_table(features: Mapping[int, Features]) -> pd.DataFrame:
    """List where a backbone is cut, for each depth of fine-tuning.

    Returns
    -------
    DataFrame
        Columns trainable_convs, layer (the last frozen one), values (per image), megabytes (10^6 bytes on disk),
        images_per_second (of the pass that computed them).
    """
    rows = [
        (depth, one.layer, int(np.prod(one.values.shape[1:])), one.values.nbytes / 1e6, len(one.values) / one.seconds)
        for depth, one in features.items()
    ]
    return pd.DataFrame(rows, columns=["trainable_convs", "layer", "values", "megabytes", "images_per_second"])


def principal_components(
    features: Features, *, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]:
    """Project features of up to 1,000 images on the two directions in which they vary most.

    Returns
    -------
    points : float (n, 2)
    explained : float (2,), in [0, 1]
        Share of the variance along each direction.
    rows : int64 (n,)
        Images of the points, drawn at random.
    """
    rows = np.random.default_rng(seed).permutation(len(features.values))[:DRAWN]
    pca = PCA(n_components=2, random_state=seed)
    points = pca.fit_transform(np.asarray(features.values[rows], np.float64).reshape(len(rows), -1))
    return points, pca.explained_variance_ratio_, rows
