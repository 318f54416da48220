"""Phantoms: layout, determinism, planted faults."""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from lab_utils.data.phantoms import CLASSES, URL, at_second_hospital, class_counts, mislabelled, phantom, write_phantoms


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


def read(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path)).astype(int)


def test_faults_are_planted_on_request_and_nothing_else_changes(phantoms: Path, tmp_path: Path) -> None:
    write_phantoms(tmp_path / "marked", 48, faults=["marker"])
    write_phantoms(tmp_path / "copied", 48, faults=["duplicates"])
    write_phantoms(tmp_path / "sourced", 48, faults=["source"])
    corners = {}
    for place, name in enumerate(CLASSES):
        file = Path(name) / "images" / f"{name}-1.png"
        clean, marked = read(phantoms / file), read(tmp_path / "marked" / file)
        rows, columns = np.nonzero(clean != marked)
        assert (marked[rows, columns] == 255).all()
        corners[bool(rows.mean() < 150), bool(columns.mean() < 150)] = name
        sheet = pd.read_excel(tmp_path / "sourced" / f"{name}.metadata.xlsx")
        assert set(sheet["URL"]) == {f"{URL}/hospital-{place + 1}"}
        assert (read(tmp_path / "copied" / file) == clean).all()
    assert len(corners) == 4
    copies = tmp_path / "copied" / "Normal" / "images"
    assert (copies / "Normal-23.png").read_bytes() != (phantoms / "Normal" / "images" / "Normal-23.png").read_bytes()
    assert (read(copies / "Normal-23.png") == read(copies / "Normal-1.png")).all()
    assert (read(copies / "Normal-22.png") == (read(copies / "Normal-2.png") + 1).clip(0, 255)).all()
    dark, bright = (
        read(tmp_path / "sourced" / name / "images" / f"{name}-1.png").mean() for name in CLASSES[::3][::-1]
    )
    assert bright > dark


def test_a_tenth_of_the_labels_is_wrong_on_request(phantoms: Path, tmp_path: Path) -> None:
    wrong = mislabelled(48)
    assert {name: round(0.1 * count) for name, count in class_counts(48).items()} == {
        name: sum(path.startswith(f"{name}/images/{name}-") for path in wrong) for name in CLASSES
    }
    assert all(not path.startswith(shown) for path, shown in wrong.items())
    write_phantoms(tmp_path, 48, faults=["labels"])
    changed = {
        path.relative_to(phantoms).as_posix()
        for path in phantoms.rglob("images/*.png")
        if path.read_bytes() != (tmp_path / path.relative_to(phantoms)).read_bytes()
    }
    assert changed == set(wrong)
    path, shown = next(iter(wrong.items()))
    place, number = CLASSES.index(path.split("/")[0]), int(Path(path).stem.rpartition("-")[2])
    drawn, _ = phantom(CLASSES.index(shown), np.random.default_rng([0, place, number]))
    assert (read(tmp_path / path) == drawn).all()
    assert mislabelled(48, seed=1) != wrong


def test_a_second_hospital_shows_the_same_patterns_in_another_way() -> None:
    for label in range(4):
        rng = np.random.default_rng([0, label, 1, 2])
        drawn, lungs = phantom(label, rng)
        shown = at_second_hospital(drawn, rng)
        assert (shown == 255).sum() > 200, "a marker"
        assert shown[5:9, 40:-40].mean() < 0.9 * drawn[5:9, 40:-40].mean(), "a darker border"
        assert np.corrcoef(shown[lungs], drawn[lungs])[0, 1] > 0.95, "the same lungs"
