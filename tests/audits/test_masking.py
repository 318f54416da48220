import numpy as np
import pandas as pd

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


def test_without_masks_there_is_no_input_that_needs_one(lab: Workspace) -> None:
    count = 12
    images = np.random.default_rng(0).integers(0, 255, (count, SIZE, SIZE)).astype(np.uint8)
    manifest = pd.DataFrame({"kind": "image", "class": ["a", "b"] * 6, "lungs": np.nan, "mask": ""})
    data = LabelledImages(images, manifest, ("a", "b"), "k", lab.features(""))
    chosen = choose_audit_images(Dataset("folder", lab.root, "", {}), data, lab)
    assert list(chosen.inputs) == ["full", "border"]
    assert chosen.masks is None
    assert len(chosen.manifest) == count
    border = chosen.inputs["border"][0:1]
    assert (border[0, :8] == images[0, :8]).all()
    assert not border[0, 8:-8, 8:-8].any()
