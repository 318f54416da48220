"""Decode and resize radiographs and lung masks."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lab_utils.data.pictures import read_picture
from lab_utils.data.record import ImageError as ImageError
from lab_utils.data.record import Pixels as Pixels
from lab_utils.data.record import Record

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WebP", "DICOM")
SIGNATURES = {  # a file's first bytes; those of BMP, WebP and DICOM need more
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"\xff\xd8\xff": "JPEG",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"II+\0": "TIFF",
    b"MM\0+": "TIFF",
}
OTHER_SIGNATURES = {  # of files that the lab names and does not read
    b"GIF8": "GIF",
    b"%PDF": "PDF",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"\xff\x4f\xff\x51": "JPEG 2000",
    b"\x93NUMPY": "NumPy",
    b"\x1f\x8b": "gzip",
    b"PK\3\4": "zip",
    b"<": "HTML, SVG or XML",
}
DICOM_STARTS = (  # first tags of DICOM files without the header that DICM marks
    b"\x02\0\0\0UL\x04\0",
    b"\x08\0\0\0UL\x04\0",
    b"\x08\0\0\0\x04\0\0\0",
    b"\x08\0\x05\0",
    b"\x08\0\x08\0",
    b"\x08\0\x16\0",
)
BMP_HEADERS = (12, 40, 52, 56, 64, 108, 124)  # sizes of the second header, one per version
RESAMPLING = {"bilinear": Image.Resampling.BILINEAR, "nearest": Image.Resampling.NEAREST}


def format_of(path: Path) -> str:
    """Return the format of an image file: one of `FORMATS`, or "" for any other file.

    Only its first 132 bytes are read.
    """
    try:
        with path.open("rb") as file:
            return _format(file.read(132))
    except OSError:
        return ""


def read_bytes(path: Path) -> bytes:
    """Read a file; an ImageError gives the system's reason without the path."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise ImageError(error.strerror or type(error).__name__) from error


def read_record(data: bytes) -> Record:
    """Decode a PNG, JPEG, TIFF, BMP, WebP or DICOM file, whatever its name.

    Grey levels of 8 bits are kept as they are. One rule holds for all other depths, in every class: the file's values
    are mapped linearly, its smallest to 0 and its largest to 255. A DICOM file with a window is mapped by it instead,
    see `read_dicom`. Of several frames the first is read. The EXIF orientation is applied. Transparent pixels are
    composited on black, the background of radiographs.

    Raises
    ------
    ImageError
        If the format is another one, or the file cannot be decoded.
    """
    name = _format(data)
    if not name:
        raise ImageError(_describe_unknown(data))
    try:
        if name != "DICOM":
            return read_picture(data, name)
        from lab_utils.data.dicom import read_dicom  # pydicom takes half a second to import

        return read_dicom(data)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        most = 2 * (Image.MAX_IMAGE_PIXELS or 0)
        raise ImageError(f"{name} of more than {most:,} pixels (decompression bomb)") from None
    except Exception as error:  # Pillow's own errors, and whatever damaged files cause in its decoders
        raise ImageError(f"damaged or truncated {name}, or a variant that cannot be decoded") from error


def decode(data: bytes) -> Pixels:
    """Decode a file as `read_record` does: uint8 (H, W), or (H, W, 3) if the channels differ."""
    return read_record(data).pixels


def read_image(path: Path) -> Pixels | None:
    """Decode a file as `read_record` does, or return None where it cannot be read."""
    try:
        return decode(read_bytes(path))
    except ImageError:
        return None


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


def _format(data: bytes) -> str:
    if (
        data[128:132] == b"DICM" or data[:4] in DICOM_STARTS
    ):  # first, as the 128 bytes before DICM may be those of a TIFF
        return "DICOM"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    if data[:2] == b"BM" and int.from_bytes(data[14:18], "little") in BMP_HEADERS:
        return "BMP"
    return next((name for signature, name in SIGNATURES.items() if data.startswith(signature)), "")


def _describe_unknown(data: bytes) -> str:
    if not data:
        return "empty file"
    other = next((name for signature, name in OTHER_SIGNATURES.items() if data.lstrip().startswith(signature)), "")
    return f"content is {other or 'of an unknown format'}; expected {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
