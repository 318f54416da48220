"""Archives: zip and tar of common writers are read; damaged, unsafe, too large and unknown ones are refused."""

import bz2
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.archives import MOST_HEADER, split_archive_path, unpack
from lab_utils.data.dataset import obtain
from tests.conftest import write_classes
from tests.data.conftest import refused

NAMES = ("top/Röntgen/1.png", "top/肺 炎/2.png")
CONTENT = {name: name.encode() * 500 for name in NAMES}


def files_of(archive: Path) -> dict[str, bytes]:
    """The files that an archive unpacks to."""
    folder = archive.parent / "files"
    folder.mkdir()
    unpack(archive, folder)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def write_zip(path: Path, change: Callable[[zipfile.ZipInfo], object], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as opened:
        for name, content in {"top/": b"", **CONTENT, "__MACOSX/top/._1.png": b"x"}.items():
            member = zipfile.ZipInfo(name)
            change(member)
            opened.writestr(member, content)
    return path


def write_tar(path: Path, compress: Callable[[bytes], bytes], *more: tarfile.TarInfo, format: int) -> Path:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=format) as opened:
        folder = tarfile.TarInfo("./top")
        folder.type = tarfile.DIRTYPE
        opened.addfile(folder)
        for name, content in CONTENT.items():
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            opened.addfile(member, io.BytesIO(content))
        for member in more:
            opened.addfile(member, io.BytesIO(bytes(member.size)))
    path.write_bytes(compress(buffer.getvalue()))
    return path


def without_flag(path: Path) -> Path:
    """Clear the flag for UTF-8, as the zips of macOS do."""
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\3\4", 7), (b"PK\1\2", 9)):
        place = data.find(signature)
        while place >= 0:
            data[place + offset] &= 0xF7
            place = data.find(signature, place + 4)
    path.write_bytes(data)
    return path


def with_backslashes(member: zipfile.ZipInfo) -> None:
    member.filename = member.filename.replace("/", "\\")


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_a_zip_is_read_with_each_method_of_python(method: int, tmp_path: Path) -> None:
    assert files_of(write_zip(tmp_path / "a.zip", lambda _: None, method)) == CONTENT


def test_a_zip_is_read_whatever_its_writer_makes_of_names(tmp_path: Path) -> None:
    for number, archive in enumerate(
        (write_zip(tmp_path / "a.zip", with_backslashes), without_flag(write_zip(tmp_path / "b.zip", lambda _: None)))
    ):
        (tmp_path / str(number)).mkdir()
        assert files_of(archive.rename(tmp_path / str(number) / "x.dat")) == CONTENT


