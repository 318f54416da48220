"""Train one scenario: the head, and what is unfrozen above the cut, on features instead of images."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.backbone import POOL, Float, cut_layer, freeze, last_convs, scaling_layers, trunk_of
from lab_utils.download import Dataset
from lab_utils.features import Extraction, Features
from lab_utils.predictions import predictions_table
from lab_utils.progress import progress
from lab_utils.records import provenance, sha256, whole, write_csv, write_json
from lab_utils.runtime import keras
from lab_utils.scenarios import Protocol, Scenario


@dataclass(frozen=True)
class Network:
    """One set of weights, seen as two models.

    Parameters
    ----------
    full : keras.Model
        Images (N, size, size, 3), values in [0, 255], to class probabilities (N, C).
    suffix : keras.Model
        Features at the cut to class probabilities: the part that is trained. Shares its layers with `full`.
    cut : str
        The layer whose output the suffix takes.
    """

    full: keras.Model
    suffix: keras.Model
    cut: str

    def summary(self) -> pd.DataFrame:
        """The write-up's Figure 1: columns layer, output shape, parameters; totals below."""
        rows = [
            {
                "Layer (type)": f"{layer.name} ({type(layer).__name__})",
                "Output shape": str(layer.output.shape),
                "Param #": layer.count_params(),
            }
            for layer in self.full.layers
            if not isinstance(layer, keras.layers.InputLayer)
        ]
        total = self.full.count_params()
        trainable = sum(int(np.prod(weight.shape)) for weight in self.full.trainable_weights)
        for name, count in (
            ("Total params", total),
            ("Trainable params", trainable),
            ("Non-trainable params", total - trainable),
        ):
            rows.append({"Layer (type)": name, "Output shape": f"{count * 4 / 2**20:.2f} MB", "Param #": count})
        return pd.DataFrame(rows)


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


def build_network(scenario: Scenario, backbone: keras.Model, classes: int, *, scaling: Any, seed: int) -> Network:
    """Put a new head on a backbone and freeze what the scenario does not train.

    Parameters
    ----------
    scenario : Scenario
    backbone : keras.Model
        With its pretrained weights; its layers are shared, not copied.
    classes : int
    scaling : {"unit", "backbone"}
    seed : int
        Of the head's initial weights (Glorot uniform).
    """
    trainable = last_convs(backbone, scenario.trainable_convs)
    freeze(backbone, trainable)
    trunk = trunk_of(backbone)
    cut = cut_layer(trunk, trainable)
    keras.utils.set_random_seed(seed)
    head = [trunk.get_layer(POOL)]
    head += [
        keras.layers.Dense(width, activation="relu", name=f"dense_{place}")
        for place, width in enumerate(scenario.head, start=1)
    ]
    head += [keras.layers.Dense(classes, activation="softmax", name=f"dense_{len(scenario.head) + 1}")]
    images = keras.Input(backbone.input_shape[1:], name="image")
    full = _through([*scaling_layers(scenario.backbone, scaling), backbone, *head], images)
    suffix = _through(head[1:], trunk.output)
    return Network(
        keras.Model(images, full, name=scenario.name),
        keras.Model(trunk.get_layer(cut).output, suffix, name="suffix"),
        cut,
    )


def _through(layers: Sequence[Any], tensor: Any) -> Any:
    for layer in layers:
        tensor = layer(tensor)
    return tensor


class Batches(keras.utils.PyDataset):
    """Batches of features and one-hot labels, in an order drawn anew each epoch.

    Parameters
    ----------
    features : Features
    rows : int64 (N,)
        Which of them.
    labels : int64 (N,)
        Class indices.
    classes : int
    batch_size : int
    seed : int or None
        Of the order; None keeps it.
    """

    def __init__(
        self,
        features: Features,
        rows: NDArray[np.int64],
        labels: NDArray[np.int64],
        *,
        classes: int,
        batch_size: int,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        self._features, self._rows, self._labels = features, rows, np.eye(classes, dtype=np.float32)[labels]
        self._batch_size, self._random = batch_size, None if seed is None else np.random.default_rng(seed)
        self._order = np.arange(len(rows))
        self.on_epoch_end()

    def __len__(self) -> int:
        return -(-len(self._rows) // self._batch_size)

    def __getitem__(self, step: int) -> tuple[Float, Float]:
        chosen = self._order[step * self._batch_size : (step + 1) * self._batch_size]
        return self._features.rows(self._rows[chosen]), self._labels[chosen]

    def on_epoch_end(self) -> None:
        """Draw the next order."""
        if self._random is not None:
            self._order = self._random.permutation(len(self._rows))


class EpochLog(keras.callbacks.Callback):
    """Shows progress and keeps the history with the seconds of each epoch."""

    def __init__(self, epochs: int) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []
        self._bar = progress(total=epochs, desc="train", unit="epoch")
        self._began = 0.0

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note the epoch."""
        self.rows.append({"epoch": epoch + 1, **(logs or {}), "seconds": time.perf_counter() - self._began})
        self._bar.set_postfix(
            {name: f"{value:.3f}" for name, value in (logs or {}).items() if name.endswith("accuracy")}, refresh=False
        )
        self._bar.update()

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        """Leave the finished bar."""
        self._bar.close()


def fit(
    network: Network, scenario: Scenario, features: Features, manifest: pd.DataFrame, classes: list[str], *, seed: int
) -> FitResult:
    """Train the suffix with Adam on categorical cross-entropy; validate after each epoch.

    Not compiled with XLA: on the CPU that makes convolutions slower.

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
    labels = pd.Categorical(manifest["class"], categories=classes).codes.astype(np.int64)
    sides = {side: np.flatnonzero(manifest["split"] == side) for side in ("train", "validation")}

    def batches(side: str, order: int | None) -> Batches:
        rows = sides[side]
        return Batches(features, rows, labels[rows], classes=len(classes), batch_size=scenario.batch_size, seed=order)

    network.suffix.compile(
        keras.optimizers.Adam(scenario.learning_rate),
        "categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    log = EpochLog(scenario.epochs)
    began = time.perf_counter()
    network.suffix.fit(
        batches("train", seed),
        validation_data=batches("validation", None),
        epochs=scenario.epochs,
        callbacks=[log],
        verbose=0,
    )
    seconds = time.perf_counter() - began
    probabilities = network.suffix.predict(batches("validation", None), verbose=0)
    return FitResult(pd.DataFrame(log.rows), np.asarray(probabilities, np.float32), seconds)


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
        "seconds": {"extraction": features.seconds, "shared": features.shared, "training": result.seconds},
        "dataset": {"kind": dataset.kind, "fingerprint": dataset.fingerprint, "classes": dataset.classes},
        "weights": extraction.weights,
        "weights_sha256": extraction.weights_sha256,
        "store": extraction.store_key,
        "features": features.path.parent.name,
        "cut": network.cut,
        "sha256": {name: sha256(folder / name) for name in ("history.csv", "predictions.csv", "model.keras")},
        "architecture": network.summary().to_dict("records"),
        **provenance(),
    }
    write_json(folder / "run.json", record)
    return record
