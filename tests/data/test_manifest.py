"""The manifest: one row per image, unreadable images left out, duplicates grouped."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, obtain
from lab_utils.data.manifest import build_manifest, list_items
from lab_utils.data.quality import collect_findings
from tests.conftest import write_classes
from tests.dicom import write_dicom

PROTOCOL = Protocol(name="described", title="described")


def test_one_row_per_image(phantoms: Path, lab: Workspace) -> None:
    manifest, unreadable = build_manifest(obtain(str(phantoms), lab), PROTOCOL)
    assert list(manifest.columns) == list(catalogue()["manifest"].columns)
    assert len(unreadable) == 0
    assert len(manifest) == 53
    first = manifest.iloc[0]
    assert (first["image_id"], first["class"], first["mask"]) == (
        "COVID/images/COVID-1.png",
        "COVID",
        "COVID/masks/COVID-1.png",
    )
    assert (first["width"], first["height"], bool(first["grey"])) == (299, 299, True)
    assert set(manifest["split"]) == {"train", "validation"}


def test_files_are_listed_as_keras_lists_them(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 101, "b": 3}, size=8)
    names = list_items(obtain(str(root), lab), masks=False)["image_id"].tolist()
    assert names[:4] == ["a/a-1.png", "a/a-10.png", "a/a-100.png", "a/a-101.png"]


def test_masks_count_as_images_where_the_protocol_says_so(phantoms: Path, lab: Workspace) -> None:
    data = obtain(str(phantoms), lab)
    items = list_items(data, masks=True)
    assert items["kind"].value_counts().to_dict() == {"image": 53, "mask": 53}
    covid = items[items["class"] == "COVID"]["kind"].tolist()
    assert covid == ["image"] * 8 + ["mask"] * 8


def test_an_unreadable_image_is_left_out_and_reported(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 40, "b": 40}, size=16)
    (root / "a" / "a-7.png").write_bytes(b"no image")
    (root / "b" / "b-7.png").write_bytes((root / "b" / "b-7.png").read_bytes()[:100])
    data = obtain(str(root), lab)
    manifest, unreadable = build_manifest(data, PROTOCOL)
    assert len(manifest) == 78
    assert unreadable["image_id"].tolist() == ["a/a-7.png", "b/b-7.png"]
    findings = collect_findings(data, manifest, unreadable, PROTOCOL)
    assert findings[findings["check"] == "unreadable"]["action"].tolist() == ["left out", "left out"]
    assert "unknown format" in findings["detail"].iloc[0]


def test_dicom_files_without_pixels_are_left_out_and_are_no_damage(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 10, "b": 10}, size=16)
    report = write_dicom(np.zeros((4, 4), np.uint8), PixelData=None)
    for number in range(9):
        (root / "a" / f"report-{number}").write_bytes(report)
    data = obtain(str(root), lab)
    manifest, left_out = build_manifest(data, PROTOCOL)
    assert (len(manifest), left_out["check"].tolist()) == (20, ["no image"] * 9)
    for number in range(9):
        (root / "a" / f"report-{number}").write_bytes(report[:-3])
    with pytest.raises(LabError, match=r"class a: 9 of 19 images cannot be decoded.*DICOM truncated before its pixel"):
        build_manifest(data, PROTOCOL)


def test_too_many_unreadable_images_of_a_class_are_fatal(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 40, "b": 40}, size=16)
    for number in range(1, 6):
        (root / "b" / f"b-{number}.png").write_bytes(b"")
    data = obtain(str(root), lab)
    assert len(build_manifest(data, PROTOCOL)[1]) == 5, "a handful"
    (root / "b" / "b-6.png").write_bytes(b"")
    with pytest.raises(
        LabError, match=r"class b: 6 of 40 images cannot be decoded, more than 5%.*; the first is b/b-1\.png"
    ):
        build_manifest(data, PROTOCOL)


def test_a_class_without_a_readable_image_is_fatal_however_small(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 40, "b": 2}, size=16)
    for path in (root / "b").iterdir():
        path.write_bytes(b"")
    with pytest.raises(LabError, match="class b: 2 of 2 images cannot be decoded"):
        build_manifest(obtain(str(root), lab), PROTOCOL)


def with_patients(root: Path, lab: Workspace, patients: list[str], given: list[str]) -> Dataset:
    """A table data set of as many noise images, of classes a and b in turn."""
    write_classes(root, {"images": len(patients)}, size=16)
    names = [f"images-{number}.png" for number in range(1, len(patients) + 1)]
    labels = ["ab"[number % 2] for number in range(len(patients))]
    table = pd.DataFrame({"image": names, "label": labels, "patient": patients, "split": given})
    table.to_csv(root / "labels.csv", index=False)
    return obtain(str(root), lab)


def test_patients_are_never_divided_by_corrected_and_their_crossing_is_a_finding(
    tmp_path: Path, lab: Workspace
) -> None:
    data = with_patients(tmp_path / "d", lab, [f"p{n // 4}" for n in range(80)], [""] * 80)
    assert data.patients_known
    for split, crosses in (("grouped", False), ("stratified", True)):
        protocol = Protocol(name="p", title="p", split=split)
        manifest, left_out = build_manifest(data, protocol)
        assert manifest["group"].nunique() == 20
        assert (manifest.groupby("patient")["split"].nunique() > 1).any() == crosses
        findings = collect_findings(data, manifest, left_out, protocol)
        rows = findings[findings["check"] == "patient on both sides"]
        assert (len(rows) > 0) == crosses
        assert (
            rows["detail"]
            .str.fullmatch(r"Patient p\d+ has images on several sides of the split: [123] train, .*")
            .all()
        )


def test_a_patient_in_the_given_test_set_is_left_out_of_training(tmp_path: Path, lab: Workspace) -> None:
    patients = [f"p{n}" for n in range(40)]
    patients[0] = patients[39]
    given = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    data = with_patients(tmp_path / "d", lab, patients, given)
    assert data.given == {"train": 20, "validation": 10, "test": 10}
    protocol = Protocol(name="given", title="given", split="given")
    manifest, left_out = build_manifest(data, protocol)
    assert manifest["split"].value_counts().to_dict() == {"train": 19, "validation": 10, "test": 10}
    row = collect_findings(data, manifest, left_out, protocol).iloc[0].to_dict()
    assert (row["check"], row["image_id"], row["action"]) == ("divided patient", "images/images-1.png", "left out")
    assert row["detail"] == "Its patient has images in the validation or test set."


def test_one_name_for_all_images_is_no_patient(tmp_path: Path, lab: Workspace) -> None:
    manifest, _ = build_manifest(with_patients(tmp_path / "d", lab, ["p"] * 20, [""] * 20), PROTOCOL)
    assert set(manifest["patient"]) == {""}
    assert manifest["group"].nunique() == 20


def test_images_of_one_hash_share_a_group(phantom_copy: Path, lab: Workspace) -> None:
    folder = phantom_copy / "Normal" / "images"
    (folder / "Normal-2.png").write_bytes((folder / "Normal-1.png").read_bytes())
    manifest, _ = build_manifest(obtain(str(phantom_copy), lab), PROTOCOL)
    groups = manifest.set_index("image_id")["group"]
    assert groups["Normal/images/Normal-1.png"] == groups["Normal/images/Normal-2.png"]
