"""What ``fit`` says while it trains: a progress bar, a table of the epochs, and why it stopped."""

import time
from typing import Any

import numpy as np
import pandas as pd

from lab_utils.core.errors import LabError
from lab_utils.core.progress import progress
from lab_utils.models.runtime import keras


class EpochReport(keras.callbacks.Callback):
    """A callback that times epochs, shows progress, and ends a training whose loss is no longer a number.

    Parameters
    ----------
    trained : keras.Model
        The model that is trained, for messages.
    epochs : int
    images : int, optional
        Training images, where every epoch runs the model on all of them: it then says what that costs.
    """

    def __init__(self, trained: Any, epochs: int, *, images: int | None = None) -> None:
        super().__init__()
        self._trained, self._epochs, self._images = trained, epochs, images
        self._rows: list[dict[str, float]] = []
        self._began = 0.0
        self._bar: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the progress bar."""
        if self._images:
            print(f"No layer is frozen: every epoch runs the whole network on {self._images:,} images.")
        self._bar = progress(total=self._epochs, desc="train", unit="epoch")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Start the clock."""
        self._began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Add a row, advance the bar, and stop a training that diverged."""
        values = logs or {}
        if not np.isfinite([values["loss"], values["val_loss"]]).all():
            self._bar.close()
            rate = float(self._trained.optimizer.learning_rate)
            raise LabError(
                f"{self._trained.name}: the loss is {values['loss']} after epoch {epoch + 1} (validation "
                f"{values['val_loss']}): training diverged; lower learning_rate, now {rate:g}"
            )
        self._rows.append({"epoch": epoch + 1, **values, "seconds": time.perf_counter() - self._began})
        shown = [f"{name} {values[key]:.3f}" for name, key in SHOWN.items() if key in values]
        self._bar.set_postfix_str(", ".join(shown), refresh=False)
        self._bar.update()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the bar."""
        self._bar.close()

    def history(self) -> pd.DataFrame:
        """One row per epoch: epoch, accuracy, loss, val_accuracy, val_loss, other metrics, seconds."""
        table = pd.DataFrame(self._rows)
        first = [name for name in FIRST if name in table]
        others = [name for name in table if name not in FIRST and name != "seconds"]
        return table[[*first, *others, "seconds"]]


FIRST = ("epoch", "accuracy", "loss", "val_accuracy", "val_loss")
SHOWN = {"accuracy": "accuracy", "validation": "val_accuracy"}
