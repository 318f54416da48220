"""Features: the outputs of frozen layers, computed once per image and shared by everything that trains on them."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lab_utils.core.errors import LabError
from lab_utils.core.files import atomic_write, digest, read_json, verify_checksum, write_checksum, write_json
from lab_utils.core.progress import progress
from lab_utils.data.arrays import ArrayWriter
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.backbone import trunk_of
from lab_utils.models.cut import Graph, graph_of, last_convolutions
from lab_utils.models.engine import FeatureExtractor, Float, engine_version
from lab_utils.models.runtime import keras

FORMAT = 5  # goes up when the same layers and images would give other features
STAGE = "25_features"


@dataclass(frozen=True)
class Features:
    """Features of one cut, on disk.

    Parameters
    ----------
    key : str
        Name of the folder: a digest of the frozen layers, their weights, the images, and the number format.
    values : float32 or float16 (N, ...)
        Read-only memory map; row i belongs to image i of the store.
    layer : str
        Name of the layer whose output this is.
    seconds : float
        Wall time of the pass over the images that computed it.
    shared : int
        How many feature sets that pass computed.
    uncached_rate : float
        Images per second through TensorFlow's forward pass, which training without cached features repeats in
        every epoch.
    """

    key: str
    values: NDArray[np.floating]
    layer: str
    seconds: float
    shared: int
    uncached_rate: float


def cached_features(graph: Graph, places: Sequence[int], data: LabelledImages) -> list[Features]:
    """Open the outputs of some steps of a graph for all images; those that are not on disk are computed first.

    Parameters
    ----------
    graph : Graph
    places : sequence of int
        Steps of the graph, as of `Graph.cut_place`; not -1.
    data : LabelledImages

    Returns
    -------
    list of Features
        One per place.

    Raises
    ------
    LabError
        If the disk has no room for the features, or a file on it is damaged.
    """
    folders = {place: data.features_folder / features_key(graph, place, data) for place in dict.fromkeys(places)}
    data.features_folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as locks:
        for folder in sorted(set(folders.values())):
            locks.enter_context(FileLock(folder.with_suffix(".lock")))
        missing = {place: folder for place, folder in folders.items() if not folder.is_dir()}
        if missing:
            _compute(graph, missing, data)
    return [open_features(folders[place], len(data)) for place in places]


def features_by_depth(
    backbone: keras.Model, scaling: Any, depths: Sequence[int], data: LabelledImages
) -> dict[int, Features]:
    """Compute in one pass what training needs of a backbone, for several depths of fine-tuning.

    Parameters
    ----------
    backbone : keras.Model
    scaling : keras.layers.Layer
        In front of the backbone.
    depths : sequence of int
        Numbers of the backbone's last convolutional layers that are trained.
    data : LabelledImages

    Returns
    -------
    dict
        Depth to its features.
    """
    graph = graph_of(trunk_of(backbone, scaling, data.shape))

    def place_of(depth: int) -> int:
        names = last_convolutions(backbone, depth)
        return graph.cut_place(lambda layer: layer.name in names)

    places = [place_of(depth) for depth in depths]
    return dict(zip(depths, cached_features(graph, places, data), strict=True))


def features_key(graph: Graph, place: int, data: LabelledImages) -> str:
    """Name a feature set by all that it depends on, and by nothing else."""
    return digest(FORMAT, graph.key(place), data.store_key, data.storage)


def _compute(graph: Graph, folders: dict[int, Path], data: LabelledImages) -> None:
    """Run once over the images and write the output of every step in `folders` into its folder."""
    began = time.perf_counter()
    model = keras.Model(graph.input, [graph.steps[place].output for place in folders])
    extractor = FeatureExtractor(model, data.images.shape[1:])
    shapes = [(len(data), *shape) for shape in extractor.shapes]
    with ExitStack() as stack:
        drafts = [stack.enter_context(atomic_write(folder)) for folder in folders.values()]
        for draft in drafts:
            draft.mkdir()
        with ExitStack() as files:
            writers = [
                files.enter_context(ArrayWriter(draft / "features.npy", shape, np.dtype(data.storage)))
                for draft, shape in zip(drafts, shapes, strict=True)
            ]
            bar = files.enter_context(progress(total=len(data), desc="features", unit="image"))

            def write(start: int, blocks: Sequence[Float]) -> None:
                for writer, block in zip(writers, blocks, strict=True):
                    writer.write(start, block)
                bar.update(len(blocks[0]))

            engine = extractor.run(data.images, write)
        record = {
            "seconds": time.perf_counter() - began,
            "shared": len(folders),
            "uncached_rate": extractor.tensorflow_rate(data.images),
            "engine": engine_version(engine),
        }
        for place, draft in zip(folders, drafts, strict=True):
            write_checksum(draft / "features.npy")
            write_json(draft / "features.json", {"layer": graph.steps[place].layer.name, **record})


def open_features(folder: Path, count: int) -> Features:
    """Open a feature set of `count` rows; raises LabError, which says to delete the folder, if it is damaged."""
    record = read_json(folder / "features.json", stage=STAGE)
    path = folder / "features.npy"
    verify_checksum(path, stage=STAGE, artefact=folder)
    try:
        values = np.load(path, mmap_mode="r", allow_pickle=False)
        if len(values) != count:
            raise ValueError(f"{len(values)} rows, expected {count}")
    except (OSError, ValueError) as error:
        raise LabError(f"{path}: not readable ({error}); delete {folder} and run stage {STAGE} again") from error
    names = ("layer", "seconds", "shared", "uncached_rate")
    return Features(folder.name, values, **{name: record[name] for name in names})
