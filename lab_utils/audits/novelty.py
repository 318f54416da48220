"""How unusual an image is, by two distances to the training images.

Each is given as a percentile of the training images' own distances. The first is the distance of pooled features of the
frozen backbone to the nearest training images (Sun et al., *Out-of-Distribution Detection with Deep Nearest Neighbors*,
ICML 2022, arXiv 2204.06507). It misses some images that are turned or inverted. The second distance finds these: a low
correlation of 8 x 8 mean grey levels with the average training image.

On a tenth of the COVID-19 Radiography Database with ImageNet weights, the rule of `UNUSUAL` finds every photograph,
lung mask, blank image, inverted radiograph, and radiograph turned by 90 degrees. It also marks 3 % of the held-out
radiographs.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.audits.inputs import Float, grey_inputs
from lab_utils.audits.masking import MaskedImages
from lab_utils.data.arrays import SlicedImages
from lab_utils.data.labelled import LabelledImages

NEAREST = 3  # training images whose mean distance counts, and which are shown
UNUSUAL = 98.0  # percentile above which an image is unusual
MOST = 2000  # training images whose own distances are computed: enough for a percentile
BLOCK = 512  # images per matrix product


@dataclass(frozen=True)
class TrainingReference:
    """The training images that new images are compared with."""

    rows: NDArray[np.int64]  # (n,), of the data
    features: Float  # (n, K), pooled features scaled to length 1
    distances: Float  # (m,) ascending: of training images to their nearest ones in other groups
    average: Float  # (64,), mean grey levels of the average training image
    correlations: Float  # (m,) ascending: of training images with the average

    @classmethod
    def of(cls, data: LabelledImages, features: NDArray[np.floating]) -> "TrainingReference":
        """Measure the training images of `data`, masks left out; their pooled features are (N, K).

        Images of one group (near-duplicates, or one patient) do not count as near one another: a new image has no such
        relatives among the training images. Of many images, 2,000 at random are measured.
        """
        rows = np.flatnonzero((data.manifest["split"] == "train") & (data.manifest["kind"] == "image"))
        unit = _unit(features[rows])
        groups = data.manifest["group"].to_numpy()[rows]
        chosen = np.sort(np.random.default_rng(0).permutation(len(rows))[:MOST])
        similarities, _ = _nearest(unit[chosen], unit, groups[chosen], groups)
        thumbnails = _thumbnails(MaskedImages(data.images, rows[chosen]))
        average = thumbnails.mean(axis=0)
        distances, correlations = 1 - similarities.mean(axis=1), _correlations(thumbnails, average)
        return cls(rows, unit, np.sort(distances), average, np.sort(correlations))

    def compare(
        self, images: SlicedImages, features: NDArray[np.floating]
    ) -> tuple[pd.DataFrame, NDArray[np.int64], Float]:
        """Compare new images, prepared as the training images are, and their pooled features (N, K).

        Returns
        -------
        novelty : DataFrame
            Columns feature_percentile and thumbnail_percentile, in [0, 100], and unusual: what `reason` says.
        nearest : int64 (N, 3)
            Rows of the most similar training images in the data, the most similar first.
        similarities : float32 (N, 3)
            Cosine of the pooled features, 1 for the same direction.
        """
        similarities, places = _nearest(_unit(features), self.features)
        correlations = _correlations(_thumbnails(images), self.average)
        far = np.searchsorted(self.distances, 1 - similarities.mean(axis=1)) / len(self.distances)
        unlike = 1 - np.searchsorted(self.correlations, correlations, side="right") / len(self.correlations)
        novelty = pd.DataFrame({"feature_percentile": 100 * far, "thumbnail_percentile": 100 * unlike})
        novelty["unusual"] = [reason(*row) for row in novelty.itertuples(index=False)]
        return novelty, self.rows[places], similarities


def reason(feature_percentile: float, thumbnail_percentile: float) -> str:
    """Say what is unusual in an image; "" where both percentiles are at most 98."""
    percentiles = {"features": feature_percentile, "grey levels": thumbnail_percentile}
    unusual = [f"{what} (percentile {value:.4g})" for what, value in percentiles.items() if value > UNUSUAL]
    return f"Unusual {' and '.join(unusual)}" if unusual else ""


def _unit(features: NDArray[np.floating]) -> Float:
    """Scale rows to length 1; a row of zeros stays, and is similar to nothing."""
    values = np.asarray(features, np.float32)
    return values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def _nearest(
    queries: Float, features: Float, query_groups: Any = None, groups: Any = None
) -> tuple[Float, NDArray[np.int64]]:
    """Find the most similar of `features` (n, K) for each query.

    Where groups are given, those of the query's own group are left out.

    Returns cosines, float32 (N, 3) in descending order, and places in `features`, int64 (N, 3). With fewer than three
    candidates the arrays have fewer columns.
    """
    count = min(NEAREST, len(features))
    cosines, places = np.empty((len(queries), count), np.float32), np.empty((len(queries), count), np.int64)
    for start in range(0, len(queries), BLOCK):
        block = slice(start, start + BLOCK)
        similarity = queries[block] @ features.T
        if groups is not None:
            similarity[query_groups[block, None] == groups] = -1  # the lowest cosine: of the opposite direction
        best = np.argpartition(-similarity, count - 1, axis=1)[:, :count]
        values = np.take_along_axis(similarity, best, axis=1)
        order = np.argsort(-values, axis=1, kind="stable")
        cosines[block], places[block] = (np.take_along_axis(part, order, axis=1) for part in (values, best))
    return cosines, places


def _thumbnails(images: SlicedImages) -> Float:
    """Return 64 mean grey levels per image."""
    return grey_inputs(images)["thumbnail_8x8"]


def _correlations(thumbnails: Float, average: Float) -> Float:
    """Correlate thumbnails (N, 64) with the average (64,): Pearson, and 0 for a uniform one."""
    centred = thumbnails - thumbnails.mean(axis=1, keepdims=True)
    return _unit(centred) @ _unit((average - average.mean())[None])[0]
