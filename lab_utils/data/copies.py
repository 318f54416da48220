"""Near-duplicates of an experiment's images in an outside collection.

Cropped and re-encoded ones are found as well.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import binary_erosion, gaussian_filter, map_coordinates

from lab_utils.core.machine import in_parallel
from lab_utils.core.progress import progress
from lab_utils.data.decode import Pixels
from lab_utils.data.labelled import LabelledImages

LEAST_CORRELATION = 0.92  # of the details of two aligned images; docs/data.md has the measurement
CANDIDATES = 20  # images of the experiment that are aligned with one of the collection
SIDE, COARSE_SIDE = 64, 16  # pixels of the images that are aligned, and of those that choose the candidates
DETAILS, LIGHTING, MARGIN = 0.7, 3, 3  # pixels: blur of the finest and the coarsest details, and border left out
# Step, blur, iterations, least correlation after them; after the second, copies in the measurement had 0.92 or more
LEVELS = ((2, 3.0, 2, 0.8), (1, 1.0, 2, 0.87), (1, 1.0, 6, LEAST_CORRELATION))
LEAST_OVERLAP, LONGEST_STEP = 0.5, 0.1  # share of an image, and half sides per iteration
# Parts of an image from which an alignment starts: size, and place of the centre (y, x), in half sides.
PARTS = [(1.0, 0.0, 0.0)] + [(s, y, x) for s in (0.9, 0.8) for y in (s - 1, 0, 1 - s) for x in (s - 1, 0, 1 - s)]
QUERY_BLOCK = 256  # images of the collection that are compared with all images of the experiment at once

Grey = NDArray[np.float32]
Affine = NDArray[np.float64]  # (2, 3): from (y, x, 1) in one image to (y, x) in the other, in half sides


def copies_in(collection: LabelledImages, images: LabelledImages) -> pd.DataFrame:
    """Find images of a collection that are copies of images of the experiment.

    Every side of the split counts.

    Candidates are the 20 images whose details at 16 x 16 pixels are most similar, also to parts of the image. Each is
    aligned with it by an affine map (Gauss-Newton iterations; Baker and Matthews, International Journal of Computer
    Vision 56, 2004). An image is a copy if the details of the aligned images at 64 x 64 pixels have a correlation of
    0.92 or more.

    Returns
    -------
    DataFrame
        One row per copy, in the order of the collection: columns image_id, copy_of (the image with the highest
        correlation), distance (bits between the perceptual hashes, 0 to 64), correlation (0.92 to 1).
    """
    is_image = images.manifest["kind"] == "image"
    known = images.manifest[is_image]
    references = _small_images(images.images, np.flatnonzero(is_image))
    queries = _small_images(collection.images, np.arange(len(collection)))
    rows = []
    with progress(total=len(queries), desc="compare", unit="image") as bar:
        pairs = zip(queries, *_candidates(queries, references), strict=True)
        for row, match in enumerate(in_parallel(lambda pair: _best_match(references, *pair), pairs)):
            place, correlation = match
            bar.update()
            if correlation >= LEAST_CORRELATION:
                image, original = collection.manifest.iloc[row], known.iloc[place]
                distance = (int(image["phash"], 16) ^ int(original["phash"], 16)).bit_count()
                rows.append((image["image_id"], original["image_id"], distance, correlation))
    return pd.DataFrame(rows, columns=["image_id", "copy_of", "distance", "correlation"])


def _small_images(images: Pixels, rows: NDArray[np.int64]) -> Pixels:
    """Resize images to grey ones of 64 x 64 pixels: uint8 (N, 64, 64)."""
    small = (Image.fromarray(images[row]).convert("L").resize((SIDE, SIDE), Image.Resampling.BILINEAR) for row in rows)
    return np.stack([np.asarray(image) for image in small])


def _candidates(queries: Pixels, references: Pixels) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the most similar references of each query, and the start of each alignment.

    Both are (N, 20), or (N, fewer).

    Starts 0 to 18 compare the query with a part of the reference, starts 19 to 37 a part of it with the reference.
    """
    query_parts, reference_parts = ([_coarse_details(x, part) for part in PARTS] for x in (queries, references))
    pairs = [(query_parts[0], part) for part in reference_parts] + [(part, reference_parts[0]) for part in query_parts]
    count, places, starts = min(CANDIDATES, len(references)), [], []
    for block in (slice(first, first + QUERY_BLOCK) for first in range(0, len(queries), QUERY_BLOCK)):
        best = pairs[0][0][block] @ pairs[0][1].T
        start = np.zeros(best.shape, np.int64)
        for number, (query, reference) in enumerate(pairs[1:], 1):
            similarity = query[block] @ reference.T
            start[similarity > best] = number
            np.maximum(best, similarity, out=best)
        nearest = np.argpartition(-best, count - 1, axis=1)[:, :count]
        places.append(nearest)
        starts.append(np.take_along_axis(start, nearest, axis=1))
    return np.vstack(places), np.vstack(starts)


