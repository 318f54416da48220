"""Costs of a cut, announced before they are paid: disk space and long epochs."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from lab_utils.data.labelled import LabelledImages
from lab_utils.models.cut import Step
from lab_utils.models.runtime import keras

LARGE = 10  # times the bytes of the images: larger features are announced
MOST = 0.5  # of the network's arithmetic: a larger share in each epoch is announced
BACKWARD = 2  # a gradient takes about twice the arithmetic of the prediction


def share_behind(steps: Sequence[Step], place: int) -> float:
    """Return the share of a network's arithmetic behind the step `place`, in [0, 1]."""
    behind, total = _multiplications(steps[place + 1 :]), _multiplications(steps)
    return behind / total if total else 1.0


def _multiplications(steps: Sequence[Step]) -> float:
    """Count the multiplications of convolutions and dense layers for one image."""
    return sum(
        float(np.prod(step.output.shape[1:-1])) * sum(float(np.prod(w.shape)) for w in step.layer.weights if w.ndim > 1)
        for step in steps
        if isinstance(step.layer, keras.layers.Layer)
    )


def announce_features(layer: str, size: int, data: LabelledImages, rate: float) -> None:
    """Announce features behind `layer` that take more than ten times the images' bytes.

    `rate` is in images per second; 0 where it was not measured.
    """
    ratio = size / data.images.nbytes
    if ratio > LARGE:
        duration = f" Computing them takes up to {_duration(len(data) / rate)}." if rate else ""
        print(
            f"Features behind {layer} take {size / 1e9:,.3g} GB, {ratio:,.0f} times the bytes of the images.{duration} "
            "`storage: float16` halves the size; fewer trained convolutions lessen both.",
            flush=True,
        )


def announce_epochs(model: Any, batch: Any, share: float, train: int, validation: int, epochs: int) -> None:
    """Announce a training whose epochs run most of a network, `share` of it.

    Its time is estimated from a measured batch (n, ...).
    """
    for _ in range(2):  # the first pass compiles
        began = time.perf_counter()
        model.predict_on_batch(batch)
    seconds = (time.perf_counter() - began) / len(batch)
    epoch = seconds * ((1 + BACKWARD) * train + validation)
    part = "the whole network" if share == 1 else f"{share:.0%} of the network's arithmetic"
    print(
        f"Every epoch runs {part} on {train:,} training images: about {_duration(epoch)} per epoch, "
        f"{_duration(epochs * epoch)} in all.",
        flush=True,
    )


def _duration(seconds: float) -> str:
    """Write seconds in the unit that suits them: "40 s", "12 min", "3.5 h"."""
    if seconds < 60:
        return f"{max(seconds, 1):.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
