from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.masking import MASKS, AuditImages, MaskedImages, choose_audit_images
from lab_utils.audits.protocol import ERRORS, ProtocolAudit
from lab_utils.core.catalogue import write_table_file
from lab_utils.core.config import Protocol, Scenario
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.manifest import build_manifest
from lab_utils.data.phantoms import write_phantoms
from lab_utils.data.store import ensure_store, open_store
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.runs import Run
from lab_utils.models.backbone import scaling_layer
from lab_utils.models.engine import to_rgb
from lab_utils.models.explain import Attribution
from lab_utils.models.pretrained import obtain_backbone, set_batchnorm_statistics
from lab_utils.models.runtime import keras
from lab_utils.reporting import error_page

PROTOCOL = Protocol(name="described", title="described")
SIZE = 64


def test_a_corner_marker_is_found_outside_the_lungs_by_probes_and_by_the_network(tmp_path: Path) -> None:
    lab = Workspace.open(str(tmp_path / "lab"))
    write_phantoms(tmp_path / "data", 120, faults=("marker",))
    dataset = obtain(str(tmp_path / "data"), lab)
    manifest, _ = build_manifest(dataset, PROTOCOL)
    store = ensure_store(dataset, manifest, PROTOCOL, SIZE, lab)
    data = LabelledImages(open_store(lab, store), manifest, tuple(dataset.classes), store, lab.features(""))
    backbone, _ = obtain_backbone("MobileNetV2", SIZE, weights="random", synthetic=True)
    scaling = scaling_layer("MobileNetV2", "unit")
    set_batchnorm_statistics(backbone, np.asarray(scaling(to_rgb(data.images[::5]))))
    head = [keras.layers.GlobalAveragePooling2D(), keras.layers.Dense(len(data.classes), "softmax")]
    model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), scaling, backbone, *head])
    run = Run(PROTOCOL, Scenario(name="head", title="head", trainable_convs=0), 0, tmp_path / "run")
    run.folder.mkdir()
    model.save(run.folder / "model.keras")
    images = choose_audit_images(dataset, data, lab)
    validation = manifest[manifest["split"] == "validation"]
    frame = predictions_table(
        validation, list(data.classes), model.predict(to_rgb(data.images[validation.index]), verbose=0)
    )
    write_table_file(run.folder / "predictions.csv", "predictions", frame)
    audit = ProtocolAudit(data, images, backbone, scaling, run)
    assert {name: values.shape[1] for name, values in audit.inputs.items()} == {
        "full": 1280, "histogram": 9, "thumbnail_8x8": 64, **dict.fromkeys(MASKS, 1280)
    }  # fmt: skip
    again = ProtocolAudit(data, images, backbone, scaling, run)
    again.__dict__["_extractor"] = None  # the cached features are read
    assert all((audit.inputs[name] == again.inputs[name]).all() for name in audit.inputs)
    probes = audit.probes().query("among == ''").set_index("input")
    for name in ("border", "frame_without_lungs"):
        assert probes["above_null"][name], name
    assert not probes["above_null"]["mask_only"]
    network = audit.network_inputs().query("among == ''").set_index("input")
    assert network.index.tolist() == ["full", *MASKS]
    masked = images.inputs["box_erased"].among(images.judged)
    direct = model.predict(to_rgb(masked[0 : len(masked)]), verbose=0)
    assert np.allclose(audit._network_probabilities()["box_erased"], direct, atol=1e-4)
    other = ProtocolAudit(data, images, backbone, scaling)
    assert "border" not in other.inputs, "only one protocol is probed with all masked images"
    assert len(other.network_inputs()) == 0


def test_what_the_images_or_the_network_do_not_allow_is_left_out_with_its_reason(tmp_path: Path) -> None:
    images = np.zeros((8, 8, 8), np.uint8)
    manifest = pd.DataFrame({"image_id": list("stuvwxyz"), "class": list("abababab"), "group": range(8), "source": ""})
    manifest = manifest.assign(split=["train"] * 4 + ["validation"] * 4, kind="image")
    data = LabelledImages(images, manifest, ("a", "b"), "k", tmp_path)
    chosen = AuditImages(manifest, {"full": MaskedImages(images, np.arange(8))}, None, "k", "no image has a lung mask")
    audit = ProtocolAudit(data, chosen, None, None)
    audit.__dict__["inputs"] = {"full": np.zeros((8, 2), np.float32)}
    audit.__dict__["_training_features"] = SimpleNamespace(values=np.zeros((8, 2), np.float32))
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.save(tmp_path / "model.keras")
    run = Run(PROTOCOL, Scenario(name="flat", title="flat", trainable_convs=0), 0, tmp_path)
    predict(run, manifest[4:], np.linspace(0.5, 0.9, 4))
    tables = [audit.probes(), audit.sources(), audit.suspects(), *audit.explain(run)]
    assert [len(table) for table in tables] == [0] * 5
    assert audit.grad_cam_maps(run) == {}
    assert audit.left_out == {
        "lungs erased, lungs only, attribution inside the lungs": "no image has a lung mask",
        "linear models": "the validation images form 4 groups; a permutation test needs 10",
        "suspect labels": "class a has 4; cross-validation needs two classes with images of 5 groups each",
        "source confounding": "no source has 20 images or more and lies on both sides of the split",
        "Grad-CAM, S1: flat": "Grad-CAM needs a feature map (N, h, w, K) that alone leads to the output; this model has none",
    }


