"""Train one scenario: the head, and what is unfrozen above the cut, on features instead of images."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Protocol, Scenario
from lab_utils.core.errors import LabError
from lab_utils.core.files import sha256, whole, write_csv, write_json
from lab_utils.core.progress import progress
from lab_utils.core.provenance import provenance
from lab_utils.data.download import Dataset
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.models.backbone import Float
from lab_utils.models.features import Extraction, Features
from lab_utils.models.network import Network, has_windows
from lab_utils.models.runtime import keras, tf

HISTORY = ["epoch", "accuracy", "loss", "val_accuracy", "val_loss", "seconds"]


@dataclass(frozen=True)
class FitResult:
    """What a fit leaves behind.

    Parameters
    ----------
    history : DataFrame
        One row per epoch: epoch (from 1), accuracy, loss, val_accuracy, val_loss, seconds.
    probabilities : float32 (N, C) in [0, 1]
        Of the validation images after the last epoch.
    seconds : float
        Wall time of all epochs, validation included.
    """

    history: pd.DataFrame
    probabilities: Float
    seconds: float


def fit(
    network: Network, scenario: Scenario, features: Features, manifest: pd.DataFrame, classes: list[str], *, seed: int
) -> FitResult:
    """Train the suffix with Adam on categorical cross-entropy; validate after each epoch.

    What Keras' ``fit`` does, with less around it: every step is one function compiled by XLA, the next batch is read
    while this one is worked on, and the last batch of an epoch is filled up with images of weight 0, so that
    one shape serves all.

    Parameters
    ----------
    network : Network
        Trained in place.
    features : Features
        At the network's cut; row i belongs to row i of `manifest`.
    manifest : DataFrame
        Columns class, split.
    classes : list of str
        In the order of the network's outputs.
    seed : int
        Of the order of the batches.
    """
    codes = pd.Categorical(manifest["class"], categories=classes).codes
    labels = np.eye(len(classes), dtype=np.float32)[codes]
    train, validation = (np.flatnonzero(manifest["split"] == side) for side in ("train", "validation"))
    steps = compiled_steps(network.suffix, scenario.learning_rate)
    order, history = np.random.default_rng(seed), []
    probabilities = np.empty((len(validation), len(classes)), np.float32)
    began = time.perf_counter()
    with progress(total=scenario.epochs, desc="train", unit="epoch") as bar:
        for epoch in range(1, scenario.epochs + 1):
            started, sums, val_sums = time.perf_counter(), np.zeros(2), np.zeros(2)
            for rows, batch in batches(features, order.permutation(train), scenario.batch_size):
                sums += np.asarray(steps.train(batch, *_targets(labels, rows, scenario.batch_size)))
            for place, (rows, batch) in enumerate(batches(features, validation, scenario.batch_size)):
                found, tally = steps.validate(batch, *_targets(labels, rows, scenario.batch_size))
                probabilities[place * scenario.batch_size :][: len(rows)] = found[: len(rows)]
                val_sums += np.asarray(tally)
            (accuracy, loss), (val_accuracy, val_loss) = sums / len(train), val_sums / len(validation)
            if not np.isfinite([loss, val_loss]).all():
                raise LabError(
                    f"{scenario.name}: the loss is {loss} after epoch {epoch} (validation {val_loss}): training "
                    f"diverged; lower learning_rate, now {scenario.learning_rate:g}"
                )
            history.append((epoch, accuracy, loss, val_accuracy, val_loss, time.perf_counter() - started))
            bar.set_postfix_str(f"accuracy {accuracy:.3f}, validation {val_accuracy:.3f}", refresh=False)
            bar.update()
    return FitResult(pd.DataFrame(history, columns=HISTORY), probabilities, time.perf_counter() - began)


class Steps(NamedTuple):
    """One batch of training and one of validation, compiled.

    Both take features (N, ...) as stored, one-hot labels float32 (N, C) and the weight of each image, float32 (N,).

    Parameters
    ----------
    train : callable
        Moves the weights; gives the number of correct answers and the losses, each summed over the batch: (2,).
    validate : callable
        Gives probabilities (N, C) and the same sums.
    """

    train: Callable[[NDArray[Any], Float, Float], Any]
    validate: Callable[[NDArray[Any], Float, Float], Any]


def compiled_steps(suffix: keras.Model, learning_rate: float) -> Steps:
    """Adam on categorical cross-entropy, compiled by XLA where that is faster."""
    optimizer, weights = keras.optimizers.Adam(learning_rate), suffix.trainable_variables
    optimizer.build(weights)
    compiled = partial(tf.function, autograph=False, jit_compile=not has_windows(suffix), reduce_retracing=True)

    def sums(probabilities: Any, losses: Any, labels: Any, weight: Any) -> Any:
        correct = tf.cast(tf.argmax(probabilities, 1) == tf.argmax(labels, 1), tf.float32)
        return tf.stack([tf.reduce_sum(correct * weight), tf.reduce_sum(losses * weight)])

    @compiled
    def train(features: Any, labels: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            probabilities = suffix(tf.cast(features, tf.float32), training=True)
            losses = keras.losses.categorical_crossentropy(labels, probabilities)
            loss = tf.reduce_sum(losses * weight) / tf.reduce_sum(weight)
        optimizer.apply(tape.gradient(loss, [weight.value for weight in weights]), weights)
        return sums(probabilities, losses, labels, weight)

    @compiled
    def validate(features: Any, labels: Any, weight: Any) -> Any:
        probabilities = suffix(tf.cast(features, tf.float32), training=False)
        losses = keras.losses.categorical_crossentropy(labels, probabilities)
        return probabilities, sums(probabilities, losses, labels, weight)

    return Steps(train, validate)


def batches(features: Features, rows: NDArray[np.int64], size: int) -> Iterator[tuple[NDArray[np.int64], NDArray[Any]]]:
    """Batches of features in the order of `rows`, each read while the one before it is worked on.

    Yields
    ------
    rows : int64 (n,)
        n is `size`, but for the last batch.
    batch : (size, ...), as stored
        Zeros from row n on.
    """

    def read(start: int) -> NDArray[Any]:
        batch = np.zeros((size, *features.shape[1:]), features.dtype)
        features.read(rows[start : start + size], batch)
        return batch

    with ThreadPoolExecutor(1) as reader:
        ahead = reader.submit(read, 0)
        for start in range(0, len(rows), size):
            batch, ahead = ahead.result(), reader.submit(read, start + size)
            yield rows[start : start + size], batch


def _targets(labels: Float, rows: NDArray[np.int64], size: int) -> tuple[Float, Float]:
    """One-hot labels and weights of a batch, filled up to `size` with weight 0."""
    target, weight = np.zeros((size, labels.shape[1]), np.float32), np.zeros(size, np.float32)
    target[: len(rows)], weight[: len(rows)] = labels[rows], 1
    return target, weight


def save_run(
    folder: Path,
    network: Network,
    result: FitResult,
    scenario: Scenario,
    protocol: Protocol,
    features: Features,
    extraction: Extraction,
    dataset: Dataset,
    manifest: pd.DataFrame,
    *,
    seed: int,
) -> dict[str, Any]:
    """Write history.csv, predictions.csv, model.keras and, last, run.json.

    An earlier run.json goes first: a folder that has one is of one piece.

    Returns
    -------
    dict
        What run.json holds.
    """
    classes = list(dataset.classes)
    validation = manifest[manifest["split"] == "validation"]
    predictions = predictions_table(validation, classes, result.probabilities)
    (folder / "run.json").unlink(missing_ok=True)
    write_csv(folder / "history.csv", result.history)
    write_csv(folder / "predictions.csv", predictions)
    with whole(folder / "model.keras") as draft:
        network.full.save(draft)
    record = {
        "scenario": asdict(scenario),
        "protocol": asdict(protocol),
        "seed": seed,
        "accuracy": float(result.history["val_accuracy"].iloc[-1]),
        "images": {side: int(count) for side, count in manifest["split"].value_counts().items()},
        "seconds": {
            "extraction": features.seconds,
            "shared": features.shared,
            "training": result.seconds,
            "plain": scenario.epochs * len(manifest) / features.plain_rate + result.seconds,
        },
        "dataset": {"kind": dataset.kind, "fingerprint": dataset.fingerprint, "classes": dataset.classes},
        "weights": extraction.weights,
        "weights_sha256": extraction.weights_sha256,
        "store": extraction.store_key,
        "features": extraction.features_key(features.cut),
        "cut": network.cut,
        "sha256": {name: sha256(folder / name) for name in ("history.csv", "predictions.csv", "model.keras")},
        "architecture": network.summary().to_dict("records"),
        **provenance(),
    }
    write_json(folder / "run.json", record)
    return record
