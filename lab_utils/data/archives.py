"""Unpack zip archives from untrusted sources."""

import os
import shutil
import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from lab_utils.core.errors import LabError
from lab_utils.core.progress import progress

MOST_BYTES, MOST_RATIO = 200_000_000, 50  # beyond both an archive is refused as a bomb: images hardly compress
DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, ValueError, RuntimeError)


def unpack(archive: Path, folder: Path, *, delete_damaged: bool = False) -> None:
    """Unpack a zip; refuse unsafe members before anything is written.

    Every member's checksum is verified. A LabError is raised if the archive is damaged, larger than the free disk,
    or a bomb; or if a member is a link, is encrypted, occurs twice, or would be written outside `folder`.
    With `delete_damaged`, a damaged archive is deleted: the next run would otherwise use the download again.
    """
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [  # not by `is_dir`: Python 3.11 fails on an empty name
                m for m in opened.infolist() if not m.filename.endswith("/") and not m.filename.startswith("__MACOSX/")
            ]
            for member in members:
                _refuse_unsafe(archive, member)
            _refuse_bomb(archive, sum(member.file_size for member in members), folder)
            with progress(total=len(members), desc="unpack", unit="file") as bar:
                for member in members:
                    if os.path.lexists(folder / member.filename):  # also A and a, where the file system equates them
                        raise LabError(f"{archive}: member {member.filename!r} is in it twice, or as file and folder")
                    opened.extract(member, folder)
                    bar.update()
    except DAMAGED as error:
        if delete_damaged:
            archive.unlink()
        raise LabError(f"{archive}: damaged or not a zip ({error}); download it again") from error
    except OSError as error:
        raise LabError(f"{archive}: cannot be unpacked to {folder.parent} ({error})") from error


def _refuse_unsafe(archive: Path, member: zipfile.ZipInfo) -> None:
    path = PurePosixPath(member.filename.replace("\\", "/"))
    if not path.parts:
        raise zipfile.BadZipFile("a member without a name")
    if path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise LabError(
            f"{archive}: member {member.filename!r} would be written outside the target folder; "
            "nothing was unpacked, do not trust this archive"
        )
    if stat.S_ISLNK(member.external_attr >> 16):
        raise LabError(f"{archive}: member {member.filename!r} is a link; expected files only; nothing was unpacked")
    if member.flag_bits & 0x1:
        raise LabError(f"{archive}: member {member.filename!r} is encrypted; unpack it by hand and give the folder")


def _refuse_bomb(archive: Path, unpacked: int, folder: Path) -> None:
    size, free = archive.stat().st_size, shutil.disk_usage(folder.parent).free
    if unpacked > free:
        raise LabError(
            f"{archive}: unpacks to {unpacked / 1e9:.1f} GB, {free / 1e9:.1f} GB are free; "
            "make room or choose another WORKSPACE"
        )
    if unpacked > MOST_BYTES and unpacked > MOST_RATIO * size:
        raise LabError(
            f"{archive}: unpacks to {unpacked / size:,.0f} times its size, which images never do; "
            "do not trust this archive"
        )
