"""Splits: the published counts, Keras' own split, groups on one side."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.config import Protocol, load_experiment
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.kaggle import PUBLISHED_COUNTS
from lab_utils.data.manifest import build_manifest
from lab_utils.data.splits import SplitError, grouped, split
from tests.conftest import PROJECT


def protocol(name: str) -> Protocol:
    return load_experiment(str(PROJECT / "lab.yaml")).protocol(name)


def real_listing(*, masks: bool) -> pd.DataFrame:
    """The real database's listing: per class its images, then its masks."""
    rows = []
    for name, count in PUBLISHED_COUNTS.items():
        for kind in ("image", "mask") if masks else ("image",):
            rows += [(name, kind, f"{name}-{n}") for n in sorted(map(str, range(1, count + 1)))]
    items = pd.DataFrame(rows, columns=["class", "kind", "image_id"])
    return with_groups(items, np.arange(len(items)))


def with_groups(items: pd.DataFrame, groups: Sequence[int] | np.ndarray) -> pd.DataFrame:
    """Give items a group each, no patient and no given split."""
    return items.assign(group=groups, patient="", given="")


def test_published_gives_the_write_up_s_supports() -> None:
    items = real_listing(masks=True)
    side = split(items, protocol("published"))
    validation = items[side == "validation"]
    assert validation["class"].value_counts().to_dict() == {
        "COVID": 2169,
        "Lung_Opacity": 3607,
        "Normal": 6115,
        "Viral Pneumonia": 807,
    }
    assert len(validation) == 12_698
    assert set(validation["kind"]) == {"image"}
    train = items[side == "train"]
    assert len(train) == 29_632
    assert (train["kind"] == "mask").sum() == 21_165


def test_images_60_validates_on_the_same_images() -> None:
    """The supports cannot tell which reading is right: images and masks, or 60 % of the images."""
    with_masks, images = real_listing(masks=True), real_listing(masks=False)
    published, images_60 = split(with_masks, protocol("published")), split(images, protocol("images_60"))
    for side in ("validation", "train"):
        of_images = with_masks[(published == side) & (with_masks["kind"] == "image")]
        assert of_images["image_id"].tolist() == images["image_id"][images_60 == side].tolist()


def test_published_is_keras_own_split(phantoms: Path, lab: Workspace) -> None:
    rules = protocol("published")
    manifest, _ = build_manifest(obtain(str(phantoms), lab), rules)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from keras.src.legacy.preprocessing.image import ImageDataGenerator

        generator = ImageDataGenerator(validation_split=rules.val_fraction)
        for subset, side in (("validation", "validation"), ("training", "train")):
            flow = generator.flow_from_directory(str(phantoms), subset=subset, shuffle=False)
            assert sorted(flow.filenames) == sorted(manifest["image_id"][manifest["split"] == side])


def test_described_draws_the_same_share_of_every_class() -> None:
    items = real_listing(masks=False)
    side = split(items, protocol("described"))
    assert (side == split(items, protocol("described"))).all()
    shares = (side == "validation").groupby(items["class"]).mean()
    assert np.allclose(shares, 0.3, atol=1e-3)


def test_another_split_seed_gives_another_split() -> None:
    items = real_listing(masks=False)
    other = Protocol(name="other", title="other", split_seed=1)
    assert (split(items, protocol("described")) != split(items, other)).any()


def shares(items: pd.DataFrame, rules: Protocol) -> pd.Series:
    """Return the share of each class's images in the validation set; require that no group is divided."""
    side = split(items, rules)
    assert (side.groupby(items["group"]).nunique() == 1).all()
    return (side == "validation").groupby(items["class"]).mean()


def test_corrected_keeps_every_group_on_one_side() -> None:
    items = real_listing(masks=False)
    items["group"] = np.random.default_rng(0).integers(0, 9000, len(items))  # of several classes, too
    assert shares(items, protocol("corrected")).to_numpy() == pytest.approx(0.3, abs=0.005)
    assert (split(items, protocol("described")).groupby(items["group"]).nunique() == 2).any()


@pytest.mark.parametrize("seed", range(5))
def test_a_group_with_most_images_of_a_class_leaves_the_share_as_it_is(seed: int) -> None:
    """Drawing groups as if they had one image each gave 10 to 75 % of class c, StratifiedGroupKFold 77 %."""
    sizes = {"a": [1] * 300, "b": [20] * 3 + [1] * 140, "c": [40] + [1] * 20}
    rows = [(name, size) for name, of_class in sizes.items() for size in of_class]
    items = pd.DataFrame(rows, columns=["class", "size"])
    items = with_groups(items.loc[items.index.repeat(items["size"])], items.index.repeat(items["size"]).to_numpy())
    rules = protocol("corrected").model_copy(update={"split_seed": seed})
    assert shares(items.reset_index(drop=True), rules).to_numpy() == pytest.approx(0.3, abs=0.01)


