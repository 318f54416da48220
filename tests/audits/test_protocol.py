from pathlib import Path

import numpy as np
import pandas as pd

from lab_utils.audits.masking import AuditImages, MaskedImages, choose_audit_images
from lab_utils.audits.probes import probe_scores
from lab_utils.audits.protocol import ProtocolAudit
from lab_utils.core.config import Fault, Protocol, Scenario
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.manifest import build_manifest
from lab_utils.data.phantoms import write_phantoms
from lab_utils.data.store import ensure_store, open_store
from lab_utils.evaluation.runs import Run
from lab_utils.models.backbone import scaling_layer
from lab_utils.models.engine import to_rgb
from lab_utils.models.pretrained import obtain_backbone, set_batchnorm_statistics
from lab_utils.models.runtime import keras

PROTOCOL = Protocol(name="described", title="described")
SIZE = 64


def audit_phantoms(root: Path, lab: Workspace, faults: tuple[Fault, ...]) -> pd.DataFrame:
    """The probes on 120 phantoms, from files to scores."""
    write_phantoms(root, 120, faults=faults)
    dataset = obtain(str(root), lab)
    manifest, _ = build_manifest(dataset, PROTOCOL)
    store = ensure_store(dataset, manifest, PROTOCOL, SIZE, lab)
    data = LabelledImages(open_store(lab, store), manifest, tuple(dataset.classes), store, lab.features(""))
    backbone, _ = obtain_backbone("MobileNetV2", SIZE, weights="random", synthetic=True)
    scaling = scaling_layer("MobileNetV2", "unit")
    set_batchnorm_statistics(backbone, np.asarray(scaling(to_rgb(data.images[::5]))))
    images = choose_audit_images(dataset, data, lab)
    inputs = ProtocolAudit(data, images, backbone, scaling).inputs
    assert {name: values.shape for name, values in inputs.items()} == {
        "histogram": (len(manifest), 9),
        "thumbnail_8x8": (len(manifest), 64),
        **dict.fromkeys(("full", "border", "lungs_erased", "lungs_only"), (len(manifest), 1280)),
    }
    again = ProtocolAudit(data, images, backbone, scaling).inputs
    assert all((inputs[name] == again[name]).all() for name in inputs)
    return probe_scores(inputs, images.manifest).set_index("input")


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


def test_what_the_images_or_the_network_do_not_allow_is_left_out_with_its_reason(tmp_path: Path) -> None:
    images = np.zeros((8, 8, 8), np.uint8)
    manifest = pd.DataFrame({"image_id": list("stuvwxyz"), "class": list("abababab"), "group": range(8), "source": ""})
    manifest["split"] = ["train"] * 4 + ["validation"] * 4
    data = LabelledImages(images, manifest, ("a", "b"), "k", tmp_path)
    chosen = AuditImages(manifest, {"full": MaskedImages(images, np.arange(8))}, None, "k", "no image has a lung mask")
    audit = ProtocolAudit(data, chosen, None, None)
    audit.__dict__["inputs"] = {"full": np.zeros((8, 2), np.float32)}
    model = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.Flatten(), keras.layers.Dense(2, "softmax")])
    model.save(tmp_path / "model.keras")
    run = Run(PROTOCOL, Scenario(name="flat", title="flat", trainable_convs=0), 0, tmp_path)
    tables = [audit.probes(), audit.sources(), *audit.explain(run)]
    assert [len(table) for table in tables] == [0] * 4
    assert audit.left_out == {
        "lungs erased, lungs only, attribution inside the lungs": "no image has a lung mask",
        "linear models": "the validation images form 4 groups; an interval needs 10",
        "source confounding": "no source has 20 images or more and lies on both sides of the split",
        "Grad-CAM, S1: flat": "Grad-CAM needs a feature map (N, h, w, K) that alone leads to the output; this model has none",
    }
