"""Meanings of folder and file names: splits, masks, images, and no classes."""

import re
import unicodedata
from functools import cache
from pathlib import Path, PurePosixPath

from lab_utils.core.yaml_files import read_yaml

NAMES = read_yaml(Path(__file__).with_name("names.yaml"))
SIDES = {word: side for side, words in NAMES["splits"].items() for word in words}
MASKS, CUTOUTS, IMAGES, LUNGS = (set(NAMES[kind]) for kind in ("masks", "cutouts", "images", "lungs"))
ASIDE = {*NAMES["labels"], *NAMES["documents"]}
NO_CLASS = {*SIDES, *MASKS, *IMAGES, *ASIDE, *NAMES["parts"]}
PATIENT = re.compile(r"(patient|pat|subject|sub|study|series|case)[ _-]?\d+", re.IGNORECASE)
MASK_AFFIX = re.compile(r"^(mask|seg)[ _-]+|[ _-]+(lung[ _-]?)?(masks?|seg|segmentation)$", re.IGNORECASE)


def plain_name(path: str) -> str:
    """Return the last part of a path, with accents in one form (file systems differ)."""
    return unicodedata.normalize("NFC", PurePosixPath(path).name)


def letters_of(name: str) -> str:
    """Reduce a name to its letters and digits, in lower case."""
    return re.sub(r"[\W_]+", "", name).casefold()


def is_healthy(name: str) -> bool:
    """Whether a class's name means that nothing was found, such as Normal or No_Finding."""
    return letters_of(name) in NAMES["healthy"]


@cache
def _word_list(path: str) -> tuple[str, ...]:
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", plain_name(path))
    return tuple(re.findall(r"[^\W\d_]+", spaced.casefold()))


def words_of(path: str) -> frozenset[str]:
    """Split a folder's name into its words: {"cxr", "png"} for CXR_png and CxrPng."""
    return frozenset(_word_list(path))


def is_class_name(name: str) -> bool:
    """Whether a folder can be a class.

    Splits, masks, images, labels, parts of an archive and patients cannot.
    """
    words = words_of(name)
    is_patient = PATIENT.fullmatch(PurePosixPath(name).name)
    return not (words and words <= NO_CLASS) and not is_mask_folder(name) and not is_patient


def split_side(name: str) -> str:
    """Return the side of a split that a name means: "validation" for val or valid_images.

    "" for any other name.
    """
    sides = sides_in(name)
    return sides.pop() if len(sides) == 1 and words_of(name) <= NO_CLASS - MASKS else ""


def is_image_folder(name: str) -> bool:
    """Whether a folder's name says that it holds images, such as images or CXR_png."""
    return bool(words := words_of(name)) and words <= IMAGES


def sides_in(name: str) -> set[str]:
    """Return the split sides that a name mentions: {"train"} for stage_2_train_images."""
    return {SIDES[word] for word in words_of(name) & SIDES.keys()}


def is_mask_folder(name: str) -> bool:
    """Whether a folder's name ends in a word for masks or cutouts.

    Examples are Lung Mask, leftMask and tb_masks_v2.
    """
    last = next((word for word in reversed(_word_list(name)) if word not in IMAGES | LUNGS), "")
    return last in MASKS | CUTOUTS or last.endswith(("mask", "masks"))


def mask_subject(name: str) -> frozenset[str]:
    """Return what masks show besides lungs: {"tb"} for tb_masks, {} for Lung Mask."""
    words = (re.sub("masks?$", "", word) for word in words_of(name) - MASKS)
    return frozenset(words) - IMAGES - LUNGS


def is_set_aside(name: str) -> bool:
    """Whether a folder can hold no images of a class: masks, labels or documents."""
    words = words_of(name)
    return is_mask_folder(name) or (bool(words) and words <= ASIDE)


def is_mask_file(path: str) -> bool:
    """Whether a file is a mask by its name, such as x_mask.png, or by a folder above it."""
    folder, _, name = path.rpartition("/")
    return bool(MASK_AFFIX.search(_stem(name))) or _is_below_masks(folder)


def image_key(path: str) -> str:
    """Return what an image and its mask share: the name without ending and mask words."""
    return MASK_AFFIX.sub("", _stem(path.rpartition("/")[2])).casefold()


def unread_ending(path: str, *kinds: str) -> str:
    """Return the ending of a known format that is not read, such as gif; "" for any other file.

    `kinds` are pictures, volumes and archives; by default all three.
    """
    endings = (ending for kind in kinds or ("pictures", "volumes", "archives") for ending in NAMES[kind])
    return next((ending for ending in endings if path.lower().endswith(f".{ending}")), "")


@cache
def _is_below_masks(folder: str) -> bool:
    return any(map(is_mask_folder, folder.split("/")))


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name
