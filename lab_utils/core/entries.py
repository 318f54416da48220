"""The entries of an experiment file: protocols, scenarios and outside collections."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from lab_utils.core.values import Depth, Entry, Positive, Seed, TableColumn, Width


class Protocol(Entry):
    """How images become a training set and a validation set."""

    masks: bool = False  # whether lung masks count as images of their class (an accident of the write-up's loader)
    interpolation: Literal["bilinear", "nearest"] = "bilinear"  # of the resize; Keras' default is nearest
    scaling: Literal["unit", "backbone"] = "unit"  # pixel values / 255, or as the backbone was pretrained
    # Random within each class; the same with groups kept on one side; Keras `validation_split` order; the data's own.
    split: Literal["stratified", "grouped", "listing", "given"] = "stratified"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    split_seed: Seed = 0  # one split serves all scenarios and seeds, so that they are comparable
    # The protocol that this one changes, and the change in words. They compute no image, so they are not dumped.
    follows: str = Field(default="", exclude=True)
    change: str = Field(default="", exclude=True)


RULES = set(Protocol.model_fields) - set(Entry.model_fields) - {"follows", "change"}


class Scenario(Entry):
    """Which part of the network is trained, and how."""

    trainable_convs: Depth  # number of the last convolutional layers that are trained, or all
    backbone: str = "MobileNetV2"  # a model of keras.applications
    head: tuple[Width, ...] = (1024, 512)  # widths of the dense layers between pooling and softmax
    epochs: Positive = 20  # passes over the training images
    batch_size: Positive = 64  # images per step
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "adagrad", "lion"] = "adam"
    class_weight: Literal["none", "balanced"] = "none"  # balanced: in inverse proportion to the class's images

    @property
    def label(self) -> str:
        """Number and title, such as "S1: last two convolutions + head"."""
        return f"S{self.number}: {self.title}"


def _text_keys(labels: Any) -> Any:
    """Write keys that YAML reads as numbers or truth values as text: a label may be 0 or No."""
    return {str(key): value for key, value in labels.items()} if isinstance(labels, dict) else labels


class Collection(Entry):
    """Images of another origin. Every network is judged on them, and none is trained on them."""

    path: str  # "phantom" (those of a second hospital), or as `dataset`
    # Label of the collection to class of the experiment, or to null: left out. See `map_labels`.
    labels: Annotated[dict[str, str | None], BeforeValidator(_text_keys)] = Field(default={})
    columns: dict[TableColumn, str] = Field(default={})  # names of columns of its table of labels, as for `dataset`
