"""The content of one image file: 8-bit pixels, stored form, and conversion."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

RANGE = "range of the file"  # conversions, see Record
WINDOW = "window of the file"
INVERTED = "inverted"
UPRIGHT = "EXIF orientation"
OPAQUE = "transparency on black"
FIRST_FRAME = "first frame"

NO_PIXELS = "DICOM without pixel data, such as a structured report"  # a reason that is no damage


class ImageError(ValueError):
    """An image that cannot be read.

    The text is the reason in the findings, and the same in each run.
    """


class Record(NamedTuple):
    """The content of one image file."""

    pixels: Pixels  # uint8 (H, W), or (H, W, 3) if the channels differ
    format: str  # PNG, JPEG, TIFF, BMP, WebP or DICOM
    mode: str  # Pillow's name (L, RGB, I;16 ...), or DICOM's photometric interpretation
    bits: int  # stored bits per pixel and channel
    conversions: tuple[str, ...] = ()  # how the stored values became the pixels, in this order
    patient: str = ""  # hash of DICOM's patient ID


def to_8_bits(values: NDArray[Any], low: float | None = None, high: float | None = None) -> Pixels:
    """Map values linearly to [0, 255], `low` to 0 and `high` to 255.

    By default these are the smallest and largest value.

    Values outside are clipped. Values that are not finite become 0, and so do all if there is no range.
    """
    values = np.asarray(values, np.float64)
    if low is None or high is None:
        finite = values[np.isfinite(values)]
        low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if high <= low:
        return np.zeros(values.shape, np.uint8)
    scaled = (values.clip(low, high) - low) * (255 / (high - low))
    return np.rint(np.nan_to_num(scaled, nan=0.0)).astype(np.uint8)
