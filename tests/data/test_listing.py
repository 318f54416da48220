"""The listing: what is left out of it is counted and named."""

from pathlib import Path

from tests.data.conftest import layout_of, write_tree


def test_what_is_left_out_is_counted_and_named(tmp_path: Path) -> None:
    root = write_tree(tmp_path, "d/a/images/x*3.png", "d/a/z.png", "d/a/old/z.png", "d/b/y*2.png", "d/b/y.gif", "s.png")
    rows = [row[:2] + row[3:4] for row in layout_of(root).problems]
    assert rows == [
        ("not in the image folder", "a", "2 image files lie outside the class's image folder, the first a/z.png."),
        ("format not read", "b", "1 files are in no format that the lab reads, the first b/y.gif."),
        ("image not used", "", "1 image files have no class, the first s.png."),
    ]


def test_images_come_before_masks_and_paths_are_those_of_the_layout(tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "d/b/masks/y1.png", "d/b/images/y*2.png", "d/a/x*2.png"))
    assert layout.listing["image_id"].tolist() == [
        "a/x1.png",
        "a/x2.png",
        "b/images/y1.png",
        "b/images/y2.png",
        "b/masks/y1.png",
    ]
    assert layout.listing["kind"].tolist() == ["image"] * 4 + ["mask"]
    assert layout.listing["mask"].tolist() == ["", "", "b/masks/y1.png", "", ""]
