"""Layouts: what is refused, with a description of what is there."""

from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from tests.data.conftest import layout_of, write_tree

A, B = "a/x*3.png", "b/y*2.png"


@pytest.mark.parametrize(
    ("paths", "why"),
    [
        (["train/x*3.png", "test/y*2.png"], "'test', 'train' cannot be classes by their names"),
        (["CXR_png/x*3.png", "masks/x*3.png"], "no class folders in 'CXR_png', and no table"),
        (["train/images/x*3.png", "train/labels/x*3.txt", "valid/images/x*2.png"], "'train', 'valid' cannot be"),
        (["images_001/x*3.png", "images_002/y*3.png"], "cannot be classes"),
        (["patient1/x*3.png", "patient2/y*3.png"], "cannot be classes"),
        (["a/patient1/x*2.png", "b/patient1/y*2.png"], "no images in 'a', 'b' themselves, only deeper; put all"),
        (["a/p01/x*2.png", "a/p02/x*2.png", "b/p03/y*2.png"], "no images in 'a', 'b' themselves, only deeper; put all"),
        (["s1/" + A, "s1/" + B, "s2/" + A, "s2/" + B], "class folders in each of 's1', 's2'; give one of these"),
        (["COVID1.png", "NORMAL1.png"], "no class folders in the data set, and no table"),
        (["a/x*3.png"], r"one class only \(a\); a classifier needs two"),
        (["a/x*3.png", "test/y*2.png"], r"one class only \(a\); a classifier needs two or more; no class .*: 'test'"),
        (["a/train/x*2.png", "a/test/x*2.png", "b/train/y*2.png", "b/test/y*2.png"], "test, train lie inside 'a', 'b'"),
        (["stage_2_train_images/x*3.png", "stage_2_test_images/y*2.png"], "cannot be classes by their names"),
        (["internal_validation/x*3.png", "external_validation/y*2.png", "training_2020/z*3.png"], "cannot be classes"),
        (["Train_v2/" + A, "Train_v2/" + B, "Test_v2/" + A, "Test_v2/" + B], "name them train, val and test"),
        (["original/x*3.png", "resized_224/x*3.png"], "cannot be classes"),
        (["a/x*3.gif", "b/y*2.gif"], r"it holds 5 \.gif, which the lab does not read; convert them to PNG"),
        (["a.zip", "b.zip"], r"it holds 2 \.zip, which the lab does not read; unpack them"),
        ([A, B, "train/" + A, "train/" + B], "class folders lie beside train; move them into a folder train"),
        (
            ["train/" + A, "train/" + B, "test/a/x.png", "test/B/x.png"],
            r"class B has no training images, the classes of train are a, b \(they differ in case only\); give",
        ),
        (
            [A, B, "c/deep/x*2.png"],
            r"class 'c' holds no images of its own, the others lie deeper \(c/deep/x1.png\); put",
        ),
        ([A, B, "c/cover.png", "c/p1/x*2.png"], "class 'c' holds 1 of 3 images, the others lie deeper"),
        (
            [A, B, "c/seg_*3.png"],
            "class 'c' holds no images of its own: 3 files, the first c/seg_1.png, have the names of",
        ),
        ([A, B, "B/z*2.png"], "the classes B, b differ in case or blanks only; spell them alike"),
        (["notes.txt", "more/notes.txt"], "no class folders and no images"),
        ([f"c{n}/x.png" for n in range(51)], r"51 classes .* have room for 50; merge"),
    ],
)
def test_all_else_is_refused_with_what_is_there_and_what_is_understood(
    paths: list[str], why: str, tmp_path: Path
) -> None:
    with pytest.raises(LabError, match=f"(?s)data: .*{why}") as caught:
        layout_of(write_tree(tmp_path, *paths))
    message = str(caught.value)
    assert "this data set holds" in message
    assert "./: " in message
    assert "train|val|test/<class>/*.png" in message
    assert len(message.splitlines()) < 40