def test_a_zip_is_read_behind_a_program_that_unpacks_it(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.exe", lambda _: None)
    archive.write_bytes(b"MZ" + bytes(1000) + archive.read_bytes())
    assert files_of(archive) == CONTENT


@pytest.mark.parametrize("format", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_a_tar_is_read_in_every_format(compress: Callable[[bytes], bytes], format: int, tmp_path: Path) -> None:
    assert files_of(write_tar(tmp_path / "a.bin", compress, format=format)) == CONTENT


def member(name: str, kind: bytes = tarfile.REGTYPE, size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.size, info.linkname = kind, size, "/etc/passwd"
    return info


@pytest.mark.parametrize(
    ("unsafe", "reason"),
    [
        (member("../evil.png"), "would be written outside"),
        (member("/tmp/evil.png"), "would be written outside"),
        (member("top/../../evil.png"), "would be written outside"),
        (member("top/a.png", tarfile.SYMTYPE), "is a link or a device"),
        (member("top/a.png", tarfile.LNKTYPE), "is a link or a device"),
        (member("top/a.png", tarfile.FIFOTYPE), "is a link or a device"),
        (member("top/a.png", tarfile.CHRTYPE), "is a link or a device"),
        (member(NAMES[0]), "in it twice"),
        (member("top"), "in it twice, or as file and folder"),
        (member(f"{NAMES[0]}/a.png"), "in it twice, or as file and folder"),
        (member("top/zeros.png", size=300_000_000), "times its size"),
    ],
)
def test_an_unsafe_tar_is_refused(unsafe: tarfile.TarInfo, reason: str, tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tgz", lambda data: gzip.compress(data, 1), unsafe, format=tarfile.PAX_FORMAT)
    with pytest.raises(LabError, match=reason):
        unpack(archive, tmp_path / "files")
    assert not list(tmp_path.rglob("evil.png"))
    assert "twice" in reason or not (tmp_path / "files").exists()


def test_bombs_of_headers_are_refused_before_they_fill_the_memory(tmp_path: Path) -> None:
    long_name = member("top/" + "a" * (MOST_HEADER + 600))
    archive = write_tar(tmp_path / "a.tgz", gzip.compress, long_name, format=tarfile.GNU_FORMAT)
    with pytest.raises(LabError, match="a header of 1 MB"):
        unpack(archive, tmp_path / "files")


def test_many_empty_folders_are_a_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab_utils.data.archives.MOST_BYTES", 1_000_000)
    folders = [member(f"top/{number}", tarfile.DIRTYPE) for number in range(2500)]
    archive = write_tar(tmp_path / "a.txz", lzma.compress, *folders, format=tarfile.GNU_FORMAT)
    with pytest.raises(LabError, match="times its size"):
        unpack(archive, tmp_path / "files")


@pytest.mark.parametrize("compress", [bytes, gzip.compress, lzma.compress, bz2.compress])
def test_half_a_tar_is_damaged(compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    archive = write_tar(tmp_path / "a.tar", compress, format=tarfile.PAX_FORMAT)
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])
    with pytest.raises(LabError, match=r"damaged or not a tar.*; download it again"):
        unpack(archive, tmp_path / "files")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    for start, reason in {
        b"7z\xbc\xaf\x27\x1c": "the archive is 7z; expected zip, tar, .*; unpack it by hand and give the folder",
        b"Rar!\x1a\x07": "the archive is RAR",
        b"\x1f\x8b": "damaged or not a tar.gz",
        b"<html>": r"damaged or not a zip, tar, .* \(the content is no archive\)",
    }.items():
        (tmp_path / "a.zip").write_bytes(start + bytes(1000))
        with pytest.raises(LabError, match=reason):
            unpack(tmp_path / "a.zip", tmp_path / "files")
    write_zip(tmp_path / "a.zip", lambda _: None)
    (tmp_path / "a.z01").touch()
    with pytest.raises(LabError, match="one part of a divided archive; join its parts"):
        unpack(tmp_path / "a.zip", tmp_path / "files")


@pytest.mark.parametrize(("method", "name"), [(9, "Deflate64"), (93, "Zstandard"), (98, "PPMd"), (97, "method 97")])
def test_a_method_of_a_zip_that_cannot_be_read_is_named(method: int, name: str, tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", lambda _: None)
    data = bytearray(archive.read_bytes())
    data[data.rfind(b"PK\1\2", 0, data.rfind(b"PK\1\2")) + 10] = method
    archive.write_bytes(data)
    with pytest.raises(LabError, match=f"is compressed with {name}, which Python cannot read; unpack it by hand"):
        unpack(archive, tmp_path / "files")


def test_an_archive_s_path_may_go_on_inside_it(tmp_path: Path) -> None:
    archive = write_zip(tmp_path / "a.zip", lambda _: None)
    assert split_archive_path(f"{archive}/top/Röntgen") == (archive, "top/Röntgen")
    for path in (archive, tmp_path, tmp_path / "gone.zip" / "top"):
        assert split_archive_path(str(path)) == (path, "")


def test_a_folder_in_an_archive_is_a_data_set(tmp_path: Path, lab: Workspace) -> None:
    for name, classes in {"one": {"a": 3, "b": 4}, "deep/two": {"c": 2, "d": 2}}.items():
        write_classes(tmp_path / "data" / name, classes)
    archive = shutil.make_archive(str(tmp_path / "x"), "gztar", tmp_path / "data")
    assert list(obtain(f"{archive}/deep/two", lab).classes) == ["c", "d"]
    assert list(obtain(f"{archive}/one", lab).classes) == ["a", "b"]
    with pytest.raises(LabError, match="the archive has no 'three'; choose one of its folders"):
        obtain(f"{archive}/three", lab)


def test_a_truncated_zip(archive: Path, lab: Workspace, phantoms: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(archive, lab, r"archive\.zip: damaged or not a zip .*; download it again", phantoms)


def test_a_zip_with_a_spoilt_member(archive: Path, lab: Workspace, phantoms: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index(b"IDAT") + 40
    data[at : at + 4] = bytes(255 - byte for byte in data[at : at + 4])
    archive.write_bytes(data)
    refused(archive, lab, r"archive\.zip: damaged or not a zip \(Bad CRC-32", phantoms)


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
    with pytest.raises(LabError, match="unpacks to .* GB or more, 0.0 GB are free; make room or choose another"):
        obtain(str(archive), lab)
