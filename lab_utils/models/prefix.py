"""The frozen part of a backbone, run over many images as fast as this machine can: LiteRT, else TensorFlow."""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np

from lab_utils.core.machine import cpus, in_parallel
from lab_utils.data.store import Pixels, Sliced
from lab_utils.models.backbone import Float, scaling_layers, to_rgb
from lab_utils.models.runtime import keras, quiet, tf

Engine = Literal["litert", "tensorflow"]
Write = Callable[[int, Sequence[Float]], None]

PACKAGES = {"litert": "ai_edge_litert", "tensorflow": "tensorflow"}
BATCH = 64  # images per forward pass of TensorFlow: the fastest of 16 to 256 on two cores
TOLERANCE = 1e-4  # of the largest value: how far LiteRT may be from TensorFlow before it is not believed
PROBE = 4  # images on which that is tried
SAMPLE = 32  # images on which TensorFlow's own rate is taken


def fastest_engine() -> Engine:
    """TensorFlow where there is a GPU or LiteRT is not installed, else LiteRT."""
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return "tensorflow" if has_gpu or importlib.util.find_spec(PACKAGES["litert"]) is None else "litert"


def engine_version(engine: Engine) -> str:
    """For records: "litert 2.3.0"."""
    return f"{engine} {metadata.version(PACKAGES[engine])}"


class Prefix:
    """Images to the outputs of some layers.

    LiteRT computes them by XNNPACK, whose fused kernels keep an image's activations in the processor's own memory:
    one image at a time on each core is its fastest way, and makes features independent of the number of cores.

    Parameters
    ----------
    trunk : keras.Model
        Of `lab_utils.models.backbone.trunk_of`.
    cuts : sequence of str
        Names of the layers whose outputs are wanted.
    backbone : str
        Name in ``keras.applications``.
    scaling : {"unit", "backbone"}
    shape : tuple of int
        Of one stored image: (H, W) or (H, W, 3).
    """

    def __init__(
        self, trunk: keras.Model, cuts: Sequence[str], backbone: str, scaling: Any, shape: tuple[int, ...]
    ) -> None:
        outputs = [trunk.get_layer(cut).output for cut in cuts]
        self.shapes: list[tuple[int, ...]] = [tuple(output.shape[1:]) for output in outputs]
        layers = scaling_layers(backbone, scaling)

        def scaled(images: Any) -> Any:
            for layer in layers:
                images = layer(images)
            return images

        stem = stem_of(trunk)
        if len(shape) == 2 and stem is not None and stem.name not in cuts:
            first, model = grey_stem(stem, scaled, shape), keras.Model(stem.output, outputs)
        else:
            first, model = (lambda images: scaled(to_rgb(images))), keras.Model(trunk.input, outputs)

        @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
        def forward(images: Any) -> list[Any]:
            found = model(first(images), training=False)
            return found if isinstance(found, list) else [found]

        self._forward = forward

    def __call__(self, images: Pixels) -> list[Float]:
        """The outputs for a batch, by TensorFlow: float32 (N, ...) per cut."""
        return [output.numpy() for output in self._forward(np.ascontiguousarray(images))]

    def plain_rate(self, images: Pixels) -> float:
        """Images per second through TensorFlow's forward pass: what training the plain way pays in every epoch."""
        sample, seconds = images[:SAMPLE], []
        for _ in range(2):  # the first pass of a shape is slower
            began = time.perf_counter()
            self(sample)
            seconds.append(time.perf_counter() - began)
        return len(sample) / min(seconds)

    def run(self, images: Sliced, write: Write, *, engine: Engine | None = None) -> Engine:
        """Run over all images and hand on the outputs, a batch at a time.

        Parameters
        ----------
        images : uint8 (N, H, W) or (N, H, W, 3)
            A memory map, or anything else that gives slices, will do.
        write : callable
            Called with the index of a batch's first image and one array per cut, in any order and from other threads.
        engine : {"litert", "tensorflow"}, optional
            The fastest that gives TensorFlow's features.

        Returns
        -------
        {"litert", "tensorflow"}
            Which did it.
        """
        engine = engine or fastest_engine()
        if engine == "litert":
            try:
                problem = self._disagreement(self._interpreters[0], images[:PROBE])
            except Exception as error:  # whatever LiteRT does not know how to convert or run, TensorFlow does
                problem = str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__
            if not problem:
                _run_interpreters(self._interpreters, images, write)
                return engine
            print(f"LiteRT cannot be used for this backbone ({problem}); TensorFlow computes the features")
        for start in range(0, len(images), BATCH):
            write(start, self(images[start : start + BATCH]))
        return "tensorflow"

    @cached_property
    def _interpreters(self) -> list[Any]:
        """The same function compiled for LiteRT, once for each core."""
        from ai_edge_litert.interpreter import Interpreter

        function = self._forward.get_concrete_function()
        with quiet():
            model = tf.lite.TFLiteConverter.from_concrete_functions([function], function).convert()
            interpreters = [Interpreter(model_content=model, num_threads=1) for _ in range(cpus())]
            for interpreter in interpreters:
                interpreter.allocate_tensors()
        return interpreters

    def _disagreement(self, interpreter: Any, images: Pixels) -> str:
        """How LiteRT's outputs differ from TensorFlow's; empty where they do not."""
        for place, expected in enumerate(self(images)):
            found = np.concatenate([_infer(interpreter, images[row : row + 1])[place] for row in range(len(images))])
            if found.shape != expected.shape:
                return f"output {place} has shape {found.shape}, expected {expected.shape}"
            difference = np.abs(found - expected).max() / np.abs(expected).max()
            if not difference <= TOLERANCE:
                return f"output {place} differs by {difference:.1g} of its largest value, {TOLERANCE:g} is allowed"
        return ""


