"""Synthetic chest radiographs, lung masks and metadata in the layout of the real archive.

A network can learn their four patterns, but they contain nothing medical: with them the lab runs in minutes
and without a download. On request they contain the faults of real collections, for the audits to find.
"""

import shutil
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.config import Fault
from lab_utils.core.machine import in_parallel
from lab_utils.core.progress import progress
from lab_utils.data.decode import Pixels

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
SHARES = (0.171, 0.284, 0.482, 0.063)  # of the real database's 3,616, 6,012, 10,192 and 1,345 images
SIZE, MASK_SIZE = 299, 256
SECOND_HOSPITAL = 2
MISLABELLED = 0.1  # share of a class's images, with the fault "labels"
URL = "https://example.org/synthetic-phantom"

Array = NDArray[np.float64]


def write_phantoms(
    root: Path, images: int = 480, *, faults: Collection[Fault] = (), seed: int = 0, hospital: int = 1
) -> None:
    """Write phantoms as `root`/<class>/images/*.png, .../masks/*.png and <class>.metadata.xlsx.

    Parameters
    ----------
    images : int
        Number of images, shared among the classes as in the real database (at least 8 each).
    faults : collection of {"duplicates", "marker", "source", "labels"}
        What to plant: copies of an eighth of each class's images, every second one a grey level brighter; a white
        square in a corner that depends on the class; a hospital for each class, with an exposure that depends on it;
        images that show another class than their folder's, see `mislabelled`.
    seed : int
        Same seed, same pixels.
    hospital : int
        1, or 2: other patients with the same disease patterns, see `at_second_hospital`.
    """
    root.mkdir(parents=True, exist_ok=True)
    counts = class_counts(images)
    shown = mislabelled(images, seed=seed) if "labels" in faults else {}
    with progress(total=sum(counts.values()), desc="phantoms", unit="image") as bar:
        for label, (name, count) in enumerate(counts.items()):
            for kind in ("images", "masks"):
                (root / name / kind).mkdir(parents=True, exist_ok=True)
            draw = partial(_write_phantom, root, label=label, shown=shown, faults=faults, seed=seed, hospital=hospital)
            for _ in in_parallel(draw, range(1, count + 1)):
                bar.update()
            if "duplicates" in faults:
                _duplicate(root / name, name, count)
            url = f"{URL}/hospital-{label + 1}" if "source" in faults else URL
            files = [f"{name}-{number}" for number in range(1, count + 1)]
            sheet = pd.DataFrame({"FILE NAME": files, "FORMAT": "PNG", "SIZE": "256*256", "URL": url})
            sheet.to_excel(root / f"{name}.metadata.xlsx", sheet_name="Sheet1", index=False)


def _write_phantom(
    root: Path,
    number: int,
    *,
    label: int,
    shown: Mapping[str, str],
    faults: Collection[Fault],
    seed: int,
    hospital: int,
) -> None:
    """Write the image and the mask of one number of a class."""
    name = CLASSES[label]
    path = f"{name}/images/{name}-{number}.png"
    rng = np.random.default_rng([seed, label, number, *[hospital] * (hospital > 1)])
    image, lungs = phantom(CLASSES.index(shown.get(path, name)), rng)
    image = at_second_hospital(image, rng) if hospital == SECOND_HOSPITAL else image
    Image.fromarray(_with_faults(image, label, faults)).save(root / path, compress_level=1)
    mask = Image.fromarray(lungs.astype(np.uint8) * 255)
    mask = mask.resize((MASK_SIZE, MASK_SIZE), Image.Resampling.NEAREST)
    mask.convert("RGB").save(root / name / "masks" / f"{name}-{number}.png", compress_level=1)


def class_counts(images: int) -> dict[str, int]:
    """Share a number of images among the classes as in the real database, 8 at least."""
    return {name: max(8, round(images * share)) for name, share in zip(CLASSES, SHARES, strict=True)}


def mislabelled(images: int = 480, *, seed: int = 0) -> dict[str, str]:
    """Return the images that the fault "labels" puts into a wrong folder.

    A mapping from path to the class that the image shows.

    These are a tenth of the images of each folder.
    """
    shown = {}
    for label, (name, count) in enumerate(class_counts(images).items()):
        rng = np.random.default_rng([seed, label])
        for number in sorted(rng.choice(count, round(MISLABELLED * count), replace=False) + 1):
            other = (label + rng.integers(1, len(CLASSES))) % len(CLASSES)
            shown[f"{name}/images/{name}-{number}.png"] = CLASSES[other]
    return shown


def _with_faults(image: Pixels, label: int, faults: Collection[Fault]) -> Pixels:
    """Plant a class's marker and its source's exposure."""
    if "marker" in faults:
        rows, columns = (slice(4, 28) if first else slice(-28, -4) for first in (label < 2, label % 2 == 0))
        image[rows, columns] = 255
    if "source" in faults:
        image = (255 * (image / 255) ** (0.75 + 0.2 * label)).astype(np.uint8)
    return image


def _duplicate(folder: Path, name: str, count: int) -> None:
    """Replace the last eighth of a class by copies of its first images."""
    for place in range(count // 8):
        original, copy = f"{name}-{place + 1}.png", f"{name}-{count - place}.png"
        shutil.copyfile(folder / "masks" / original, folder / "masks" / copy)
        image = np.asarray(Image.open(folder / "images" / original)).astype(int) + place % 2
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / copy)