def test_a_large_group_is_drawn_as_often_as_a_small_one() -> None:
    sizes = np.repeat([1, 5, 25], [60, 20, 4])
    items = with_groups(pd.DataFrame({"class": "a"}, index=range(sizes.sum())), np.repeat(np.arange(84), sizes))
    corrected = protocol("corrected")
    rules = [corrected.model_copy(update={"split_seed": seed}) for seed in range(40)]
    is_drawn = np.stack([grouped(items, one) for one in rules]).mean(axis=0)
    often = pd.Series(is_drawn).groupby(np.repeat(sizes, sizes)).mean()
    assert often.to_numpy() == pytest.approx(0.3, abs=0.08), "the validation set is no selection of singular images"


def test_groups_that_are_too_large_for_the_share_are_still_on_both_sides() -> None:
    items = with_groups(pd.DataFrame({"class": ["a"] * 20}), [0] * 9 + [1] * 11)
    rules = protocol("corrected").model_copy(update={"val_fraction": 0.2})
    assert shares(items, rules)["a"] == 9 / 20
    with pytest.raises(SplitError, match="class a: one image, or one group of images, cannot be on both sides"):
        split(items.assign(group=0), rules)


def test_a_class_of_one_image_cannot_be_split() -> None:
    items = with_groups(pd.DataFrame({"class": ["a"] * 9 + ["b"]}), range(10))
    with pytest.raises(SplitError, match="class b: one image, or one group of images, cannot be on both sides"):
        split(items, protocol("described"))


def test_a_class_that_falls_on_one_side_is_refused() -> None:
    items = with_groups(pd.DataFrame({"class": ["a"] * 9 + ["b"] * 3}), range(12))
    with pytest.raises(SplitError, match=r"class b: no image falls into validation, 3 into train.*val_fraction 0\.3"):
        split(items, protocol("published"))


def test_too_few_images_for_the_share_are_refused() -> None:
    items = with_groups(pd.DataFrame({"class": ["a", "a", "b", "b", "c", "c"]}), range(6))
    with pytest.raises(SplitError, match="6 images of 3 classes cannot be divided with val_fraction"):
        split(items, protocol("described"))


def test_a_given_split_is_kept_and_its_test_images_stay_out_of_every_protocol() -> None:
    items = with_groups(pd.DataFrame({"class": ["a", "b"] * 20}), range(40))
    items["given"] = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    for name in ("described", "published", "corrected", "given"):
        side = split(items, protocol(name))
        assert (side[items["given"] == "test"] == "test").all(), name
        assert set(side[items["given"] != "test"]) == {"train", "validation"}, name
        assert side.equals(items["given"]) == (name == "given")
    drawn = split(items[items["given"] != "validation"], protocol("given"))
    assert drawn.value_counts().to_dict() == {"train": 14, "validation": 6, "test": 10}


@pytest.mark.parametrize("name", ["described", "given"])
def test_a_class_of_test_images_alone_is_refused(name: str) -> None:
    items = with_groups(pd.DataFrame({"class": ["a", "b", "c"] * 10}), range(30))
    items["given"] = items["class"].map({"a": "train", "b": "train", "c": "test"})
    with pytest.raises(SplitError, match="all 10 images of class c are in the test set; give some of them to training"):
        split(items, protocol(name))


def test_a_class_whose_patients_are_all_in_the_test_set_is_refused() -> None:
    items = with_groups(pd.DataFrame({"class": ["a", "b"] * 20}), range(40))
    items["given"], items["patient"] = ["train"] * 20 + ["test"] * 20, [str(n % 20) for n in range(40)]
    with pytest.raises(
        SplitError, match="class a: no image falls into train.* 10 share a patient or group with another"
    ):
        split(items, protocol("given"))


def test_data_without_a_split_cannot_have_the_given_one() -> None:
    with pytest.raises(SplitError, match="protocol given: the data give no split"):
        split(real_listing(masks=False), protocol("given"))


def test_a_patient_in_two_given_sets_keeps_the_images_of_one() -> None:
    items = with_groups(pd.DataFrame({"class": ["a", "b"] * 20}), [0, *range(1, 39), 0])
    items["given"] = ["train"] * 20 + ["validation"] * 10 + ["test"] * 10
    items.loc[[0, 39], "patient"] = "p"
    for name in ("corrected", "given"):
        side = split(items, protocol(name))
        assert side[[0, 39]].tolist() == ["", "test"], name
    assert split(items, protocol("described"))[0] in ("train", "validation")
