"""The classifier of the lab as a Keras model, and the table of any model's layers."""

from typing import Any

import numpy as np
import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.models.backbone import leaf_layers
from lab_utils.models.convolutions import last_convolutions
from lab_utils.models.runtime import keras


def build_model(
    scenario: Scenario, backbone: keras.Model, scaling: Any, shape: tuple[int, ...], classes: int, *, seed: int = 0
) -> keras.Model:
    """Build and compile a scenario's model, as notebook 30_train does step by step.

    It shares the backbone's layers; `seed` sets the head's initial weights (Glorot uniform).
    """
    trained = last_convolutions(backbone, scenario.trainable_convs)
    for layer in leaf_layers(backbone):
        layer.trainable = layer in trained
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    head = [layers.Dense(width, activation="relu") for width in scenario.head]
    output = layers.Dense(classes, activation="softmax")
    model = keras.Sequential(
        [keras.Input(shape), scaling, backbone, layers.GlobalAveragePooling2D(), *head, output], name=scenario.name
    )
    optimizer = keras.optimizers.get(scenario.optimizer)
    optimizer.learning_rate = scenario.learning_rate
    model.compile(optimizer, loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def architecture(model: keras.Model) -> pd.DataFrame:
    """List a model's layers with shape and parameters; the last three rows are totals."""
    total = model.count_params()
    trainable = sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)
    totals = {"Total params": total, "Trainable params": trainable, "Non-trainable params": total - trainable}
    rows = [
        *(
            (f"{layer.name} ({type(layer).__name__})", str(layer.output.shape), layer.count_params())
            for layer in model.layers
        ),
        *((name, f"{count * 4 / 2**20:.2f} MB", count) for name, count in totals.items()),
    ]
    return pd.DataFrame(rows, columns=["Layer (type)", "Output shape", "Param #"])
