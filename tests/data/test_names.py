"""Names of folders and files: splits, masks, images, and what cannot be a class."""

import pytest

from lab_utils.data.names import image_key, is_class_name, is_healthy, is_mask_file, is_mask_folder, split_side

CLASSES = [
    "COVID",
    "Lung_Opacity",
    "Viral Pneumonia",
    "No finding",
    "0",
    "肺炎",
    "é 中",
    "-dash",
    "patients",
    "test+",
    "a",
]
OTHERS = [
    "train",
    "Val",
    "test_images",
    "TrainSet",
    "masks",
    "Lung Mask",
    "leftMask",
    "CXR_png",
    "images_001",
    "part 2",
]
OTHERS += ["normal_masks", "tbmasks", "infection masks", "lung_masks_v2", "COVID_segmented", "augmented", "Screenshots"]
OTHERS += ["annotations", "docs", "fold-3", "patient12", "Study 5", "segmentations", "data", "metadata", "thumbnails"]


@pytest.mark.parametrize("name", CLASSES)
def test_names_that_can_be_classes(name: str) -> None:
    assert is_class_name(name) == (name != "test+")


@pytest.mark.parametrize("name", OTHERS)
def test_names_that_mean_something_else(name: str) -> None:
    assert not is_class_name(name)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("train_images", "train"),
        ("TrainSet", "train"),
        ("VAL", "validation"),
        ("valid", "validation"),
        ("Validation Set", "validation"),
        ("test2", "test"),
        ("train_val", ""),
        ("tested", ""),
        ("test masks", ""),
        ("COVID test", ""),
    ],
)
def test_sides_of_a_split(name: str, side: str) -> None:
    assert split_side(name) == side


def test_masks_are_known_by_folder_or_by_name() -> None:
    assert is_mask_folder("ManualMask")
    assert not is_mask_folder("lungs")
    assert all(map(is_mask_file, ["masks/1.png", "a/Lung Mask/1.png", "a/1_mask.png", "1-lung-mask.png", "mask_1.png"]))
    assert not any(map(is_mask_file, ["a/1.png", "unmasked/1.png", "a/masked-1.png"]))
    assert {image_key(path) for path in ("a/X_1.png", "m/x_1_mask.PNG", "x_1-seg.png", "mask_X_1.tif")} == {"x_1"}


def test_names_of_healthy_classes() -> None:
    names = ["Normal", "No_Finding", "healthy", "COVID", "Abnormal"]
    assert [name for name in names if is_healthy(name)] == names[:3]
