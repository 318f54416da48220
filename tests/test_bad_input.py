"""Broken input of every kind: each ends in success with a finding, or in one clear message. No traceback, no wrong result."""

import io
import json
import os
import re
import resource
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image
from pydicom.uid import JPEGLosslessSV1

from lab_utils.core.catalogue import read_table, table_path, write_table
from lab_utils.core.config import Protocol, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_checksum, write_json
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset, obtain
from lab_utils.data.manifest import build_manifest
from lab_utils.data.quality import collect_findings
from lab_utils.data.store import ensure_store, open_store
from lab_utils.evaluation.runs import Run, finished_runs
from lab_utils.lab import open_lab
from lab_utils.models.backbone import BackboneRecord, load_backbone, load_model
from lab_utils.models.features import features_by_depth
from lab_utils.models.pretrained import obtain_backbone
from lab_utils.models.runtime import keras
from tests.conftest import PROJECT, run_stage, tiny_settings, write_classes
from tests.dicom import write_dicom
from tests.png import chunk

PROTOCOL = Protocol(name="described", title="described")
NOISE = np.random.default_rng(0).integers(0, 255, (40, 40)).astype(np.uint8)
MEMORY = 400  # MB that a picture may cost at most


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


GREY, COLOUR = Image.fromarray(NOISE), Image.fromarray(np.stack([NOISE, NOISE.T, NOISE[::-1]], -1))
PNG, JPEG = encoded(GREY), encoded(GREY, "JPEG")


def png_of(width: int, height: int, data: bytes, *more: bytes) -> bytes:
    """A PNG that claims a size, whatever its data are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    body = chunk(b"IDAT", data) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + b"".join(more) + body


UNREADABLE = {
    "zero bytes": b"",
    "truncated PNG": PNG[: len(PNG) // 2],
    "truncated JPEG": JPEG[: len(JPEG) // 2],
    "header alone": PNG[:33],
    "text": b"patient 12, see letter\n",
    "HTML": b"<html><script>alert(1)</script></html>",
    "SVG": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
    "GIF": encoded(GREY, "GIF"),
    "truncated TIFF": encoded(GREY, "TIFF")[:-30],
    "truncated WebP": encoded(COLOUR, "WEBP")[:-30],
    "truncated BMP": encoded(GREY, "BMP")[:-30],
    "truncated DICOM": write_dicom(NOISE)[:-30],
    "DICOM without pixels": write_dicom(NOISE, PixelData=None),
    "DICOM with frames": write_dicom(NOISE, NumberOfFrames=2),
    "DICOM in colour": write_dicom(NOISE, SamplesPerPixel=3, PhotometricInterpretation="RGB"),
    "DICOM in JPEG Lossless": write_dicom(NOISE, syntax=JPEGLosslessSV1, encoded=b"x"),
    "a bomb of DICOM": write_dicom(NOISE, Rows=65535, Columns=65535),
    "a deflated bomb of DICOM": write_dicom(NOISE).replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.1.99")[:400]
    + zlib.compress(bytes(10**8), 9, wbits=-15),
    "wrong checksum": PNG[:40] + bytes([PNG[40] ^ 255]) + PNG[41:],
    "spoilt pixels": png_of(40, 40, b"no zlib stream"),
    "no width": png_of(0, 40, zlib.compress(b"")),
    "a bomb of pixels": png_of(60_000, 60_000, zlib.compress(b"\0" * 1000)),
    "the largest size": png_of(2**31 - 1, 2**31 - 1, zlib.compress(b"")),
    "a bomb of text": png_of(
        40, 40, zlib.compress(b"\0" * 41 * 40), chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 10**8))
    ),
    "random bytes": np.random.default_rng(1).bytes(2000),
}
READABLE = {
    "one pixel": encoded(Image.fromarray(NOISE[:1, :1])),
    "a line": encoded(Image.fromarray(NOISE[:1])),
    "16 bits": encoded(Image.fromarray(NOISE.astype(np.uint16) * 257)),
    "1 bit": encoded(GREY.convert("1")),
    "grey and alpha": encoded(GREY.convert("LA")),
    "RGB": encoded(COLOUR),
    "RGBA": encoded(COLOUR.convert("RGBA")),
    "palette": encoded(COLOUR.convert("P")),
    "CMYK JPEG": encoded(COLOUR.convert("CMYK"), "JPEG"),
    "progressive JPEG": encoded(COLOUR, "JPEG", progressive=True),
    "animated": encoded(GREY, save_all=True, append_images=[GREY.rotate(90)]),
    "JPEG called PNG": JPEG,
    "TIFF called PNG": encoded(GREY, "TIFF"),
    "WebP called PNG": encoded(COLOUR, "WEBP"),
    "BMP called PNG": encoded(GREY, "BMP"),
    "DICOM called PNG": write_dicom(NOISE),
    "transparent": encoded(Image.merge("LA", [GREY, GREY])),
    "garbage behind the end": PNG + b"<script>alert(1)</script>",
    "all black": encoded(Image.new("L", (40, 40))),
}
NAMES = [
    "with spaces.png",
    'it\'s "quoted".png',
    "légende 肺.png",
    "-rf.png",
    "--help.jpg",
    "line\nbreak.png",
    "<img src=x onerror=alert(1)>.png",
    "a,b;c.png",
    "=1+1.png",
    "UPPER.PNG",
    "two.dots.png",
    "$HOME`id`.png",
    "%s{}{0}.png",
    "x" * 200 + ".png",
    "NA.png",
]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two sound classes of 30 images, one of which is to get a bad one."""
    return write_classes(tmp_path / "data", {"good": 30, "mixed": 30})


