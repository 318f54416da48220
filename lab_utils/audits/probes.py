"""Probes: one linear model as image content is removed.

What a linear model achieves without lungs, a network may achieve with them (DeGrave et al., Nature Machine
Intelligence 3, 2021; Maguolo and Nanni, arXiv 2004.12823). A linear probe is the model of Alain and Bengio (arXiv
1610.01644); here it is `Discriminant`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.multitest import multipletests
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits.discriminant import Array, Discriminant, Labels, folds_of, one_vs_rest_auc
from lab_utils.audits.inputs import Float
from lab_utils.audits.scores import ADULTS, DIFFERENCE, SCORES, paired_scores
from lab_utils.audits.tables import AuditError
from lab_utils.core.machine import in_parallel
from lab_utils.data.proportions import LEVEL, majority_accuracy
from lab_utils.evaluation.intervals import ALPHA
from lab_utils.evaluation.predictions import predictions_table

REFITS = 500  # of each probe to permuted labels
REFIT_BLOCK = 50  # permutations in memory at once
TESTED_GROUPS = 10  # of validation images: with fewer, permuted labels often rank them as well as the true ones do
NULL = ["null_auc", "null_auc_high", "null_balanced_accuracy_high", "p"]
PROBES = ["input", "among", *SCORES, *DIFFERENCE, *NULL, "majority", "above_null"]


@dataclass(frozen=True)
class Probe:
    """Predictions of a linear model, and the scores of refits to permuted labels."""

    predictions: pd.DataFrame  # of the validation images
    null_auc: Array  # (REFITS,): macro AUC
    null_balanced_accuracy: Array  # (REFITS,)

    def null(self, auc: float) -> dict[str, float]:
        """Return the columns `NULL` for the probe's AUC.

        p is the share of refits, the probe itself among them, that reach its AUC (Phipson and Smyth, Stat. Appl. Genet.
        Mol. Biol. 9, 2010).
        """
        values = (
            float(self.null_auc.mean()),
            float(np.quantile(self.null_auc, LEVEL)),
            float(np.quantile(self.null_balanced_accuracy, LEVEL)),
            (1 + int((self.null_auc >= auc - 1e-9).sum())) / (1 + len(self.null_auc)),
        )
        return dict(zip(NULL, values, strict=True))


def probe(values: Float, labels: pd.Series, manifest: pd.DataFrame) -> Probe:
    """Fit the linear model, predict validation images, and refit to permuted labels.

    It is fitted on the training images. Where there are none, cross-validation between groups fits it on the other
    validation images. Labels are permuted within each side of the split, between groups: near-duplicates, or images of
    one patient, keep a common label. The penalty is that of the true labels.

    Parameters
    ----------
    values : float32 (n, K)
    labels : Series of str (n,)
    manifest : DataFrame (n rows)
        Columns image_id, group, split.
    """
    known, groups = labels.to_numpy(), manifest["group"].to_numpy()
    is_judged = (manifest["split"] != "train").to_numpy()
    classes = np.array(sorted(labels.unique()), object)  # one that the fitted images lack has probability 0
    folds = _folds(manifest)
    models = [Discriminant.fit(values[fitted], known[fitted], groups[fitted]) for fitted, _ in folds]

    def predicted(labellings: Labels) -> Array:
        probabilities = np.zeros((*labellings.shape, len(classes)))
        for (fitted, judged), model in zip(folds, models, strict=True):
            found = probabilities[judged]
            columns = np.searchsorted(classes, model.classes)
            found[:, :, columns] = model.probabilities(values[judged], labellings[fitted][..., None] == model.classes)
            probabilities[judged] = found
        return probabilities[is_judged]

    random, permuted = np.random.default_rng(0), np.empty((len(known), REFITS), object)
    for side in filter(np.any, (~is_judged, is_judged)):  # one generator: equal permutations of both keep a signal
        permuted[side] = permutations(known[side], groups[side], REFITS, random)
    null: list[tuple[Array, Array]] = []
    for start in range(0, REFITS, REFIT_BLOCK):
        block = permuted[:, start : start + REFIT_BLOCK]
        probabilities, is_of_class = predicted(block), block[is_judged, :, None] == classes
        null.append((macro_auc(probabilities, is_of_class), balanced_accuracy(probabilities, is_of_class)))
    validation = manifest[is_judged].assign(**{"class": labels[is_judged]})
    predictions = predictions_table(validation, list(classes), predicted(known[:, None])[:, 0].astype(np.float32))
    return Probe(predictions, *(np.concatenate(part) for part in zip(*null, strict=True)))


def _folds(manifest: pd.DataFrame) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of fitted and judged images: both sides of the split, or a cross-validation."""
    is_train = (manifest["split"] == "train").to_numpy()
    if is_train.any():
        return [(np.flatnonzero(is_train), np.flatnonzero(~is_train))]
    places = np.arange(len(manifest))
    return [(np.setdiff1d(places, fold), fold) for fold in folds_of(manifest["group"].to_numpy())]


