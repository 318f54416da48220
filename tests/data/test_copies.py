"""Copies between an outside collection and the experiment's images: re-encoded, cropped, brightened."""

import io
import zipfile
from pathlib import Path

import imagehash
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy.ndimage import gaussian_filter

from lab_utils.data.copies import LEAST_CORRELATION, copies_in
from lab_utils.data.decode import Pixels, decode, resize
from lab_utils.data.labelled import LabelledImages
from tests.conftest import ARCHIVE, SHARED

SIZE = 96


def radiograph(patient: int) -> Pixels:
    """One dark field with details that depend on the patient."""
    rng = np.random.default_rng(patient)
    details = sum(gaussian_filter(rng.standard_normal((SIZE, SIZE)), width) * width for width in (2, 4, 8))
    shade = np.linspace(-2, 2, SIZE)[:, None] ** 2
    return (60 * (details - details.min()) + 20 * shade).clip(0, 255).astype(np.uint8)


def republished(image: Pixels) -> Pixels:
    """The image as another archive has it: cropped, with another contrast, as JPEG."""
    cropped = resize(image[8:, 4:-5], SIZE, "bilinear")
    file = io.BytesIO()
    Image.fromarray((30 + 0.7 * cropped).astype(np.uint8)).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def labelled(images: list[Pixels], kinds: list[str] | None = None) -> LabelledImages:
    rows = {
        "image_id": [f"{place}.png" for place in range(len(images))],
        "kind": kinds or ["image"] * len(images),
        "phash": [str(imagehash.phash(Image.fromarray(image))) for image in images],
    }
    return LabelledImages(np.stack(images), pd.DataFrame(rows), ("a", "b"), "", Path())


def test_copies_are_found_and_other_patients_are_not() -> None:
    known = [radiograph(patient) for patient in range(14)]
    blank = np.full((SIZE, SIZE), 7, np.uint8)
    outside = [radiograph(99), republished(known[3]), blank, known[5], republished(known[12]), radiograph(98)]
    copies = copies_in(labelled(outside), labelled([*known, blank], [*["image"] * 12, "mask", "image", "image"]))
    assert copies[["image_id", "copy_of"]].to_numpy().tolist() == [["1.png", "3.png"], ["3.png", "5.png"]], (
        "neither other patients, nor blank images, nor masks"
    )
    assert copies["correlation"].tolist() == pytest.approx([0.97, 1], abs=0.03)
    assert (copies["correlation"] >= LEAST_CORRELATION).all()
    assert copies["distance"].iloc[1] == 0
    assert list(copies_in(labelled(outside[:1]), labelled(known[:1])).columns) == list(copies.columns)


def test_images_in_colour_are_compared_as_grey_ones() -> None:
    known, outside = (np.stack([radiograph(1)] * depth, axis=-1).squeeze() for depth in (1, 3))
    assert len(copies_in(labelled([outside]), labelled([known]))) == 1


COPIES = {  # image of the shared collection to image of the shared slice, the last three cropped
    "Pneumonia/00009302_008.jpg": "Lung_Opacity-5967",
    "Covid-19/covid-19-pneumonia-7-PA.jpg": "COVID-87",
    "Covid-19/B59DD164-51D5-40DF-A926-6A42DD52EBE8.jpg": "COVID-165",
    "Covid-19/E1724330-1866-4581-8CD8-CEC9B8AFEDDE.jpg": "COVID-731",
}


@pytest.mark.real
def test_cropped_copies_in_a_shared_collection() -> None:
    outside = SHARED / "data" / "external-nih.zip"
    if not (ARCHIVE.is_file() and outside.is_file()):
        pytest.skip(f"needs {ARCHIVE} and {outside}")
    with zipfile.ZipFile(outside) as archive:
        names = [*COPIES, *[name for name in archive.namelist() if name.startswith("No_findings/")][:20]]
        images = [resize(decode(archive.read(name)), 224, "bilinear") for name in names]
    with zipfile.ZipFile(ARCHIVE) as archive:
        paths = {Path(name).stem: name for name in archive.namelist() if "/images/" in name}
        stems = [*COPIES.values(), *[stem for stem in sorted(paths) if stem not in COPIES.values()][::25]]
        known = [resize(decode(archive.read(paths[stem])), 224, "bilinear") for stem in stems]
    copies = copies_in(labelled(images), labelled(known))
    assert copies[["image_id", "copy_of"]].to_numpy().tolist() == [[f"{n}.png", f"{n}.png"] for n in range(4)]
    assert copies["correlation"].min() > 0.97
