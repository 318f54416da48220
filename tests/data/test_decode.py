"""Decoding by content, whatever the name, with reasons that are the same in each run; resizing is Keras'."""

import io
import os
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from lab_utils.data.decode import FORMATS, ImageError, decode, format_of, read_bytes, read_image, resize
from tests.dicom import write_dicom

RAMP = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


PNG = encoded(Image.fromarray(RAMP))
CONTENTS = {kind: encoded(Image.fromarray(RAMP), kind) for kind in FORMATS[:-1]} | {"DICOM": write_dicom(RAMP)}


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("name", ["a.jfif", "a.png", "a.dcm", "a"])
def test_the_content_says_what_a_file_is(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENTS[kind])
    assert format_of(path) == kind
    pixels = read_image(path)
    assert pixels is not None
    assert (abs(pixels.astype(int) - RAMP) <= (8 if kind in ("JPEG", "WebP") else 0)).all()


@pytest.mark.parametrize("content", [b"", b"text", b"BM is no picture, and neither is this text", bytes(200), b"II*"])
def test_any_other_file_has_no_format(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert format_of(tmp_path / "a.png") == ""
    assert format_of(tmp_path) == format_of(tmp_path / "gone") == ""


def test_a_dicom_file_may_begin_as_a_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"II*\0" + CONTENTS["DICOM"][4:])
    assert format_of(path) == "DICOM"
    assert (decode(path.read_bytes()) == RAMP).all()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty file"),
        (encoded(Image.fromarray(RAMP), "GIF"), "content is GIF; expected PNG, JPEG, TIFF, BMP, WebP or DICOM"),
        (b"%PDF-1.7", "content is PDF; expected"),
        (b" \n<html>", "content is HTML, SVG or XML; expected"),
        (b"patient 12", "content is of an unknown format; expected"),
        *((data[:-25], f"damaged or truncated {kind}, or a variant") for kind, data in CONTENTS.items()),
    ],
)
def test_the_reason_is_the_same_in_each_run(content: bytes, reason: str) -> None:
    reasons = set()
    for _ in range(2):
        with pytest.raises(ImageError) as caught:
            decode(content)
        reasons.add(str(caught.value))
    (text,) = reasons
    assert text.startswith(reason)


def test_the_reason_of_the_system_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path, code in ((tmp_path / "gone", 2), (tmp_path, 21), (tmp_path / "loop", 40)):
        with pytest.raises(ImageError) as caught:
            read_bytes(path)
        assert str(caught.value) == os.strerror(code)


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ValueError, match="PNG of more than 100 pixels .decompression bomb"):
        decode(encoded(Image.fromarray(RAMP)))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resizing_is_keras_own(tmp_path: Path, interpolation: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (57, 43), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = keras.utils.load_img(
        tmp_path / "a.png", color_mode="grayscale", target_size=(32, 32), interpolation=interpolation
    )
    assert (resize(pixels, 32, interpolation) == np.asarray(expected)).all()
