"""Images to predict: listed without labels, whatever they come in."""

import os
from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.manifest import read_images
from lab_utils.data.unlabelled import list_images
from tests.data.conftest import pack, write_tree


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Images at two depths, a mask, a damaged image, a format that is not read, and a text."""
    root = write_tree(tmp_path / "d", "x*2.png", "deep/er/y*1.png", "masks/x*1.png", "bad.png", "film.gif", "notes.md")
    (root / "bad.png").write_bytes(b"damaged")
    return root


def listed(path: str | Path, tmp_path: Path, **columns: str) -> list[str]:
    data = list_images(str(path), tmp_path / "unpacked", columns=columns)  # type: ignore[arg-type]
    assert set(data.listing["class"]) == {""}
    return data.listing["image_id"].tolist()


def test_a_folder_gives_every_image_and_errors_stay_with_their_files(folder: Path, tmp_path: Path) -> None:
    data = list_images(str(folder), tmp_path / "unpacked")
    manifest, left_out = read_images(data, data.listing)
    assert sorted(manifest["image_id"]) == ["deep/er/y1.png", "masks/x1.png", "x1.png", "x2.png"]
    reasons = left_out.set_index("image_id")["reason"]
    assert sorted(reasons.index) == ["bad.png", "film.gif"]
    assert "content is of an unknown format" in reasons["bad.png"]


def test_a_name_that_is_no_text_is_one_row(folder: Path, tmp_path: Path) -> None:
    os.link(folder / "x1.png", os.fsencode(folder) + b"/\xff\xfe.png")
    data = list_images(str(folder), tmp_path / "unpacked")
    assert len(data.listing) == 6
    assert data.problems == [
        ("name not read", "", r"b'\xff\xfe.png'", "The name is not UTF-8; rename the file or folder.", "left out")
    ]


def test_an_archive_and_its_parts_are_unpacked(folder: Path, tmp_path: Path) -> None:
    archive = pack(folder, tmp_path / "archive.zip", below="top")
    assert len(listed(archive, tmp_path / "1")) == 6
    assert listed(f"{archive}/top/deep", tmp_path / "2") == ["er/y1.png"]
    assert listed(f"{archive}/top/x2.png", tmp_path / "3") == ["x2.png"]
    with pytest.raises(LabError, match="the archive has no 'top/none'"):
        listed(f"{archive}/top/none", tmp_path / "4")


@pytest.mark.parametrize(("name", "readable"), [("x1.png", 1), ("bad.png", 0), ("notes.md", 0)])
def test_one_file_is_one_row(folder: Path, tmp_path: Path, name: str, readable: int) -> None:
    data = list_images(str(folder / name), tmp_path / "unpacked")
    manifest, left_out = read_images(data, data.listing)
    assert (len(manifest), len(left_out)) == (readable, 1 - readable)
    assert list(manifest.columns)[:3] == ["image_id", "class", "kind"]


def test_a_table_names_its_images_without_labels(folder: Path, tmp_path: Path) -> None:
    table = folder / "list.csv"
    table.write_text("File,MRN\nx2.png,p1\nx2.png,p1\ny1,p2\n../../secret.png,p3\n\u202e<script>,\n")
    data = list_images(str(table), tmp_path / "unpacked", columns={"image": "File", "patient": "MRN"})
    assert data.listing[["image_id", "patient"]].to_numpy().tolist() == [["x2.png", "p1"], ["deep/er/y1.png", "p2"]]
    assert data.problems[0][3] == "2 of 5 rows name no file, or several, the first '../../secret.png'."
    assert listed(table, tmp_path) == ["x2.png", "deep/er/y1.png"], "the column is found by its cells"
    table.write_text("image\nnone.png\n")
    with pytest.raises(LabError, match=r"list\.csv: no column for image|names none of the 5 images"):
        listed(table, tmp_path)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("none.png", "no such file or folder; images are the path of an image, a folder, an archive or a table"),
        ("x1.png/inner", "no such file or folder"),
        ("text", "no images in it; it holds"),
        ("list.txt", "not a table that the lab reads"),
        ("parts.7z", "the archive is 7z"),
    ],
)
def test_what_holds_no_images_is_refused(folder: Path, tmp_path: Path, path: str, message: str) -> None:
    write_tree(folder, "text/a.md", "list.txt")
    (folder / "parts.7z").write_bytes(b"7z\xbc\xaf\x27\x1c")
    with pytest.raises(LabError, match=message):
        listed(folder / path, tmp_path)
