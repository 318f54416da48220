"""Decode and resize radiographs and lung masks."""

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]

RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}
UNREADABLE = (OSError, ValueError)  # errors of reading a file and of decoding it


def decode(data: bytes) -> Pixels:
    """Decode a PNG or JPEG: uint8 (H, W) or (H, W, 3), in [0, 255].

    A damaged file is a ValueError with the decoder's reason. A grey image has one channel, also if the file stores
    three equal ones. Sixteen-bit images keep their upper eight bits; transparency is dropped.
    """
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.mode.startswith("I"):
                return (np.asarray(image, np.uint32) >> 8).clip(0, 255).astype(np.uint8)
            pixels = np.asarray(image.convert("L" if image.mode in ("L", "1", "LA") else "RGB"))
    except Exception as error:  # Pillow's own errors, and whatever damaged chunks cause in its decoders
        raise ValueError(str(error) or type(error).__name__) from error
    grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., 0]) if grey else pixels


def read_image(path: Path) -> Pixels | None:
    """Decode a file as `decode` does, or return None where it cannot be read."""
    try:
        return decode(path.read_bytes())
    except UNREADABLE:
        return None


def mode_of(data: bytes) -> str:
    """Return how a PNG or JPEG stores its pixels, in Pillow's terms: L, RGB, I;16 ..."""
    with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
        return image.mode


def resize(pixels: Pixels, size: int, interpolation: str) -> Pixels:
    """Resize to a square of `size` pixels; the aspect ratio is ignored, as in Keras.

    "bilinear" is Pillow's, which averages over the source pixels when it shrinks; "nearest" is Keras' default.
    """
    if pixels.shape[:2] == (size, size):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((size, size), RESAMPLING[interpolation]))


def lungs_in(mask: Pixels) -> NDArray[np.bool_]:
    """Return the lung pixels of a mask, bool (H, W): those above half of its maximum."""
    flat = mask if mask.ndim == 2 else mask.max(axis=-1)
    return flat > flat.max() // 2
