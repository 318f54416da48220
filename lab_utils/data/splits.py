"""Split images into a training and a validation set: one function per rule."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.model_selection import train_test_split

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError

Mask = NDArray[np.bool_]


def stratified(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw a random share of each class (scikit-learn's ``train_test_split(stratify=...)``)."""
    rows = np.arange(len(items))
    return np.isin(rows, _draw(rows, items["class"], protocol))


def grouped(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw a random share of each class's groups of near-duplicates; a group is never divided.

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


SPLIT_RULES: dict[str, Callable[[pd.DataFrame, Protocol], Mask]] = {
    rule.__name__: rule for rule in (stratified, grouped, listing)
}


def split(items: pd.DataFrame, protocol: Protocol) -> pd.Series:
    """Assign each item to "train" or "validation"; it is a LabError if one side lacks a class.

    `items` has the columns class and group (integer); its rows are ordered by class, then path.
    """
    side = pd.Series(np.where(SPLIT_RULES[protocol.split](items, protocol), "validation", "train"), index=items.index)
    for name, sides in side.groupby(items["class"]):
        if sides.nunique() < 2:
            raise LabError(
                f"class {name}: all {len(sides)} of its images fall into {sides.iloc[0]} "
                f"(protocol {protocol.name}, val_fraction {protocol.val_fraction}); add images or change val_fraction"
            )
    return side


def _draw(units: NDArray[np.int64], classes: pd.Series, protocol: Protocol) -> NDArray[np.int64]:
    """Draw a share `val_fraction` of `units`, stratified by class."""
    counts = classes.value_counts()
    if counts.min() < 2:
        raise LabError(f"class {counts.idxmin()}: one image cannot be on both sides of a split; add images")
    try:
        _, chosen = train_test_split(
            units, test_size=protocol.val_fraction, stratify=classes, random_state=protocol.split_seed
        )
    except ValueError as error:
        raise LabError(
            f"protocol {protocol.name}: {len(units)} images cannot be divided with val_fraction "
            f"{protocol.val_fraction}: {error}"
        ) from error
    return np.asarray(chosen)
