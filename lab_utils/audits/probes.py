"""Probes: one linear model on ever less of the images, and on the sources of the images.

What a linear model achieves without lungs, a network may achieve with them (DeGrave et al., Nature Machine
Intelligence 3, 2021; Maguolo and Nanni, arXiv 2004.12823).
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lab_utils.audits.tables import AuditError
from lab_utils.data.sources import LEAST_IMAGES, large_source_images, source_rule
from lab_utils.evaluation.metrics import majority_accuracy
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.uncertainty import LEAST_GROUPS, intervals

INPUTS = ("full", "histogram", "thumbnail_8x8", "border", "lungs_erased", "lungs_only")
PROBES = ["input", "accuracy", "macro_f1", "low", "high", "majority", "above_majority", "retained"]
SOURCES = ["question", "among", "images", "choices", "majority", "accuracy", "low", "high"]
LOOSENESS = 10  # over the number of inputs, the inverse of the L2 penalty: the same spread of scores for few and many
ADULTS = ("COVID", "Lung_Opacity")  # classes of the real database whose images are all of adults

Float = NDArray[np.float32]


def require_finite(values: Float) -> None:
    """Raise AuditError if some features (n, K) are infinite or not a number."""
    if not np.isfinite(values).all():
        raise AuditError("some features are infinite or not a number; storage float16 holds values up to 65,504")


def linear_model(values: Float, labels: NDArray[np.object_]) -> Pipeline:
    """Fit a linear probe (Alain and Bengio, arXiv 1610.01644): logistic regression.

    The inputs are standardised. Raises AuditError if some are infinite or not a number.

    Parameters
    ----------
    values : float32 (n, K)
    labels : str (n,)
    """
    require_finite(values)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=LOOSENESS / values.shape[1], max_iter=2000))
    return model.fit(values, labels)


def coefficients(model: Pipeline) -> tuple[Float, Float]:
    """Coefficients (C, K) and biases (C,) of a linear model in units of its inputs."""
    scaler, regression = model
    weights, biases = regression.coef_ / scaler.scale_, regression.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the second's score alone
        weights, biases = np.vstack([0 * weights, weights]), np.append(0 * biases, biases)
    return weights.astype(np.float32), (biases - weights @ scaler.mean_).astype(np.float32)


def probe(values: Float, labels: pd.Series, manifest: pd.DataFrame, *, shuffle: int | None = None) -> pd.DataFrame:
    """Fit the linear model on training images; tabulate predictions of validation images.

    Parameters
    ----------
    values : float32 (n, K)
    labels : Series of str (n,)
    manifest : DataFrame
        Columns image_id, group, split.
    shuffle : int, optional
        Seed of a permutation of the training labels, after which nothing can be learned.
    """
    train = (manifest["split"] == "train").to_numpy()
    known = labels[train].to_numpy()
    if shuffle is not None:
        known = np.random.default_rng(shuffle).permutation(known)
    model = linear_model(values[train], known)
    probabilities = pd.DataFrame(model.predict_proba(values[~train]), columns=model.classes_)
    classes = sorted(labels.unique())  # one that the training images lack has probability 0
    probabilities = probabilities.reindex(columns=classes, fill_value=0.0)
    validation = manifest[~train].assign(**{"class": labels[~train]})
    return predictions_table(validation, classes, probabilities.to_numpy())


def probe_scores(inputs: Mapping[str, Float], manifest: pd.DataFrame) -> pd.DataFrame:
    """Scores of the linear model on every input: table probes of one protocol.

    Raises AuditError if the validation images form fewer than ten groups.

    Parameters
    ----------
    inputs : mapping
        Name of the input to float32 (n, K), see `lab_utils.audits.protocol.ProtocolAudit`.
    manifest : DataFrame (n rows)
        Columns image_id, group, class, split.
    """
    labels, groups = manifest["class"], manifest.loc[manifest["split"] == "validation", "group"].nunique()
    if groups < LEAST_GROUPS:
        raise AuditError(f"the validation images form {groups} groups; an interval needs {LEAST_GROUPS}")
    predictions = {name: probe(inputs[name], labels, manifest) for name in INPUTS if name in inputs}
    predictions["permuted_labels"] = probe(inputs["full"], labels, manifest, shuffle=0)
    table = pd.DataFrame([{"input": name, **_scores(frame)} for name, frame in predictions.items()])
    table["majority"] = majority_accuracy(labels[manifest["split"] == "validation"])
    return with_baseline(table)


def with_baseline(table: pd.DataFrame) -> pd.DataFrame:
    """Add the columns above_majority and retained to scores; a row has the input "full"."""
    full, gain = table[table["input"] == "full"].iloc[0], table["accuracy"] - table["majority"]
    is_above = table["low"] > table["majority"]
    retained = (gain / (full["accuracy"] - full["majority"])).clip(0, 1) if full["low"] > full["majority"] else np.nan
    return table.assign(above_majority=is_above, retained=retained)


def _scores(predictions: pd.DataFrame) -> dict[str, float]:
    table = intervals(predictions).set_index("measure")
    accuracy, low, high = map(float, table.loc["accuracy", ["value", "low", "high"]])
    return {"accuracy": accuracy, "macro_f1": float(table["value"]["macro_f1"]), "low": low, "high": high}


def source_scores(full: Float, manifest: pd.DataFrame) -> pd.DataFrame:
    """Source confounding: table sources of one protocol; raises AuditError without sources.

    "class from the source" predicts each source's most frequent class in training. "source from the image" is asked
    of all images, then within each class; sources count that have 20 images or more, on both sides of the split.
    "class from the image" is asked between two classes of adults.

    Parameters
    ----------
    full : float32 (n, K)
        Features of the full images.
    manifest : DataFrame (n rows)
        Columns image_id, group, class, source, split.
    """
    rule = source_rule(manifest)
    if rule is None:
        raise AuditError(f"no source has {LEAST_IMAGES} images or more and lies on both sides of the split")
    choices = large_source_images(manifest)["class"].nunique()
    rows = [("class from the source", "", rule.images, choices, rule.majority, rule.accuracy, rule.low, rule.high)]
    for question, among, column, images in _image_questions(manifest):
        if images[column].nunique() > 1:
            scores = _scores(probe(full[images.index], images[column], images))
            answers = images.loc[images["split"] == "validation", column]
            baseline = (len(answers), images[column].nunique(), majority_accuracy(answers))
            rows.append((question, among, *baseline, scores["accuracy"], scores["low"], scores["high"]))
    return pd.DataFrame(rows, columns=SOURCES)


def _image_questions(manifest: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Questions to images: question, among, column of the answers, rows of the manifest."""
    for among, images in [("", manifest), *manifest.groupby("class")]:
        yield "source from the image", str(among), "source", _on_both_sides(large_source_images(images), "source")
    if set(ADULTS) <= set(manifest["class"]):
        pair = manifest[manifest["class"].isin(ADULTS)]
        yield "class from the image", " / ".join(ADULTS), "class", _on_both_sides(pair, "class")


def _on_both_sides(images: pd.DataFrame, column: str) -> pd.DataFrame:
    """Select the images whose value in a column occurs in training and in validation."""
    return images[images.groupby(column)["split"].transform("nunique") == 2]
