"""Keras' ``fit`` for any model whose first layers are frozen and cached."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.errors import LabError
from lab_utils.core.progress import progress
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.cost import MOST, announce_epochs, share_behind
from lab_utils.models.cut import graph_of
from lab_utils.models.engine import Float
from lab_utils.models.features import Features, cached_features
from lab_utils.models.matrix_product import with_matrix_products
from lab_utils.models.precision import product_precision
from lab_utils.models.runtime import keras, tf

PREDICT_BATCH = 256
STEPS = 8  # that Keras runs before it returns to Python: an epoch of the head alone takes a sixth less (bench/fit.py)
FIRST = ("accuracy", "loss", "val_accuracy", "val_loss")  # columns of a history, before other metrics


@dataclass(frozen=True)
class TrainablePart:
    """What is left of a model behind its frozen layers, with what these give for every image."""

    model: Any  # maps rows of `inputs` to class probabilities (N, C); shares its weights with the model it is part of
    inputs: NDArray[Any]  # features (N, ...), or images (N, H, W[, 3]) where nothing is frozen: a memory map
    features: Features  # without a key where nothing is frozen
    share: float = 1.0  # of the network's arithmetic, in [0, 1]

    @classmethod
    def of(cls, model: Any, data: LabelledImages) -> "TrainablePart":
        """Cut a model behind its frozen layers, whose outputs are computed unless they are on disk."""
        if not model.built and isinstance(model, keras.Sequential):  # without keras.Input
            model.build((None, *data.shape))
        graph = graph_of(model)
        if model.output_shape[-1] != len(data.classes):
            raise LabError(
                f"{model.name}: its last layer has {model.output_shape[-1]} outputs, the data have "
                f"{len(data.classes)} classes"
            )
        place = graph.cut_place()
        part = with_matrix_products(graph.part(place, len(graph.steps) - 1), product_precision(data.precision))
        if place < 0:
            return cls(part, data.images, Features("", data.images, "", seconds=0.0, shared=1, uncached_rate=math.inf))
        (features,) = cached_features(graph, [place], data)
        return cls(part, features.values, features, share_behind(graph.steps, place))

    def batches(self, rows: NDArray[np.int64], size: int, labels: Float, *, shuffle: int | None = None) -> Any:
        """Pairs of inputs and labels in batches, as a tf.data.Dataset; `shuffle` is a seed."""
        shape, is_grey = self.model.input_shape[1:], self.inputs.ndim < len(self.model.input_shape)

        def read(chosen: NDArray[np.int64]) -> tuple[Float, Float]:
            values = np.asarray(self.inputs[chosen], np.float32)
            return np.repeat(values[..., None], 3, axis=-1) if is_grey else values, labels[chosen]

        def with_shapes(values: Any, targets: Any) -> tuple[Any, Any]:
            return tf.ensure_shape(values, (None, *shape)), tf.ensure_shape(targets, (None, labels.shape[1]))

        order = tf.data.Dataset.from_tensor_slices(rows)
        if shuffle is not None:
            order = order.shuffle(len(rows), seed=shuffle)
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread sleeps 10, 20, 40, ... ms, and an epoch's end waits for it
        kinds = (tf.float32, tf.float32)
        pairs = order.batch(size).map(lambda chosen: with_shapes(*tf.numpy_function(read, [chosen], kinds)))
        return pairs.prefetch(2).with_options(options)

    def predict(self, data: LabelledImages, rows: NDArray[np.int64]) -> Float:
        """Predict class probabilities of some images, or of none: float32 (n, C)."""
        if not len(rows):  # Keras refuses an empty data set
            return np.empty((0, len(data.classes)), np.float32)
        return np.asarray(self.model.predict(self.batches(rows, PREDICT_BATCH, data.labels), verbose=0))


class EpochReport(keras.callbacks.Callback):
    """A callback that times epochs, shows progress, and ends a training that diverges."""

    def __init__(self, trained: Any, bar: Any) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []  # epoch (from 1), metrics, seconds
        self._trained, self._bar, self._began = trained, bar, time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add a row, advance the bar, and stop a training that diverged."""
        values = logs or {}
        if not np.isfinite([values["loss"], values["val_loss"]]).all():
            rate = float(self._trained.optimizer.learning_rate)
            raise LabError(
                f"{self._trained.name}: the loss is {values['loss']} after epoch {epoch + 1} (validation "
                f"{values['val_loss']}): training diverged; lower learning_rate, now {rate:g}"
            )
        ordered = {name: values[name] for name in FIRST if name in values} | values
        now = time.perf_counter()
        self.rows.append({"epoch": epoch + 1, **ordered, "seconds": now - self._began})
        self._began = now
        shown = {"accuracy": "accuracy", "val_accuracy": "validation"}
        text = ", ".join(f"{label} {values[name]:.3f}" for name, label in shown.items() if name in values)
        self._bar.set_postfix_str(text, refresh=False)
        self._bar.update()