def through(root: Path, lab: Workspace) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A data set through stages 10 and 20: manifest and findings, as they lie on the disk."""
    dataset = obtain(str(root), lab)
    manifest, unreadable = build_manifest(dataset, PROTOCOL)
    ensure_store(dataset, manifest, PROTOCOL, 32, lab)
    write_table(lab, "manifest", manifest, protocol="described")
    write_table(lab, "findings", collect_findings(dataset, manifest, unreadable, PROTOCOL), protocol="described")
    return tuple(read_table(lab, name, protocol="described") for name in ("manifest", "findings"))  # type: ignore[return-value]


@pytest.mark.parametrize("kind", UNREADABLE)
def test_what_is_no_picture_is_left_out_and_said(kind: str, data: Path, lab: Workspace) -> None:
    (data / "mixed" / "bad.png").write_bytes(UNREADABLE[kind])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    manifest, findings = through(data, lab)
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024 < MEMORY
    assert len(manifest) == 60
    rows = findings[findings["check"] == ("no image" if kind == "DICOM without pixels" else "unreadable")]
    assert rows["image_id"].tolist() == ["mixed/bad.png"]
    assert rows["action"].tolist() == ["left out"]
    assert len(rows["detail"].iloc[0]) > 5
    assert " at 0x" not in rows["detail"].iloc[0]


@pytest.mark.parametrize("kind", READABLE)
def test_an_unusual_picture_is_taken(kind: str, data: Path, lab: Workspace) -> None:
    (data / "mixed" / "odd.png").write_bytes(READABLE[kind])
    manifest, _ = through(data, lab)
    assert "mixed/odd.png" in set(manifest["image_id"])
    assert len(manifest) == 61


@pytest.mark.parametrize("name", NAMES)
def test_any_file_name_is_taken_as_it_is(name: str, data: Path, lab: Workspace) -> None:
    (data / "mixed" / name).write_bytes(PNG)
    manifest, _ = through(data, lab)
    assert f"mixed/{name}" in set(manifest["image_id"])
    assert len(manifest) == 61


def test_a_name_that_is_no_text_is_a_message(data: Path, lab: Workspace) -> None:
    os.link(data / "mixed" / "mixed-1.png", os.fsencode(data / "mixed") + b"/\xff\xfe.png")
    with pytest.raises(LabError, match=r"name .* is not UTF-8; rename it"):
        through(data, lab)


CLUTTER: dict[str, Callable[[Path], object]] = {
    ".DS_Store": lambda folder: (folder / ".DS_Store").write_bytes(b"\0"),
    "Thumbs.db": lambda folder: (folder / "Thumbs.db").write_bytes(b"\0"),
    "desktop.ini": lambda folder: (folder / "desktop.ini").write_text("[x]"),
    "a hidden picture": lambda folder: (folder / "._mixed-1.png").write_bytes(PNG),
    "a loop of links": lambda folder: (folder / "loop").symlink_to(folder.parent),
    "a link to a folder": lambda folder: (folder / "loop.png").symlink_to(folder),
    "a folder called a picture": lambda folder: (folder / "folder.png").mkdir(),
    "a pipe": lambda folder: os.mkfifo(folder / "pipe.png"),
    "__MACOSX": lambda folder: write_classes(folder.parent / "__MACOSX", {"mixed": 2}),
    "a hidden folder": lambda folder: write_classes(folder.parent, {".ipynb_checkpoints": 2}),
}


@pytest.mark.parametrize("kind", CLUTTER)
def test_what_lies_about_is_passed_over(kind: str, data: Path, lab: Workspace) -> None:
    CLUTTER[kind](data / "mixed")
    manifest, _ = through(data, lab)
    assert len(manifest) == 60
    assert set(manifest["class"]) == {"good", "mixed"}


@pytest.mark.parametrize("target", ["nowhere.png", "link.png"])
def test_a_link_to_nothing_or_to_itself_is_an_unreadable_image(target: str, data: Path, lab: Workspace) -> None:
    (data / "mixed" / "link.png").symlink_to(data / "mixed" / target)
    manifest, findings = through(data, lab)
    assert len(manifest) == 60
    assert findings.loc[findings["check"] == "unreadable", "image_id"].tolist() == ["mixed/link.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_file_that_may_not_be_read_is_left_out(data: Path, lab: Workspace) -> None:
    (data / "mixed" / "mixed-1.png").chmod(0)
    manifest, findings = through(data, lab)
    assert len(manifest) == 59
    assert "Permission denied" in findings["detail"].iloc[0]


def zipped(path: Path, *more: tuple[str | zipfile.ZipInfo, bytes], data: Path) -> Path:
    """A zip of the sound classes and of `more`."""
    with zipfile.ZipFile(path, "w") as archive:
        for file in sorted(data.rglob("*.png")):
            archive.write(file, file.relative_to(data))
        for name, content in more:
            archive.writestr(name, content)
    return path


def linked() -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("mixed/link.png")
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


UNSAFE: dict[str, tuple[str | zipfile.ZipInfo, str]] = {
    "absolute": ("/tmp/evil.png", "would be written outside"),
    "upwards": ("../../evil.png", "would be written outside"),
    "upwards inside": ("mixed/../../evil.png", "would be written outside"),
    "upwards by backslash": ("..\\evil.png", "would be written outside"),
    "a drive": ("C:/evil.png", "would be written outside"),
    "a link": (linked(), "is a link"),
    "a file where a folder is": ("mixed", "as file and folder"),
}


@pytest.mark.parametrize("kind", UNSAFE)
def test_an_unsafe_archive_is_refused(kind: str, data: Path, tmp_path: Path, lab: Workspace) -> None:
    name, reason = UNSAFE[kind]
    archive = zipped(tmp_path / "a.zip", (name, PNG), data=data)
    before = set(tmp_path.rglob("*"))
    with pytest.raises(LabError, match=reason):
        obtain(str(archive), lab)
    assert {path for path in tmp_path.rglob("*") if "workspace" not in path.parts} <= before
    assert not Path("/tmp/evil.png").exists()
    assert not lab.raw().exists()


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def spoil(path: Path) -> None:
    content = bytearray(path.read_bytes())
    place = content.find(b"IDAT") + 20
    content[place] ^= 255
    path.write_bytes(content)


def encrypt(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        place = content.find(signature)
        content[place + offset] |= 1
    path.write_bytes(content)


def unknown_method(path: Path) -> None:
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 8), (b"PK\1\2", 10)):
        place = content.find(signature)
        content[place + offset] = 97
    path.write_bytes(content)


def claim_terabytes(path: Path) -> None:
    """Every member's header says 4 GB less a byte."""
    content = bytearray(path.read_bytes())
    place = content.find(b"PK\1\2")
    while place >= 0:
        content[place + 24 : place + 28] = b"\xfe\xff\xff\xff"
        place = content.find(b"PK\1\2", place + 4)
    path.write_bytes(content)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "half of it": (truncate, "damaged or not a zip"),
    "no zip": (lambda path: path.write_text("no zip"), "damaged or not a zip"),
    "empty": (lambda path: path.write_bytes(b""), "damaged or not a zip"),
    "no members": (lambda path: zipfile.ZipFile(path, "w").close(), "no class folders"),
    "wrong checksum": (spoil, "damaged or not a zip"),
    "encrypted": (encrypt, "is encrypted"),
    "unknown compression": (unknown_method, "is compressed with method 97, which Python cannot read"),
    "a bomb by its sizes": (claim_terabytes, "unpacks to (.* are free|more than .* times its size)"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_archive_is_a_message(kind: str, data: Path, tmp_path: Path, lab: Workspace) -> None:
    archive = zipped(tmp_path / "a.zip", data=data)
    damage, reason = BROKEN[kind]
    damage(archive)
    with pytest.raises(LabError, match=reason):
        obtain(str(archive), lab)
    assert not lab.raw().exists()


def test_a_bomb_that_fits_the_disk_is_refused_by_its_ratio(data: Path, tmp_path: Path, lab: Workspace) -> None:
    archive = zipped(tmp_path / "a.zip", data=data)
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_DEFLATED) as opened, opened.open("mixed/zeros.png", "w") as member:
        for _ in range(600):
            member.write(bytes(10**6))
    with pytest.raises(LabError, match="times its size"):
        obtain(str(archive), lab)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", ["mixed/mixed-1.png", "mixed/./mixed-1.png"])
