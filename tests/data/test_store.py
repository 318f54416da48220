"""The image store: order, key, channels, lung masks, what is no longer readable."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, obtain
from lab_utils.data.decode import decode, resize
from lab_utils.data.manifest import build_manifest
from lab_utils.data.store import ensure_masks, ensure_store, open_store, store_key

RAMP = np.arange(12 * 10, dtype=np.uint8).reshape(12, 10)


PROTOCOL = Protocol(name="described", title="described")


@pytest.fixture
def data(phantom_copy: Path, lab: Workspace) -> Dataset:
    return obtain(str(phantom_copy), lab)


def test_the_store_is_a_memory_map_in_the_order_of_the_manifest(data: Dataset, lab: Workspace) -> None:
    manifest, _ = build_manifest(data, PROTOCOL)
    store = open_store(lab, ensure_store(data, manifest, PROTOCOL, 32, lab))
    assert isinstance(store, np.memmap)
    assert (store.dtype, store.shape) == (np.uint8, (53, 32, 32))
    for row in (0, 17, 52):
        path = data.root / manifest["image_id"][row]
        assert (store[row] == resize(decode(path.read_bytes()), 32, "bilinear")).all()


def test_one_colour_image_gives_all_three_channels(data: Dataset, lab: Workspace) -> None:
    path = data.root / "COVID" / "images" / "COVID-1.png"
    Image.fromarray(np.stack([RAMP, RAMP // 2, RAMP // 3], axis=-1)).save(path)
    manifest, _ = build_manifest(data, PROTOCOL)
    store = open_store(lab, ensure_store(data, manifest, PROTOCOL, 32, lab))
    assert store.shape == (53, 32, 32, 3)
    assert (store[5, ..., 0] == store[5, ..., 2]).all()
    assert (store[0, ..., 0] != store[0, ..., 2]).any()


def test_the_key_is_what_the_pixels_depend_on(data: Dataset) -> None:
    manifest, _ = build_manifest(data, PROTOCOL)
    key = store_key(manifest, PROTOCOL, 32)
    assert store_key(manifest.assign(split="train", group=0), PROTOCOL, 32) == key
    nearest = Protocol(name="published", title="published", interpolation="nearest")
    others = [
        store_key(manifest, PROTOCOL, 64),
        store_key(manifest, nearest, 32),
        store_key(manifest[::-1], PROTOCOL, 32),
    ]
    assert len({key, *others}) == 4


def test_a_finished_store_is_not_written_again(data: Dataset, lab: Workspace) -> None:
    manifest, _ = build_manifest(data, PROTOCOL)
    path = lab.images(ensure_store(data, manifest, PROTOCOL, 32, lab)) / "images.npy"
    before = path.stat().st_mtime_ns
    ensure_store(data, manifest, PROTOCOL, 32, lab)
    assert path.stat().st_mtime_ns == before


def test_a_file_that_vanished_is_named(data: Dataset, lab: Workspace) -> None:
    manifest, _ = build_manifest(data, PROTOCOL)
    (data.root / manifest["image_id"][3]).unlink()
    with pytest.raises(
        LabError, match=rf"{manifest['image_id'][3]}: was readable when the manifest was made.*stage 20 again"
    ):
        ensure_store(data, manifest, PROTOCOL, 32, lab)
    assert not list(lab.root.rglob("*.npy"))


def test_a_missing_store_names_its_stage(lab: Workspace) -> None:
    with pytest.raises(LabError, match="run stage 20_preprocess first"):
        open_store(lab, "0" * 16)


def test_decoding_in_parallel_keeps_the_order(data: Dataset) -> None:
    manifest, _ = build_manifest(data, PROTOCOL)
    assert manifest["image_id"].tolist() == sorted(manifest["image_id"], key=lambda name: (name.split("/")[0], name))
    assert pd.Series(manifest["image_id"]).is_unique


def test_a_store_of_masks_has_a_row_per_image_and_black_where_there_is_none(phantoms: Path, lab: Workspace) -> None:
    data = obtain(str(phantoms), lab)
    masks = ["COVID/masks/COVID-1.png", "COVID/masks/gone.png", "COVID/masks/COVID-2.png"]
    manifest = pd.DataFrame({"mask": masks, "lungs": [0.2, np.nan, 0.2]})
    store = open_store(lab, ensure_masks(data, manifest, 64, lab))
    assert store.shape == (3, 64, 64)
    assert not store[1].any()
    for row in (0, 2):
        mask = np.asarray(Image.open(phantoms / masks[row]).convert("L"))
        assert set(np.unique(store[row])) == {0, 255}
        assert abs((store[row] > 127).mean() - (mask > 127).mean()) < 0.01
