"""Sample images of each class, decoded for figures."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels, lungs_in, read_image


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
        images, samples[name] = dataset.images_of(name), []
        for row in images[:: max(1, len(images) // count)][:count].to_dict("records"):
            image = read_image(dataset.root / row["image_id"])
            mask = read_image(dataset.root / row["mask"]) if row["mask"] else None
            if image is not None:
                lungs = None if mask is None else lungs_in(mask)
                samples[name].append(SampleImage(Path(row["image_id"]).stem, image, lungs))
    return samples