def test_a_member_that_is_there_twice_is_a_message(name: str, data: Path, tmp_path: Path, lab: Workspace) -> None:
    archive = zipped(tmp_path / "a.zip", (name, PNG), data=data)
    with pytest.raises(LabError, match=f"'{re.escape(name)}' is in it twice"):
        obtain(str(archive), lab)


def side_by_side(root: Path, **layouts: dict[str, int]) -> Path:
    """Folders of class folders, side by side."""
    for name, counts in layouts.items():
        write_classes(root / name, counts)
    return root


@pytest.mark.parametrize(
    "layouts",
    [
        {"site1": {"a": 3, "b": 3}, "site2": {"a": 1, "b": 1}},
        {"a": {"old": 2, "new": 3}, "b": {"old": 2, "new": 3}},
    ],
)
def test_several_places_with_class_folders_are_a_message(
    layouts: dict[str, dict[str, int]], tmp_path: Path, lab: Workspace
) -> None:
    with pytest.raises(LabError, match=f"class folders in each of .*{', '.join(map(repr, sorted(layouts)))}.*give one"):
        obtain(str(side_by_side(tmp_path / "data", **layouts)), lab)


def test_folders_of_images_and_masks_are_known_in_any_case(tmp_path: Path, lab: Workspace) -> None:
    for folder in ("Images", "Masks"):
        write_classes(tmp_path / "data", {"a": 3, "b": 4}, folder=folder)
    assert obtain(str(tmp_path / "data"), lab).classes == {
        "a": {"images": 3, "masks": 3},
        "b": {"images": 4, "masks": 4},
    }


