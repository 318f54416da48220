"""What the names of folders and files say: splits, masks, images, and names that no class can have."""

import re
from functools import cache
from pathlib import Path, PurePosixPath

from lab_utils.core.yaml_files import read_yaml

NAMES = read_yaml(Path(__file__).with_name("names.yaml"))
SIDES = {word: side for side, words in NAMES["splits"].items() for word in words}
MASKS, IMAGES, LUNGS = (set(NAMES[kind]) for kind in ("masks", "images", "lungs"))
ASIDE = {*NAMES["labels"], *NAMES["documents"]}
NO_CLASS = {*SIDES, *MASKS, *IMAGES, *ASIDE, *NAMES["parts"]}
PATIENT = re.compile(r"(patient|pat|subject|sub|study|series|case)[ _-]?\d+", re.IGNORECASE)
MASK_AFFIX = re.compile(r"^(mask|seg)[ _-]+|[ _-]+(lung[ _-]?)?(masks?|seg|segmentation)$", re.IGNORECASE)


@cache
def words_of(path: str) -> frozenset[str]:
    """Split a folder's name into its words: {"cxr", "png"} for CXR_png and CxrPng."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", PurePosixPath(path).name)
    return frozenset(re.findall(r"[^\W\d_]+", spaced.casefold()))


def is_class_name(name: str) -> bool:
    """Whether a folder can be a class; splits, masks, images, labels, parts of an archive and patients cannot."""
    words = words_of(name)
    is_patient = PATIENT.fullmatch(PurePosixPath(name).name)
    return not (words and words <= NO_CLASS) and not is_mask_folder(name) and not is_patient


def split_side(name: str) -> str:
    """Return the side of a split that a name means, such as "validation" for val or valid_images; else ""."""
    words = words_of(name)
    sides = {SIDES[word] for word in words & SIDES.keys()}
    return sides.pop() if len(sides) == 1 and words <= NO_CLASS - MASKS else ""


def is_image_folder(name: str) -> bool:
    """Whether a folder's name says that it holds the images of something, such as images or CXR_png."""
    return bool(words := words_of(name)) and words <= IMAGES


def is_mask_folder(name: str) -> bool:
    """Whether a folder's name says that it holds masks, such as masks, Lung Mask or leftMask."""
    words = words_of(name)
    return bool(words & MASKS) and words <= MASKS | IMAGES | LUNGS


def is_set_aside(name: str) -> bool:
    """Whether a folder can hold no images of a class: masks, labels or documents."""
    words = words_of(name)
    return is_mask_folder(name) or (bool(words) and words <= ASIDE)


def is_mask_file(path: str) -> bool:
    """Whether a file is a mask by its own name, such as x_mask.png, or by that of a folder above it."""
    folder, _, name = path.rpartition("/")
    return bool(MASK_AFFIX.search(_stem(name))) or _is_below_masks(folder)


def image_key(path: str) -> str:
    """Return what an image and its mask share: the name without its ending and the words for a mask."""
    return MASK_AFFIX.sub("", _stem(path.rpartition("/")[2])).casefold()


@cache
def _is_below_masks(folder: str) -> bool:
    return any(map(is_mask_folder, folder.split("/")))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
