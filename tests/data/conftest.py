"""A zip of phantoms, and the check of a refused data set, for several of the room's tests."""

import zipfile
from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset, obtain


def pack(folder: Path, archive: Path, *, below: str = "COVID-19_Radiography_Dataset") -> Path:
    """Zip a folder's files, as Kaggle does, below one top folder."""
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            opened.write(path, f"{below}/{path.relative_to(folder)}")
    return archive


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path) -> Path:
    return pack(phantoms, tmp_path / "archive.zip")


def refused(dataset: Path | str, lab: Workspace, message: str, before: Path) -> None:
    """`dataset` is refused with `message`, and the data set obtained before is untouched."""
    kept = obtain(str(before), lab)
    with pytest.raises(LabError, match=message):
        obtain(str(dataset), lab)
    assert load_dataset(lab) == kept
    assert sorted(path.name for path in lab.root.iterdir()) == ["raw"]