def test_an_empty_folder_for_images_is_passed_over(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"a": 3, "b": 4})
    (root / "a" / "images").mkdir()
    assert obtain(str(root), lab).classes["a"]["images"] == 3


def test_too_many_classes_are_a_message(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {f"c{number}": 1 for number in range(51)}, size=4)
    with pytest.raises(LabError, match="51 classes .*have room for 50"):
        obtain(str(root), lab)


@pytest.mark.parametrize("place", ["raw/files", "raw", "", ".."])
def test_data_and_workspace_that_lie_in_one_another_are_refused(place: str, data: Path, lab: Workspace) -> None:
    obtain(str(data), lab)
    shutil.copytree(data, lab.raw() / "files")
    before = sorted(lab.root.rglob("*"))
    with pytest.raises(LabError, match="lie in one another"):
        obtain(str(lab.root / place), lab)
    assert sorted(lab.root.rglob("*")) == before


def test_the_lab_itself_is_no_workspace() -> None:
    with pytest.raises(LabError, match="holds the lab itself"):
        Workspace.open(str(PROJECT))


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x", ""])
def test_a_path_that_leads_nowhere_is_a_message(name: str, lab: Workspace) -> None:
    with pytest.raises(LabError, match="no such file or folder"):
        obtain(name, lab)


def test_pictures_of_other_formats_are_a_finding(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"a": 4, "b": 4})
    for name in ("x.gif", "y.nii"):
        (root / "a" / name).write_bytes(UNREADABLE["GIF"])
    _, findings = through(root, lab)
    (row,) = findings[findings["check"] == "format not read"].to_dict("records")
    assert row["class"] == "a"
    assert row["detail"].startswith("2 files are in no format that the lab reads, the first a/x.gif")


