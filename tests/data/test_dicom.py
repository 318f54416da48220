"""DICOM: grey levels as the standard says, reasons for what is not read, and the patient as a hash alone."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    RLELossless,
)

from lab_utils.data.decode import read_record
from lab_utils.data.record import INVERTED, RANGE, WINDOW, ImageError, Record
from tests.dicom import write_dicom

RAMP = np.arange(12 * 10, dtype=np.uint16).reshape(12, 10)
TWELVE = RAMP * 16 + 300  # values of 12 bits
STRETCHED = np.rint(RAMP * (255 / RAMP.max()))


def read(values: Any = TWELVE, bits: int = 12, **options: Any) -> Record:
    return read_record(write_dicom(values, bits=bits, **options))


def window(center: float, width: float) -> np.ndarray:
    """The linear window of PS3.3 C.11.2.1.2.1, for TWELVE."""
    return np.rint(255 * ((TWELVE - (center - 0.5)) / (width - 1) + 0.5).clip(0, 1))


def table(values: np.ndarray, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor, item.LUTData = [len(values), 0, bits], values.astype("<u2").tobytes()
    item["LUTDescriptor"].VR, item["LUTData"].VR = "US", "OW"
    return item


def test_values_without_a_window_are_stretched_over_their_range() -> None:
    record = read()
    assert (record.pixels == STRETCHED).all()
    assert record[1:5] == ("DICOM", "MONOCHROME2", 12, (RANGE,))


def test_grey_levels_of_8_bits_are_kept() -> None:
    for elements in ({}, {"RescaleSlope": 1, "RescaleIntercept": 0}):
        record = read(RAMP.astype(np.uint8), 8, **elements)
        assert (record.pixels == RAMP).all()
        assert record.conversions == ()


@pytest.mark.parametrize(
    ("elements", "expected"),
    [
        ({"WindowCenter": 1000, "WindowWidth": 800}, window(1000, 800)),
        ({"WindowCenter": [1000, 300], "WindowWidth": [800, 50]}, window(1000, 800)),
        ({"WindowCenter": 900, "WindowWidth": 8000}, window(900, 8000)),
        ({"WindowCenter": 1000, "WindowWidth": 1}, 255.0 * (TWELVE > 999.5)),
        ({"WindowCenter": 2000, "WindowWidth": 1600, "RescaleSlope": 2, "RescaleIntercept": 0}, None),
        ({"WindowCenter": 1000.5, "WindowWidth": 799, "VOILUTFunction": "LINEAR_EXACT"}, window(1001, 800)),
        (
            {"WindowCenter": 1000, "WindowWidth": 800, "VOILUTFunction": "SIGMOID"},
            np.rint(255 / (1 + np.exp(-4 * (TWELVE - 1000.0) / 800))),
        ),
    ],
)
def test_the_first_window_maps_rescaled_values(elements: dict[str, Any], expected: np.ndarray | None) -> None:
    record = read(**elements)
    if expected is None:
        expected = np.rint(255 * ((2.0 * TWELVE - 1999.5) / 1599 + 0.5).clip(0, 1))
    assert (record.pixels == expected).all()
    assert record.conversions == (WINDOW,)


@pytest.mark.parametrize("elements", [{"WindowCenter": "", "WindowWidth": ""}, {"WindowCenter": 3}])
def test_half_a_window_is_none(elements: dict[str, Any]) -> None:
    assert read(**elements).conversions == (RANGE,)


def test_a_voi_table_goes_before_a_window() -> None:
    record = read(VOILUTSequence=[table(np.arange(4096) // 1024 * 21845, 16)], WindowCenter=1, WindowWidth=1)
    assert (record.pixels == TWELVE // 1024 * 85).all()
    assert record.conversions == (WINDOW,)


def test_a_modality_table_replaces_the_values() -> None:
    record = read(ModalityLUTSequence=[table(4095 - np.arange(4096), 16)])
    assert (record.pixels == np.rint(255 - RAMP * (255 / RAMP.max()))).all()


def test_a_negative_slope_inverts_and_so_does_monochrome1() -> None:
    inverted = np.rint(255 - RAMP * (255 / RAMP.max()))
    assert (read(RescaleSlope=-1, RescaleIntercept=4095).pixels == inverted).all()
    record = read(PhotometricInterpretation="MONOCHROME1")
    assert (record.pixels == 255 - STRETCHED).all()
    assert (record.mode, record.conversions) == ("MONOCHROME1", (RANGE, INVERTED))


@pytest.mark.parametrize(
    ("values", "elements"),
    [
        (TWELVE | 0xF000, {}),  # an overlay in the unused bits
        (TWELVE << 4, {"HighBit": 15}),
        ((TWELVE.astype(np.int16) - 1500) & 0x0FFF, {"PixelRepresentation": 1}),
        (RAMP.astype(np.uint32) * 2**24, {"BitsStored": 32, "HighBit": 31}),
        (RAMP.astype(np.int16) - 60, {"BitsStored": 16, "HighBit": 15}),
    ],
)
def test_the_stored_bits_alone_count(values: np.ndarray, elements: dict[str, Any]) -> None:
    assert (read(values, **elements).pixels == STRETCHED).all()


def test_padding_is_black_and_does_not_count() -> None:
    padded = TWELVE.copy()
    padded[:3] = 4095
    for photometric in ("MONOCHROME1", "MONOCHROME2"):
        pixels = read(padded, PixelPaddingValue=4095, PhotometricInterpretation=photometric).pixels
        assert (pixels[:3] == 0).all()
        assert {pixels[3:].min(), pixels[3:].max()} == {0, 255}
    assert not read(padded, PixelPaddingValue=0, PixelPaddingRangeLimit=4095).pixels.any()


def encoded(kind: str) -> bytes:
    buffer = io.BytesIO()
    options: dict[str, Any] = {"no_jp2": True} if kind == "JPEG2000" else {"quality": 100}
    Image.fromarray(RAMP.astype(np.uint8)).save(buffer, kind, **options)
    return buffer.getvalue()


def test_compressed_pixels_are_read() -> None:
    grey = RAMP.astype(np.uint8)
    assert (read(syntax=RLELossless).pixels == STRETCHED).all()
    assert (read(grey, 8, syntax=JPEG2000Lossless, encoded=encoded("JPEG2000")).pixels == RAMP).all()
    assert (abs(read(grey, 8, syntax=JPEGBaseline8Bit, encoded=encoded("JPEG")).pixels.astype(int) - RAMP) <= 2).all()


UNREAD: dict[str, tuple[dict[str, Any], str]] = {
    "frames": ({"NumberOfFrames": 3}, "DICOM with 3 frames; expected one"),
    "colour": ({"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}, r"DICOM in colour \(RGB\)"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, r"DICOM in colour \(PALETTE COLOR\)"),
    "no pixels": ({"PixelData": None}, "DICOM without pixel data"),
    "missing pixels": ({"Rows": 13}, "damaged or truncated DICOM"),
    "no bits": ({"BitsStored": None}, "damaged or truncated DICOM"),
    "a giant": ({"Rows": 65535, "Columns": 65535}, "DICOM of more than [0-9,]+ pixels"),
    "JPEG Lossless": (
        {"syntax": JPEGLosslessSV1, "encoded": b"\xff\xd8"},
        r"transfer syntax JPEG Lossless, .*, which the lab does not decode; convert it to an uncompressed one",
    ),
    "12 bits of JPEG": ({"syntax": JPEGExtended12Bit, "encoded": b"\xff\xd8"}, "transfer syntax JPEG Extended"),
    "no JPEG": ({"syntax": JPEGBaseline8Bit, "encoded": b"\xff\xd8"}, "damaged or truncated DICOM"),
}


@pytest.mark.parametrize("kind", UNREAD)
def test_what_is_not_read_has_a_reason_that_is_the_same_each_time(kind: str) -> None:
    elements, reason = UNREAD[kind]
    reasons = set()
    for _ in range(2):
        with pytest.raises(ImageError, match=reason) as caught:
            read(**elements)
        reasons.add(str(caught.value))
    (text,) = reasons
    assert "0x" not in text
    assert "Jane" not in text


@pytest.mark.parametrize("is_implicit", [True, False])
@pytest.mark.parametrize("start", [b"\x08\0\x16\0", b"\x08\0\5\0"])
def test_a_file_without_a_header_is_read(is_implicit: bool, start: bytes) -> None:
    dataset = dcmread(io.BytesIO(write_dicom(TWELVE, bits=12)))
    if start == b"\x08\0\5\0":
        dataset.SpecificCharacterSet = "ISO_IR 100"
    buffer = io.BytesIO()
    dataset.file_meta = FileMetaDataset()
    dataset.save_as(buffer, enforce_file_format=False, implicit_vr=is_implicit, little_endian=True)
    data = buffer.getvalue().removeprefix(bytes(128) + b"DICM")
    assert data.startswith(start)
    record = read_record(data)
    assert (record.pixels == STRETCHED).all()
    assert record.format == "DICOM"


def test_a_deflated_file_is_refused_before_it_is_inflated() -> None:
    data = write_dicom(RAMP).replace(b"1.2.840.10008.1.2.1\0", DeflatedExplicitVRLittleEndian.encode())
    with pytest.raises(ImageError, match="transfer syntax Deflated Explicit VR Little Endian"):
        read_record(data)


@pytest.mark.parametrize(("first", "second", "same"), [("12345", " 12345 ", True), ("12345", "12346", False)])
def test_a_patient_is_a_short_hash(first: str, second: str, same: bool) -> None:
    one, other = (read(PatientID=identity).patient for identity in (first, second))
    assert len(one) == 16
    assert first not in one
    assert (one == other) == same


@pytest.mark.parametrize("identity", [None, "", " ", "ANONYMOUS", "Anonymized", "0", "unknown"])
def test_a_placeholder_is_no_patient(identity: str | None) -> None:
    assert read(PatientID=identity).patient == ""


def test_nothing_else_of_a_patient_is_kept() -> None:
    assert "Doe" not in repr(read())
    assert "12345" not in repr(read())
    assert read(PatientName="Roe^Richard")[1:] == read()[1:]
