"""A zip of phantoms, and the check of a refused data set, for several of the room's tests."""

import zipfile
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset, obtain
from lab_utils.data.folders import FileTree
from lab_utils.data.layouts import recognise
from lab_utils.data.listing import Layout
from lab_utils.data.table_columns import Columns


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


def write_tree(root: Path, *paths: str) -> Path:
    """Write small files: "a/x*3.png" stands for a/x1.png to a/x3.png; pictures differ, other files hold a word."""
    files = []
    for path in paths:
        stem, ending = path.rsplit(".", 1)
        name, _, count = stem.partition("*")
        files += [root / f"{name}{n}.{ending}" for n in range(1, int(count) + 1)] if count else [root / path]
    for seed, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        if file.suffix in (".png", ".jpeg"):
            noise = np.random.default_rng(seed).integers(0, 255, (24, 24))
            Image.fromarray(noise.astype(np.uint8)).save(file)
        else:
            file.write_text("text")
    return root


def layout_of(root: Path, table: str = "", **columns: str) -> Layout:
    """Recognise the layout of a folder."""
    return recognise(FileTree.read(root), "data", table=table, columns=cast(Columns, columns))


def classes_of(layout: Layout) -> dict[str, int]:
    """Count the images per class."""
    return layout.listing.loc[layout.listing["kind"] == "image", "class"].value_counts(sort=False).to_dict()
