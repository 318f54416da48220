"""Unpack zip and tar archives from untrusted sources."""

import bz2
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Any, NamedTuple, cast

from lab_utils.core.errors import LabError
from lab_utils.core.progress import progress

MOST_BYTES, MOST_RATIO = 200_000_000, 50  # beyond both an archive is refused as a bomb: images hardly compress
TAR_BLOCK = 512  # bytes that every member adds at least
MOST_HEADER = 1_000_000  # bytes of one header in a tar; the library reads it into memory
DAMAGED = (
    zipfile.BadZipFile,
    tarfile.TarError,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    ValueError,
    RuntimeError,
)
SIGNATURES = {  # first bytes of a file
    b"PK": "zip",
    b"\x1f\x8b": "tar.gz",
    b"\xfd7zXZ\0": "tar.xz",
    b"BZh": "tar.bz2",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"Rar!": "RAR",
    b"\x28\xb5\x2f\xfd": "Zstandard",
}
DECOMPRESSORS: dict[str, Callable[[Path], Any]] = {
    "tar": partial(Path.open, mode="rb"),
    "tar.gz": gzip.open,
    "tar.xz": lzma.open,
    "tar.bz2": bz2.open,
}
ARCHIVES = "zip, tar, tar.gz, tar.xz or tar.bz2"
READ_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
OTHER_METHODS = {1: "Shrink", 6: "Implode", 9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}  # of zips
BY_HAND = "unpack it by hand and give the folder as the data set"


class Member(NamedTuple):
    """A file or folder in an archive."""

    name: str  # path with slashes, which ends with one for a folder
    size: int  # bytes, unpacked
    fault: str  # why the archive is refused, empty if it is not
    open: Callable[[], IO[bytes]]


def split_archive_path(text: str) -> tuple[Path, str]:
    """Split "archive.zip/sub/folder" into the path of the archive and the folder inside it.

    The folder is "" for the whole archive.
    """
    path = Path(text).expanduser()
    archive = next((parent for parent in path.parents if parent.is_file()), path)
    return archive, "" if archive == path else path.relative_to(archive).as_posix()


def unpack(archive: Path, folder: Path, *, delete_damaged: bool = False) -> None:
    """Unpack a zip or tar archive, recognised by its content.

    Unsafe members are refused before anything is written.

    Names in a zip may have backslashes, or be UTF-8 without a flag that says so. What macOS adds is left out. Every
    checksum is verified. With `delete_damaged`, a damaged archive is deleted: the next run would otherwise use the
    download again.

    Raises
    ------
    LabError
        If the archive is damaged, of another format, larger than the free disk, or a bomb; or if a member is a link or
        a device, is encrypted, has a method of compression that Python cannot read, occurs twice, or would be written
        outside `folder`.
    """
    kind = archive_format(archive)
    try:
        with ExitStack() as stack:
            members = _safe_members(archive, (_zip_members if kind == "zip" else _tar_members)(archive, stack), folder)
            folder.mkdir(parents=True, exist_ok=True)
            with progress(total=len(members), desc="unpack", unit="file") as bar:
                for member in members:
                    _write(archive, member, folder)
                    bar.update()
    except (OSError, *DAMAGED) as error:
        if isinstance(error, OSError) and error.errno:  # those of damaged gzip and bzip2 streams have no number
            raise LabError(f"{archive}: cannot be unpacked to {folder.parent} ({error})") from error
        if delete_damaged:
            archive.unlink()
        raise LabError(f"{archive}: damaged or not a {kind or ARCHIVES} ({error}); download it again") from error


def archive_format(archive: Path) -> str:
    """Return an archive's format by its first bytes, "" if it is no archive.

    One that the lab cannot read is a LabError.
    """
    with archive.open("rb") as file:
        start = file.read(TAR_BLOCK)
    kind = next((name for signature, name in SIGNATURES.items() if start.startswith(signature)), "")
    if kind and kind != "zip" and kind not in DECOMPRESSORS:
        raise LabError(f"{archive}: the archive is {kind}; expected {ARCHIVES}; {BY_HAND}")
    if archive.suffix.lower() in (".z01", ".001") or archive.with_suffix(".z01").is_file():
        raise LabError(f"{archive}: one part of a divided archive; join its parts, or {BY_HAND}")
    if not kind and zipfile.is_zipfile(archive):  # behind a program that unpacks it
        return "zip"
    return kind or ("tar" if start[257:262] == b"ustar" else "")


