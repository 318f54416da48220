"""Decoding and resizing: one channel for grey, upper bits of sixteen, as Keras resizes."""

import io
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from lab_utils.data.decode import decode, mode_of, resize

RAMP = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


def encoded(image: Image.Image, kind: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "LA", "P"])
def test_grey_images_have_one_channel_however_they_are_stored(mode: str) -> None:
    data = encoded(Image.fromarray(RAMP).convert(mode))
    assert (decode(data) == RAMP).all()
    assert mode_of(data) == mode


def test_sixteen_bit_images_keep_their_upper_bits() -> None:
    assert (decode(encoded(Image.fromarray(RAMP.astype(np.uint16) * 257))) == RAMP).all()


def test_colour_stays() -> None:
    colour = np.stack([RAMP, RAMP // 2, RAMP // 3], axis=-1)
    assert (decode(encoded(Image.fromarray(colour))) == colour).all()


def test_bilevel_images_are_black_and_white() -> None:
    assert set(np.unique(decode(encoded(Image.fromarray(RAMP > 50))))) == {0, 255}


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_other_formats_are_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="cannot identify"):
        decode(encoded(Image.fromarray(RAMP), kind))


def test_a_decompression_bomb_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    with pytest.raises(ValueError, match="decompression bomb"):
        decode(encoded(Image.fromarray(RAMP)))


@pytest.mark.parametrize("interpolation", ["nearest", "bilinear"])
def test_resizing_is_keras_own(tmp_path: Path, interpolation: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (57, 43), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    expected = keras.utils.load_img(
        tmp_path / "a.png", color_mode="grayscale", target_size=(32, 32), interpolation=interpolation
    )
    assert (resize(pixels, 32, interpolation) == np.asarray(expected)).all()