def test_a_diverging_training_says_so(prepared_copy: Workspace, config: Path) -> None:
    values = {"scenario": "fc_only", "seed": 0, "epochs": 3, "batch_size": 16, "learning_rate": 1e30}
    with pytest.raises(LabError, match="training diverged; lower learning_rate, now 1e\\+30"):
        run_stage("30_train", prepared_copy, config, **values)


def test_an_edited_manifest_is_refused(prepared_copy: Workspace, config: Path) -> None:
    path = table_path(prepared_copy, "manifest", protocol="described")
    table = pd.read_csv(path, keep_default_na=False).sort_values("sha256")
    table.to_csv(path, index=False)
    values = {"scenario": "fc_only", "seed": 0, "epochs": 1, "batch_size": 16, "learning_rate": 1e-3}
    with pytest.raises(LabError, match=r"manifest\.csv: not as stage 20_preprocess wrote it"):
        run_stage("30_train", prepared_copy, config, **values)


@pytest.mark.parametrize("change", [truncate, lambda path: np.save(path, np.zeros((53, 64, 64), np.uint8))])
def test_an_image_store_that_was_changed_is_refused_and_made_again(
    change: Callable[[Path], object], prepared_copy: Workspace, config: Path
) -> None:
    (path,) = prepared_copy.images("").glob("*/images.npy")
    before = path.read_bytes()
    change(path)
    with pytest.raises(LabError, match=r"images\.npy: not as stage 20_preprocess wrote it"):
        open_store(prepared_copy, path.parent.name)
    run_stage("20_preprocess", prepared_copy, config, protocol="described")
    assert path.read_bytes() == before


SHEETS: dict[str, Callable[[Path], object]] = {
    "no sheet": lambda path: path.write_text("FILE NAME,URL"),
    "nothing": lambda path: path.write_bytes(b""),
    "other columns": lambda path: pd.DataFrame({"a": [1]}).to_excel(path, index=False),
    "an empty sheet": lambda path: pd.DataFrame().to_excel(path, index=False),
    "fewer rows": lambda path: pd.DataFrame({"FILE NAME": ["mixed-1"], "URL": ["x"]}).to_excel(path, index=False),
    "more rows": lambda path: pd.DataFrame({"FILE NAME": [f"f{n}" for n in range(99)], "URL": "x"}).to_excel(
        path, index=False
    ),
    "one name twice": lambda path: pd.DataFrame({"FILE NAME": ["mixed-1"] * 2, "URL": list("xy")}).to_excel(
        path, index=False
    ),
    "numbers": lambda path: pd.DataFrame({"FILE NAME": [1, 2], "URL": [3, 4]}).to_excel(path, index=False),
    "formulas": lambda path: pd.DataFrame({"FILE NAME": ["=1+1"], "URL": ["=cmd|' /C calc'!A0"]}).to_excel(
        path, index=False
    ),
    "a zip without a workbook": lambda path: zipfile.ZipFile(path, "w").writestr("a", "b"),
    "half a workbook": lambda path: (pd.DataFrame({"URL": ["x"] * 500}).to_excel(path), truncate(path)),
}


@pytest.mark.parametrize("kind", SHEETS)
def test_a_bad_metadata_sheet_costs_the_sources_and_no_more(kind: str, data: Path, lab: Workspace) -> None:
    SHEETS[kind](data / "mixed.metadata.xlsx")
    manifest, _ = through(data, lab)
    assert len(manifest) == 60


