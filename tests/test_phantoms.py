from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lab_utils.phantoms import CLASSES, phantom, write_phantoms


def test_the_layout_is_the_archive_s(phantoms: Path) -> None:
    assert sorted(path.name for path in phantoms.iterdir() if path.is_dir()) == sorted(CLASSES)
    for name in CLASSES:
        images, masks = (sorted(p.name for p in (phantoms / name / kind).iterdir()) for kind in ("images", "masks"))
        assert images == masks
        assert len(images) >= 8
        sheet = pd.read_excel(phantoms / f"{name}.metadata.xlsx", sheet_name="Sheet1")
        assert list(sheet.columns) == ["FILE NAME", "FORMAT", "SIZE", "URL"]
        assert len(sheet) == len(images)
    with Image.open(phantoms / "COVID" / "images" / "COVID-1.png") as image:
        assert (image.mode, image.size) == ("L", (299, 299))
    with Image.open(phantoms / "COVID" / "masks" / "COVID-1.png") as mask:
        assert (mask.mode, mask.size) == ("RGB", (256, 256))
        assert set(np.unique(np.asarray(mask))) == {0, 255}


def test_the_same_seed_gives_the_same_pixels(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path, 48)
    for path in phantoms.rglob("*.png"):
        assert (tmp_path / path.relative_to(phantoms)).read_bytes() == path.read_bytes()


def test_every_phantom_differs_and_its_lungs_are_dark() -> None:
    drawn = [phantom(label, np.random.default_rng([0, label, n]), 80) for label in range(4) for n in range(3)]
    assert len({image.tobytes() for image, _ in drawn}) == 12
    for image, lungs in drawn:
        assert 0.1 < lungs.mean() < 0.4
        assert image[lungs].mean() < image[~lungs].mean()
