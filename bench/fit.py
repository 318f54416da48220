"""Keras' ``fit`` on cached features against the loop by hand that the lab had before: is the loop worth its lines?

Both train the same models on random features of the slice's size, and take turns in one process.
"""

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from common import seconds_of

from lab_utils.core.config import Scenario, load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.models.architecture import build_model
from lab_utils.models.backbone import scaling_layer
from lab_utils.models.cut import graph_of
from lab_utils.models.matrix_product import with_matrix_products
from lab_utils.models.precision import Product
from lab_utils.models.pretrained import obtain_backbone
from lab_utils.models.runtime import keras, tf
from lab_utils.models.training import TrainablePart

TRAIN, VALIDATION = np.arange(1481), np.arange(1481, 1481 + 636)  # rows: a tenth of the database
CLASSES, SIDE = 4, 224
TRAINING = 20  # epochs of the training whose seconds are printed
Train = Callable[[int], list[float]]  # trains for a number of epochs and gives the seconds of each


def trainable_part(plan: Scenario, folder: Path) -> tuple[TrainablePart, np.ndarray]:
    """A new model's trainable part on random features in a file, and labels."""
    backbone, _ = obtain_backbone(plan.backbone, SIDE, weights="random", synthetic=True)
    graph = graph_of(build_model(plan, backbone, scaling_layer(plan.backbone, "unit"), (SIDE, SIDE, 3), CLASSES))
    model = graph.part(graph.cut_place(), len(graph.steps) - 1)
    file, count, random = folder / f"{plan.name}.npy", len(TRAIN) + len(VALIDATION), np.random.default_rng(0)
    labels = np.eye(CLASSES, dtype=np.float32)[random.integers(0, CLASSES, count)]
    if not file.is_file():
        np.save(file, random.standard_normal((count, *model.input_shape[1:]), np.float32))
    return TrainablePart(model, np.load(file, mmap_mode="r"), None), labels


def keras_fit(
    part: TrainablePart,
    labels: np.ndarray,
    plan: Scenario,
    *,
    memory: bool = False,
    jit: bool = False,
    steps: int = 1,
    precision: Product = "float32",
) -> Train:
    """Keras' ``fit``; the lab calls it with 8 steps per execution."""
    part = replace(part, model=with_matrix_products(part.model, precision))
    batches, seconds = in_memory if memory else TrainablePart.batches, []
    ticks = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: seconds.append(-time.perf_counter()),
        on_epoch_end=lambda epoch, logs: seconds.append(seconds.pop() + time.perf_counter()),
    )
    part.model.compile(
        keras.optimizers.Adam(plan.learning_rate),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=jit,
        steps_per_execution=steps,
    )
    train = batches(part, TRAIN, plan.batch_size, labels, shuffle=0)
    validation = batches(part, VALIDATION, plan.batch_size, labels)
    options = {"validation_data": validation, "callbacks": [ticks], "shuffle": False, "verbose": 0}

    def run(epochs: int) -> list[float]:
        seconds.clear()
        part.model.fit(train, epochs=epochs, **options)
        return list(seconds)

    return run


def in_memory(
    part: TrainablePart, rows: np.ndarray, size: int, labels: np.ndarray, *, shuffle: int | None = None
) -> Any:
    """`TrainablePart.batches`, but of features that are read into memory first."""
    pairs, options = tf.data.Dataset.from_tensor_slices((part.inputs[rows], labels[rows])), tf.data.Options()
    options.autotune.enabled = False
    pairs = pairs if shuffle is None else pairs.shuffle(len(rows), seed=shuffle)
    return pairs.batch(size).prefetch(2).with_options(options)


