"""Frozen layers over many images, as fast as this machine can: LiteRT, else TensorFlow."""

import importlib.util
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from importlib import metadata
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from lab_utils.core.machine import cpus, in_parallel
from lab_utils.data.arrays import SlicedImages
from lab_utils.data.decode import Pixels
from lab_utils.models.runtime import keras, quiet, tf

Engine = Literal["litert", "tensorflow"]
Float = NDArray[np.float32]
Write = Callable[[int, Sequence[Float]], None]

PACKAGES = {"litert": "ai_edge_litert", "tensorflow": "tensorflow"}
BATCH = 64  # images per forward pass of TensorFlow: the fastest of 16 to 256 on two cores
TOLERANCE = 1e-4  # of the largest value: how far LiteRT may be from TensorFlow before TensorFlow replaces it
PROBE = 4  # images on which both are compared
SAMPLE = 8  # images on which TensorFlow's rate is measured on a processor: the time per image is that of larger batches


def to_rgb(images: Any) -> Any:
    """Cast uint8 images (N, H, W) or (N, H, W, 3) to float32 (N, H, W, 3), values unchanged."""
    images = tf.cast(images, tf.float32)
    return tf.repeat(images[..., None], 3, axis=-1) if images.shape.rank == 3 else images


def fastest_engine() -> Engine:
    """Choose LiteRT, but TensorFlow where there is a GPU or LiteRT is not installed."""
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return "tensorflow" if has_gpu or importlib.util.find_spec(PACKAGES["litert"]) is None else "litert"


def engine_version(engine: Engine) -> str:
    """Name an engine for records: "litert 2.3.0"."""
    return f"{engine} {metadata.version(PACKAGES[engine])}"


def first_line(error: Exception) -> str:
    """Return the first line of an error's text, or its type where it has none."""
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]


class FeatureExtractor:
    """A Keras model that is run over stored images of shape (H, W) or (H, W, 3).

    It may have several outputs.

    LiteRT computes by XNNPACK, whose fused kernels keep an image's activations in the processor's cache: one image at
    a time on each core is its fastest way, and makes features independent of the number of cores.
    """

    def __init__(self, model: keras.Model, shape: tuple[int, ...]) -> None:
        self.shapes: list[tuple[int, ...]] = [tuple(output.shape[1:]) for output in model.outputs]

        @tf.function(autograph=False, input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
        def forward(images: Any) -> list[Any]:
            return keras.tree.flatten(model(to_rgb(images), training=False))

        self._forward = forward
        self._problem: str | None = None  # why LiteRT cannot be used; empty: it can; None: not compared yet

    def __call__(self, images: Pixels) -> list[Float]:
        """Compute the outputs for a batch by TensorFlow: float32 (N, ...) each."""
        return [output.numpy() for output in self._forward(np.ascontiguousarray(images))]

    def tensorflow_rate(self, images: SlicedImages) -> float:
        """Measure images per second of TensorFlow's forward pass."""
        sample, seconds = images[: BATCH if tf.config.list_physical_devices("GPU") else SAMPLE], []
        for _ in range(2):  # the first pass of a shape is slower
            began = time.perf_counter()
            self(sample)
            seconds.append(time.perf_counter() - began)
        return len(sample) / min(seconds)

    def run(self, images: SlicedImages, write: Write, *, engine: Engine | None = None) -> Engine:
        """Run over all images, and return the engine used.

        By default it is the fastest that gives TensorFlow's features.

        `write` gets the index of a batch's first image and one array per output, in any order and from other threads.
        """
        engine = engine or fastest_engine()
        if engine == "litert":
            if self._problem is None:
                try:
                    self._problem = self._disagreement(self._interpreters[0], images[:PROBE])
                except Exception as error:  # whatever LiteRT does not know how to convert or run, TensorFlow does
                    self._problem = first_line(error)
            if not self._problem:
                self._run_interpreters(images, write)
                return engine
            # Not print: a progress bar may stand in the line.
            tqdm.write(f"LiteRT cannot be used for these layers ({self._problem}); TensorFlow computes the features")
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

    def _run_interpreters(self, images: SlicedImages, write: Write) -> None:
        idle: SimpleQueue[Any] = SimpleQueue()
        for interpreter in self._interpreters:
            idle.put(interpreter)

        def work(row: int) -> None:
            interpreter = idle.get()
            try:
                write(row, _infer(interpreter, images[row : row + 1]))
            finally:
                idle.put(interpreter)

        for _ in in_parallel(work, range(len(images)), len(self._interpreters)):
            pass

    def _disagreement(self, interpreter: Any, images: Pixels) -> str:
        """Say how LiteRT's outputs differ from TensorFlow's; empty where they do not."""
        outputs = zip(*(_infer(interpreter, images[row : row + 1]) for row in range(len(images))), strict=True)
        for place, (expected, parts) in enumerate(zip(self(images), outputs, strict=True)):
            values = np.concatenate(parts)
            if values.shape != expected.shape:
                return f"output {place} has shape {values.shape}, expected {expected.shape}"
            difference, largest = np.abs(values - expected).max(), np.abs(expected).max()
            if not difference <= TOLERANCE * largest:
                return f"output {place} differs by {difference:.1g}, {TOLERANCE:g} of {largest:.1g} is allowed"
        return ""


def _infer(interpreter: Any, image: Pixels) -> list[Float]:
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image)
    interpreter.invoke()
    return [interpreter.get_tensor(output["index"]) for output in interpreter.get_output_details()]
