"""How unusual an image is: percentiles of two distances among the training images' own."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.audits import novelty
from lab_utils.audits.novelty import TrainingReference, reason
from lab_utils.data.labelled import LabelledImages

COUNT, SIZE = 500, 32


def training_images(**columns: object) -> tuple[LabelledImages, np.ndarray]:
    """Noisy pictures of one bright square, and features around one direction; the last hundred are for validation."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, (COUNT, SIZE, SIZE)).astype(np.uint8)
    images[:, 8:24, 4:14] += 150
    manifest = pd.DataFrame({"image_id": map(str, range(COUNT)), "class": "a", "kind": "image", "group": range(COUNT)})
    manifest["split"] = np.where(np.arange(COUNT) < COUNT - 100, "train", "validation")
    features = np.ones((COUNT, 64)) + rng.normal(0, 0.3, (COUNT, 64))
    return LabelledImages(images, manifest.assign(**columns), ("a",), "", Path()), features.astype(np.float32)


def test_an_image_is_unusual_by_its_features_or_by_its_grey_levels() -> None:
    data, features = training_images()
    reference = TrainingReference.of(data, features)
    held_out = data.rows("validation")
    ordinary, nearest, similarities = reference.compare(data.images[held_out], features[held_out])
    assert (ordinary["unusual"] == "").mean() >= 0.9
    assert ordinary["feature_percentile"].between(0, 100).all()
    assert set(nearest.ravel()) <= set(data.rows("train"))
    assert (np.diff(similarities) <= 0).all(), "the most similar comes first"
    image, vector = data.images[held_out[:1]], features[held_out[:1]]
    strange = {
        "other features": (image, -vector),
        "no features": (image, 0 * vector),
        "inverted": (255 - image, vector),
        "turned": (np.rot90(image, axes=(1, 2)), vector),
        "uniform": (np.full_like(image, 90), vector),
    }
    for name, (pixels, values) in strange.items():
        row = reference.compare(pixels, values)[0].iloc[0]
        by_features = name.endswith("features")
        assert (row["feature_percentile"] == 100) == by_features, name
        assert (row["thumbnail_percentile"] == 100) != by_features, name
        assert row["unusual"] == f"Unusual {'features' if by_features else 'grey levels'} (percentile 100)", name
    colour = np.repeat(image[..., None], 3, axis=-1)
    assert reference.compare(colour, vector)[0].equals(ordinary.iloc[:1]), "a grey image may be stored with colours"


def test_copies_and_masks_do_not_make_the_training_images_look_near() -> None:
    data, features = training_images()
    data.images[1::2], features[1::2] = data.images[::2], features[::2]
    apart = TrainingReference.of(data, features)
    assert apart.distances.max() < 0.1
    grouped = data.manifest.assign(group=np.arange(COUNT) // 2)
    together = TrainingReference.of(LabelledImages(data.images, grouped, ("a",), "", Path()), features)
    assert (together.distances > apart.distances).all()
    kinds = data.manifest.assign(kind=np.where(np.arange(COUNT) % 3, "image", "mask"))
    without_masks = TrainingReference.of(LabelledImages(data.images, kinds, ("a",), "", Path()), features)
    assert set(without_masks.rows % 3) == {1, 2}
    assert without_masks.compare(data.images[:1], features[:1])[1][0, 0] == 1, "the copy of the mask that is an image"


def test_some_of_many_images_are_enough_for_the_percentiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(novelty, "MOST", 50)
    monkeypatch.setattr(novelty, "BLOCK", 7)
    data, features = training_images()
    reference = TrainingReference.of(data, features)
    assert (len(reference.distances), len(reference.correlations), len(reference.rows)) == (50, 50, 400)
    monkeypatch.undo()
    exact = TrainingReference.of(data, features)
    gaps = np.abs(reference.distances[:, None] - exact.distances).min(axis=1)
    assert gaps.max() < 1e-6, "the same distances but for rounding"
    assert np.array_equal(reference.compare(data.images, features)[1], exact.compare(data.images, features)[1])


def test_few_training_images_give_as_many_neighbours() -> None:
    data, features = training_images(split=["train"] * 2 + ["validation"] * (COUNT - 2))
    _, nearest, similarities = TrainingReference.of(data, features).compare(data.images[:3], features[:3])
    assert nearest.shape == similarities.shape == (3, 2)
    assert nearest[:2, 0].tolist() == [0, 1]


def test_the_reason_names_what_is_unusual() -> None:
    assert reason(98, 98) == ""
    assert reason(99.4567, 100) == "Unusual features (percentile 99.46) and grey levels (percentile 100)"
