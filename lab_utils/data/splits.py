"""Split images into training, validation and test set: one function per rule."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError

Mask = NDArray[np.bool_]

UNDIVIDED = {"grouped": "group", "given": "patient"}  # split rule to the column whose values stay on one side
PRECEDENCE = {"train": 0, "validation": 1, "test": 2}  # a divided patient keeps the images of the last set only


class SplitError(LabError):
    """A protocol whose split these images do not allow; the other protocols may go on."""


def stratified(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw a random share of each class (scikit-learn's ``train_test_split(stratify=...)``)."""
    rows = np.arange(len(items))
    return np.isin(rows, _draw(rows, items["class"], protocol))


def grouped(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw a random share of each class's groups (near-duplicates, patients).

    A group is never divided.

    A group has the class of its first image.
    """
    first = items.drop_duplicates("group")
    chosen = _draw(first["group"].to_numpy(), first["class"], protocol)
    return np.isin(items["group"].to_numpy(), chosen)


def listing(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Take the first part of each class in file order, as Keras' ``validation_split`` does.

    Keras' ``ImageDataGenerator`` lists each class with its subfolders in lexicographic order and cuts at
    ``int(fraction * files)`` (keras.src.legacy.preprocessing.image, `_list_valid_filenames_in_directory`).
    """
    place = items.groupby("class").cumcount()
    size = items.groupby("class")["class"].transform("size")
    return (place < (protocol.val_fraction * size).astype(int)).to_numpy()


def given(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Keep the validation set that the data give; without one, draw it by groups."""
    is_validation = (items["given"] == "validation").to_numpy()
    return is_validation if is_validation.any() else grouped(items, protocol)


SPLIT_RULES: dict[str, Callable[[pd.DataFrame, Protocol], Mask]] = {
    rule.__name__: rule for rule in (stratified, grouped, listing, given)
}


def split(items: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Assign each item to "train", "validation" or "test", or to "": left out.

    Given test images are test images under every protocol. The rules "grouped" and "given" leave out images whose
    group or patient has images in a set of higher precedence.

    Parameters
    ----------
    items : DataFrame
        Columns class, given, patient and group (integer); rows ordered by class, then path.

    Raises
    ------
    SplitError
        If the data give no split and the protocol asks for it, or a class lacks images for training or validation.
    """
    if protocol.split == "given" and not (items["given"] != "").any():
        raise SplitError(f"protocol {protocol.name}: the data give no split, neither as folders nor in a table")
    side = items["given"].where(items["given"] == "test", "train")
    for name, count in side.groupby(items["class"]):
        if (count == "test").all():
            raise SplitError(
                f"protocol {protocol.name}: all {len(count):,} images of class {name} are in the test set; "
                "give some of them to training and validation, or leave the class out"
            )
    pool = side.index[side != "test"]
    is_validation = SPLIT_RULES[protocol.split](items.loc[pool], protocol)
    side[pool] = np.where(is_validation, "validation", "train")
    if protocol.split in UNDIVIDED:
        side = side.mask(_is_divided(items[UNDIVIDED[protocol.split]], side), "")
    _refuse_missing_classes(items["class"], side, protocol)
    return side


def _is_divided(keys: pd.Series, side: pd.Series) -> pd.Series:
    """Mark the images whose key ("" is none) also has images in a set of higher precedence."""
    rank = side.map(PRECEDENCE)
    return (keys != "") & (rank < rank.groupby(keys).transform("max"))


def _refuse_missing_classes(classes: pd.Series, side: pd.Series, protocol: Protocol) -> None:
    counts = pd.crosstab(classes, side).reindex(columns=["train", "validation", ""], fill_value=0)
    for name, count in counts.iterrows():
        for lacking, other in (("train", "validation"), ("validation", "train")):
            if not count[lacking]:
                left_out = f", {count['']} share a patient or group with another set" if count[""] else ""
                raise SplitError(
                    f"class {name}: no image falls into {lacking}, {count[other]} into {other}{left_out} "
                    f"(protocol {protocol.name}, val_fraction {protocol.val_fraction}); "
                    "add images or change val_fraction"
                )


def _draw(units: NDArray[np.int64], classes: pd.Series, protocol: Protocol) -> NDArray[np.int64]:
    """Draw a share `val_fraction` of `units`, stratified by class."""
    counts = classes.value_counts()
    if counts.min() < 2:
        raise SplitError(
            f"class {counts.idxmin()}: one image, or one group of images, cannot be on both sides of a split "
            f"(protocol {protocol.name}); add images"
        )
    try:
        _, chosen = train_test_split(
            units, test_size=protocol.val_fraction, stratify=classes, random_state=protocol.split_seed
        )
    except ValueError as error:
        raise SplitError(
            f"protocol {protocol.name}: {len(units)} images or groups of {len(counts)} classes cannot be divided "
            f"with val_fraction {protocol.val_fraction}; add images or change val_fraction"
        ) from error
    return np.asarray(chosen)
