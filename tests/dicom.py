"""DICOM files for tests."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, RLELossless

DIGITAL_X_RAY = "1.2.840.10008.5.1.4.1.1.1.1"


def write_dicom(
    values: NDArray[Any], *, bits: int = 0, syntax: str = ExplicitVRLittleEndian, encoded: bytes = b"", **elements: Any
) -> bytes:
    """Encode a radiograph (H, W) of which `bits` are stored; a value of None removes an element.

    `encoded` is its pixel data in a compressed transfer syntax; RLE needs none.
    """
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = DIGITAL_X_RAY, "1.2.3"
    data.PatientName, data.PatientID = "Doe^Jane", "12345"
    data.Rows, data.Columns = values.shape[:2]
    data.SamplesPerPixel, data.PhotometricInterpretation = 1, "MONOCHROME2"
    data.BitsAllocated = 8 * values.dtype.itemsize
    data.BitsStored = bits or data.BitsAllocated
    data.HighBit = data.BitsStored - 1
    data.PixelRepresentation = int(values.dtype.kind == "i")
    data.PixelData = np.ascontiguousarray(values).tobytes()
    data["PixelData"].VR = "OW" if data.BitsAllocated > 8 else "OB"
    if encoded:
        data.file_meta.TransferSyntaxUID, data.PixelData = syntax, encapsulate([encoded])
        data["PixelData"].VR, data["PixelData"].is_undefined_length = "OB", True
    elif syntax == RLELossless:
        data.compress(RLELossless)
    for name, value in elements.items():
        if value is None:
            delattr(data, name)
        else:
            setattr(data, name, value)
    buffer = io.BytesIO()
    data.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()
