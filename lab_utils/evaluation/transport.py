"""Scores on another collection, each with its internal value, computed in the same way."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.evaluation.intervals import COLUMNS, scores_with_intervals
from lab_utils.evaluation.means import mean_bounds
from lab_utils.evaluation.predictions import classes_of, correct_in, probabilities_of
from lab_utils.evaluation.temperature import fit_temperature, with_cross_fitted_temperature, with_temperature

MEASURES = ("accuracy", "balanced_accuracy", "auc", "pair_auc", "ece")
ALL, SHARED = "all classes", "shared classes"
KEYS = ["measure", "class", "other"]
INTERNAL = {"value": "internal", "low": "internal_low", "high": "internal_high"}
TRANSPORT = ["among", *KEYS, "images", "patients", "value", "low", "high", *INTERNAL.values()]


@dataclass(frozen=True, eq=False)
class InternalScores:
    """Scores of one run on its validation images, for comparison with other collections."""

    predictions: pd.DataFrame  # of the validation images
    _tables: dict[tuple[str, ...], pd.DataFrame] = field(default_factory=dict, repr=False)

    @cached_property
    def temperature(self) -> float:
        """The temperature of the validation images; other images are scaled by it."""
        return fit_temperature(self.predictions)

    @cached_property
    def scaled(self) -> pd.DataFrame:
        """The validation images, each scaled by a temperature that was fitted without it."""
        return with_cross_fitted_temperature(self.predictions)

    def among(self, name: str, classes: Sequence[str]) -> pd.DataFrame:
        """Scores on the validation images of some classes; they are computed once."""
        key = (name, *classes)
        if key not in self._tables:
            self._tables[key] = _scores(self.predictions, self.scaled, name, classes)
        return self._tables[key]

    def transported(self, external: pd.DataFrame, patients: pd.Series) -> pd.DataFrame:
        """Scores on another collection beside the internal ones: table external of one run.

        "all classes" judges the network's answers as they are. "shared classes" lets it choose only among the classes
        that the collection has, and is left out where these are all classes, or one. Both judge the same images, and
        the internal values those validation images that are of the shared classes.

        Parameters
        ----------
        external : DataFrame
            Predictions of the collection's images, without copies of training images.
        patients : Series of str
            Patient of each of these images, in their order; "" where unknown.
        """
        classes, scaled = classes_of(external), with_temperature(external, self.temperature)
        shared = [name for name in classes if (external["y_true"] == name).any()]
        tables = [pd.DataFrame(columns=TRANSPORT)]
        for name in [ALL, SHARED] if 1 < len(shared) < len(classes) else [ALL] if shared else []:
            outside = _scores(external, scaled, name, shared)
            inside = self.among(name, shared).rename(columns=INTERNAL)
            tables.append(outside.merge(inside, on=KEYS, how="left").assign(among=name))
        table = pd.concat(tables[1:] or tables, ignore_index=True)
        return _with_counts(table, external["y_true"].to_numpy(), patients.to_numpy())[TRANSPORT]


def _scores(predictions: pd.DataFrame, scaled: pd.DataFrame, among: str, classes: Sequence[str]) -> pd.DataFrame:
    """Scores on the images of some classes.

    scaled_ece is the calibration error after temperature scaling.
    """
    before, after = (_limited(table, among, classes) for table in (predictions, scaled))
    calibration = scores_with_intervals(after, ["ece"]).assign(measure="scaled_ece")
    return pd.concat([scores_with_intervals(before, MEASURES), calibration], ignore_index=True)[COLUMNS]


def _limited(predictions: pd.DataFrame, among: str, classes: Sequence[str]) -> pd.DataFrame:
    """Keep the images of some classes.

    Their probabilities are of all classes, or of those alone, and sum to 1.
    """
    rows = predictions[predictions["y_true"].isin(classes)].reset_index(drop=True)
    if among == ALL:
        return rows
    names = [f"p_{name}" for name in classes]
    sums = rows[names].sum(axis=1).clip(lower=np.finfo(float).tiny)
    return rows[["image_id", "group", "y_true"]].join(rows[names].div(sums, axis=0))


def _with_counts(table: pd.DataFrame, true: NDArray[np.object_], patients: NDArray[np.object_]) -> pd.DataFrame:
    """Add the numbers of images and patients of the classes that a row names, or of all."""
    pairs = table[["class", "other"]].to_numpy()
    chosen = [np.isin(true, names) if any(names) else np.ones(len(true), bool) for names in pairs]
    known = [len(set(patients[rows])) if (patients[rows] != "").all() else pd.NA for rows in chosen]
    return table.assign(
        images=pd.array([int(rows.sum()) for rows in chosen], "Int64"), patients=pd.array(known, "Int64")
    )


def surest_errors(predictions: pd.DataFrame, count: int = 8) -> NDArray[np.int64]:
    """Places of the most confident wrong predictions, in descending order: (<= count,)."""
    confidence = probabilities_of(predictions).max(axis=1)
    wrong = np.flatnonzero(~correct_in(predictions))
    return wrong[np.argsort(-confidence[wrong], kind="stable")][:count]


def over_seeds(external: pd.DataFrame) -> pd.DataFrame:
    """Means over the seeds of each scenario: table external without seed.

    `lab_utils.evaluation.means.mean_bounds` gives the intervals.
    """
    keys = ["collection", "protocol", "scenario", "among", *KEYS]
    groups = external.groupby(keys, sort=False, dropna=False)
    table = groups[["images", "patients"]].first()
    table.insert(0, "seeds", groups.size())
    for columns in (["value", "low", "high"], list(INTERNAL.values())):
        bounds = [mean_bounds(rows[columns].to_numpy(float)) for _, rows in groups]
        table[columns] = np.array(bounds).reshape(-1, 3)
    return table.reset_index()
