"""Images that are no frontal radiographs, for the tests of what is unusual."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_sample_image

Pixels = NDArray[np.uint8]


def unusual_kinds(radiograph: Pixels, mask: Pixels) -> dict[str, Pixels]:
    """Make an image of every kind from a grey radiograph (H, W) and a lung mask."""
    rng, size = np.random.default_rng(0), len(radiograph)
    uniform = {f"blank-{level}": np.full((size, size), level, np.uint8) for level in (0, 127, 255)}
    photographs = {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    grey = {f"grey-{name}": np.asarray(Image.fromarray(image).convert("L")) for name, image in photographs.items()}
    return {
        **uniform,
        **photographs,
        **grey,
        "noise": rng.integers(0, 256, (size, size), np.uint8),
        "mask": mask,
        "inverted": 255 - radiograph,
        "rotated-left": np.rot90(radiograph),
        "rotated-right": np.rot90(radiograph, 3),
        "upside-down": np.rot90(radiograph, 2),
        "lateral": lateral_view(rng),
    }


def lateral_view(rng: np.random.Generator, size: int = 299) -> Pixels:
    """Draw a chest from the side: one lung field, the heart in front, vertebrae behind, and oblique ribs."""
    image = Image.new("L", (size, size), 12)
    draw = ImageDraw.Draw(image)

    def box(left: float, top: float, right: float, bottom: float) -> tuple[int, int, int, int]:
        return int(size * left), int(size * top), int(size * right), int(size * bottom)

    draw.ellipse(box(0.22, 0.02, 0.8, 1.1), fill=150)
    draw.ellipse(box(0.32, 0.12, 0.68, 0.82), fill=60)
    draw.ellipse(box(0.34, 0.45, 0.58, 0.8), fill=170)
    for number in range(12):
        draw.rectangle(box(0.66, 0.06 + 0.07 * number, 0.74, 0.115 + 0.07 * number), fill=205)
    for number in range(8):
        draw.arc(box(0.22, 0.12 + 0.08 * number, 0.8, 0.42 + 0.08 * number), 200, 340, fill=185, width=4)
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(3)), float) + rng.normal(0, 4, (size, size))
    return pixels.clip(0, 255).astype(np.uint8)
