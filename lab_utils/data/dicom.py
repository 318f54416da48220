"""Read DICOM files with pydicom: grey images of one frame."""

import hashlib
import io
import warnings
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.multival import MultiValue
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_modality_lut, apply_voi
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGExtended12Bit,
)
from scipy.special import expit

from lab_utils.data.names import NAMES
from lab_utils.data.record import INVERTED, NO_PIXELS, RANGE, WINDOW, ImageError, Record, to_8_bits

META_BYTES = 2000  # in which the file meta information names the transfer syntax
PLACEHOLDERS = {*NAMES["blank"], *NAMES["nobody"]}  # for a patient ID

pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
warnings.filterwarnings("ignore", module=r"pydicom\.")  # they quote values, and so could print a patient's name


def read_dicom(data: bytes) -> Record:
    """Decode a grey DICOM file of one frame, as PS3.3 C.11 and C.7.6.3 of the standard say.

    Bits above BitsStored are dropped. Then follow the rescale slope and intercept (or the modality LUT), the VOI LUT or
    the first window, whose output range becomes [0, 255], and the inversion of MONOCHROME1. Without a window, values of
    8 bits are kept, and all others are mapped by the file's own range. Padding pixels do not count, and become black.

    The patient ID is returned as the first 16 digits of its SHA-256. Nothing else about the patient is read.

    Raises
    ------
    ImageError
        If the file has several frames, colour, no pixels, or a transfer syntax without a decoder.
    """
    if DeflatedExplicitVRLittleEndian.encode() in data[: 132 + META_BYTES]:  # pydicom inflates without a limit
        raise _undecodable(DeflatedExplicitVRLittleEndian)
    dataset = pydicom.dcmread(io.BytesIO(data), force=True)
    if "TransferSyntaxUID" not in dataset.file_meta:  # files of before 1996, and of careless writers, have no header
        is_implicit, _ = dataset.original_encoding
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if is_implicit else ExplicitVRLittleEndian
    _refuse_unsupported(dataset, len(data))
    raw = _pixel_array(dataset)
    padding, values = _is_padding(dataset, raw), apply_modality_lut(_stored_bits(dataset, raw), dataset)
    conversions = []
    windowed = _windowed(dataset, values)
    if windowed is not None:
        pixels = to_8_bits(windowed, 0, 1)
        conversions.append(WINDOW)
    elif _is_grey_level(dataset):
        pixels = values.astype(np.uint8)
    else:
        seen = values[~padding]
        pixels = to_8_bits(values, *((seen.min(), seen.max()) if seen.size else (0, 0)))
        conversions.append(RANGE)
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        pixels = 255 - pixels
        conversions.append(INVERTED)
    pixels = np.where(padding, np.uint8(0), pixels)
    mode, bits = str(dataset.PhotometricInterpretation), int(dataset.BitsStored)
    return Record(pixels, "DICOM", mode, bits, tuple(conversions), _hash_patient(dataset))


def _refuse_unsupported(dataset: pydicom.Dataset, size: int) -> None:
    if "PixelData" not in dataset and "FloatPixelData" not in dataset and "DoubleFloatPixelData" not in dataset:
        raise ImageError("DICOM truncated before its pixel data" if _is_truncated(dataset, size) else NO_PIXELS)
    frames, photometric = int(dataset.get("NumberOfFrames") or 1), str(dataset.PhotometricInterpretation)
    if frames > 1:
        raise ImageError(f"DICOM with {frames} frames; expected one; export the frame as a file of its own")
    if int(dataset.SamplesPerPixel) != 1 or photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ImageError(f"DICOM in colour ({photometric[:16]}); expected MONOCHROME1 or MONOCHROME2; export it as PNG")
    if Image.MAX_IMAGE_PIXELS and int(dataset.Rows) * int(dataset.Columns) > 2 * Image.MAX_IMAGE_PIXELS:
        raise Image.DecompressionBombError
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        is_available = get_decoder(syntax).is_available
    except NotImplementedError:
        is_available = False
    if not is_available:
        raise _undecodable(syntax)