def _zip_members(archive: Path, stack: ExitStack) -> Iterator[Member]:
    opened = stack.enter_context(zipfile.ZipFile(archive))
    for info in opened.infolist():
        name = info.filename
        if not info.flag_bits & 0x800:  # no flag for UTF-8: read as code page 437, but most writers of today mean UTF-8
            with suppress(UnicodeError):
                name = name.encode("cp437").decode()
        fault = ""
        if stat.S_ISLNK(info.external_attr >> 16):
            fault = "is a link; expected files only"
        elif info.flag_bits & 0x1:
            fault = f"is encrypted; {BY_HAND}"
        elif info.compress_type not in READ_METHODS:
            method = OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
            fault = f"is compressed with {method}, which Python cannot read; {BY_HAND}"
        yield Member(name.replace("\\", "/"), info.file_size, fault, partial(opened.open, info))


def _tar_members(archive: Path, stack: ExitStack) -> Iterator[Member]:
    kind = archive_format(archive)
    if not kind:
        raise tarfile.ReadError("the content is no archive")
    stream = stack.enter_context(DECOMPRESSORS[kind](archive))
    opened = stack.enter_context(tarfile.TarFile(fileobj=cast(IO[bytes], _ShortReads(stream))))
    for info in opened:
        fault = "" if info.isfile() or info.isdir() else "is a link or a device; expected files only"
        name = info.name + "/" * info.isdir()
        yield Member(name, info.size, fault, cast(Callable[[], IO[bytes]], partial(opened.extractfile, info)))


class _ShortReads:
    """A stream that refuses to read a header of gigabytes into memory."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if size > MOST_HEADER:
            raise tarfile.ReadError(f"a header of {size / 1e6:,.0f} MB")
        return self._stream.read(size)


def _safe_members(archive: Path, members: Iterator[Member], folder: Path) -> list[Member]:
    """List the files; refuse unsafe members and an archive that would become too large."""
    files, unpacked = [], 0
    for member in members:
        unpacked += member.size + TAR_BLOCK
        _refuse_bomb(archive, unpacked, folder)
        if member.name.endswith("/") or "__MACOSX" in member.name.split("/"):
            continue
        path = PurePosixPath(member.name)
        if not path.parts:
            raise zipfile.BadZipFile("a member without a name")
        if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
            raise LabError(
                f"{archive}: member {member.name!r} would be written outside the target folder; "
                "nothing was unpacked, do not trust this archive"
            )
        if member.fault:
            raise LabError(f"{archive}: member {member.name!r} {member.fault}; nothing was unpacked")
        files.append(member)
    return files


def _refuse_bomb(archive: Path, unpacked: int, folder: Path) -> None:
    size, free = archive.stat().st_size, shutil.disk_usage(folder.parent).free
    if unpacked > free:
        raise LabError(
            f"{archive}: unpacks to {unpacked / 1e9:.1f} GB or more, {free / 1e9:.1f} GB are free; "
            "make room or choose another WORKSPACE"
        )
    if unpacked > MOST_BYTES and unpacked > MOST_RATIO * size:
        raise LabError(
            f"{archive}: unpacks to more than {unpacked / size:,.0f} times its size, which images never do; "
            "do not trust this archive"
        )


def _write(archive: Path, member: Member, folder: Path) -> None:
    """Write one member to a new file."""
    target = folder / member.name
    try:
        if os.path.lexists(target):  # also A and a, where the file system equates them
            raise FileExistsError
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise LabError(f"{archive}: member {member.name!r} is in it twice, or as file and folder") from None
    with member.open() as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
