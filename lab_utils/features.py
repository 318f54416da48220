"""Frozen-prefix activations: computed once per image, cut and scaling, and shared by everything that trains on them."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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
    load_backbone,
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


class Shard(NamedTuple):
    """Consecutive rows of a feature set, in a .npy file of their own.

    Parameters
    ----------
    path : Path
    first : int
        The first row that is read from here.
    offset : int
        Bytes before it.
    """

    path: Path
    first: int
    offset: int


@dataclass(frozen=True)
class Features:
    """One feature set on disk.

    Parameters
    ----------
    shards : tuple of Shard
        In the order of their rows. Row i belongs to image i of the store.
    shape : tuple of int
        (N, ...).
    dtype : numpy.dtype
        float32 or float16.
    cut : str
        The layer whose output this is.
    seconds : float
        Wall time of the pass over the images that computed it, that of all shards added up.
    shared : int
        How many feature sets that pass computed.
    """

    shards: tuple[Shard, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    cut: str
    seconds: float
    shared: int

    @property
    def nbytes(self) -> int:
        """Bytes of all rows."""
        return int(np.prod(self.shape)) * self.dtype.itemsize

    def rows(self, indices: NDArray[np.int64]) -> NDArray[Any]:
        """Read rows into memory: (len(indices), ...) of `dtype`.

        Plain reads rather than a memory map, so that a process never holds more than its batches.
        """
        batch = np.empty((len(indices), *self.shape[1:]), self.dtype)
        self.read(indices, batch)
        return batch

    def read(self, indices: NDArray[np.int64], batch: NDArray[Any]) -> None:
        """Read rows into the beginning of `batch`, (at least len(indices), ...) of `dtype`."""
        size = self.nbytes // self.shape[0]
        shard_of = np.searchsorted([shard.first for shard in self.shards], indices, side="right") - 1
        for number in np.unique(shard_of):
            path, first, offset = self.shards[number]
            with path.open("rb", buffering=0) as file:
                for place in np.flatnonzero(shard_of == number):
                    row = batch[place].reshape(-1).view(np.uint8).data
                    os.preadv(file.fileno(), [row], offset + int(indices[place] - first) * size)


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

    In more shards than one, the weights are those that `settle` has left for the shards' own jobs, if it has.

    Raises
    ------
    LabError
        If stage 20 has not run, or the weights cannot be had.
    """
    extraction = settled(experiment, protocol, backbone, workspace) if experiment.shards > 1 else None
    if extraction is None:
        extraction, model = settle(experiment, protocol, backbone, workspace)
    else:
        model = load_backbone(workspace, extraction.backbone_key)
    convs = experiment.convs_of(backbone)
    found = ensure_features(extraction, model, convs, workspace, shards=experiment.shards)
    cuts = {
        str(count): {"cut": one.cut, "shape": one.shape, "key": extraction.features_key(one.cut)}
        for count, one in zip(convs, found, strict=True)
    }
    write_json(workspace.extraction(protocol.name, backbone), {**vars(extraction), "cuts": cuts})
    return extraction


def settle(
    experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace
) -> tuple[Extraction, keras.Model]:
    """Obtain a backbone and its weights, keep it in the workspace, record which they are.

    Raises
    ------
    LabError
        If stage 20 has not run, or the weights cannot be had.
    """
    asked = _asked(experiment, protocol, backbone, workspace)
    images = open_store(workspace, asked["store_key"])
    model, weights = obtain_backbone(
        backbone, asked["size"], weights=experiment.weights, synthetic=load_dataset(workspace).synthetic
    )
    if weights == "random":
        manifest = read_csv(workspace.manifest(protocol.name), stage="20_preprocess")
        calibrate(model, scaled(images[_calibration_rows(manifest)], backbone, protocol.scaling))
    extraction = Extraction(
        weights=weights, weights_sha256=weights_sha256(model), backbone_key=save_backbone(model, workspace), **asked
    )
    record = {"weights_setting": experiment.weights, "extraction": vars(extraction)}
    write_json(workspace.weights(protocol.name, backbone), record)
    return extraction, model


def settled(experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace) -> Extraction | None:
    """What `settle` has recorded, if that is what it would be asked for now."""
    path = workspace.weights(protocol.name, backbone)
    if not path.is_file():
        return None
    record = read_json(path, stage="25_features")
    found, asked = record.get("extraction", {}), _asked(experiment, protocol, backbone, workspace)
    same = record.get("weights_setting") == experiment.weights and {**found, **asked} == found
    return Extraction(**found) if same and workspace.backbone(found["backbone_key"]).is_file() else None


def _asked(experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace) -> dict[str, Any]:
    """The part of an `Extraction` that is known before its weights are."""
    store_key = read_json(workspace.preprocessing(protocol.name), stage="20_preprocess")["store"]
    return {
        "backbone": backbone,
        "store_key": store_key,
        "scaling": protocol.scaling,
        "size": int(open_store(workspace, store_key).shape[1]),
        "storage": experiment.storage,
    }


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


