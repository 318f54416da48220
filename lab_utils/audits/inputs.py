"""Inputs of the probes that need no network: statistics of the grey levels, a thumbnail."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.machine import in_parallel
from lab_utils.data.arrays import SlicedImages
from lab_utils.data.decode import Pixels

THUMBNAIL = 8  # pixels to a side
PERCENTILES = (5, 25, 50, 75, 95)

Float = NDArray[np.float32]


def grey_inputs(images: SlicedImages) -> dict[str, Float]:
    """Compute both inputs: histogram, float32 (n, 9), and thumbnail_8x8, float32 (n, 64)."""
    compute: dict[str, Callable[[Pixels], Float]] = {"histogram": histogram, "thumbnail_8x8": thumbnail}
    rows = in_parallel(
        lambda row: [function(_grey(images[row : row + 1][0])) for function in compute.values()], range(len(images))
    )
    return dict(zip(compute, map(np.array, zip(*rows, strict=True)), strict=True))


def _grey(image: Pixels) -> Pixels:
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def histogram(image: Pixels) -> Float:
    """Four moments and five percentiles of a grey image (H, W): float32 (9,).

    The moments are mean, deviation, skewness and kurtosis. A uniform image has skewness and kurtosis 0, where SciPy
    gives none.
    """
    levels = np.bincount(image.ravel(), minlength=256) / image.size
    values = np.arange(256)
    mean = levels @ values
    deviation = float(np.sqrt(levels @ (values - mean) ** 2))
    moments = [levels @ ((values - mean) / (deviation or 1)) ** power for power in (3, 4)]
    percentiles = np.searchsorted(levels.cumsum(), np.array(PERCENTILES) / 100)
    return np.array([mean, deviation, *moments, *percentiles], np.float32)


def thumbnail(image: Pixels) -> Float:
    """Mean grey levels over a grid of 8 x 8: float32 (64,)."""
    small = Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()
