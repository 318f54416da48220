"""Images, their classes and their split, as the models' fit and predict take them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Precision, Protocol, Storage
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels
from lab_utils.data.store import ensure_store, open_store


@dataclass(frozen=True)
class LabelledImages:
    """Images of one protocol with their classes and their split."""

    images: Pixels  # uint8 (N, H, W) or (N, H, W, 3), in [0, 255]: a memory map of the image store, or an array
    manifest: pd.DataFrame  # columns image_id, class, split and group; row i describes image i
    classes: tuple[str, ...]  # in the order of the model's outputs
    store_key: str  # key of the image store; cached features depend on it
    features_folder: Path  # folder of the cached features
    storage: Storage = "float32"  # number format of the cached features on disk
    precision: Precision = "float32"  # of matrix products in training

    def __len__(self) -> int:
        """Return the number of images."""
        return len(self.manifest)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of one image as the network sees it: (H, W, 3)."""
        height, width = self.images.shape[1:3]
        return height, width, 3

    @property
    def labels(self) -> NDArray[np.float32]:
        """One-hot classes: float32 (N, C), columns in the order of `classes`."""
        index = pd.Index(self.classes).get_indexer(pd.Index(self.manifest["class"]))
        return np.eye(len(self.classes), dtype=np.float32)[index]

    def rows(self, split: str) -> NDArray[np.int64]:
        """Return the rows of one side of the split: "train", "validation" or "test", as int64.

        There may be none of "test".
        """
        return np.flatnonzero(self.manifest["split"] == split)


def prepare_test_images(
    dataset: Dataset,
    manifest: pd.DataFrame,
    classes: tuple[str, ...],
    protocol: Protocol,
    size: int,
    workspace: Workspace,
    *,
    storage: Storage = "float32",
) -> LabelledImages:
    """Prepare images that no network was trained on, as the images of a protocol are prepared.

    Parameters
    ----------
    dataset, manifest
        The files, and the rows that `read_images` gives for them, one or more; every row is in the set "test".
    classes : tuple of str
        Classes in the order of the model's outputs.
    size : int
        Side of the square in pixels.
    workspace : Workspace
        Where the image store and cached features go.
    """
    key = ensure_store(dataset, manifest, protocol, size, workspace)
    return LabelledImages(
        images=open_store(workspace, key),
        manifest=manifest.assign(split="test"),
        classes=classes,
        store_key=key,
        features_folder=workspace.features(""),
        storage=storage,
    )