def yaml_with(**changes: object) -> str:
    return yaml.safe_dump(tiny_settings(**changes), sort_keys=False)


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
SETTINGS: dict[str, tuple[str | bytes, str]] = {
    "an unknown key": (yaml_with(datset="x"), "did you mean 'dataset'"),
    "no number": (yaml_with(image_size="large"), "image_size: .*found 'large'"),
    "a truth for a number": (yaml_with(image_size=True), "image_size: .*found True"),
    "a negative size": (yaml_with(image_size=-1), "image_size: .*found -1"),
    "an immense size": (yaml_with(image_size=10**6), "image_size: .*found 1000000"),
    "no phantoms": (yaml_with(phantoms=0), "phantoms: .*found 0"),
    "a billion phantoms": (yaml_with(phantoms=10**9), "phantoms: .*found 1000000000"),
    "no epochs": (yaml_with(training={"epochs": 0}), "epochs: .*found 0"),
    "half an epoch": (yaml_with(training={"epochs": 0.5}), "epochs: .*found 0.5"),
    "an infinite rate": (yaml_with(training={"learning_rate": float("inf")}), "learning_rate: .*found inf"),
    "no rate": (yaml_with(training={"learning_rate": float("nan")}), "learning_rate: .*found nan"),
    "no validation": (yaml_with(protocols={"described": {"val_fraction": 0}}), "val_fraction: .*found 0"),
    "all validation": (yaml_with(protocols={"described": {"val_fraction": 1}}), "val_fraction: .*found 1"),
    "an immense seed": (yaml_with(run={"seeds": [10**30]}), "seeds.0: .*found 1000"),
    "a negative seed": (yaml_with(run={"seeds": [-1]}), "seeds.0: .*found -1"),
    "no seeds": (yaml_with(run={"seeds": []}), "seeds: .*found"),
    "a head for giants": (yaml_with(training={"head": [10**9]}), "head.0: .*found 1000000000"),
    "no mapping": (yaml_with(scenarios=["fc_only"]), "scenarios: expected keys and values"),
    "nothing for a mapping": (yaml_with(training=None), "training: expected keys and values"),
    "a scenario that is nothing": (yaml_with(scenarios={"fc_only": None}), "scenarios.fc_only: expected keys"),
    "a scenario twice": (
        yaml_with() + "scenarios:\n  a: {trainable_convs: 0}\n  a: {trainable_convs: 1}\n",
        "'(a|scenarios)' appears twice",
    ),
    "a tag of Python's": ("title: !!python/object/apply:os.system ['touch evil']\n", "not valid YAML"),
    "tabs": ("run:\n\tseeds: [0]\n", "not valid YAML"),
    "no UTF-8": (b"title: \xff\xfe\n", "not UTF-8"),
    "a billion laughs": (LAUGHS, "problem.s."),
    "an abyss": ("[" * 20_000, "not valid YAML"),
    "a fault unknown": (yaml_with(faults=["markers"]), "faults.0: .*found 'markers'"),
}


@pytest.mark.parametrize("kind", SETTINGS)
def test_bad_settings_are_a_message(kind: str, tmp_path: Path) -> None:
    text, reason = SETTINGS[kind]
    path = tmp_path / "lab.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(LabError, match=reason) as caught:
        load_experiment(str(path))
    assert len(str(caught.value)) < 5000


def test_a_folder_is_no_settings(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="is a folder"):
        load_experiment(str(tmp_path))


RECORDS = {
    "raw/dataset.json": lambda lab: load_dataset(lab),
    "protocols/described/features-MobileNetV2.json": lambda lab: BackboneRecord.read(
        lab, "described", "MobileNetV2", store=""
    ),
}


@pytest.mark.parametrize(
    "content", ["", "{", "[" * 200_000, "[]", "{}", '{"kind": 3}', "\0", "\ud800".encode("utf-8", "surrogatepass")]
)
@pytest.mark.parametrize("record", RECORDS)
def test_a_record_edited_by_hand_is_a_message(record: str, content: str | bytes, prepared_copy: Workspace) -> None:
    path = prepared_copy.root / record
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(LabError, match="run stage"):
        RECORDS[record](prepared_copy)


FEATURES: dict[str, Callable[[Path], object]] = {
    "no features": lambda folder: (folder / "features.npy").unlink(),
    "half of them": lambda folder: truncate(folder / "features.npy"),
    "something else": lambda folder: (folder / "features.npy").write_bytes(PNG),
    "a pickle": lambda folder: np.save(folder / "features.npy", np.array([{"a": 1}], object), allow_pickle=True),
    "no record": lambda folder: (folder / "features.json").unlink(),
    "another record": lambda folder: (folder / "features.json").write_text("{}"),
    "other numbers": lambda folder: np.save(folder / "features.npy", np.zeros((3, 3))),
    "zeros": lambda folder: np.save(folder / "features.npy", np.zeros_like(np.load(folder / "features.npy"))),
}


