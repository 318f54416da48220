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
ORDERS, NEAR = 20, 0.005  # of the groups: orders to try, and the deviation of a class's share that ends the search
PRECEDENCE = {"train": 0, "validation": 1, "test": 2}  # a divided patient keeps the images of the last set only


class SplitError(LabError):
    """A protocol whose split these images do not allow; the other protocols may go on."""


def stratified(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw a random share of each class (scikit-learn's ``train_test_split(stratify=...)``)."""
    rows, counts = np.arange(len(items)), items["class"].value_counts()
    _refuse_undivided(counts, protocol)
    try:
        _, drawn = train_test_split(
            rows, test_size=protocol.val_fraction, stratify=items["class"], random_state=protocol.split_seed
        )
    except ValueError as error:
        raise SplitError(
            f"protocol {protocol.name}: {len(rows)} images of {len(counts)} classes cannot be divided "
            f"with val_fraction {protocol.val_fraction}; add images or change val_fraction"
        ) from error
    return np.isin(rows, drawn)


def grouped(items: pd.DataFrame, protocol: Protocol) -> Mask:
    """Draw whole groups (near-duplicates, patients) until each class has its share of images.

    Groups are visited in random order. A group is drawn if it brings the classes' shares of validation images nearer to
    `val_fraction` (least squares). Up to 20 orders are tried, until no class is off by half a percentage point. The
    best order counts. A group may hold images of several classes. scikit-learn's ``StratifiedGroupKFold`` deals groups
    to folds of equal size, and cannot keep the shares if one group holds most images of a class.
    """
    groups, group_of = np.unique(items["group"].to_numpy(), return_inverse=True)
    counts = pd.crosstab(group_of, items["class"])
    _refuse_undivided((counts > 0).sum(), protocol)
    shares = (counts / counts.sum()).to_numpy()
    generator, draws = np.random.default_rng(protocol.split_seed), []
    for _ in range(ORDERS):
        draws.append(_draw_groups(shares, generator.permutation(len(groups)), protocol.val_fraction))
        if draws[-1][0] < NEAR:
            break
    _, is_drawn = min(draws, key=lambda draw: draw[0])
    return np.asarray(is_drawn[group_of])


def _draw_groups(shares: NDArray[np.float64], order: NDArray[np.int64], fraction: float) -> tuple[float, Mask]:
    """Draw groups in one order, until each class has its `fraction` of images.

    `shares` (groups, classes) are the shares of each class's images that a group holds. Returns the largest deviation
    of a class from `fraction`, and the groups drawn.
    """
    lacking, is_drawn = np.full(shares.shape[1], fraction), np.zeros(len(shares), bool)
    for group in order:
        share = shares[group]
        if share @ (2 * lacking - share) > 1e-9:  # the fall of the squared deviation; equal on every processor
            is_drawn[group] = True
            lacking = lacking - share
    for column in np.flatnonzero(~shares[is_drawn].any(axis=0)):  # each group of the class is too large: the smallest
        is_drawn[np.where(shares[:, column] > 0, shares[:, column], np.inf).argmin()] = True
    return float(np.abs(shares[is_drawn].sum(axis=0) - fraction).max()), is_drawn


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


def _refuse_undivided(counts: pd.Series, protocol: Protocol) -> None:
    """Refuse a class of one image or group; `counts` has the number of them by class."""
    if counts.min() < 2:
        raise SplitError(
            f"class {counts.idxmin()}: one image, or one group of images, cannot be on both sides of a split "
            f"(protocol {protocol.name}); add images"
        )