def _is_truncated(dataset: pydicom.Dataset, size: int) -> bool:
    """Whether a file lacks elements, or its last one does not end at byte `size`."""
    last = dataset.get_item(max(dataset.keys())) if dataset else None
    return last is None or (isinstance(last, RawDataElement) and last.value_tell + last.length != size)


def _undecodable(syntax: UID) -> ImageError:
    return ImageError(
        f"DICOM in the transfer syntax {syntax.name}, which the lab does not decode; convert it to an uncompressed "
        "one (dcmdjpeg or gdcmconv --raw), or install python-gdcm beside the lab, which decodes most"
    )


def _pixel_array(dataset: pydicom.Dataset) -> NDArray[Any]:
    """Return the values of PixelData, (H, W), with all bits that are allocated."""
    syntax = dataset.file_meta.TransferSyntaxUID
    dataset.pixel_array_options(correct_unused_bits=False)
    try:
        return dataset.pixel_array
    except Exception:
        if syntax == JPEGExtended12Bit and int(dataset.BitsStored) > 8:  # Pillow takes those of 8 bits alone
            raise _undecodable(syntax) from None
        raise


def _stored_bits(dataset: pydicom.Dataset, raw: NDArray[Any]) -> NDArray[Any]:
    """Select the bits from HighBit down, as many as BitsStored; the others may hold an overlay."""
    if raw.dtype.kind not in "iu":
        return raw
    bits, highest = 8 * raw.dtype.itemsize, int(dataset.HighBit)
    return (raw << (bits - 1 - highest)) >> (bits - int(dataset.BitsStored))  # keeps the sign


def _is_padding(dataset: pydicom.Dataset, raw: NDArray[Any]) -> NDArray[np.bool_]:
    if "PixelPaddingValue" not in dataset:
        return np.zeros(raw.shape, bool)
    ends = (dataset.PixelPaddingValue, dataset.get("PixelPaddingRangeLimit", dataset.PixelPaddingValue))
    return (raw >= min(ends)) & (raw <= max(ends))


def _is_grey_level(dataset: pydicom.Dataset) -> bool:
    """Whether stored values are grey levels in [0, 255] already."""
    is_rescaled = (dataset.get("RescaleSlope", 1), dataset.get("RescaleIntercept", 0)) != (1, 0)
    return (
        dataset.BitsStored == 8
        and not dataset.PixelRepresentation
        and not is_rescaled
        and not dataset.get("ModalityLUTSequence")
    )


def _windowed(dataset: pydicom.Dataset, values: NDArray[Any]) -> NDArray[np.float64] | None:
    """Apply the VOI LUT or the first window (PS3.3 C.11.2).

    Black becomes 0 and white 1. None for a file without either.
    """
    if dataset.get("VOILUTSequence"):
        most = 2 ** int(dataset.VOILUTSequence[0].LUTDescriptor[2]) - 1
        return apply_voi(values.astype(np.int64), dataset) / most
    center, width = (_first(dataset.get(name)) for name in ("WindowCenter", "WindowWidth"))
    if center is None or width is None:
        return None
    function = dataset.get("VOILUTFunction") or "LINEAR"
    if function == "LINEAR":  # whose window ends on values, and is one shorter
        center, width = center - 0.5, width - 1
    distance = (values - center) / max(width, 1e-6)
    return expit(4 * distance) if function == "SIGMOID" else distance + 0.5


def _first(value: Any) -> float | None:
    """Return a number, or the first of several, or None for an empty element."""
    if value is None or value == "":
        return None
    if isinstance(value, MultiValue):
        return float(value[0]) if len(value) else None
    return float(value)


def _hash_patient(dataset: pydicom.Dataset) -> str:
    identity = str(dataset.get("PatientID") or "").strip()
    is_known = identity.casefold() not in PLACEHOLDERS
    return hashlib.sha256(identity.encode()).hexdigest()[:16] if is_known else ""
