"""The frozen part of a backbone, run over many images as fast as this machine can: OpenVINO, else TensorFlow."""

import importlib.util
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from queue import SimpleQueue
from typing import Any, Literal

import numpy as np

from lab_utils.backbone import Float, scaling_layers, to_rgb
from lab_utils.images import Pixels
from lab_utils.runtime import THREADS, keras, tf

Engine = Literal["openvino", "tensorflow"]
Write = Callable[[int, Sequence[Float]], None]

BATCH = {"openvino": 16, "tensorflow": 64}  # images per forward pass: the fastest of 8 to 256 on two cores
TOLERANCE = 1e-4  # of the largest value: how far OpenVINO may be from TensorFlow before it is not believed
PROBE = 4  # images on which that is tried


def available_engine() -> Engine:
    """OpenVINO where it is installed; TensorFlow otherwise, which needs nothing more."""
    return "openvino" if importlib.util.find_spec("openvino") else "tensorflow"


def engine_version(engine: Engine) -> str:
    """For records: "openvino 2026.4.1"."""
    return f"{engine} {metadata.version(engine)}"


def _openvino() -> Any:
    """OpenVINO without its telemetry, which would report every use to its makers, unasked, in processes of its own."""
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]  # as if it were not installed
    import openvino

    return openvino


class Prefix:
    """Images to the outputs of some layers.

    Parameters
    ----------
    trunk : keras.Model
        Of `lab_utils.backbone.trunk_of`.
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
        model = keras.Model(trunk.input, outputs)
        layers = scaling_layers(backbone, scaling)

        @tf.function(input_signature=[tf.TensorSpec((None, *shape), tf.uint8)])
        def forward(images: Any) -> list[Any]:
            values = to_rgb(images)
            for layer in layers:
                values = layer(values)
            found = model(values, training=False)
            return found if isinstance(found, list) else [found]

        self._forward = forward

    def __call__(self, images: Pixels) -> list[Float]:
        """The outputs for a batch, by TensorFlow: float32 (N, ...) per cut."""
        return [output.numpy() for output in self._forward(np.ascontiguousarray(images))]

    def run(self, images: Pixels, write: Write, *, engine: Engine | None = None) -> Engine:
        """Run over all images and hand on the outputs, a batch at a time.

        Parameters
        ----------
        images : uint8 (N, H, W) or (N, H, W, 3)
            A memory map will do.
        write : callable
            Called with the index of a batch's first image and one array per cut, in any order and from other threads;
            the arrays are good until it returns.
        engine : {"openvino", "tensorflow"}, optional
            The fastest that is installed and gives TensorFlow's features.

        Returns
        -------
        {"openvino", "tensorflow"}
            Which did it.
        """
        engine = engine or available_engine()
        if engine == "openvino":
            compiled = self._compile()
            if self._agrees(compiled, images[:PROBE]):
                self._run_openvino(compiled, images, write)
                return engine
            print("OpenVINO does not give TensorFlow's features on this machine; TensorFlow computes them")
        batch = BATCH["tensorflow"]
        for start in range(0, len(images), batch):
            write(start, self(images[start : start + batch]))
        return "tensorflow"

    def _compile(self) -> Any:
        """The same function compiled by OpenVINO, in single precision also where the processor has a shorter one."""
        openvino = _openvino()
        model = openvino.convert_model(self._forward.get_concrete_function())
        settings: dict[str, Any] = {"PERFORMANCE_HINT": "THROUGHPUT", "INFERENCE_PRECISION_HINT": "f32"}
        if THREADS is not None:
            settings["INFERENCE_NUM_THREADS"] = THREADS
        return openvino.Core().compile_model(model, "CPU", settings)

    def _agrees(self, compiled: Any, images: Pixels) -> bool:
        found = compiled(np.ascontiguousarray(images))
        return all(
            np.abs(found[place] - expected).max() <= TOLERANCE * np.abs(expected).max()
            for place, expected in enumerate(self(images))
        )

    def _run_openvino(self, compiled: Any, images: Pixels, write: Write) -> None:
        """As many requests side by side as OpenVINO finds best for throughput, each on a thread of its own."""
        count = compiled.get_property("OPTIMAL_NUMBER_OF_INFER_REQUESTS")
        idle: SimpleQueue[Any] = SimpleQueue()
        for _ in range(count):
            idle.put(compiled.create_infer_request())

        def work(start: int) -> None:
            request = idle.get()
            try:
                request.infer({0: np.ascontiguousarray(images[start : start + BATCH["openvino"]])})
                write(start, [output.data for output in request.output_tensors])
            finally:
                idle.put(request)

        pool = ThreadPoolExecutor(count)
        try:
            for _ in pool.map(work, range(0, len(images), BATCH["openvino"])):
                pass
        finally:
            pool.shutdown(cancel_futures=True)
