"""TensorFlow and Keras, started without chatter and with the threads that were granted.

Modules that compute with them import them from here, so that whoever comes first starts them this way.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from lab_utils.core.machine import cpus


@contextmanager
def quiet() -> Iterator[None]:
    """Discard what native libraries print to standard error.

    TensorFlow 2.21 prints its first lines before it looks at TF_CPP_MIN_LOG_LEVEL.
    """
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
with quiet():
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float32")  # whatever the user's keras.json says
    keras.config.set_image_data_format("channels_last")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # a GPU's features shall equal a processor's
    with suppress(RuntimeError):  # TensorFlow's devices have started already: a notebook used Keras before the lab
        tf.config.threading.set_intra_op_parallelism_threads(cpus())
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    tf.get_logger().setLevel("ERROR")  # or it warns of every model that is traced in a loop
    tf.config.list_logical_devices()  # starts the devices, which is another occasion to talk

__all__ = ["keras", "quiet", "tf"]
