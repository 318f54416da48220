"""Precision of the matrix products in training: bfloat16 where the device is fast at it."""

import os
from pathlib import Path
from typing import Literal

from lab_utils.core.config import Precision
from lab_utils.models.runtime import tf

Product = Literal["float32", "bfloat16"]

CPUINFO = Path("/proc/cpuinfo")
FLAGS = {"avx512_bf16", "amx_bf16"}  # of processors whose bfloat16 products take half the time of float32 ones
CAPABILITY = (8, 0)  # the least of a GPU with such products


def product_precision(precision: Precision) -> Product:
    """Resolve `precision` of the experiment file for this machine, without starting a device.

    "auto" is bfloat16 where the processor, or the GPU if there is one, is fast at it. Elsewhere it is float32: a
    processor without such instructions takes many times longer.
    """
    if precision != "auto":
        return precision
    return "bfloat16" if _is_fast() else "float32"


def _is_fast() -> bool:
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    if gpus:
        return all(gpu.get("compute_capability", (0, 0)) >= CAPABILITY for gpu in gpus)
    has_onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS") != "0"  # the library with these products
    return has_onednn and CPUINFO.is_file() and not FLAGS.isdisjoint(CPUINFO.read_text().split())
