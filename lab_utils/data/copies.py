"""Near-duplicates of an experiment's images in an outside collection, also cropped and re-encoded ones."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, map_coordinates

from lab_utils.core.machine import in_parallel
from lab_utils.core.progress import progress
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages

LEAST_CORRELATION = 0.9  # of the details of two aligned images; docs/data.md has the measurement
CANDIDATES = 10  # images of the experiment that are aligned with one of the collection
SIDE, COARSE_SIDE = 64, 16  # pixels of the images that are aligned, and of those that choose the candidates
DETAIL = 3.0  # pixels: standard deviation of the blur that is subtracted, at side 64; 16 has a third of the side's
LEVELS = (
    (2, 3.0, 5, 0.55),
    (1, 1.0, 8, LEAST_CORRELATION),
)  # step in pixels, blur, iterations, least correlation after
LEAST_OVERLAP, LONGEST_STEP = 0.5, 0.1  # share of an image, and half sides per iteration

Grey = NDArray[np.float32]


def copies_in(collection: LabelledImages, images: LabelledImages) -> pd.DataFrame:
    """Find images of a collection that are copies of images of the experiment, of any side of its split.

    The 10 images with the most similar details at 16 x 16 pixels are candidates. Each is aligned by an affine map,
    because one of the two may be cropped (Gauss-Newton iterations; Baker and Matthews, International Journal of
    Computer Vision 56, 2004). An image is a copy if the details of the aligned images at 64 x 64 pixels have a
    correlation of 0.9 or more.

    Returns
    -------
    DataFrame
        One row per copy, in the order of the collection: columns image_id, copy_of (the image with the highest
        correlation), distance (bits between the perceptual hashes, 0 to 64), correlation (0.9 to 1).
    """
    is_image = images.manifest["kind"] == "image"
    known = images.manifest[is_image]
    references = _small_images(images.images, np.flatnonzero(is_image))
    queries = _small_images(collection.images, np.arange(len(collection)))
    rows = []
    with progress(total=len(queries), desc="compare", unit="image") as bar:
        candidates = _candidates(_coarse_details(queries), _coarse_details(references))
        pairs = zip(queries, candidates, strict=True)
        for row, found in enumerate(in_parallel(lambda pair: _best_match(pair[0], references, pair[1]), pairs)):
            place, correlation = found
            bar.update()
            if correlation >= LEAST_CORRELATION:
                image, original = collection.manifest.iloc[row], known.iloc[place]
                distance = (int(image["phash"], 16) ^ int(original["phash"], 16)).bit_count()
                rows.append((image["image_id"], original["image_id"], distance, correlation))
    return pd.DataFrame(rows, columns=["image_id", "copy_of", "distance", "correlation"])


def correlation_aligned(first: Grey, second: Grey) -> float:
    """Align two grey images of 64 x 64 pixels, and return the correlation of their details; 0 if they differ early."""
    affine, correlation = np.eye(2, 3), 0.0
    for step, blur, iterations, least in LEVELS:
        a, b = (
            gaussian_filter(x, blur)[::step, ::step] - gaussian_filter(x, 8)[::step, ::step] for x in (first, second)
        )
        affine = _align(a, b, affine, iterations)
        a, b = (x[::step, ::step] for x in (_details(first), _details(second)))
        correlation = _correlation(a, b, affine)
        if correlation < least:
            break
    return correlation


def _align(first: Grey, second: Grey, affine: NDArray[np.float64], iterations: int) -> NDArray[np.float64]:
    """Refine the affine map (2, 3) from coordinates (y, x, 1) of `first`, in [-1, 1], to those of `second`.

    Each iteration solves for brightness, contrast and six parameters of the map by least squares.
    """
    place = _coordinates(len(first))
    slopes = np.gradient(second)
    for _ in range(iterations):
        there = affine @ place
        inside = (abs(there) <= 1).all(axis=0)
        if inside.mean() < LEAST_OVERLAP:
            break
        value, down, right = (_sample(image, there[:, inside]) for image in (second, *slopes))
        here = place[:, inside]
        columns = np.vstack([value, np.ones_like(value), down * here, right * here])
        normal = columns @ columns.T + 1e-6 * np.eye(8)
        solution = np.linalg.solve(normal, columns @ first.ravel()[inside])
        contrast = np.copysign(max(abs(solution[0]), 0.1), solution[0])
        change = solution[2:].reshape(2, 3) / contrast * 2 / (len(first) - 1)
        affine = affine + change.clip(-LONGEST_STEP, LONGEST_STEP)
    return affine


def _correlation(first: Grey, second: Grey, affine: NDArray[np.float64]) -> float:
    """Correlate two images where they overlap; 0 if they overlap on less than half, or one is blank."""
    there = affine @ _coordinates(len(first))
    inside = (abs(there) <= 1).all(axis=0)
    if inside.mean() < LEAST_OVERLAP:
        return 0.0
    values = np.vstack([first.ravel()[inside], _sample(second, there[:, inside])])
    return float(np.corrcoef(values)[0, 1]) if values.std(axis=1).min() > 0.1 else 0.0


def _coordinates(side: int) -> NDArray[np.float64]:
    """Return the coordinates (y, x, 1) of all pixels in [-1, 1]: (3, side²)."""
    line = np.linspace(-1, 1, side)
    return np.vstack([*(axis.ravel() for axis in np.meshgrid(line, line, indexing="ij")), np.ones(side**2)])


def _sample(image: Grey, there: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(map_coordinates(image, (there + 1) * (len(image) - 1) / 2, order=1, mode="nearest"), float)


def _best_match(query: Pixels, references: Pixels, candidates: NDArray[np.int64]) -> tuple[int, float]:
    correlations = [
        correlation_aligned(query.astype(np.float32), references[place].astype(np.float32)) for place in candidates
    ]
    best = int(np.argmax(correlations))
    return int(candidates[best]), correlations[best]


def _small_images(images: Pixels, rows: NDArray[np.int64]) -> Pixels:
    """Resize images to grey ones of 64 x 64 pixels: uint8 (N, 64, 64)."""
    small = (Image.fromarray(images[row]).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for row in rows)
    return np.stack([np.asarray(image) for image in small])


def _details(image: Grey) -> Grey:
    return np.asarray(image - gaussian_filter(image, DETAIL))


def _coarse_details(images: Pixels) -> Grey:
    """Return the details at 16 x 16 pixels, of length one: float32 (N, 256)."""
    small = images.reshape(len(images), COARSE_SIDE, SIDE // COARSE_SIDE, COARSE_SIDE, -1).mean(axis=(2, 4), dtype="f4")
    details = small - gaussian_filter(small, (0, 4 / 3, 4 / 3))
    details = details.reshape(len(images), -1)
    details -= details.mean(axis=1, keepdims=True)
    return details / np.linalg.norm(details, axis=1, keepdims=True).clip(1e-6)


def _candidates(queries: Grey, references: Grey) -> NDArray[np.int64]:
    """Return the rows of the most similar references for each query: (N, 10 or fewer)."""
    count = min(CANDIDATES, len(references))
    blocks = [queries[start : start + 1024] @ references.T for start in range(0, len(queries), 1024)]
    return np.vstack([np.argpartition(-block, count - 1, axis=1)[:, :count] for block in blocks])
