"""Read PNG, JPEG, TIFF, BMP and WebP files with Pillow."""

import io
import sys
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile, ImageOps

from lab_utils.data.record import (
    FIRST_FRAME,
    INVERTED,
    OPAQUE,
    RANGE,
    UPRIGHT,
    ImageError,
    Pixels,
    Record,
    to_8_bits,
)

ORIENTATION, BITS_PER_SAMPLE, PHOTOMETRIC = 0x0112, 0x0102, 0x0106  # EXIF and TIFF tags
PNG_DEPTH = 24  # offset of the bit depth in a PNG
BYTE_ORDERS = {"B": "L", "L": "B", "N": "B" if sys.byteorder == "little" else "L"}

warnings.filterwarnings("ignore", module=r"PIL\.")  # they name no file, and a file that they concern is a finding


def read_picture(data: bytes, name: str) -> Record:
    """Read the first frame of a file, see `read_record`; `name` is its format."""
    conversions = []
    with _open(data, name) as image:
        mode, bits = image.mode, _stored_bits(image, data)
        if getattr(image, "n_frames", 1) > 1:
            conversions.append(FIRST_FRAME)
        if image.getexif().get(ORIENTATION) in range(2, 9):
            conversions.append(UPRIGHT)
        is_turned = UPRIGHT in conversions
        white_is_zero = mode[0] in "IF" and _tiff_tags(image).get(PHOTOMETRIC) == 0  # in mode L, Pillow inverts
        values: NDArray[Any] = (
            _channels(image, data, is_turned) if bits > 8 and mode[0] not in "IF" else _values(image, is_turned)
        )
    if values.ndim == 3 and values.shape[-1] == 4:
        if (values[..., 3] < np.iinfo(values.dtype).max).any():
            conversions.append(OPAQUE)
        values = _on_black(values)
    if values.dtype != np.uint8:
        conversions.append(RANGE)
        values = to_8_bits(values)
    if white_is_zero:
        conversions.append(INVERTED)
        values = 255 - values
    return Record(_grey_if_equal(values), name, mode, bits, tuple(conversions))


def _open(data: bytes, name: str) -> ImageFile.ImageFile:
    return Image.open(io.BytesIO(data), formats=(name,))


def _stored_bits(image: ImageFile.ImageFile, data: bytes) -> int:
    """Return the bits per pixel and channel; an index into a palette counts as 8."""
    if image.format == "PNG":
        return 8 if image.mode == "P" else data[PNG_DEPTH]
    return int(max(_tiff_tags(image).get(BITS_PER_SAMPLE, (1 if image.mode == "1" else 8,))))


def _tiff_tags(image: ImageFile.ImageFile) -> dict[int, Any]:
    return getattr(image, "tag_v2", {})


def _values(image: Image.Image, is_turned: bool) -> NDArray[Any]:
    """Return the values of an image in its EXIF orientation.

    Their shape is (H, W), (H, W, 3), or (H, W, 4) with transparency.
    """
    image.load()  # which turns a TIFF
    if is_turned:
        image = ImageOps.exif_transpose(image)
    if image.mode[0] in "IF":
        return np.asarray(image)
    mode = "RGBA" if image.has_transparency_data else "L" if image.mode in ("L", "1") else "RGB"
    return np.asarray(image if image.mode == mode else image.convert(mode))


def _channels(image: ImageFile.ImageFile, data: bytes, is_turned: bool) -> NDArray[np.uint16]:
    """Read several channels of 16 bits, uint16 (H, W, 3) or (H, W, 4).

    Pillow has 8 bits per channel and keeps the upper ones. It gives the lower ones if told the other byte order.
    """
    name = str(image.format)
    with _open(data, name) as lower:
        for place, tile in enumerate(lower.tile):
            args = tile.args if isinstance(tile.args, tuple) else (tile.args,)
            if not str(args[0]).startswith(("RGB;16", "RGBA;16")):
                raise ImageError(f"{name} of 16 bits with the channels {args[0].split(';')[0]}; save it as grey or RGB")
            args = (args[0][:-1] + BYTE_ORDERS[args[0][-1]], *args[1:])
            lower.tile[place] = tile._replace(args=args if isinstance(tile.args, tuple) else args[0])
        return _values(image, is_turned).astype(np.uint16) << 8 | _values(lower, is_turned)


def _on_black(values: NDArray[Any]) -> NDArray[Any]:
    """Composite colour with transparency (the last channel) on black."""
    most = np.iinfo(values.dtype).max
    product = values[..., :3].astype(np.uint64) * values[..., 3:]
    return ((product + most // 2) // most).astype(values.dtype)


def _grey_if_equal(pixels: NDArray[Any]) -> Pixels:
    is_grey = pixels.ndim == 3 and bool((pixels == pixels[..., :1]).all())
    return np.ascontiguousarray(pixels[..., 0]) if is_grey else pixels
