"""Where a model's frozen layers end: what to compute once per image, and what to train."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab_utils.core.errors import LabError
from lab_utils.core.files import digest
from lab_utils.models.backbone import weights_sha256
from lab_utils.models.runtime import keras


@dataclass(frozen=True)
class Step:
    """One layer of a model in the order of its graph.

    Parameters
    ----------
    layer : keras.layers.Layer or keras.Operation
    inputs : tuple of int
        Which steps it takes its tensors from; -1 is the model's input.
    output : KerasTensor
    """

    layer: Any
    inputs: tuple[int, ...]
    output: Any


@dataclass(frozen=True)
class Graph:
    """A model as a flat list of layers, models inside models resolved; the layers are shared with the model.

    Parameters
    ----------
    input : KerasTensor
        (None, H, W, 3).
    steps : list of Step
        The last one gives the model's output.
    """

    input: Any
    steps: list[Step]

    @property
    def output(self) -> Any:
        """The tensor that the last layer gives."""
        return self.steps[-1].output

    def cut_place(self, moves: Callable[[Any], bool] | None = None) -> int:
        """Find the last step whose output alone leads to every layer that training changes.

        Parameters
        ----------
        moves : callable, optional
            Whether training changes a layer or makes it act at random; default `moves_in_training`.

        Returns
        -------
        int
            Steps up to this place are a fixed function of the image; -1 if there is nothing worth storing: no layer
            with weights is frozen.
        """
        moves = moves or moves_in_training
        last_use = list(range(len(self.steps)))
        for place, step in enumerate(self.steps):
            for source in step.inputs:
                if source >= 0:
                    last_use[source] = place
        first_moving = next((place for place, step in enumerate(self.steps) if moves(step.layer)), len(self.steps))
        cut = -1
        for place in range(first_moving):
            uses_image_later = any(-1 in step.inputs for step in self.steps[place + 1 :])
            if not uses_image_later and max(last_use[:place], default=0) <= place:
                cut = place
        has_weights = any(getattr(step.layer, "weights", None) for step in self.steps[: cut + 1])
        return cut if has_weights else -1

    def part(self, start: int, stop: int) -> Any:
        """Build the model from the output of step `start` (-1: the image) to that of step `stop`."""
        source = self.input if start < 0 else self.steps[start].output
        return keras.Model(source, self.steps[stop].output)

    def key(self, place: int) -> str:
        """Name what the steps up to `place` compute: layers, their settings, their weights; not their names."""
        structure = [
            (type(step.layer).__name__, _settings(step.layer), step.inputs) for step in self.steps[: place + 1]
        ]
        layers = [step.layer for step in self.steps[: place + 1] if isinstance(step.layer, keras.layers.Layer)]
        return digest(json.dumps(structure, sort_keys=True, default=str), weights_sha256(layers))


def graph_of(model: Any) -> Graph:
    """Flatten a Sequential or functional model with one input and one output.

    Raises
    ------
    LabError
        If the model was not built that way, so that its layers cannot be followed.
    """
    if not _is_followed(model) or len(model.inputs) != 1 or len(model.outputs) != 1:
        raise LabError(
            f"{model.name}: expected a Sequential or functional Keras model with one input and one output, "
            f"found {type(model).__name__}"
        )
    steps: list[Step] = []
    image = keras.Input(model.input_shape[1:], name="image")
    places = {id(image): -1}

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_followed(layer):
            return through(layer, *args)
        output = layer(*args, **kwargs)
        tensors = [tensor for tensor in keras.tree.flatten((args, kwargs)) if id(tensor) in places]
        for tensor in keras.tree.flatten(output):
            places[id(tensor)] = len(steps)
        steps.append(Step(layer, tuple(places[id(tensor)] for tensor in tensors), output))
        return output

    def through(part: Any, tensor: Any) -> Any:
        if isinstance(part, keras.Sequential):
            for layer in part.layers:
                tensor = call(layer, tensor)
            return tensor
        if part.compiled:  # or the clone would be compiled too
            part = keras.Model(part.input, part.output)
        keras.models.clone_model(part, input_tensors=tensor, clone_function=lambda layer: layer, call_function=call)
        return steps[-1].output

    through(model, image)
    return Graph(image, steps)


def moves_in_training(layer: Any) -> bool:
    """Whether training changes a layer, or makes it act at random: it has variables and its `trainable` is true.

    A seed is a variable too, so dropout and random augmentation count. A frozen BatchNorm layer keeps its statistics.
    """
    return bool(getattr(layer, "trainable", False) and getattr(layer, "variables", None))


def _is_followed(layer: Any) -> bool:
    return isinstance(layer, keras.Sequential) or (isinstance(layer, keras.Model) and hasattr(layer, "operations"))


def _settings(layer: Any) -> dict[str, Any]:
    """A layer's settings without those that do not change what it computes."""
    return {name: value for name, value in layer.get_config().items() if name not in ("name", "trainable")}


def last_convolutions(backbone: Any, count: int) -> Sequence[str]:
    """Name the last `count` convolutional layers in the order of the graph.

    Depthwise convolutions do not count (in Keras 3 they are no ``Conv2D``): the last two of MobileNetV2 are
    block_16_project and Conv_1.

    Raises
    ------
    LabError
        If there are fewer.
    """
    names = [layer.name for layer in backbone.layers if isinstance(layer, keras.layers.Conv2D)]
    if count > len(names):
        raise LabError(f"{backbone.name}: trainable_convs is {count}, it has {len(names)} convolutional layers")
    return names[len(names) - count :]
