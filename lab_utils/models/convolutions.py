"""Convolutions in the order of a network's graph, and the layers a scenario trains."""

from typing import Any, Literal

from lab_utils.core.errors import LabError
from lab_utils.models.backbone import leaf_layers
from lab_utils.models.cut import Graph, Step, graph_of
from lab_utils.models.runtime import keras

SEPARABLE = keras.layers.SeparableConv2D


def is_depthwise(layer: Any) -> bool:
    """Whether a layer is a depthwise convolution.

    It is of that class, or a Conv2D with a group for each channel.
    """
    return isinstance(layer, keras.layers.DepthwiseConv2D) or (
        isinstance(layer, keras.layers.Conv2D) and layer.groups > 1 and layer.kernel.shape[-2] == 1
    )


def _is_convolution(step: Step) -> bool:
    """Whether a step mixes the channels of a feature map.

    A Dense layer on a feature map is a 1x1 convolution.
    """
    layer = step.layer
    if isinstance(layer, keras.layers.Dense):
        return len(step.output.shape) == 4
    return isinstance(layer, keras.layers.Conv2D | SEPARABLE) and not is_depthwise(layer)


def ordered_convolutions(graph: Graph) -> list[Any]:
    """Order convolutional layers by depth.

    Depth is the number of convolutions on the longest path from the image.

    Of two with the same number, the one on the shorter path through the network comes first. A shortcut convolution is
    thus placed in front of the block that it bypasses. Not counted are depthwise convolutions, which do not mix
    channels, and the layers of squeeze-and-excitation gates, which see a global average instead of a map.
    """
    # By tensor: convolutions on the longest path from the image to it, and from it to the output.
    before: dict[int, int] = {id(graph.input): 0}
    behind: dict[int, int] = {}
    found: list[tuple[Step, int]] = []
    for step in graph.steps:
        inputs = [before[id(value)] for value in _inputs(step) if id(value) in before]
        if inputs and not isinstance(step.layer, keras.layers.GlobalAveragePooling2D):
            level = max(inputs) + _is_convolution(step)
            before |= {id(value): level for value in keras.tree.flatten(step.output)}
            found += [(step, level)] if _is_convolution(step) else []
    for step in reversed(graph.steps):
        level = max((behind.get(id(value), 0) for value in keras.tree.flatten(step.output)), default=0)
        behind |= {id(v): max(behind.get(id(v), 0), level + _is_convolution(step)) for v in _inputs(step)}
    found.sort(key=lambda pair: (pair[1], pair[1] + behind.get(id(pair[0].output), 0)))
    return list({id(step.layer): step.layer for step, _ in found}.values())


def _inputs(step: Step) -> list[Any]:
    return [v for v in keras.tree.flatten((step.args, step.kwargs)) if isinstance(v, keras.KerasTensor)]


def last_convolutions(backbone: Any, count: int | Literal["all"], graph: Graph | None = None) -> list[Any]:
    """Find the layers that a scenario trains: the last `count` convolutions.

    Their order is that of `ordered_convolutions`.

    The last two of MobileNetV2 are block_16_project and Conv_1. "all" stands for every layer with weights except
    BatchNorm: its statistics stay those of the pretraining, as Keras' guide to fine-tuning advises. `graph` is one that
    holds the backbone, if the caller has it.

    Raises
    ------
    LabError
        If there are fewer.
    """
    if count == "all":
        norms = keras.layers.BatchNormalization, keras.layers.Normalization
        return [layer for layer in leaf_layers(backbone) if layer.weights and not isinstance(layer, norms)]
    layers = ordered_convolutions(graph or graph_of(backbone)) if count else []
    if count > len(layers):
        raise LabError(
            f"{backbone.name}: trainable_convs is {count}, it has {len(layers)} convolutional layers; "
            "`trainable_convs: all` trains every layer"
        )
    return layers[len(layers) - count :]