def by_hand(part: TrainablePart, labels: np.ndarray, plan: Scenario) -> Train:
    """The lab's former loop.

    Each step is one function compiled by XLA, a thread reads the next batch, and the last batch of an epoch is filled
    up with rows of weight 0, so that one shape serves all.
    """
    model = with_matrix_products(part.model)
    optimizer, order = keras.optimizers.Adam(plan.learning_rate), np.random.default_rng(0)
    weights, size = model.trainable_variables, plan.batch_size
    optimizer.build(weights)

    def sums(features: Any, target: Any, weight: Any, training: bool) -> tuple[Any, Any]:
        probabilities = model(features, training=training)
        losses = keras.losses.categorical_crossentropy(target, probabilities)
        correct = tf.cast(tf.argmax(probabilities, 1) == tf.argmax(target, 1), tf.float32)
        return losses, tf.stack([tf.reduce_sum(correct * weight), tf.reduce_sum(losses * weight)])

    @partial(tf.function, autograph=False, jit_compile=True)
    def train(features: Any, target: Any, weight: Any) -> Any:
        with tf.GradientTape() as tape:
            losses, result = sums(features, target, weight, training=True)
            loss = tf.reduce_sum(losses * weight) / tf.reduce_sum(weight)
        optimizer.apply(tape.gradient(loss, [variable.value for variable in weights]), weights)
        return result

    @partial(tf.function, autograph=False, jit_compile=True)
    def validate(features: Any, target: Any, weight: Any) -> Any:
        return sums(features, target, weight, training=False)[1]

    def read(rows: np.ndarray) -> list[np.ndarray]:
        batch = (part.inputs[rows], labels[rows], np.ones(len(rows), np.float32))
        return [np.pad(values, [(0, size - len(rows)), *[(0, 0)] * (values.ndim - 1)]) for values in batch]

    def run(epochs: int) -> list[float]:
        seconds = []
        for _ in range(epochs):
            began = time.perf_counter()
            for step, rows in ((train, order.permutation(TRAIN)), (validate, VALIDATION)):
                blocks = [rows[start : start + size] for start in range(0, len(rows), size)]
                with ThreadPoolExecutor(1) as reader:
                    ahead = reader.submit(read, blocks[0])
                    for block in [*blocks[1:], blocks[0]]:
                        batch, ahead = ahead.result(), reader.submit(read, block)
                        np.asarray(step(*batch))
            seconds.append(time.perf_counter() - began)
        return seconds

    return run


WAYS: dict[str, Callable[..., Train]] = {"loop by hand": by_hand, "fit": keras_fit}
VARIANTS = {
    "fit, 8 steps per execution": partial(keras_fit, steps=8),
    "fit, 8 steps per execution, bfloat16": partial(keras_fit, steps=8, precision="bfloat16"),
    "fit, XLA": partial(keras_fit, jit=True),
    "fit, XLA, 8 steps per execution": partial(keras_fit, jit=True, steps=8),
    "fit, features in memory": partial(keras_fit, memory=True),
}


def compare(plan: Scenario, rounds: int, epochs: int, ways: dict[str, Callable[..., Train]]) -> pd.DataFrame:
    """Median seconds of an epoch, and the seconds of a training with what it compiles; one row per way."""
    with TemporaryDirectory() as folder:
        trains = {name: way(*trainable_part(plan, Path(folder)), plan) for name, way in ways.items()}
        first = [seconds_of(partial(train, 1)) for train in trains.values()]
        seconds: dict[str, list[float]] = {name: [] for name in trains}
        for _ in range(rounds):
            for name, train in trains.items():
                seconds[name] += train(epochs)
    table = pd.DataFrame({"scenario": plan.name, "way": list(ways), "epoch": [median(s) for s in seconds.values()]})
    table["training"] = first + (TRAINING - 1) * table["epoch"]
    for column in ("epoch", "training"):
        table[f"ratio of {column}s"] = table[column] / table[column].iloc[0]
    return table


def main() -> None:
    """Compare every scenario and write fit.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--scenarios", nargs="+", default=list(load_experiment().scenarios))
    parser.add_argument("--epochs", type=int, default=3, help="of each way in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--variants", action="store_true", help="also other settings of fit")
    given, experiment, tables = parser.parse_args(), load_experiment(), []
    for name in given.scenarios:
        ways = WAYS | (VARIANTS if given.variants else {})
        tables.append(compare(experiment.scenario(name), given.rounds, given.epochs, ways))
        print(tables[-1].round(3).to_string(index=False), flush=True)
    record = {"rows": pd.concat(tables).to_dict("records"), "epochs": given.epochs, "rounds": given.rounds}
    write_json(Workspace.open(given.workspace).root / "bench" / "fit.json", {**record, **provenance()})


if __name__ == "__main__":
    main()