def fit(
    model: Any,
    data: LabelledImages,
    *,
    epochs: int = 20,
    batch_size: int = 64,
    seed: int = 0,
    class_weight: Literal["none", "balanced"] | dict[int, float] = "none",
    callbacks: Sequence[Any] = (),
) -> pd.DataFrame:
    """Train a compiled Keras model on the training images and validate it after each epoch.

    The ``trainable`` flags of its layers say where the frozen layers end. Their outputs are computed once per image
    and kept on disk; Keras' ``fit`` trains the rest on them, with the model's own optimizer, loss and metrics.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, compiled; images (N, H, W, 3) with values in [0, 255] to probabilities (N, C).
        Trained in place.
    seed : int
        Of the order of the batches.
    class_weight : {"none", "balanced"} or dict
        "balanced" weights the loss of each class by N / (C * images of the class); a dict as in Keras.
    callbacks : sequence of keras.callbacks.Callback
        They see the trained part of the model.

    Returns
    -------
    DataFrame
        One row per epoch: epoch (from 1), accuracy, loss, val_accuracy, val_loss, other metrics, seconds.

    Raises
    ------
    LabError
        If the model is not compiled, has nothing to train or another number of outputs than there are classes, or if
        the loss is no longer a number.
    """
    if not model.compiled:
        raise LabError(f"{model.name}: not compiled; call model.compile(optimizer, loss, metrics) first")
    part, labels, train = TrainablePart.of(model, data), data.labels, data.rows("train")
    if not model.trainable_weights:
        raise LabError(f"{model.name}: every layer is frozen; set `trainable = True` on those to train")
    if part.share > MOST:
        batch, _ = next(iter(part.batches(train[:batch_size], batch_size, labels)))
        announce_epochs(part.model, batch, part.share, len(train), len(data.rows("validation")), epochs)
    metrics = model._compile_metrics  # not get_compile_config, which cannot name a student's function
    given = {"metrics": metrics._user_metrics, "weighted_metrics": metrics._user_weighted_metrics} if metrics else {}
    steps = 1 if callbacks else STEPS  # a callback of the student's may count batches
    part.model.compile(model.optimizer, model.loss, jit_compile=False, steps_per_execution=steps, **given)
    if class_weight == "balanced":
        counts = labels[train].sum(axis=0)
        class_weight = dict(enumerate((len(train) / (len(counts) * counts)).tolist()))
    with progress(total=epochs, desc="train", unit="epoch") as bar:
        report = EpochReport(model, bar)
        part.model.fit(
            part.batches(train, batch_size, labels, shuffle=seed),
            validation_data=part.batches(data.rows("validation"), batch_size, labels),
            epochs=epochs,
            class_weight=None if class_weight == "none" else class_weight,
            callbacks=[report, *callbacks],
            shuffle=False,  # the batches are shuffled already
            verbose=0,
        )
    return pd.DataFrame(report.rows)


def predict(model: Any, data: LabelledImages, rows: NDArray[np.int64] | None = None) -> Float:
    """Predict class probabilities, float32 (n, C), on cached features if there are any.

    Without `rows`, the images are those of the validation side.
    """
    return TrainablePart.of(model, data).predict(data, data.rows("validation") if rows is None else rows)
