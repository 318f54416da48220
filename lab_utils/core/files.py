"""Files that are complete or absent, each with a checksum that is verified when it is read."""

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab_utils.core.errors import LabError

SAMPLES, SAMPLE = 64, 2**16  # number and bytes of the blocks of a .npy file that its checksum covers


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Write a file or folder under a temporary name; rename it if no error occurred.

    Yields a temporary path next to `path` with the same suffix. Files are flushed to the disk before the
    rename, so that what has its final name is complete, also after a power cut. A file gets its checksum.
    Each artefact has one writer at a time, so an older draft is a dead run's and is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.partial{path.suffix}")
    _remove(draft)
    try:
        yield draft
        if draft.is_dir():
            os.sync()  # file by file, this would take half a minute for a data set of 100,000
        else:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
            write_checksum(path, draft)
        if path.is_dir():
            _remove(path)
        draft.replace(path)
    finally:
        _remove(draft)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def reading(path: Path, form: str, *, stage: str) -> Iterator[None]:
    """Verify a file's checksum; turn an error while it is read into a LabError.

    The message names the `form` that the file should have ("JSON"), and the `stage` that writes it.
    """
    verify_checksum(path, stage=stage)
    try:
        yield
    except FileNotFoundError:
        raise LabError(f"{path}: not there yet; run stage {stage} first") from None
    except Exception as error:  # a damaged file ends in errors of many kinds
        reason = str(error).strip().partition("\n")[0]
        raise LabError(f"{path}: not readable as {form} ({reason}); delete it and run stage {stage} again") from error


def write_checksum(path: Path, draft: Path | None = None) -> None:
    """Write the checksum of `path`, or of its `draft`, to `.<name>.sha256`."""
    temporary = _checksum_file(path).with_suffix(".partial")
    temporary.write_text(_checksum(draft or path))
    temporary.replace(_checksum_file(path))


def verify_checksum(path: Path, *, stage: str) -> None:
    """Raise LabError if a file has a checksum and was altered since `stage` wrote it."""
    recorded = _checksum_file(path)
    if path.is_file() and recorded.is_file() and recorded.read_text() != _checksum(path):
        raise LabError(f"{path}: not as stage {stage} wrote it; delete {path} and run stage {stage} again")


def _checksum_file(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _checksum(path: Path) -> str:
    return sampled_sha256(path) if path.suffix == ".npy" else sha256(path)


def sampled_sha256(path: Path) -> str:
    """SHA-256 of a file's size and of 64 blocks of 64 kB spread over it."""
    size = path.stat().st_size
    total = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(max(0, size - SAMPLE) * number // (SAMPLES - 1))
            total.update(file.read(SAMPLE))
    return total.hexdigest()


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def digest(*parts: object) -> str:
    """SHA-256 over the JSON of `parts`, as 16 hexadecimal digits."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write `record` as indented JSON, atomically and with a checksum."""
    with atomic_write(path) as draft:
        draft.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_json(path: Path, *, stage: str) -> dict[str, Any]:
    """Read a record; raises LabError if it is missing, altered, or no JSON object."""
    with reading(path, "JSON", stage=stage):
        record: Any = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict):
            raise TypeError(f"expected an object, found a {type(record).__name__}")
    return record