def permutations(labels: Labels, groups: NDArray[np.int64], count: int, random: np.random.Generator) -> Labels:
    """Permute the labels (n,) of groups, each of which has its first image's: (n, count)."""
    codes, names = pd.factorize(groups)
    first = np.zeros(len(names), int)
    first[codes[::-1]] = np.arange(len(codes))[::-1]
    return np.stack([labels[first][random.permutation(len(names))][codes] for _ in range(count)], axis=1)


def macro_auc(probabilities: Array, is_of_class: NDArray[np.bool_]) -> Array:
    """Mean one-vs-rest AUC over classes with images, of L models: (L,) from (m, L, C)."""
    return np.nanmean(one_vs_rest_auc(probabilities, is_of_class), axis=-1)


def balanced_accuracy(probabilities: Array, is_of_class: NDArray[np.bool_]) -> Array:
    """Mean recall over the classes with images, of L models: (L,); arguments are (m, L, C)."""
    is_correct = probabilities.argmax(axis=-1) == is_of_class.argmax(axis=-1)
    hits, images = (is_of_class & is_correct[..., None]).sum(axis=0), is_of_class.sum(axis=0)
    return np.nanmean(np.divide(hits, images, out=np.full(images.shape, np.nan), where=images > 0), axis=-1)


def probe_scores(inputs: Mapping[str, Float], manifest: pd.DataFrame) -> pd.DataFrame:
    """Scores of the linear model on every input: table probes of one protocol.

    Rows with an empty `among` are of all classes. The others are of two classes of adults, in databases that have
    these, because a class of children can be recognised by its anatomy. An input is above the null if Holm's correction
    of p (Scand. J. Stat. 6, 1979) over the inputs of a question is below 5 %.

    Raises AuditError if the validation images form fewer than ten groups.

    Parameters
    ----------
    inputs : mapping
        Name of the input to float32 (n, K), see `lab_utils.audits.protocol.ProtocolAudit`. It contains "full".
    manifest : DataFrame (n rows)
        Columns image_id, group, class, split.
    """
    groups = manifest.loc[manifest["split"] == "validation", "group"].nunique()
    if groups < TESTED_GROUPS:
        raise AuditError(f"the validation images form {groups} groups; a permutation test needs {TESTED_GROUPS}")
    tables = [_question(inputs, manifest, "")]
    is_adult = manifest["class"].isin(ADULTS).to_numpy()
    has_both = manifest[is_adult].groupby("split")["class"].nunique() == len(ADULTS)
    if not is_adult.all() and has_both.sum() == manifest["split"].nunique():
        rows = np.flatnonzero(is_adult)
        adults = {name: values[rows] for name, values in inputs.items()}
        tables.append(_question(adults, manifest.iloc[rows], " / ".join(ADULTS)))
    return pd.concat(tables, ignore_index=True)[PROBES]


def _question(inputs: Mapping[str, Float], manifest: pd.DataFrame, among: str) -> pd.DataFrame:
    """Scores of every input for the images of some classes."""
    with threadpool_limits(1):  # several probes at a time are faster than one with threads
        results = list(in_parallel(lambda one: probe(one, manifest["class"], manifest), inputs.values()))
    table = paired_scores({name: one.predictions for name, one in zip(inputs, results, strict=True)})
    null = pd.DataFrame([one.null(auc) for one, auc in zip(results, table["auc"], strict=True)])
    is_above = multipletests(null["p"], ALPHA, "holm")[0]
    majority = majority_accuracy(manifest.loc[manifest["split"] == "validation", "class"])
    return table.join(null).assign(among=among, majority=majority, above_null=is_above)
