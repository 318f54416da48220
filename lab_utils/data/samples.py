"""Sample images of each class, decoded for figures."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels, lungs_in, read_image
from lab_utils.data.folders import list_images, masks_by_stem


class SampleImage(NamedTuple):
    """One image and its lung pixels."""

    name: str  # the file's name without its ending
    image: Pixels
    lungs: NDArray[np.bool_] | None  # the mask may have another size than the image


def sample_images(dataset: Dataset, count: int) -> dict[str, list[SampleImage]]:
    """Decode up to `count` images per class, taken evenly from the list of its files.

    Unreadable images are left out; unreadable masks are None.
    """
    samples: dict[str, list[SampleImage]] = {}
    for name in dataset.classes:
        folder = dataset.root / name
        paths, masks = list_images(folder), masks_by_stem(folder)
        samples[name] = []
        for path in paths[:: max(1, len(paths) // count)][:count]:
            image = read_image(path)
            mask = read_image(masks[path.stem]) if path.stem in masks else None
            if image is not None:
                samples[name].append(SampleImage(path.stem, image, None if mask is None else lungs_in(mask)))
    return samples
