"""Features: the outputs of frozen layers, computed once per image and kept on disk."""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Depth
from lab_utils.core.files import atomic_write, digest, read_json, reading, write_checksum, write_json
from lab_utils.core.locks import locked
from lab_utils.core.progress import progress
from lab_utils.data.arrays import ArrayWriter
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.backbone import STAGE, trunk_of
from lab_utils.models.convolutions import last_convolutions
from lab_utils.models.cost import announce_features
from lab_utils.models.cut import Graph, graph_of
from lab_utils.models.engine import FeatureExtractor, Float, engine_version
from lab_utils.models.runtime import keras

FORMAT = 6  # goes up when the same layers and images would give other features
DRAWN = 1000  # images in a scatter plot


@dataclass(frozen=True)
class Features:
    """Features of one cut, on disk."""

    key: str  # name of the folder: a digest of the frozen layers, their weights, the images, and the number format
    values: NDArray[Any]  # float32 or float16 (N, ...), a read-only memory map; row i is of image i
    layer: str  # name of the layer whose output this is
    seconds: float  # of the pass over the images that computed it
    shared: int  # how many feature sets that pass computed
    uncached_rate: float  # images per second of the pass that uncached training repeats; 0 if nothing is trained


def cached_features(graph: Graph, places: Sequence[int], data: LabelledImages) -> list[Features]:
    """Open the outputs of some steps for all images; compute those that are missing.

    Steps are numbers of `Graph.cut_place`, not -1.

    Raises LabError if the disk has no room for the features, or a file on it is damaged.
    """
    keys = {place: digest(FORMAT, graph.key(place), data.store_key, data.storage) for place in places}
    folders = {place: data.features_folder / key for place, key in keys.items()}
    data.features_folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for folder in sorted(set(folders.values())):
            locks.enter_context(locked(folder.with_suffix(".lock")))
        missing = {place: folder for place, folder in folders.items() if not _is_complete(folder)}
        if missing:
            _compute(graph, missing, data)
    return [_open(folders[place], len(data)) for place in places]


def features_by_depth(
    backbone: keras.Model, scaling: Any, depths: Sequence[Depth], data: LabelledImages
) -> dict[Depth, Features]:
    """Compute in one pass what training needs of a backbone behind the layer `scaling`.

    `depths` are numbers of its last convolutional layers that are trained, or "all". A depth that leaves no layer
    frozen is left out of the result.
    """
    graph = graph_of(trunk_of(backbone, scaling, data.shape))

    def place_of(depth: Depth) -> int:
        trained = last_convolutions(backbone, depth, graph)
        return graph.cut_place(lambda layer: layer in trained)

    places = {depth: place for depth in depths if (place := place_of(depth)) >= 0}
    return dict(zip(places, cached_features(graph, list(places.values()), data), strict=True))


def _is_complete(folder: Path) -> bool:
    return (folder / "features.npy").is_file() and (folder / "features.json").is_file()


def _compute(graph: Graph, folders: Mapping[int, Path], data: LabelledImages) -> None:
    """Run once over the images and write the output of every step in `folders` into its folder."""
    steps = [graph.steps[place] for place in folders]
    extractor = FeatureExtractor(keras.Model(graph.input, [step.output for step in steps]), data.images.shape[1:])
    rate = extractor.tensorflow_rate(data.images) if len(data.rows("train")) else 0.0  # measuring takes a second or two
    record: dict[str, Any] = {"shared": len(folders), "uncached_rate": rate}
    for step, shape in zip(steps, extractor.shapes, strict=True):
        size = len(data) * int(np.prod(shape)) * np.dtype(data.storage).itemsize
        announce_features(step.layer.name, size, data, rate)
    began = time.perf_counter()
    with ExitStack() as files:
        writers = [
            files.enter_context(_writer(folder, step.layer.name, (len(data), *shape), data.storage, record))
            for folder, step, shape in zip(folders.values(), steps, extractor.shapes, strict=True)
        ]
        with progress(total=len(data), desc="features", unit="image") as bar:

            def write(start: int, blocks: Sequence[Float]) -> None:
                for writer, block in zip(writers, blocks, strict=True):
                    writer.write(start, block)
                bar.update(len(blocks[0]))

            record["engine"] = engine_version(extractor.run(data.images, write))
        record["seconds"] = time.perf_counter() - began


@contextmanager
def _writer(
    folder: Path, layer: str, shape: tuple[int, ...], storage: str, record: Mapping[str, Any]
) -> Iterator[ArrayWriter]:
    """Write a feature set: its array block by block, and at the end `record`."""
    with atomic_write(folder) as draft:
        draft.mkdir()
        with ArrayWriter(draft / "features.npy", shape, np.dtype(storage)) as writer:
            yield writer
        write_checksum(draft / "features.npy")
        write_json(draft / "features.json", {"layer": layer, **record})


def _open(folder: Path, count: int) -> Features:
    """Open a feature set of `count` images; raises LabError if it is damaged."""
    record = read_json(folder / "features.json", stage=STAGE)
    with reading(folder / "features.npy", "features", stage=STAGE):
        values = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        if len(values) != count:
            raise ValueError(f"{len(values)} rows, expected {count}")
    return Features(
        folder.name, values, **{name: record[name] for name in ("layer", "seconds", "shared", "uncached_rate")}
    )


def cut_table(features: Mapping[Depth, Features]) -> pd.DataFrame:
    """List where a backbone is cut, for each depth of fine-tuning.

    Returns
    -------
    DataFrame
        Columns trainable_convs, layer (the last frozen one), values (per image), megabytes (10^6 bytes on disk),
        images_per_second (of the pass that computed them).
    """
    rows = [
        (depth, cut.layer, int(np.prod(cut.values.shape[1:])), cut.values.nbytes / 1e6, len(cut.values) / cut.seconds)
        for depth, cut in features.items()
    ]
    return pd.DataFrame(rows, columns=["trainable_convs", "layer", "values", "megabytes", "images_per_second"])


def principal_components(features: Features, *, seed: int = 0) -> tuple[Float, Float, NDArray[np.int64]]:
    """Project features of up to 1,000 images on the two directions in which they vary most.

    Returns
    -------
    points : float32 (n, 2)
    explained : float32 (2,), in [0, 1]
        Share of the variance along each direction.
    rows : int64 (n,)
        Images of the points, drawn at random.
    """
    from sklearn.decomposition import PCA  # a second, which training need not wait for

    rows = np.random.default_rng(seed).permutation(len(features.values))[:DRAWN]
    values = np.asarray(features.values[rows], np.float32).reshape(len(rows), -1)  # up to 190 MB, twice as float64
    pca = PCA(n_components=2, copy=False, random_state=seed)
    return pca.fit_transform(values), pca.explained_variance_ratio_, rows
