"""Frozen-prefix activations: computed once per image, cut and scaling, and shared by everything that trains on them."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from lab_utils.backbone import (
    CALIBRATION_IMAGES,
    Float,
    calibrate,
    cut_layer,
    last_convs,
    obtain_backbone,
    save_backbone,
    scaling_layers,
    to_rgb,
    trunk_of,
    weights_sha256,
)
from lab_utils.download import load_dataset
from lab_utils.errors import LabError
from lab_utils.images import ArrayWriter, Pixels, open_store
from lab_utils.paths import Workspace
from lab_utils.prefix import Prefix, engine_version
from lab_utils.progress import progress
from lab_utils.records import digest, read_csv, read_json, whole, write_json
from lab_utils.runtime import keras
from lab_utils.scenarios import Experiment, Protocol, Storage

FORMAT = 3  # goes up when the same inputs would give other features


@dataclass(frozen=True)
class Features:
    """One feature set on disk.

    Parameters
    ----------
    path : Path
        A .npy file (N, ...): row i belongs to image i of the store.
    shape : tuple of int
    dtype : numpy.dtype
        float32 or float16.
    offset : int
        Bytes before the first row.
    cut : str
        The layer whose output this is.
    seconds : float
        Wall time of the pass over the images that computed it.
    shared : int
        How many feature sets that pass computed.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    cut: str
    seconds: float
    shared: int

    def rows(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows into memory: (len(indices), ...) of `dtype`.

        Plain reads rather than a memory map, so that a process never holds more than its batches.
        """
        batch = np.empty((len(indices), *self.shape[1:]), self.dtype)
        self.read(indices, batch)
        return batch

    def read(self, indices: NDArray[np.int64], batch: NDArray[Any]) -> None:
        """Read rows into the beginning of `batch`, (at least len(indices), ...) of `dtype`."""
        size = batch[:1].nbytes
        with self.path.open("rb", buffering=0) as file:
            for row, index in zip(batch, indices, strict=False):
                os.preadv(file.fileno(), [row.reshape(-1).view(np.uint8).data], self.offset + int(index) * size)


@dataclass(frozen=True)
class Extraction:
    """What stage 25 settled for one protocol and backbone.

    Parameters
    ----------
    backbone : str
        Name in ``keras.applications``.
    weights : {"imagenet", "random"}
    weights_sha256 : str
    backbone_key, store_key : str
        Of the saved backbone and of the image store.
    scaling : {"unit", "backbone"}
    size : int
        Side of the images, in pixels.
    storage : {"float32", "float16"}
    """

    backbone: str
    weights: str
    weights_sha256: str
    backbone_key: str
    store_key: str
    scaling: Any
    size: int
    storage: Storage

    def features_key(self, cut: str) -> str:
        """Names a feature set by all it depends on, and nothing else."""
        return digest(FORMAT, self.backbone, self.weights_sha256, self.store_key, self.scaling, cut, self.storage)


def extract(experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace) -> Extraction:
    """Stage 25: settle the backbone's weights, compute the features that the experiment's scenarios need, record both.

    Raises
    ------
    LabError
        If stage 20 has not run, or the weights cannot be had.
    """
    dataset = load_dataset(workspace)
    store_key = read_json(workspace.preprocessing(protocol.name), stage="20_preprocess")["store"]
    images = open_store(workspace, store_key)
    size = int(images.shape[1])
    model, weights = obtain_backbone(backbone, size, weights=experiment.weights, synthetic=dataset.synthetic)
    if weights == "random":
        manifest = read_csv(workspace.manifest(protocol.name), stage="20_preprocess")
        calibrate(model, scaled(images[_calibration_rows(manifest)], backbone, protocol.scaling))
    extraction = Extraction(
        backbone,
        weights,
        weights_sha256(model),
        save_backbone(model, workspace),
        store_key,
        protocol.scaling,
        size,
        experiment.storage,
    )
    convs = experiment.convs_of(backbone)
    found = ensure_features(extraction, model, convs, workspace)
    cuts = {
        str(count): {"cut": one.cut, "shape": one.shape, "key": extraction.features_key(one.cut)}
        for count, one in zip(convs, found, strict=True)
    }
    record = {**vars(extraction), "cuts": cuts}
    write_json(workspace.extraction(protocol.name, backbone), record)
    return extraction


def load_extraction(protocol: str, backbone: str, workspace: Workspace) -> Extraction:
    """What stage 25 recorded; raises LabError if it has not run, or the images have changed since."""
    path = workspace.extraction(protocol, backbone)
    record = read_json(path, stage="25_features")
    record.pop("cuts")
    try:
        extraction = Extraction(**record)
    except TypeError as error:
        raise LabError(
            f"{path}: written by another version of the lab ({error}); run stage 25_features again"
        ) from error
    store = read_json(workspace.preprocessing(protocol), stage="20_preprocess")["store"]
    if store != extraction.store_key:
        raise LabError(
            f"{path}: features of image store {extraction.store_key}, the manifest now belongs to {store}; "
            "run stage 25_features again"
        )
    return extraction


def ensure_features(
    extraction: Extraction, backbone: keras.Model, convs: Sequence[int], workspace: Workspace
) -> list[Features]:
    """The features for each depth of fine-tuning; those that are not on disk are computed in one pass over the images.

    Parameters
    ----------
    backbone : keras.Model
        The one that `extraction` names.
    convs : sequence of int
        Numbers of trained convolutional layers.

    Returns
    -------
    list of Features
        One per entry of `convs`.
    """
    trunk = trunk_of(backbone)
    cuts = [cut_layer(trunk, last_convs(backbone, count)) for count in convs]
    folders = {cut: workspace.features(extraction.features_key(cut)) for cut in cuts}
    workspace.features("").mkdir(parents=True, exist_ok=True)
    with FileLock(workspace.features(".lock")):
        missing = [cut for cut, folder in folders.items() if not (folder / "features.json").is_file()]
        if missing:
            _compute(extraction, trunk, missing, folders, open_store(workspace, extraction.store_key))
    return [_open(folders[cut]) for cut in cuts]


def _compute(
    extraction: Extraction, trunk: keras.Model, cuts: list[str], folders: dict[str, Path], images: Pixels
) -> None:
    """One forward pass over the images that writes the output of every layer in `cuts`."""
    began = time.perf_counter()
    prefix = Prefix(trunk, cuts, extraction.backbone, extraction.scaling, images.shape[1:])
    shapes = [(len(images), *shape) for shape in prefix.shapes]
    with ExitStack() as stack:
        drafts = [stack.enter_context(whole(folders[cut])) for cut in cuts]
        for draft in drafts:
            draft.mkdir()
        with ExitStack() as files:
            writers = [
                files.enter_context(ArrayWriter(draft / "features.npy", shape, np.dtype(extraction.storage)))
                for draft, shape in zip(drafts, shapes, strict=True)
            ]
            bar = files.enter_context(progress(total=len(images), desc="features", unit="image"))

            def write(start: int, blocks: Sequence[Float]) -> None:
                for writer, block in zip(writers, blocks, strict=True):
                    writer.write(start, block)
                bar.update(len(blocks[0]))

            engine = prefix.run(images, write)
        seconds = time.perf_counter() - began
        for cut, draft, shape in zip(cuts, drafts, shapes, strict=True):
            record = {
                "cut": cut,
                "shape": shape,
                "seconds": seconds,
                "shared": len(cuts),
                "engine": engine_version(engine),
                **vars(extraction),
            }
            write_json(draft / "features.json", record)


def _open(folder: Path) -> Features:
    record, path = read_json(folder / "features.json", stage="25_features"), folder / "features.npy"
    try:
        shape, storage = tuple(record["shape"]), np.dtype(record["storage"])
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            found, _, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"{path}: not readable ({error!r}); delete {folder} and run stage 25_features again") from error
    size = offset + int(np.prod(shape)) * storage.itemsize
    if found != shape or dtype != storage or path.stat().st_size != size:
        raise LabError(
            f"{path}: expected {storage} {shape} in {size} bytes, found {dtype} {found} in "
            f"{path.stat().st_size}; delete {folder} and run stage 25_features again"
        )
    return Features(path, shape, storage, offset, record["cut"], record["seconds"], record["shared"])


def scaled(images: Pixels, backbone: str, scaling: Any) -> Float:
    """uint8 images (N, H, W[, 3]) as the network is fed: float32 (N, H, W, 3)."""
    tensor = to_rgb(images)
    for layer in scaling_layers(backbone, scaling):
        tensor = layer(tensor)
    return np.asarray(tensor)


def _calibration_rows(manifest: pd.DataFrame) -> NDArray[np.int64]:
    """Training images spread evenly over the store, so over the classes."""
    train = np.flatnonzero(manifest["split"] == "train")
    return train[np.linspace(0, len(train) - 1, min(CALIBRATION_IMAGES, len(train))).astype(int)]
