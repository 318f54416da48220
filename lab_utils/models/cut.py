"""Where a model's frozen layers end: what to compute once per image, and what to train."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lab_utils.core.errors import LabError
from lab_utils.core.files import digest
from lab_utils.models.backbone import weights_sha256
from lab_utils.models.runtime import keras


def moves_in_training(layer: Any) -> bool:
    """Whether a layer may give another output for the same image in the next epoch.

    That is so if its weights are trained, if it draws at random (``trainable`` does not switch dropout off), or if
    its code is not Keras' own and may thus change without a trace.
    """
    parts = layer._flatten_layers() if isinstance(layer, keras.layers.Layer) else []
    return not _is_of_keras(layer) or any(
        (part.trainable and part.weights) or _draws(part) or not _is_of_keras(part) for part in parts
    )


def _draws(layer: Any) -> bool:
    """Whether a layer has the state of a random generator and uses it."""
    return len(layer.variables) > len(layer.weights) and getattr(layer, "rate", 1) > 0


def _is_of_keras(layer: Any) -> bool:
    codes = type(layer), getattr(layer, "activation", None) or type(layer)
    return all(code.__module__.startswith("keras.") for code in codes) and not isinstance(layer, keras.layers.Lambda)


@dataclass(frozen=True)
class Step:
    """One call of a layer or operation, with its arguments and its output."""

    layer: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    output: Any


@dataclass(frozen=True)
class Graph:
    """A model as a flat list of steps, models inside models resolved; layers are shared."""

    input: Any  # KerasTensor (None, H, W, 3)
    steps: list[Step]  # in an order in which they can be computed; the last one gives the model's output

    def cuts(self) -> list[int]:
        """List the steps whose output alone leads to the model's output."""
        last_use = {
            id(value): place
            for place, step in enumerate(self.steps)
            for value in keras.tree.flatten((step.args, step.kwargs))
        }
        cuts, needed_until = [], last_use.get(id(self.input), -1)
        for place, step in enumerate(self.steps):
            if needed_until <= place and isinstance(step.output, keras.KerasTensor):
                cuts.append(place)
            needed_until = max(
                [needed_until, *(last_use.get(id(value), -1) for value in keras.tree.flatten(step.output))]
            )
        return cuts

    def cut_place(self, moves: Callable[[Any], bool] = moves_in_training) -> int:
        """Find the last cut in front of every layer that moves.

        Returns
        -------
        int
            Steps up to this place are a fixed function of the image; -1 if there is nothing worth storing: no
            convolution or dense layer is frozen.
        """
        first = next((place for place, step in enumerate(self.steps) if moves(step.layer)), len(self.steps))
        cut = max((place for place in self.cuts() if place < first), default=-1)
        frozen = [weight for step in self.steps[: cut + 1] for weight in getattr(step.layer, "weights", ())]
        return cut if any(len(weight.shape) > 1 for weight in frozen) else -1

    def part(self, start: int, stop: int) -> Any:
        """Build the model from the output of step `start` (-1: the image) to that of `stop`."""
        source = self.input if start < 0 else self.steps[start].output
        # Keras would make a model of these tensors, too, but loses later calls of the layer that gave the first one.
        entry = result = keras.Input(batch_shape=source.shape, dtype=source.dtype)
        tensors = {id(source): entry}
        for step in self.steps[start + 1 : stop + 1]:
            args, kwargs = _replaced((step.args, step.kwargs), tensors)
            result = step.layer(*args, **kwargs)
            pairs = zip(keras.tree.flatten(step.output), keras.tree.flatten(result), strict=True)
            tensors |= {id(old): new for old, new in pairs}
        return keras.Model(entry, result)

    def key(self, place: int) -> str:
        """Digest what the steps up to `place` compute: layers, settings, constants, weights."""
        names, structure, layers = {id(self.input): "image"}, [], []
        for number, step in enumerate(self.steps[: place + 1]):
            arguments = _replaced((step.args, step.kwargs), names)
            structure.append((type(step.layer).__name__, _settings(step.layer), arguments))
            outputs = keras.tree.flatten(step.output)
            names |= {id(output): f"output {index} of {number}" for index, output in enumerate(outputs)}
            layers += [step.layer] if isinstance(step.layer, keras.layers.Layer) else []
        return digest(json.dumps(structure, sort_keys=True, default=_constant), weights_sha256(layers))


def _replaced(arguments: Any, values: dict[int, Any]) -> Any:
    return keras.tree.map_structure(lambda value: values.get(id(value), value), arguments)


def _settings(layer: Any) -> dict[str, Any]:
    return {name: value for name, value in layer.get_config().items() if name not in ("name", "trainable")}


def _constant(value: Any) -> Any:
    """A constant of a graph as JSON has it; ``str`` would shorten an array."""
    return np.asarray(value).tolist() if hasattr(value, "__array__") else str(value)


def graph_of(model: Any) -> Graph:
    """Flatten a Sequential or functional model with one input and one output.

    Raises
    ------
    LabError
        If the model was not built that way, so that its layers cannot be followed.
    """
    if not _is_followed(model) or [len(getattr(model, name, ())) for name in ("inputs", "outputs")] != [1, 1]:
        raise LabError(
            f"{model.name}: expected a Sequential or functional Keras model with one input and one output, "
            f"found {type(model).__name__}; begin with keras.Input(shape)"
        )
    steps: list[Step] = []

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        if _is_followed(layer):
            return through(layer, *args)
        output = layer(*args, **kwargs)
        steps.append(Step(layer, args, kwargs, output))
        return output

    def through(part: Any, tensors: Any) -> Any:
        if isinstance(part, keras.Sequential):
            for layer in part.layers:
                tensors = call(layer, tensors)
            return tensors
        return part._run_through_graph(tensors, call_fn=call)  # clone_model would hand on copies of the tensors

    image = keras.Input(model.input_shape[1:], name="image")
    through(model, image)
    return Graph(image, steps)


def _is_followed(layer: Any) -> bool:
    """Whether a model is a graph of layers of Keras' own classes, without added code."""
    return _is_of_keras(layer) and (isinstance(layer, keras.Sequential) or hasattr(layer, "operations"))


def joined(trunk: Any, network: Any) -> Any:
    """Build a model that gives the outputs of both, and computes what they share once.

    They share the first layers of `network` that are frozen and also begin `trunk`, with the same weights.
    """
    graph, other = graph_of(trunk), graph_of(network)
    last = min(other.cut_place(), len(graph.steps) - 1)
    common = (place for place in reversed(other.cuts()) if place <= last and other.key(place) == graph.key(place))
    place = next(common, -1)
    shared = graph.input if place < 0 else graph.steps[place].output
    return keras.Model(graph.input, [graph.steps[-1].output, other.part(place, len(other.steps) - 1)(shared)])
