"""Sample images: taken evenly, with their lungs, without what cannot be read."""

from pathlib import Path

import numpy as np

from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.samples import sample_images
from tests.conftest import write_classes


def test_samples_are_taken_evenly_and_carry_their_lungs(phantoms: Path, lab: Workspace) -> None:
    samples = sample_images(obtain(str(phantoms), lab), 3)
    assert list(samples) == ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
    assert [sample.name for sample in samples["COVID"]] == ["COVID-1", "COVID-3", "COVID-5"]
    for sample in samples["Normal"]:
        assert sample.image.dtype == np.uint8
        assert sample.lungs is not None
        assert 0.1 < sample.lungs.mean() < 0.4


def test_unreadable_images_and_missing_masks_are_left_out(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"a": 2, "b": 2})
    (root / "a" / "a-1.png").write_bytes(b"no image")
    samples = sample_images(obtain(str(root), lab), 5)
    assert [sample.name for sample in samples["a"]] == ["a-2"]
    assert [sample.lungs for sample in samples["b"]] == [None, None]
