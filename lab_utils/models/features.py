"""Frozen-prefix activations: computed once per image, cut and scaling, and shared by everything that trains on them."""

import os
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from filelock import FileLock
from numpy.typing import NDArray

from lab_utils.core.config import Experiment, Protocol, Storage
from lab_utils.core.errors import LabError
from lab_utils.core.files import check_seal, digest, read_csv, read_json, seal, sha256, whole, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.data.download import load_dataset
from lab_utils.data.store import ArrayWriter, Pixels, open_store
from lab_utils.models.backbone import (
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
from lab_utils.models.prefix import Prefix, engine_version
from lab_utils.models.runtime import keras

FORMAT = 4  # goes up when the same inputs would give other features, or a shard another record


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
        Wall time of the pass over the images that computed it; of several shards, that of all jobs added up.
    shared : int
        How many feature sets that pass computed.
    plain_rate : float
        Images per second through TensorFlow's forward pass there, what the plain way pays in every epoch.
    """

    shards: tuple[Shard, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    cut: str
    seconds: float
    shared: int
    plain_rate: float

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
    """Stage 25: obtain the backbone's weights, compute the features that the experiment's scenarios need, record both.

    In more shards than one, the weights are those that the shards' own jobs have used, if there are such.

    Raises
    ------
    LabError
        If stage 20 has not run, or the weights cannot be had.
    """
    extraction = recorded_weights(experiment, protocol, backbone, workspace) if experiment.shards > 1 else None
    if extraction is None:
        extraction, model = obtain_weights(experiment, protocol, backbone, workspace)
    else:
        model = load_backbone(workspace, extraction.backbone_key)
    convs = experiment.convs_of(backbone)
    found = ensure_features(extraction, model, convs, workspace)
    cuts = {
        str(count): {"cut": one.cut, "shape": one.shape, "key": extraction.features_key(one.cut)}
        for count, one in zip(convs, found, strict=True)
    }
    write_json(workspace.extraction(protocol.name, backbone), {**vars(extraction), "cuts": cuts})
    return extraction


def obtain_weights(
    experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace
) -> tuple[Extraction, keras.Model]:
    """Obtain a backbone with its weights and keep it in the workspace.

    Raises
    ------
    LabError
        If stage 20 has not run, or the weights cannot be had.
    """
    known = _known_before_weights(experiment, protocol, backbone, workspace)
    images = open_store(workspace, known["store_key"])
    model, weights = obtain_backbone(
        backbone, known["size"], weights=experiment.weights, synthetic=load_dataset(workspace).synthetic
    )
    if weights == "random":
        manifest = read_csv(workspace.manifest(protocol.name), stage="20_preprocess")
        calibrate(model, scaled(images[_calibration_rows(manifest)], backbone, protocol.scaling))
    extraction = Extraction(
        weights=weights, weights_sha256=weights_sha256(model), backbone_key=save_backbone(model, workspace), **known
    )
    return extraction, model


def record_weights(experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace) -> None:
    """Obtain a backbone's weights for the jobs that compute shards of its features."""
    extraction, _ = obtain_weights(experiment, protocol, backbone, workspace)
    request = _request(experiment, protocol, workspace)
    write_json(workspace.weights(protocol.name, backbone), {"request": request, "extraction": vars(extraction)})


def recorded_weights(
    experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace
) -> Extraction | None:
    """What `record_weights` has left, if it would leave the same now."""
    path = workspace.weights(protocol.name, backbone)
    if not path.is_file():
        return None
    record = read_json(path, stage="25_features")
    found, known = record.get("extraction", {}), _known_before_weights(experiment, protocol, backbone, workspace)
    same = record.get("request") == _request(experiment, protocol, workspace) and {**found, **known} == found
    return Extraction(**found) if same and workspace.backbone(found["backbone_key"]).is_file() else None


def _request(experiment: Experiment, protocol: Protocol, workspace: Workspace) -> dict[str, str]:
    """What the weights depend on besides what features do: random ones are calibrated on training images."""
    return {"weights": experiment.weights, "manifest": sha256(workspace.manifest(protocol.name))}


def _known_before_weights(
    experiment: Experiment, protocol: Protocol, backbone: str, workspace: Workspace
) -> dict[str, Any]:
    """The part of an `Extraction` that does not depend on the weights."""
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
    record.pop("cuts", None)
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
    """The features for each depth of fine-tuning; rows that are not on disk, in whatever shards, are computed first.

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
    count = len(open_store(workspace, extraction.store_key))
    folders = [workspace.features(extraction.features_key(cut)) for cut in cuts_of(backbone, convs)]
    for start, stop in sorted({gap for folder in folders for gap in _gaps(folder, count)}):
        ensure_rows(extraction, backbone, convs, workspace, start, stop)
    return [_open(folder, count) for folder in folders]


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
        seconds, plain_rate = time.perf_counter() - began, prefix.plain_rate(images)
        for cut, draft, shape in zip(cuts, drafts, shapes, strict=True):
            seal(draft / "features.npy", draft / "features.npy")
            record = {
                "cut": cut,
                "shape": shape,
                "seconds": seconds,
                "shared": len(cuts),
                "plain_rate": plain_rate,
                "engine": engine_version(engine),
                **vars(extraction),
            }
            write_json(draft / "features.json", record)


def _shards_of(folder: Path) -> dict[tuple[int, int], Path]:
    """The shards in a feature set's folder, by their first row and the one behind their last."""
    found = {}
    for path in folder.glob("[0-9]*-[0-9]*"):
        start, stop = map(int, path.name.split("-"))
        found[start, stop] = path
    return found


def _shards_with(folder: Path, start: int, stop: int) -> list[tuple[int, Path]] | None:
    """Shards that together hold rows `start` to `stop`: the first row to take from each, and its folder."""
    shards, chosen = _shards_of(folder), []
    while start < stop:
        ends = {end: path for (first, end), path in shards.items() if first <= start < end}
        if not ends:
            return None
        chosen.append((start, ends[max(ends)]))
        start = max(ends)
    return chosen


def _gaps(folder: Path, count: int) -> list[tuple[int, int]]:
    """The longest runs of rows that no shard holds."""
    gaps, reached = [], 0
    for start, stop in [*sorted(_shards_of(folder)), (count, count)]:
        if start > reached:
            gaps.append((reached, start))
        reached = max(reached, stop)
    return gaps


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
        plain_rate=median(record["plain_rate"] for record in records),
    )


def _open_shard(folder: Path, first: int) -> tuple[Shard, dict[str, Any]]:
    record, path = read_json(folder / "features.json", stage="25_features"), folder / "features.npy"
    check_seal(path, stage="25_features", artefact=folder)
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