def stem_of(trunk: keras.Model) -> keras.layers.Conv2D | None:
    """The convolution that alone takes a trunk's input, if that is how it begins."""
    takers = [layer for layer in trunk.operations if layer.input is trunk.input and layer.output is not trunk.input]
    stem = takers[0] if len(takers) == 1 else None
    return stem if isinstance(stem, keras.layers.Conv2D) and stem.activation is keras.activations.linear else None


def grey_stem(stem: keras.layers.Conv2D, scaled: Callable[[Any], Any], shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """Scaling and first convolution of grey images as one convolution of one channel, a third of the work.

    Both are affine, so with three equal channels they are a kernel summed over channels, and what they make of black.

    Parameters
    ----------
    stem : keras.layers.Conv2D
        Linear; takes (N, H, W, 3).
    scaled : callable
        The scaling: affine in each channel, any order of channels.
    shape : tuple of int
        (H, W).

    Returns
    -------
    callable
        uint8 (N, H, W) to what `stem` gives for the scaled images.
    """
    black, step = scaled(tf.zeros((1, *shape, 3))), scaled(tf.ones((1, 1, 1, 3))) - scaled(tf.zeros((1, 1, 1, 3)))
    background = tf.constant(stem(black))
    is_zero = not np.asarray(background).any()
    kernel = tf.constant(tf.reduce_sum(stem.kernel * tf.reshape(step, (3, 1)), axis=2, keepdims=True))

    def first(images: Any) -> Any:
        values = tf.cast(images, tf.float32)[..., None]
        found = tf.nn.conv2d(values, kernel, stem.strides, stem.padding.upper(), dilations=stem.dilation_rate)
        return found if is_zero else found + background

    return first


def _infer(interpreter: Any, image: Pixels) -> list[Float]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]


def _run_interpreters(interpreters: Sequence[Any], images: Sliced, write: Write) -> None:
    idle: SimpleQueue[Any] = SimpleQueue()
    for interpreter in interpreters:
        idle.put(interpreter)

    def work(row: int) -> None:
        interpreter = idle.get()
        try:
            write(row, _infer(interpreter, images[row : row + 1]))
        finally:
            idle.put(interpreter)

    for _ in in_parallel(work, range(len(images)), len(interpreters)):
        pass
