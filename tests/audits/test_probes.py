from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.probes import (
    View,
    audited,
    coefficients,
    histogram,
    inputs_of,
    linear_model,
    probe,
    shortcuts,
    sources,
    thumbnail,
)
from lab_utils.core.config import Fault, Protocol
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, obtain
from lab_utils.data.manifest import build_manifest
from lab_utils.data.phantoms import write_phantoms
from lab_utils.data.store import ensure_store, open_store
from lab_utils.models.backbone import calibrate, obtain_backbone, save_backbone
from lab_utils.models.features import Extraction, scaled

PROTOCOL = Protocol(name="described", title="described")
SIZE = 64


def test_a_view_keeps_or_erases_what_the_mask_covers() -> None:
    images = np.arange(1, 33, dtype=np.uint8).reshape(2, 4, 4)
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, :2] = 255
    rows = np.array([1])
    kept, erased = View(images, rows, masks)[0:1], View(images, rows, masks, inverted=True)[0:1]
    assert kept.dtype == erased.dtype == np.uint8
    assert (kept + erased == images[1:]).all()
    assert not kept[0, 2:].any()
    assert not erased[0, :2].any()
    colour = np.stack([images] * 3, axis=-1)
    assert (View(colour, rows, masks)[0:1] == kept[..., None]).all()
    assert View(images, np.array([0, 1]), masks).only(np.array([1])).rows.tolist() == [1]
    assert (View(images, rows)[0:1] == images[1:]).all()


def test_nine_statistics_by_hand() -> None:
    found = histogram(np.array([[0, 0], [10, 10]], np.uint8))
    assert found.tolist() == [5, 5, 0, 1, 0, 0, 0, 10, 10]
    assert histogram(np.full((4, 4), 7, np.uint8)).tolist() == [7, 0, 0, 0, 7, 7, 7, 7, 7]


def test_a_thumbnail_is_of_means() -> None:
    image = np.zeros((16, 16), np.uint8)
    image[:2, :2] = [[10, 20], [30, 40]]
    found = thumbnail(image)
    assert found.shape == (64,)
    assert found[0] == 25
    assert found[1:].sum() == 0


@pytest.mark.parametrize("classes", [2, 3])
def test_coefficients_give_the_model_s_own_scores(classes: int) -> None:
    random = np.random.default_rng(0)
    values = random.normal(3, 2, (60, 5)).astype(np.float32)
    labels = np.array(list("abc"), object)[random.integers(0, classes, 60)]
    model = linear_model(values, labels)
    weights, biases = coefficients(model)
    scores = values @ weights.T + biases
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(shares, model.predict_proba(values), atol=1e-4)


def manifest_of(labels: list[str]) -> pd.DataFrame:
    rows = range(len(labels))
    sides = [("train", "validation")[n % 3 == 0] for n in rows]
    return pd.DataFrame(
        {"image_id": [f"i{n}" for n in rows], "group": rows, "split": sides, "class": labels, "source": ""}
    )


def test_shuffled_labels_fall_to_chance_and_true_ones_do_not() -> None:
    random = np.random.default_rng(1)
    labels = [("a", "b", "c")[n] for n in random.integers(0, 3, 300)]
    values = (pd.get_dummies(pd.Series(labels)).to_numpy() + random.normal(0, 0.3, (300, 3))).astype(np.float32)
    manifest = manifest_of(labels)
    found = shortcuts({"full": values, "border": random.normal(size=(300, 4)).astype(np.float32)}, manifest)
    found = found.set_index("input")
    assert list(found.index) == ["full", "border", "permuted_labels"]
    assert found["accuracy"]["full"] > 0.9
    for name in ("border", "permuted_labels"):
        assert found["low"][name] < 1 / 3 < found["high"][name]
    assert (probe(values, manifest["class"], manifest)["y_true"] == np.array(labels)[::3]).all()


def test_sources_are_predicted_where_there_are_sheets() -> None:
    random = np.random.default_rng(2)
    labels = ["a"] * 150 + ["b"] * 150
    manifest = manifest_of(labels)
    assert len(sources(np.zeros((300, 2), np.float32), manifest)) == 0
    place = random.integers(0, 2, 300)
    manifest["source"] = np.where(np.array(labels) == "a", np.array(["x", "y"], object)[place], "z")
    values = np.column_stack([place, random.normal(size=300)]).astype(np.float32)
    found = sources(values, manifest).set_index(["question", "among"])
    assert found["accuracy"]["class from the source", ""] == 1
    assert found["accuracy"]["source from the image", "a"] == 1
    assert ("source from the image", "b") not in found.index
    assert found["choices"]["source from the image", ""] == 3
    manifest.loc[0, "source"] = "small"
    assert len(sources(values, manifest)) == len(found), "a source of one image takes no question away"


def audit_phantoms(root: Path, lab: Workspace, faults: tuple[Fault, ...]) -> pd.DataFrame:
    """The shortcut audit on 120 phantoms, from files to scores."""
    write_phantoms(root, 120, faults=faults)
    data = obtain(str(root), lab)
    manifest, _ = build_manifest(data, PROTOCOL)
    store = ensure_store(data, manifest, PROTOCOL, SIZE, lab)
    backbone, weights = obtain_backbone("MobileNetV2", SIZE, weights="random", synthetic=True)
    calibrate(backbone, scaled(open_store(lab, store)[::5], "MobileNetV2", "unit"))
    key = save_backbone(backbone, lab)
    extraction = Extraction("MobileNetV2", weights, key, key, store, "unit", SIZE, "float32")
    chosen = audited(data, manifest, store, lab)
    inputs = inputs_of(chosen, extraction, backbone, lab)
    assert {name: values.shape for name, values in inputs.items()} == {
        "histogram": (len(manifest), 9),
        "thumbnail_8x8": (len(manifest), 64),
        **dict.fromkeys(("full", "border", "lungs_erased", "lungs_only"), (len(manifest), 1280)),
    }
    again = inputs_of(chosen, extraction, backbone, lab)
    assert all((inputs[name] == again[name]).all() for name in inputs)
    return shortcuts(inputs, chosen.manifest).set_index("input")


def test_a_corner_marker_is_found_at_the_border_and_nothing_there_without_it(tmp_path: Path) -> None:
    majority = 0.48
    found = {}
    for faults in ((), ("marker",)):
        name = "-".join(faults) or "none"
        lab = Workspace.open(str(tmp_path / f"lab-{name}"))
        found[name] = audit_phantoms(tmp_path / name, lab, faults)
    assert found["marker"]["low"]["border"] > majority > found["none"]["low"]["border"]
    assert majority > found["none"]["low"]["lungs_erased"]
    for table in found.values():
        assert table["low"]["permuted_labels"] < majority


def test_without_masks_there_is_no_input_that_needs_one(lab: Workspace) -> None:
    count = 12
    images = np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE)).astype(np.uint8)
    (lab.images("k")).mkdir(parents=True)
    np.save(lab.images("k") / "images.npy", images)
    manifest = pd.DataFrame({"kind": "image", "class": ["a", "b"] * 6, "lungs": np.nan, "mask": ""})
    chosen = audited(Dataset("folder", lab.root, "", {}), manifest, "k", lab)
    assert list(chosen.views) == ["full", "border"]
    assert chosen.masks is None
    assert len(chosen.manifest) == count
    border = chosen.views["border"][0:1]
    assert (border[0, :8] == images[0, :8]).all()
    assert not border[0, 8:-8, 8:-8].any()
