"""The manifest: one row per image, unreadable images left out, duplicates grouped."""

from pathlib import Path

import pytest

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Protocol
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.manifest import build_manifest, list_items
from lab_utils.data.quality import collect_findings
from tests.conftest import write_classes

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


def test_too_many_unreadable_images_of_a_class_are_fatal(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 40, "b": 40}, size=16)
    for number in (1, 2, 3):
        (root / "b" / f"b-{number}.png").write_bytes(b"")
    data = obtain(str(root), lab)
    with pytest.raises(
        LabError, match=r"class b: 3 of 40 images cannot be decoded, more than 5%; the first is b/b-1\.png"
    ):
        build_manifest(data, PROTOCOL)


def test_images_of_one_hash_share_a_group(phantom_copy: Path, lab: Workspace) -> None:
    folder = phantom_copy / "Normal" / "images"
    (folder / "Normal-2.png").write_bytes((folder / "Normal-1.png").read_bytes())
    manifest, _ = build_manifest(obtain(str(phantom_copy), lab), PROTOCOL)
    groups = manifest.set_index("image_id")["group"]
    assert groups["Normal/images/Normal-1.png"] == groups["Normal/images/Normal-2.png"]
