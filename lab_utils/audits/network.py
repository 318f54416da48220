"""One trained network, judged on images of which a part is erased."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.audits.inputs import Float
from lab_utils.audits.scores import ADULTS, DIFFERENCE, SCORES, paired_scores
from lab_utils.data.proportions import majority_accuracy
from lab_utils.evaluation.predictions import predictions_table

NETWORK_INPUTS = ["input", "among", *SCORES, *DIFFERENCE, "majority"]


def network_scores(probabilities: Mapping[str, Float], manifest: pd.DataFrame, classes: Sequence[str]) -> pd.DataFrame:
    """Scores of a network that was trained on full images: table network_inputs of one run.

    An AUC above 1/2 shows that the network uses what is left; with lungs erased, their outline is. An AUC of 1/2 shows
    nothing: a network may fail on erased images only because it was not trained on them.

    Parameters
    ----------
    probabilities : mapping
        Name of the input to the network's probabilities, float32 (n, C); "full" is among them.
    manifest : DataFrame (n rows)
        Columns image_id, group, class.
    classes : sequence of str
        In the order of the network's outputs.
    """
    tables = {name: predictions_table(manifest, list(classes), values) for name, values in probabilities.items()}
    rows = [_question(tables, "")]
    if set(ADULTS) < set(manifest["class"]):
        rows.append(_question({name: _of_adults(table) for name, table in tables.items()}, " / ".join(ADULTS)))
    return pd.concat(rows, ignore_index=True)[NETWORK_INPUTS]


def _of_adults(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of the images of adults, between their two classes."""
    names = [f"p_{name}" for name in ADULTS]
    table = predictions.loc[predictions["y_true"].isin(ADULTS), ["image_id", "group", "y_true", *names]]
    odds = table[names].clip(lower=1e-30)
    table[names] = odds.div(odds.sum(axis=1), axis=0)
    return table.reset_index(drop=True)


def _question(tables: Mapping[str, pd.DataFrame], among: str) -> pd.DataFrame:
    """Scores of every input for the images of some classes."""
    return paired_scores(tables).assign(among=among, majority=majority_accuracy(tables["full"]["y_true"]))