def shard_rows(images: int, shards: int, number: int) -> tuple[int, int]:
    """First row, and the one behind the last, of shard `number` (from 1) of `shards`."""
    return images * (number - 1) // shards, images * number // shards


def ensure_features(
    extraction: Extraction, backbone: keras.Model, convs: Sequence[int], workspace: Workspace, *, shards: int = 1
) -> list[Features]:
    """The features for each depth of fine-tuning; those that are not on disk are computed in one pass over the images.

    Parameters
    ----------
    backbone : keras.Model
        The one that `extraction` names.
    convs : sequence of int
        Numbers of trained convolutional layers.
    shards : int
        Files to write what is missing into. What is there is read in whatever shards it was written.

    Returns
    -------
    list of Features
        One per entry of `convs`.
    """
    count = len(open_store(workspace, extraction.store_key))
    for number in range(1, shards + 1):
        ensure_rows(extraction, backbone, convs, workspace, *shard_rows(count, shards, number))
    cuts = cuts_of(backbone, convs)
    return [_open(workspace.features(extraction.features_key(cut)), count) for cut in cuts]


def ensure_rows(
    extraction: Extraction, backbone: keras.Model, convs: Sequence[int], workspace: Workspace, start: int, stop: int
) -> None:
    """Compute rows `start` to `stop` of the feature sets in which they are missing, in one pass, as a shard of each.

    Several processes may work on different rows, also of the same feature sets; on the same rows they wait.
    """
    folders = {cut: workspace.features(extraction.features_key(cut)) for cut in cuts_of(backbone, convs)}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for folder in sorted(folders.values()):
            locks.enter_context(FileLock(folder / f".{start}-{stop}.lock"))
        missing = {cut: folder for cut, folder in folders.items() if _shards_with(folder, start, stop) is None}
        if missing:
            images = open_store(workspace, extraction.store_key)[start:stop]
            targets = {cut: folder / f"{start}-{stop}" for cut, folder in missing.items()}
            _compute(extraction, trunk_of(backbone), targets, images)


def cuts_of(backbone: keras.Model, convs: Sequence[int]) -> list[str]:
    """The layer behind which to cut for each number of trained convolutional layers."""
    trunk = trunk_of(backbone)
    return [cut_layer(trunk, last_convs(backbone, count)) for count in convs]


def _compute(extraction: Extraction, trunk: keras.Model, targets: dict[str, Path], images: Pixels) -> None:
    """One forward pass over the images that writes the output of every layer in `targets` into its folder."""
    began, cuts = time.perf_counter(), list(targets)
    prefix = Prefix(trunk, cuts, extraction.backbone, extraction.scaling, images.shape[1:])
    shapes = [(len(images), *shape) for shape in prefix.shapes]
    with ExitStack() as stack:
        drafts = [stack.enter_context(whole(target)) for target in targets.values()]
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


def _shards_with(folder: Path, start: int, stop: int) -> list[tuple[int, Path]] | None:
    """Shards that together hold rows `start` to `stop`: the first row to take from each, and its folder."""
    bounds = {path: tuple(map(int, path.name.split("-"))) for path in folder.glob("[0-9]*-[0-9]*")}
    chosen = []
    while start < stop:
        ends = {end: path for path, (first, end) in bounds.items() if first <= start < end}
        if not ends:
            return None
        chosen.append((start, ends[max(ends)]))
        start = max(ends)
    return chosen


def _open(folder: Path, count: int) -> Features:
    """The feature set of `count` rows in `folder`, all of whose rows are there."""
    chosen = _shards_with(folder, 0, count) or []
    opened = [_open_shard(shard, first) for first, shard in chosen]
    records = [record for _, record in opened]
    return Features(
        shards=tuple(shard for shard, _ in opened),
        shape=(count, *records[0]["shape"][1:]),
        dtype=np.dtype(records[0]["storage"]),
        cut=records[0]["cut"],
        seconds=sum(record["seconds"] for record in records),
        shared=records[0]["shared"],
    )


def _open_shard(folder: Path, first: int) -> tuple[Shard, dict[str, Any]]:
    record, path = read_json(folder / "features.json", stage="25_features"), folder / "features.npy"
    try:
        shape, storage = tuple(record["shape"]), np.dtype(record["storage"])
        with path.open("rb") as file:
            np.lib.format.read_magic(file)
            found, _, dtype = np.lib.format.read_array_header_1_0(file)
            offset = file.tell()
    except (OSError, ValueError, KeyError) as error:
        raise LabError(f"{path}: not readable ({error!r}); delete {folder} and run stage 25_features again") from error
    size = int(np.prod(shape[1:])) * storage.itemsize
    if found != shape or dtype != storage or path.stat().st_size != offset + shape[0] * size:
        raise LabError(
            f"{path}: expected {storage} {shape} in {offset + shape[0] * size} bytes, found {dtype} {found} in "
            f"{path.stat().st_size}; delete {folder} and run stage 25_features again"
        )
    return Shard(path, first, offset + (first - int(folder.name.split("-")[0])) * size), record


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
