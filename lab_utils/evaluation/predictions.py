"""Tables of predicted probabilities: all that evaluation needs of a model."""

from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.catalogue import read_table_file
from lab_utils.core.errors import LabError


def predictions_table(manifest: pd.DataFrame, classes: list[str], probabilities: NDArray[np.float32]) -> pd.DataFrame:
    """One row per image of a validation or test set.

    Parameters
    ----------
    manifest : DataFrame
        The rows of the images, in order; columns image_id, group, class.
    classes : list of str
        In the order of the columns of `probabilities`.
    probabilities : float32 (N, C) in [0, 1]

    Returns
    -------
    DataFrame
        Columns image_id, group, y_true (class name), then p_<class> per class.
    """
    table = manifest[["image_id", "group", "class"]].rename(columns={"class": "y_true"}).reset_index(drop=True)
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in classes]))


def read_predictions(path: Path) -> pd.DataFrame:
    """Read and check a predictions table, whose name is that of the file.

    Raises
    ------
    LabError
        If it is missing, has other columns, unknown classes, or probabilities that do not sum to 1.
    """
    table = read_table_file(path, path.stem)
    classes = classes_of(table)
    if len(classes) < 2:
        raise LabError(f"{path}: expected columns p_<class> of two classes or more; run stage 30_train again")
    if not table["y_true"].isin(classes).all():
        raise LabError(f"{path}: y_true has classes without a column p_<class>; run stage 30_train again")
    if not np.allclose(probabilities_of(table).sum(axis=1), 1, atol=1e-3):
        raise LabError(f"{path}: probabilities do not sum to 1; run stage 30_train again")
    return table


def classes_of(predictions: pd.DataFrame) -> list[str]:
    """The classes of a predictions table, in the order of its columns."""
    return [name.removeprefix("p_") for name in predictions.columns if name.startswith("p_")]


def probabilities_of(predictions: pd.DataFrame) -> NDArray[np.float64]:
    """The probabilities of a predictions table: float64 (N, C) in [0, 1]."""
    return predictions[[f"p_{name}" for name in classes_of(predictions)]].to_numpy(float)


def predicted_of(predictions: pd.DataFrame) -> NDArray[np.object_]:
    """The most probable class of each row, by name: (N,)."""
    return np.array(classes_of(predictions), object)[probabilities_of(predictions).argmax(axis=1)]


def correct_in(predictions: pd.DataFrame) -> NDArray[np.bool_]:
    """Whether the most probable class of each row is its class: (N,)."""
    return np.asarray(predicted_of(predictions) == predictions["y_true"].to_numpy())
