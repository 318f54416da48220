import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.masking import MaskedImages, choose_audit_images
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.labelled import LabelledImages

SIZE = 64


def test_masked_images_keep_or_erase_what_the_mask_covers() -> None:
    images = np.arange(1, 33, dtype=np.uint8).reshape(2, 4, 4)
    masks = np.zeros((2, 4, 4), np.uint8)
    masks[:, :2] = 255
    rows = np.array([1])
    kept, erased = MaskedImages(images, rows, masks)[0:1], MaskedImages(images, rows, masks, inverted=True)[0:1]
    assert kept.dtype == erased.dtype == np.uint8
    assert (kept + erased == images[1:]).all()
    assert not kept[0, 2:].any()
    assert not erased[0, :2].any()
    colour = np.stack([images] * 3, axis=-1)
    assert (MaskedImages(colour, rows, masks)[0:1] == kept[..., None]).all()
    assert (MaskedImages(images, rows)[0:1] == images[1:]).all()


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
