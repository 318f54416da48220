"""Pictures: depth, transparency, orientation and frames, for each format that Pillow reads."""

import io

import numpy as np
import pytest
from PIL import Image

from lab_utils.data.decode import read_record
from lab_utils.data.record import FIRST_FRAME, INVERTED, OPAQUE, RANGE, UPRIGHT, ImageError, Pixels, Record
from tests.png import write_png

RAMP = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)
COLOUR = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=-1)
GREY = (RAMP - RAMP.min()) * (255 / RAMP.max())  # what becomes of RAMP in any other depth
TURNED = {
    1: RAMP,
    2: RAMP[:, ::-1],
    3: RAMP[::-1, ::-1],
    6: np.rot90(RAMP, 1),
    8: np.rot90(RAMP, -1),
}  # stored for RAMP


def read(image: Image.Image | Pixels, kind: str, **options: object) -> Record:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, kind, **options)
    return read_record(buffer.getvalue())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP", "WebP"])
def test_every_format_gives_the_pixels_that_it_stores(kind: str) -> None:
    options = {"lossless": True, "exact": True} if kind == "WebP" else {}
    grey, colour = read(RAMP, kind, **options), read(COLOUR, kind, **options)
    assert (grey.pixels == RAMP).all()
    assert (colour.pixels == COLOUR).all()
    assert (grey.format, grey.bits, grey.conversions) == (kind, 8, ())
    assert (grey.mode, colour.mode) == ("RGB" if kind == "WebP" else "L", "RGB")


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate"])
def test_a_compressed_tiff_is_read(compression: str) -> None:
    assert (read(RAMP, "TIFF", compression=compression).pixels == RAMP).all()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_images_have_one_channel_however_they_are_stored(mode: str) -> None:
    record = read(Image.fromarray(RAMP).convert(mode), "PNG")
    assert (record.pixels == RAMP).all()
    assert (record.mode, record.conversions) == (mode, ())


def test_bilevel_images_are_black_and_white() -> None:
    record = read(Image.fromarray(RAMP > 50), "PNG")
    assert set(np.unique(record.pixels)) == {0, 255}
    assert (record.mode, record.bits) == ("1", 1)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize(("scale", "shift"), [(257, 0), (16, 0), (1, 0), (30, 1000)])
def test_sixteen_bit_values_are_stretched_over_their_own_range(kind: str, scale: int, shift: int) -> None:
    record = read(RAMP.astype(np.uint16) * scale + shift, kind)
    assert (record.pixels == np.rint(GREY)).all()
    assert (record.bits, record.conversions) == (16, (RANGE,))


@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_values_of_32_bits_are_stretched_too(dtype: type) -> None:
    record = read(RAMP.astype(dtype) * 3 - 100, "TIFF")
    assert (record.pixels == np.rint(GREY)).all()
    assert record.bits == 32


@pytest.mark.parametrize("scale", [257, 16, 1])
@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bit_colour_keeps_its_lower_bytes(scale: int, alpha: bool) -> None:
    values = COLOUR.astype(np.uint16) * scale
    if alpha:
        values = np.concatenate([values, np.full((*RAMP.shape, 1), 65535, np.uint16)], axis=-1)
    record = read_record(write_png(values))
    assert (record.pixels == np.rint(COLOUR * (255 / RAMP.max()))).all()
    assert (record.bits, record.conversions) == (16, (RANGE,))


def test_sixteen_bit_grey_in_three_channels_is_grey() -> None:
    record = read_record(write_png(np.stack([RAMP.astype(np.uint16) * 16] * 3, axis=-1)))
    assert (record.pixels == np.rint(GREY)).all()


def test_sixteen_bit_grey_with_transparency_says_so() -> None:
    with pytest.raises(ImageError, match="PNG of 16 bits with the channels LA; save it as grey or RGB"):
        read_record(write_png(np.stack([RAMP.astype(np.uint16)] * 2, axis=-1)))


def test_a_tiff_that_stores_white_as_zero_is_inverted() -> None:
    buffer = io.BytesIO()
    Image.fromarray(RAMP.astype(np.uint16) * 257).save(buffer, "TIFF", tiffinfo={})
    data = buffer.getvalue()
    place = data.index(b"\x06\x01\x03\x00\x01\x00\x00\x00\x01")
    record = read_record(data[: place + 8] + b"\0" + data[place + 9 :])
    assert (record.pixels == 255 - np.rint(GREY)).all()
    assert record.conversions == (RANGE, INVERTED)


@pytest.mark.parametrize(("kind", "options"), [("PNG", {}), ("WebP", {"lossless": True, "exact": True}), ("TIFF", {})])
def test_transparent_pixels_are_black(kind: str, options: dict[str, object]) -> None:
    alpha = np.full(RAMP.shape, 255, np.uint8)
    alpha[:6], alpha[6] = 0, 128
    record = read(np.dstack([COLOUR + 100, alpha]), kind, **options)
    assert (record.pixels[:6] == 0).all()
    assert (abs(record.pixels[6] - (COLOUR[6] + 100) * (128 / 255)) <= 1).all()
    assert (record.pixels[7:] == COLOUR[7:] + 100).all()
    assert record.conversions == (OPAQUE,)


def test_the_transparent_colour_of_a_grey_png_is_black() -> None:
    record = read(np.where(RAMP > 50, np.uint8(255), RAMP), "PNG", transparency=255)
    assert (record.pixels == np.where(RAMP > 50, 0, RAMP)).all()
    assert record.conversions == (OPAQUE,)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
@pytest.mark.parametrize(("kind", "depth"), [("PNG", 1), ("PNG", 257), ("WebP", 1), ("TIFF", 1), ("TIFF", 257)])
def test_the_orientation_of_exif_is_applied(kind: str, depth: int, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.ascontiguousarray(TURNED[orientation]).astype(np.uint16 if depth > 1 else np.uint8) * depth
    options = {"lossless": True} if kind == "WebP" else {}
    record = read(stored, kind, exif=exif, **options)
    assert (record.pixels == (np.rint(GREY) if depth > 1 else RAMP)).all()
    assert record.conversions[0] == UPRIGHT


def test_a_jpeg_is_turned_and_a_wrong_orientation_is_not() -> None:
    for orientation, shape in ((6, (40, 20)), (99, (20, 40))):
        exif = Image.Exif()
        exif[0x0112] = orientation
        assert read(np.zeros((20, 40), np.uint8), "JPEG", exif=exif).pixels.shape == shape


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WebP"])
def test_of_several_frames_the_first_is_read(kind: str) -> None:
    options = {"lossless": True} if kind == "WebP" else {}
    second = Image.fromarray(RAMP[::-1].copy())
    record = read(RAMP, kind, save_all=True, append_images=[second], **options)
    assert (record.pixels == RAMP).all()
    assert record.conversions == (FIRST_FRAME,)
