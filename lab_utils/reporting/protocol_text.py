"""Protocols in words."""

from lab_utils.core.config import Protocol
from lab_utils.data.dataset import Dataset
from lab_utils.reporting.text import percent

INTERPOLATIONS = {"bilinear": "bilinear interpolation", "nearest": "nearest-neighbour interpolation"}
SCALINGS = {"unit": "pixel values divided by 255", "backbone": "pixel values scaled as in the backbone's pretraining"}


def split_in_words(protocol: Protocol, dataset: Dataset, *, has_patients: bool) -> str:
    """Say how a protocol divides the images: "at random within each class"."""
    undivided = "near-duplicates" + " and images of one patient" * has_patients
    drawn = "" if "validation" in dataset.given else ", with images for validation drawn from the training images"
    return {
        "stratified": "at random within each class",
        "grouped": f"at random within each class, with {undivided} on one side",
        "listing": "by file order (Keras validation_split), the first part of each class for validation",
        "given": f"as the data give them{drawn}",
    }[protocol.split]


def protocol_in_words(protocol: Protocol, dataset: Dataset, *, has_patients: bool) -> str:
    """Say what a protocol takes for images, how it scales them, and how it divides them."""
    files = "images and lung masks" if protocol.masks else "images alone"
    share = (
        "" if protocol.split == "given" and "validation" in dataset.given else f", {percent(protocol.val_fraction, 0)}"
    )
    rule = split_in_words(protocol, dataset, has_patients=has_patients)
    return (
        f"{files}; {INTERPOLATIONS[protocol.interpolation]}; {SCALINGS[protocol.scaling]}; "
        f"divided {rule}{share and share + ' for validation'}"
    )