def phantom(label: int, rng: np.random.Generator, size: int = SIZE) -> tuple[Pixels, NDArray[np.bool_]]:
    """Draw one phantom: uint8 (size, size) in [0, 255], and its lungs, bool (size, size).

    The label is an index into `CLASSES`: scattered patches, one consolidation, clear lungs, fine reticulation.
    All that varies between patients comes from `rng`.
    """
    x = np.linspace(-1, 1, size)[None]  # one row
    y = x.T  # one column: what depends on one of them is computed once for all rows or columns
    width, height = rng.uniform(0.26, 0.31), rng.uniform(0.52, 0.62)
    top = rng.uniform(-0.12, 0.04)
    sides = [(side * rng.uniform(0.36, 0.42), top + rng.uniform(-0.03, 0.03)) for side in (-1, 1)]
    left, right = (_ellipse(x, y, cx, cy, width, height) for cx, cy in sides)
    lungs = left + right
    body = _ellipse(x, y, 0, 0.25, rng.uniform(0.88, 0.98), 1.25)
    heart = _ellipse(x, y, 0.14, 0.3, rng.uniform(0.22, 0.3), 0.3)
    spine = np.exp(-((x / 0.09) ** 2))
    waves = np.sin(2 * np.pi * (rng.uniform(4.5, 6) * (y + 0.35 * x**2) + rng.uniform()))
    ribs = ((waves**2) ** 2) ** 2  # 100 times as fast as ** 8
    soft = (1 - lungs) * body * _soft_tissue(size, rng)
    tissue = 0.12 + 0.5 * body + 0.07 * soft - 0.38 * lungs + 0.26 * heart + 0.14 * spine * body + 0.05 * ribs * body
    tissue = tissue + 0.42 * lungs * _pattern(label, x, y, sides, (width, height), rng)
    tissue = tissue * rng.uniform(0.94, 1.06) + rng.uniform(-0.02, 0.02) + 0.012 * rng.standard_normal((size, size))
    return (255 * tissue.clip(0, 1)).astype(np.uint8), lungs > 0.5


def at_second_hospital(image: Pixels, rng: np.random.Generator) -> Pixels:
    """Show a phantom as another hospital would, whatever its class.

    Contrast, noise, border and marker differ.

    The differences are small on purpose. Networks on an untrained backbone lose a fifth of their accuracy by them, and
    a border or a contrast that is obvious to the eye brings them below the majority-class baseline.
    """
    size = len(image)
    grey = 0.025 + 0.95 * (image / 255) ** rng.uniform(1.01, 1.04) + 0.007 * rng.standard_normal(image.shape)
    edge = int(size * rng.uniform(0.03, 0.05))
    border = np.ones(image.shape, bool)
    border[edge:-edge, edge:-edge] = False
    grey[border] *= 0.8
    row, column = edge + size // 20, edge + size // 20 if rng.random() < 0.5 else size - edge - size // 8
    grey[row : row + size // 12, column : column + size // 20] = 1
    return (255 * grey.clip(0, 1)).astype(np.uint8)


def _soft_tissue(size: int, rng: np.random.Generator) -> Array:
    """Draw a smooth field in about [-2, 2]; without it, different phantoms have equal hashes."""
    coarse = rng.standard_normal((7, 7)).astype(np.float32)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC), float)


def _ellipse(x: Array, y: Array, cx: float, cy: float, width: float, height: float) -> Array:
    """Draw a filled ellipse with soft edges, in [0, 1]."""
    radius = np.sqrt(((x - cx) / width) ** 2 + ((y - cy) / height) ** 2)
    return 1 / (1 + np.exp(25 * (radius - 1)))


def _pattern(
    label: int,
    x: Array,
    y: Array,
    sides: list[tuple[float, float]],
    lung: tuple[float, float],
    rng: np.random.Generator,
) -> Array:
    """Draw what distinguishes the classes, in about [-1, 1]; `lung` is the lungs' size."""
    width, height = lung
    strength = rng.uniform(0.1, 0.9)  # from barely visible to clear: a classifier should make some errors
    field = np.zeros((y.size, x.size))
    if CLASSES[label] == "COVID":
        for cx, cy in sides:
            for _ in range(rng.integers(4, 8)):
                outward = np.sign(cx) * width * rng.uniform(0.3, 0.9)
                drop = height * rng.uniform(-0.3, 0.8)
                field += np.exp(-(((x - cx - outward) / 0.07) ** 2)) * np.exp(-(((y - cy - drop) / 0.09) ** 2))
    elif CLASSES[label] == "Lung_Opacity":
        cx, cy = sides[rng.integers(2)]
        drop = height * rng.uniform(-0.4, 0.6)
        field += 1.1 * np.exp(-(((x - cx) / 0.2) ** 2)) * np.exp(-(((y - cy - drop) / 0.22) ** 2))
    elif CLASSES[label] == "Viral Pneumonia":
        fine = rng.uniform(22, 30)
        field += (
            0.8 * np.sin(fine * (x + 0.4 * y) + rng.uniform(0, 6)) * np.sin(fine * (y - 0.4 * x) + rng.uniform(0, 6))
        )
    return strength * field.clip(-1, 1.2)
