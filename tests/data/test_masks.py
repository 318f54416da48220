"""Lung masks: paired by the usual conventions, and never passed over in silence."""

from pathlib import Path

import pytest

from tests.data.conftest import layout_of, write_tree


@pytest.mark.parametrize(
    "masks",
    [
        ["a/masks/x*3.png"],
        ["a/Lung Masks/x*3.png"],
        ["a/masks/x1_mask.png", "a/masks/x2_mask.png", "a/masks/x3-seg.png"],
        ["a/x1_mask.png", "a/x2_mask.png", "a/X3_Mask.png"],
        ["masks/a/x*3.png"],
        ["a_masks/x*3.png"],
        ["amasks/x*3.png"],
        ["lung_masks_v2/x*3.png"],
        ["a/GT/x*3.png"],
        ["masks/x*3.png"],
        ["segmentation/mask_x1.png", "segmentation/mask_x2.png", "segmentation/mask_x3.png"],
    ],
)
def test_masks_pair_by_the_usual_conventions(masks: list[str], tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "a/x*3.png", "b/y*2.png", *masks))
    listing = layout.listing
    paired = listing[listing["kind"] == "image"].set_index("image_id")["mask"]
    assert (paired != "").groupby(paired.index.str[0]).sum().to_dict() == {"a": 3, "b": 0}
    assert listing[listing["kind"] == "mask"]["class"].tolist() == ["a"] * 3
    assert layout.problems == []


def test_equal_names_in_two_classes_are_told_apart_by_the_folders(tmp_path: Path) -> None:
    root = write_tree(tmp_path, "train/a/1.png", "train/b/1.png", "val/a/1.png", "val/b/1.png")
    write_tree(root, "masks/train/a/1.png", "masks/val/b/1.png", "masks/2.png")
    layout = layout_of(root)
    paired = layout.listing[layout.listing["mask"] != ""]
    assert paired[["image_id", "mask"]].to_numpy().tolist() == [
        ["train/a/1.png", "masks/train/a/1.png"],
        ["val/b/1.png", "masks/val/b/1.png"],
    ]
    ((check, _, _, detail, _),) = layout.problems
    assert check == "mask not paired"
    assert detail.startswith("1 of 3 mask files are paired with no image")
    assert "2 of 4 images have a mask. The first is masks/2.png." in detail


def test_a_mask_for_two_images_of_one_name_is_for_neither(tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "a/1.png", "b/1.png", "masks/1.png"))
    assert (layout.listing["mask"] == "").all()
    assert layout.problems[0][3].startswith("1 of 1 mask files are paired with no image")
    assert "0 of 2 images have a mask" in layout.problems[0][3]


def test_masks_of_the_left_and_of_the_right_lung_are_not_taken_for_both(tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "a/x1.png", "b/y1.png", "leftMask/x1.png", "rightMask/x1.png"))
    assert (layout.listing["mask"] == "").all()
    assert layout.problems[0][3].startswith("2 of 2 mask files are paired with no image")


@pytest.mark.parametrize("folder", ["infection masks", "a/infection masks", "a_segmented", "predicted masks/a"])
def test_masks_of_anything_but_lungs_are_not_paired(folder: str, tmp_path: Path) -> None:
    layout = layout_of(write_tree(tmp_path, "a/x*3.png", "b/y*2.png", "masks/x*3.png", f"{folder}/x*3.png"))
    assert set(layout.listing["class"]) == {"a", "b"}
    assert (layout.listing["mask"] != "").sum() == 3
    ((check, _, _, detail, _),) = layout.problems
    assert check == "mask not paired"
    assert detail.startswith("3 image files lie in folders that are named after masks")