def _coarse_details(images: Pixels, part: tuple[float, float, float]) -> Grey:
    """Return the details of a part of each image at 16 x 16 pixels, of length one.

    float32 (N, 256).
    """
    size, *centre = part
    top, left = (SIDE * (1 + middle - size) / 2 for middle in centre)
    box = (left, top, left + SIDE * size, top + SIDE * size)
    shape, filtering = (COARSE_SIDE, COARSE_SIDE), Image.Resampling.BOX
    small = np.stack([np.asarray(Image.fromarray(i).resize(shape, filtering, box), np.float32) for i in images])
    details = (small - gaussian_filter(small, (0, 4 / 3, 4 / 3))).reshape(len(images), -1)
    details -= details.mean(axis=1, keepdims=True)
    return np.asarray(details / np.linalg.norm(details, axis=1, keepdims=True).clip(1e-6))


def _best_match(
    references: Pixels, query: Pixels, places: NDArray[np.int64], starts: NDArray[np.int64]
) -> tuple[int, float]:
    """Return the candidate with the highest correlation, and the correlation."""
    first, others = query.astype(np.float32), references[places].astype(np.float32)
    affines, correlations = [_start(number) for number in starts], np.zeros(len(places))
    left = np.arange(len(places))  # candidates that may be copies
    for step, blur, iterations, least in LEVELS:
        image, candidates = (_band(x, blur, 8)[..., ::step, ::step] for x in (first, others[left]))
        for place, candidate in zip(left, candidates, strict=True):
            affines[place] = _align(image, candidate, affines[place], iterations)
        correlations[left] = _correlations(first, others[left], [affines[place] for place in left])
        left = left[correlations[left] >= least]
        if not len(left):
            break
    best = int(np.argmax(correlations))
    return int(places[best]), float(correlations[best])


def _band(images: Grey, fine: float, coarse: float) -> Grey:
    """Return what is coarser than one blur and finer than another, of images (..., H, W)."""
    low, high = (gaussian_filter(images, sigma, axes=(-2, -1)) for sigma in (coarse, fine))
    return np.asarray(high - low)


def _start(number: int) -> Affine:
    """Return the affine map of a start, see `_candidates`."""
    size, y, x = PARTS[number % len(PARTS)]
    if number >= len(PARTS):
        size, y, x = 1 / size, -y / size, -x / size
    return np.array([[size, 0, y], [0, size, x]])


def _align(first: Grey, second: Grey, affine: Affine, iterations: int) -> Affine:
    """Refine the affine map from `first` to `second`.

    Each iteration solves for contrast, brightness and six parameters of the map by least squares.
    """
    place, slopes = _coordinates(len(first)), np.gradient(second)
    for _ in range(iterations):
        there = affine @ place
        inside = (abs(there) <= 1).all(axis=0)
        if inside.mean() < LEAST_OVERLAP:
            break
        value, down, right = (_sample(image, there[:, inside]) for image in (second, *slopes))
        here = place[:, inside]
        columns = np.vstack([value, np.ones_like(value), down * here, right * here])
        solution = np.linalg.solve(columns @ columns.T + 1e-6 * np.eye(8), columns @ first.ravel()[inside])
        contrast = np.copysign(max(abs(solution[0]), 0.1), solution[0])
        change = solution[2:].reshape(2, 3) / contrast * 2 / (len(first) - 1)
        affine = affine + change.clip(-LONGEST_STEP, LONGEST_STEP)
    return affine


def _correlations(first: Grey, others: Grey, affines: Sequence[Affine]) -> list[float]:
    """Correlate the details of an image with those of others (n, H, W) where they overlap.

    A correlation is 0 if they hardly overlap, or one is blank there.
    """
    places = [affine @ _coordinates(SIDE) for affine in affines]
    aligned = np.stack([_sample(image, there) for image, there in zip(others, places, strict=True)])
    details = _band(aligned.reshape(others.shape), DETAILS, LIGHTING)
    here = _band(first, DETAILS, LIGHTING)
    return [_correlation(here, there, place) for there, place in zip(details, places, strict=True)]


def _correlation(first: Grey, second: Grey, there: NDArray[np.float64]) -> float:
    """Correlate two aligned images where the places (2, side²) lie in both."""
    inside = binary_erosion((abs(there) <= 1).all(axis=0).reshape(SIDE, SIDE), iterations=MARGIN)
    if inside.mean() < LEAST_OVERLAP:
        return 0.0
    values = [first[inside], second[inside]]
    return float(np.corrcoef(values)[0, 1]) if min(map(np.std, values)) > 0.1 else 0.0


@cache
def _coordinates(side: int) -> NDArray[np.float64]:
    """Return the coordinates (y, x, 1) of all pixels, in half sides: (3, side²)."""
    line = np.linspace(-1, 1, side)
    return np.vstack([*(axis.ravel() for axis in np.meshgrid(line, line, indexing="ij")), np.ones(side**2)])


def _sample(image: Grey, there: NDArray[np.float64]) -> Grey:
    """Read an image at coordinates (2, N) in half sides."""
    return np.asarray(map_coordinates(image, (there + 1) * (len(image) - 1) / 2, order=1, mode="nearest"), np.float32)
