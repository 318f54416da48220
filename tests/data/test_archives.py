"""Zip archives: damaged, unsafe and too large ones are refused."""

import shutil
import stat
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from tests.data.conftest import refused


def test_a_truncated_zip(archive: Path, lab: Workspace, phantoms: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(archive, lab, r"archive\.zip: damaged or not a zip .*; download it again", phantoms)


def test_a_zip_with_a_spoilt_member(archive: Path, lab: Workspace, phantoms: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index(b"IDAT") + 40
    data[at : at + 4] = bytes(255 - byte for byte in data[at : at + 4])
    archive.write_bytes(data)
    refused(archive, lab, r"archive\.zip: damaged or not a zip \(Bad CRC-32", phantoms)


def test_a_zip_without_class_folders(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr("top/readme.txt", "hello")
    refused(
        tmp_path / "x.zip",
        lab,
        r"x\.zip: no class folders in it; expected <class>/images/\*\.png .*; found top",
        phantoms,
    )


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"])
def test_a_zip_that_would_write_outside(tmp_path: Path, lab: Workspace, phantoms: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr(name, "evil")
    refused(tmp_path / "x.zip", lab, "would be written outside the target folder; nothing was unpacked", phantoms)
    assert not list(tmp_path.rglob("evil.png"))


def test_a_zip_with_a_link(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr(link, "/etc/passwd")
    refused(tmp_path / "x.zip", lab, "is a link; expected files only", phantoms)


def test_an_archive_larger_than_the_disk(archive: Path, lab: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(LabError, match="unpacks to .* GB, 0.0 GB are free; make room or choose another WORKSPACE"):
        obtain(str(archive), lab)
