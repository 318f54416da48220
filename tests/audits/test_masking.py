import numpy as np
import pandas as pd
import pytest

from lab_utils.audits import masking
from lab_utils.audits.masking import MASKS, MaskedImages, _other_images, choose_audit_images
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.labelled import LabelledImages

SIZE = 64


def test_masks_by_hand() -> None:
    images = np.arange(1, 129, dtype=np.uint8).reshape(2, 8, 8)
    lungs = np.zeros((2, 8, 8), np.uint8)
    lungs[1, 2:4, 2] = lungs[1, 5, 5] = 255
    rows, own = np.array([1]), lungs[1] > 127

    def masked(name: str, lung_rows: np.ndarray = rows) -> np.ndarray:
        return MaskedImages(images, rows, MASKS[name], lungs, lung_rows)[0:1][0]

    erased, only = masked("lungs_erased"), masked("lungs_only")
    assert (erased + only == images[1]).all()
    assert not erased[own].any()
    assert (masked("mask_only") == 255 * own).all()
    assert (masked("lungs_erased_mean") == np.where(own, round(images[1][~own].mean()), images[1])).all()
    box = masked("box_erased") == 0
    assert box.sum() == 16, "rows 2 to 5, columns 2 to 5"
    assert box[2:6, 2:6].all()
    frame = masked("border")
    assert (frame > 0).sum() == 28
    assert (masked("frame_without_lungs") == np.where(own, 0, frame)).all()
    assert (masked("other_lungs_erased", np.array([0])) == images[1]).all(), "the other image has no lungs"
    colour = MaskedImages(np.stack([images] * 3, axis=-1), rows, MASKS["lungs_only"], lungs, rows)
    assert (colour[0:1] == only[..., None]).all()
    assert (MaskedImages(images, rows)[0:1] == images[1:]).all()
    large = np.zeros((1, 64, 64), bool)
    large[0, 30, 30] = True
    grown = MASKS["lungs_erased_dilated"](np.ones((1, 64, 64), np.uint8), large) == 0
    assert grown.sum() == 9 * 9, "four pixels more on every side"


def test_other_lungs_are_of_another_group() -> None:
    count = 40
    manifest = pd.DataFrame({"class": ["a"] * 20 + ["b"] * 20, "group": np.arange(count) // 3})
    places = _other_images(manifest)
    assert sorted(places) == list(range(count))
    assert (manifest["group"].to_numpy()[places] != manifest["group"]).all()
    assert 0.2 < (manifest["class"].to_numpy()[places] == manifest["class"]).mean() < 0.8, "of any class"


def test_a_sample_has_the_shares_of_the_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "MOST", 20)
    manifest = pd.DataFrame({"class": list("aaaabaaaac") * 6, "split": "validation"}, index=range(7, 67))
    places = masking._sample(manifest)
    assert manifest["class"].iloc[places].value_counts().to_dict() == {"a": 16, "b": 2, "c": 2}
    assert (np.diff(places) > 0).all()
    assert (masking._sample(manifest) == places).all(), "the same images in each run"
    assert len(set(places // 10)) > 3, "from the whole set"
    manifest["split"] = ["train"] * 45 + ["validation"] * 15
    assert (masking._sample(manifest)[5:] == range(45, 60)).all(), "there are fewer, so training images are taken too"


@pytest.mark.parametrize(
    ("lungs", "reason"),
    [
        ([np.nan] * 15, "no image has a lung mask"),
        (
            [0.3] * 8 + [np.nan] * 4 + [0.3] * 3,
            "4 of 6 images of class a have a lung mask; 90\N{NO-BREAK SPACE}% are needed",
        ),
    ],
)
def test_without_masks_there_is_no_input_that_needs_one(lab: Workspace, lungs: list[float], reason: str) -> None:
    count = 12
    images = np.random.default_rng(0).integers(0, 255, (count + 3, SIZE, SIZE)).astype(np.uint8)
    manifest = pd.DataFrame({"kind": "image", "class": [*"ab" * 6, *"aaa"], "lungs": lungs, "mask": ""})
    manifest["split"] = ["train"] * 8 + ["validation"] * 4 + ["test"] * 3
    data = LabelledImages(images, manifest, ("a", "b"), "k", lab.features(""))
    chosen = choose_audit_images(Dataset("folder", lab.root, "", {}), data, lab)
    assert list(chosen.inputs) == ["full", "border"]
    assert chosen.masks is None
    assert chosen.without_masks == reason
    assert len(chosen.manifest) == count, "the images of the test set have no part in the audits"
    border = chosen.inputs["border"][0:1]
    assert (border[0, :8] == images[0, :8]).all()
    assert not border[0, 8:-8, 8:-8].any()
