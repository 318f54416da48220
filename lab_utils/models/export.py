"""A trained network as LiteRT and ONNX files, compared with Keras on images."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

import numpy as np

from lab_utils.core.machine import cpus
from lab_utils.data.decode import Pixels
from lab_utils.models.backbone import Scaling, scaling_layer
from lab_utils.models.engine import Float, first_line, to_rgb
from lab_utils.models.runtime import keras, quiet, tf

INPUT, OUTPUT = "images", "probabilities"  # names in the ONNX file
AGREEMENT = 1e-4  # how far a probability may be from Keras'


@dataclass(frozen=True)
class ExportedModel:
    """A network in one format, or the reason why it is not to be had in this format."""

    file: str  # name of the file: "model.onnx"
    title: str  # of the format: "ONNX"
    content: bytes = b""  # of the file; empty with a problem
    difference: float = math.nan  # largest absolute difference of a probability from Keras', over the images compared
    problem: str = ""


def export_model(model: keras.Model, images: Pixels) -> list[ExportedModel]:
    """Convert a network to every format, and compare the probabilities with Keras'.

    The input of each file is float32 (N, H, W, 3) with values in [0, 255], its output float32 (N, C). A format whose
    probabilities differ by more than `AGREEMENT`, or whose converter fails, has a problem and no content.

    Parameters
    ----------
    images : array
        Images to compare on, uint8 (N, H, W) or (N, H, W, 3).
    """
    inputs = to_rgb(images).numpy()
    expected = model.predict(inputs, verbose=0)
    function = _constant_function(model)
    return [_exported(*entry, function, inputs, expected) for entry in FORMATS]


def _exported(
    file: str,
    title: str,
    convert: Callable[[Any], bytes],
    predict: Callable[[bytes, Float], Float],
    function: Any,
    inputs: Float,
    expected: Float,
) -> ExportedModel:
    try:
        with quiet():
            content = convert(function)
            difference = float(np.abs(predict(content, inputs) - expected).max())
    except Exception as error:  # whatever a converter or a runtime does not know
        return ExportedModel(file, title, problem=f"cannot be converted ({first_line(error)})")
    if not difference <= AGREEMENT:
        problem = f"its probabilities differ from Keras' by {difference:.2g}; {AGREEMENT:g} is allowed"
        return ExportedModel(file, title, difference=difference, problem=problem)
    return ExportedModel(file, title, content, difference)


def _constant_function(model: keras.Model) -> Any:
    """Return the network as a function of images with constant weights.

    Those of Normalization layers are constants, too.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    signature = [tf.TensorSpec((None, *model.input_shape[1:]), tf.float32, name=INPUT)]

    @tf.function(autograph=False, input_signature=signature)
    def network(images: Any) -> Any:
        return model(images, training=False)

    with quiet():
        return convert_variables_to_constants_v2(network.get_concrete_function())


def to_litert(function: Any) -> bytes:
    """Convert a function with constant weights to a LiteRT file."""
    return tf.lite.TFLiteConverter.from_concrete_functions([function]).convert()


def predict_litert(content: bytes, images: Float) -> Float:
    """Compute the probabilities of a LiteRT file: float32 (N, H, W, 3) in [0, 255] to (N, C)."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=cpus())
    place = interpreter.get_input_details()[0]["index"]
    interpreter.resize_tensor_input(place, images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(place, images)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def to_onnx(function: Any) -> bytes:
    """Convert a function with constant weights to an ONNX file.

    The same weights give the same bytes.
    """
    import tf2onnx  # type: ignore[import-untyped]

    signature = [tf.TensorSpec(function.inputs[0].shape, tf.float32, name=INPUT)]

    @tf.function(autograph=False, input_signature=signature)
    def network(images: Any) -> dict[str, Any]:
        return {OUTPUT: function(images)[0]}

    proto, _ = tf2onnx.convert.from_function(network, signature)
    _number_names(proto.graph)
    return proto.SerializeToString(deterministic=True)


def _number_names(graph: Any) -> None:
    """Name nodes and values by their place.

    tf2onnx counts across the process, and orders constants at random.
    """
    numbers: Iterator[int] = count()
    names = {INPUT: INPUT, OUTPUT: OUTPUT, "": ""}
    for node in graph.node:
        for values in (node.input, node.output):
            values[:] = [names.setdefault(name, f"value_{next(numbers)}") for name in values]
        node.name = node.output[0]
    for constant in graph.initializer:
        constant.name = names[constant.name]
    graph.initializer.sort(key=lambda constant: constant.name)
    graph.name, graph.doc_string = "network", ""
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "N"


def predict_onnx(content: bytes, images: Float) -> Float:
    """Compute the probabilities of an ONNX file: float32 (N, H, W, 3) in [0, 255] to (N, C)."""
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = cpus(), 3
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    return session.run([OUTPUT], {INPUT: images})[0]


FORMATS = (
    ("model.tflite", "LiteRT", to_litert, predict_litert),
    ("model.onnx", "ONNX", to_onnx, predict_onnx),
)


def pixel_scaling(backbone: str, scaling: Scaling) -> dict[str, Any]:
    """Measure the network's scaling of pixel values: scale and offset per channel.

    Also measure whether red and blue swap.

    The scaled value is scale × value + offset, with `value` in [0, 255].
    """
    layer = scaling_layer(backbone, scaling)
    pixels = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0]], np.float32).reshape(3, 1, 1, 3)
    black, white, red = np.asarray(layer(pixels), np.float64).reshape(3, 3)
    scale = (white - black) / 255
    return {
        "scale": [float(f"{value:.6g}") for value in scale],
        "offset": [float(f"{value:.6g}") for value in black],
        "channels": "BGR" if red[0] == black[0] else "RGB",
    }
