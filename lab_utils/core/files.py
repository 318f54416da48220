"""Files that are whole or absent, and records of what a run was made from."""

import csv
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from lab_utils.core.errors import LabError

SAMPLES, SAMPLE = 64, 2**16  # blocks of a large file that stand for it, and their bytes


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Write a file or a folder under a temporary name; rename it to `path` only if all went well.

    Yields a temporary path beside `path` with the same suffix. Files are flushed to the disk before the
    rename, so that what has its final name is complete, also after a power cut. Each artefact has one
    writer at a time, so a draft found here is a dead run's and goes.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.stem}.partial{path.suffix}")
    _remove(draft)
    try:
        yield draft
        if draft.is_dir():
            os.sync()  # of a data set's 100,000 files one by one, this would take half a minute
        else:
            with draft.open("rb") as file:
                os.fsync(file.fileno())
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


def write_json(path: Path, record: dict[str, Any]) -> None:
    """Write `record` as indented JSON, whole or not at all, with a digest of it under "seal"."""
    sealed = {**record, "seal": _seal_of(json.loads(json.dumps(record)))}
    with whole(path) as draft:
        draft.write_text(json.dumps(sealed, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _seal_of(record: dict[str, Any]) -> str:
    return digest(json.dumps(record, sort_keys=True))


def read_json(path: Path, *, stage: str) -> dict[str, Any]:
    """Read a record.

    Parameters
    ----------
    path : Path
        The record.
    stage : str
        The stage that writes it, for the message where it is missing.

    Raises
    ------
    LabError
        If the file is missing, no JSON object, or not what `write_json` has written.
    """
    try:
        record: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise LabError(f"{path}: not there yet; run stage {stage} first") from None
    except (ValueError, RecursionError) as error:
        raise LabError(f"{path}: not readable as JSON ({error}); delete it and run stage {stage} again") from error
    if not isinstance(record, dict):
        raise LabError(f"{path}: expected a JSON object, found a {type(record).__name__}; run stage {stage} again")
    if record.pop("seal", None) != _seal_of(record):
        raise LabError(f"{path}: edited, or of another version of the lab; delete it and run stage {stage} again")
    return record


def seal(path: Path, draft: Path) -> None:
    """Note beside `path` what `draft`, which is about to be renamed to it, holds; of an array, samples."""
    with whole(_note(path)) as note:
        note.write_text(_digest_of(draft))


def check_seal(path: Path, *, stage: str, artefact: Path | None = None) -> None:
    """Raise LabError, which says to delete the artefact, if a file of it is not as it was sealed."""
    note = _note(path)
    if path.is_file() and note.is_file() and note.read_text() != _digest_of(path):
        raise LabError(f"{path}: not as stage {stage} wrote it; delete {artefact or path} and run stage {stage} again")


def _note(path: Path) -> Path:
    return path.with_name(f".{path.name}.sha256")


def _digest_of(path: Path) -> str:
    return sampled_sha256(path) if path.suffix == ".npy" else sha256(path)


def sampled_sha256(path: Path) -> str:
    """SHA-256 of a file's size and of 64 blocks of 64 kB spread over it: quick, however large the file."""
    size = path.stat().st_size
    total = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        for number in range(SAMPLES):
            file.seek(max(0, size - SAMPLE) * number // (SAMPLES - 1))
            total.update(file.read(SAMPLE))
    return total.hexdigest()


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write `table` without its index, whole or not at all, and sealed; floats with the 9 digits that float32 needs."""
    with whole(path) as draft:
        table.to_csv(draft, index=False, float_format="%.9g", lineterminator="\n")
        seal(path, draft)


NAMES = (  # columns of text, also where all of it looks like numbers
    *("image_id", "class", "kind", "mask", "source", "mode", "y_true", "y_pred", "predicted"),
    *("protocol", "scenario", "first", "second", "better", "among"),
)

NUMBERS = ("lungs", "low", "high")  # columns of numbers, also where all are missing


def read_csv(path: Path, *, stage: str, **options: Any) -> pd.DataFrame:
    """Read a table. Empty cells are NaN in columns of numbers and "" in others; a class may be called 'NA' or '1'.

    Raises
    ------
    LabError
        If the file is missing, no table, or not as it was written: names the stage that writes it.
    """
    check_seal(path, stage=stage)
    options["dtype"] = {**dict.fromkeys(NAMES, str), **options.get("dtype", {})}
    try:
        table = pd.read_csv(path, keep_default_na=False, na_values=[""], lineterminator="\n", **options)
    except FileNotFoundError:
        raise LabError(f"{path}: not there yet; run stage {stage} first") from None
    except (ValueError, OverflowError, csv.Error) as error:  # pandas' own are ValueErrors
        reason = str(error).strip().splitlines()[0]
        raise LabError(f"{path}: not readable as a table ({reason}); run stage {stage} again") from error
    for name, column in table.items():
        if (name not in NUMBERS and column.isna().all()) or not pd.api.types.is_numeric_dtype(column):
            table[name] = column.astype(object).fillna("")
    return table


def digest(*parts: object) -> str:
    """SHA-256 over the JSON of `parts`, as 16 hexadecimal digits: the key of whatever depends on them alone."""
    text = json.dumps(parts, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, as 64 hexadecimal digits."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