def predict(run: Run, validation: pd.DataFrame, probabilities: np.ndarray) -> None:
    """Write a run's predictions of two classes; `probabilities` are of the first one."""
    table = predictions_table(validation, ["a", "b"], np.stack([probabilities, 1 - probabilities], axis=1))
    write_table_file(run.folder / "predictions.csv", "predictions", table)


def test_grad_cam_is_computed_once_of_the_sample_and_of_the_most_confident_predictions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"i{number}" for number in range(40)]
    manifest = pd.DataFrame({"image_id": names, "class": ["a", "b"] * 20, "group": range(40), "kind": "image"})
    manifest["split"] = ["train"] * 10 + ["validation"] * 30
    images, sample = np.zeros((40, 8, 8), np.uint8), np.arange(5, 20)
    data = LabelledImages(images, manifest, ("a", "b"), "k", tmp_path)
    chosen = manifest.iloc[sample].reset_index(drop=True)
    audit = ProtocolAudit(data, AuditImages(chosen, {"full": MaskedImages(images, sample)}, None, "k"), None, None)
    run = Run(PROTOCOL, Scenario(name="s", title="s", trainable_convs=0), 0, tmp_path)
    predict(run, manifest[10:], np.linspace(0.6, 0.99, 30))  # always a: images of class b are wrong
    asked: list[np.ndarray] = []

    def attribute(model: str, data: LabelledImages, rows: np.ndarray, random_rows: np.ndarray) -> Attribution:
        asked.append(rows)
        assert random_rows.tolist() == list(range(10)), "random heads explain images of the sample alone"
        confidence = np.linspace(0.6, 0.99, 30)[rows - 10].astype(np.float32)
        return Attribution(np.float32(rows)[:, None, None] * np.eye(2, dtype=np.float32), 0 * rows, confidence)

    monkeypatch.setattr("lab_utils.audits.protocol.attribute", attribute)
    monkeypatch.setattr("lab_utils.audits.protocol.load_model", lambda path, stage: "model")
    monkeypatch.setattr("lab_utils.audits.protocol.ERRORS", 3)
    examples, shown = audit.explain(run)[1], audit.grad_cam_maps(run)
    assert [rows.tolist() for rows in asked] == [[*range(10, 20), 35, 36, 37, 38, 39]]
    assert set(examples["image_id"]) == {"i36", "i38", "i37", "i39"}, "two of each class and outcome"
    assert list(shown) == [f"i{row}" for row in asked[0]]
    assert shown["i37"].max() == 37
    assert ERRORS == error_page.MOST


def test_suspects_and_sources_are_neither_masks_nor_test_images_nor_a_sample(tmp_path: Path) -> None:
    random, classes = np.random.default_rng(0), np.array(["a", "b"] * 40)
    names = [f"i{number}" for number in range(80)]
    manifest = pd.DataFrame({"image_id": names, "class": classes, "group": range(80), "kind": "image", "source": "x"})
    manifest["split"], manifest.loc[::3, "source"] = (["train"] * 2 + ["validation"] * 2) * 20, "y"
    manifest.loc[[0, 1], "kind"], manifest.loc[[2, 3], "split"] = "mask", "test"
    data = LabelledImages(np.zeros((80, 8, 8), np.uint8), manifest, ("a", "b"), "k", tmp_path)
    audit = ProtocolAudit(data, AuditImages(manifest[4:8], {}, None, "k"), None, None)
    values = random.normal(size=(80, 2)) + 4.0 * (classes == "a")[:, None]
    audit.__dict__["_training_features"] = SimpleNamespace(values=np.where(np.arange(80)[:, None] < 4, np.inf, values))
    contradicted = {"i8": "b", "i9": "a"}
    manifest["class"] = manifest["image_id"].map(contradicted).fillna(manifest["class"])
    assert set(audit.suspects()["image_id"][:2]) == set(contradicted)
    assert audit.sources()["images"][0] == 38
