"""Keras' own ``fit`` for any model whose first layers are frozen: they are computed once, the rest trains."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.errors import LabError
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.cut import graph_of
from lab_utils.models.engine import Float
from lab_utils.models.epochs import EpochReport
from lab_utils.models.features import Features, cached_features
from lab_utils.models.matrix_product import with_matrix_products
from lab_utils.models.runtime import keras, tf

PREDICT_BATCH = 256


@dataclass(frozen=True)
class TrainablePart:
    """What is left of a model behind its frozen layers, with what these give for every image.

    Parameters
    ----------
    model : keras.Model
        Features (N, ...), or images where nothing is frozen, to class probabilities (N, C). Shares its weights
        with the model that it is part of.
    inputs : array (N, ...)
        One row per image of the data, on disk.
    features : Features or None
        None where nothing is frozen.
    """

    model: Any
    inputs: NDArray[Any]
    features: Features | None

    @classmethod
    def of(cls, model: Any, data: LabelledImages) -> "TrainablePart":
        """Cut a model behind its frozen layers, and compute these for all images unless that is done."""
        if model.output_shape[-1] != len(data.classes):
            raise LabError(
                f"{model.name}: its last layer has {model.output_shape[-1]} outputs, the data have "
                f"{len(data.classes)} classes"
            )
        graph = graph_of(model)
        place = graph.cut_place()
        part = with_matrix_products(graph.part(place, len(graph.steps) - 1))
        if place < 0:
            return cls(part, data.images, None)
        (features,) = cached_features(graph, [place], data)
        return cls(part, features.values, features)

    def batches(self, rows: NDArray[np.int64], size: int, labels: Float, *, shuffle: int | None = None) -> Any:
        """Pairs of inputs and labels in batches, as a tf.data.Dataset; `shuffle` is a seed."""
        shape, is_grey = self.model.input_shape[1:], self.inputs.ndim == 3

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
    Where no layer is frozen, training runs on the images.

    Parameters
    ----------
    model : keras.Model
        Sequential or functional, compiled; images (N, H, W, 3) with values in [0, 255] to probabilities (N, C).
        Trained in place.
    data : LabelledImages
    epochs : int
        Passes over the training images.
    batch_size : int
        Images per step.
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
    if not model.trainable_weights:
        raise LabError(f"{model.name}: every layer is frozen; set `trainable = True` on those to train")
    part = TrainablePart.of(model, data)
    _compile_like(part.model, model)
    labels, train = data.labels, data.rows("train")
    weights = _balanced(labels[train]) if class_weight == "balanced" else class_weight
    report = EpochReport(model, epochs, images=None if part.features else len(train))
    part.model.fit(
        part.batches(train, batch_size, labels, shuffle=seed),
        validation_data=part.batches(data.rows("validation"), batch_size, labels),
        epochs=epochs,
        class_weight=None if weights == "none" else weights,
        callbacks=[report, *callbacks],
        shuffle=False,  # the batches are shuffled already
        verbose=0,
    )
    return report.history()


def predict(model: Any, data: LabelledImages, rows: NDArray[np.int64] | None = None) -> Float:
    """Predict class probabilities, on cached features where the model has frozen layers.

    Parameters
    ----------
    model : keras.Model
    data : LabelledImages
    rows : int64 (n,), optional
        Which images; default: those of validation.

    Returns
    -------
    float32 (n, C), in [0, 1]
    """
    part = TrainablePart.of(model, data)
    rows = data.rows("validation") if rows is None else rows
    return np.asarray(part.model.predict(part.batches(rows, PREDICT_BATCH, data.labels), verbose=0))


def trained_features(model: Any, data: LabelledImages) -> Features | None:
    """The cached features that ``fit`` trains a model on; None where nothing is frozen."""
    return TrainablePart.of(model, data).features


def _compile_like(part: Any, model: Any) -> None:
    """Compile a part with the model's optimizer, loss and metrics."""
    settings = model.get_compile_config()
    metrics = {
        name: keras.saving.deserialize_keras_object(settings[name])
        for name in ("metrics", "weighted_metrics")
        if settings.get(name)
    }
    part.compile(optimizer=model.optimizer, loss=model.loss, jit_compile=False, **metrics)


def _balanced(labels: Float) -> dict[int, float]:
    """scikit-learn's "balanced" weights of one-hot labels (n, C)."""
    counts = labels.sum(axis=0)
    return {place: float(len(labels) / (len(counts) * count)) for place, count in enumerate(counts)}