@pytest.mark.parametrize("kind", FEATURES)
def test_features_edited_by_hand_are_a_message(kind: str, prepared_copy: Workspace, config: Path) -> None:
    lab = open_lab(str(prepared_copy.root), str(config))
    backbone, scaling = lab.backbone(), lab.scaling_layer()
    folders = [path.parent for path in prepared_copy.features("").glob("*/features.npy")]
    assert len(folders) == 3
    for folder in folders:
        FEATURES[kind](folder)
    if kind.startswith("no "):
        assert len(features_by_depth(backbone, scaling, [0], lab.data)[0].values) == len(lab.data), "computed again"
        return
    with pytest.raises(LabError, match=r"run stage 25_features"):
        features_by_depth(backbone, scaling, [0], lab.data)


def finished_run(finished: tuple[Path, Path], folder: Path) -> Run:
    """A run of a copy of a finished workspace, to be changed."""
    shutil.copytree(finished[0] / "runs", folder / "runs")
    run, *_ = finished_runs(load_experiment(str(finished[1])), Workspace(folder))
    return run


def test_files_of_another_run_are_a_message(finished: tuple[Path, Path], tmp_path: Path) -> None:
    run = finished_run(finished, tmp_path)
    other = run.folder.parent.parent / "fc_only" / "seed-0"
    read_model = partial(load_model, run.folder / "model.keras", stage="30_train")
    read_model()
    for name, read in {
        "model.keras": read_model,
        "predictions.csv": run.predictions,
        "history.csv": run.history,
    }.items():
        shutil.copy(other / name, run.folder / name)
        with pytest.raises(LabError, match=rf"{name}: not as stage 30_train wrote it; .* run stage 30_train again"):
            read()


def test_a_model_that_is_no_model_is_a_message(finished: tuple[Path, Path], tmp_path: Path) -> None:
    run = finished_run(finished, tmp_path)
    (run.folder / "model.keras").write_bytes(PNG)
    with pytest.raises(LabError, match="run stage 30_train again"):
        load_model(run.folder / "model.keras", stage="30_train")


LAYERS: dict[str, dict[str, Any]] = {
    "a program": {"module": "subprocess", "class_name": "Popen", "config": {"args": ["touch", "ran"]}},
    "a function": {"module": "os", "class_name": "system", "config": {"command": "touch ran"}},
    "code": {
        "class_name": "Lambda",
        "config": {"function": {"class_name": "__lambda__", "config": {"code": "4wEAAAA="}}},
    },
    "a class of one's own": {"module": "mine", "class_name": "Mine", "registered_name": "mine>Mine"},
}


@pytest.mark.parametrize("kind", LAYERS)
def test_a_model_with_anything_but_layers_of_keras_is_refused(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save("sound.keras")
    with zipfile.ZipFile("sound.keras") as sound, zipfile.ZipFile("model.keras", "w") as spoilt:
        for name in sound.namelist():
            content = sound.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1].update(LAYERS[kind])
                content = json.dumps(config).encode()
            spoilt.writestr(name, content)
    with pytest.raises(LabError, match="not readable as a Keras model"):
        load_model(tmp_path / "model.keras", stage="30_train")
    assert not (tmp_path / "ran").exists()


def test_a_backbone_with_other_weights_is_refused(prepared_copy: Workspace) -> None:
    (path,) = prepared_copy.backbone("").parent.glob("*.keras")
    backbone = load_model(path, stage="25_features")
    backbone.set_weights([2 * array for array in backbone.get_weights()])
    backbone.save(path)
    with pytest.raises(LabError, match="not as stage 25_features wrote it"):
        load_backbone(prepared_copy, path.stem)


def test_a_damaged_weights_file_is_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    name = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / name).write_bytes(b"half a download")
    with pytest.raises(LabError, match=rf"{name}: damaged or incomplete.*delete it"):
        obtain_backbone("MobileNetV2", 224, weights="imagenet", synthetic=False)


def test_no_pickle_is_ever_loaded() -> None:
    paths = list((PROJECT / "lab_utils").rglob("*.py"))
    assert len(paths) > 30
    for path in paths:
        text = path.read_text()
        assert "import pickle" not in text, path
        assert "allow_pickle=True" not in text, path
        assert "safe_mode=False" not in text, path
        assert "UnsafeLoader" not in text, path
        assert text.count("np.load(") == text.count("allow_pickle=False"), path


def test_run_json_is_read_as_json(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_json(path, {"scenario": "fc_only"})
    path.write_text("{")
    with pytest.raises(LabError, match="not as stage 30_train wrote it"):
        read_json(path, stage="30_train")
    write_checksum(path)
    with pytest.raises(LabError, match="not readable as JSON"):
        read_json(path, stage="30_train")
