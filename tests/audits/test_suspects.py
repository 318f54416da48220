"""Suspect labels: most labels that were replaced are claimed, and none where every label is right."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.suspects import FALSE_SHARE, SIGNIFICANCE, label_noise, suspect_labels
from lab_utils.audits.tables import AuditError
from lab_utils.core.machine import in_parallel
from lab_utils.data.decode import resize
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.phantoms import CLASSES as PHANTOM_CLASSES
from lab_utils.data.phantoms import class_counts, mislabelled, phantom
from lab_utils.models.backbone import scaling_layer
from lab_utils.models.features import features_by_depth
from lab_utils.models.pretrained import frozen_backbone

CLASSES = ("a", "b", "c")


def overlapping(count: int, seed: int) -> tuple[np.ndarray, pd.DataFrame]:
    """Features of three classes that a linear model tells apart with about 90 % accuracy, and their manifest."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 3, count)
    values = 2.5 * np.eye(20)[labels] + random.normal(size=(count, 20))
    names = [f"i{number}" for number in range(count)]
    manifest = pd.DataFrame({"image_id": names, "class": np.array(CLASSES)[labels], "group": range(count)})
    return values.astype(np.float32), manifest


def with_replaced(manifest: pd.DataFrame, share: float) -> tuple[pd.DataFrame, set[str]]:
    """Replace the labels of a share of the images; return the images too."""
    random = np.random.default_rng(1)
    rows = random.choice(len(manifest), round(share * len(manifest)), replace=False)
    place = pd.Index(CLASSES).get_indexer(pd.Index(manifest["class"]))
    place[rows] = (place[rows] + random.integers(1, 3, len(rows))) % 3
    return manifest.assign(**{"class": np.array(CLASSES)[place]}), set(manifest["image_id"].iloc[rows])


@pytest.mark.parametrize("seed", range(3))
def test_replaced_labels_are_claimed_and_difficult_images_are_not(seed: int) -> None:
    values, manifest = overlapping(500, seed)
    clean = suspect_labels(values, manifest, CLASSES)
    assert 10 < len(clean) < 150, "difficult images are ranked"
    assert not clean["claimed"].any()
    assert (clean["wrong"] == 0).all()
    noisy, replaced = with_replaced(manifest, 0.1)
    table = suspect_labels(values, noisy, CLASSES)
    claimed = table[table["claimed"]]
    assert claimed["image_id"].isin(replaced).sum() >= 0.8 * len(replaced)
    assert claimed["image_id"].isin(replaced).mean() > 0.4
    assert claimed["wrong"].mean() >= 1 - FALSE_SHARE
    assert table["rank"].tolist() == list(range(1, len(table) + 1))
    assert table["probability_given"].is_monotonic_increasing
    assert (table["class"] != table["suggested"]).all()
    assert table["claimed"].is_monotonic_decreasing


def test_a_copy_does_not_vouch_for_a_label_and_counts_once() -> None:
    values, manifest = overlapping(300, 7)
    noisy, replaced = with_replaced(manifest, 0.1)
    copies = noisy.assign(image_id="copy of " + noisy["image_id"])
    table = suspect_labels(np.vstack([values, values]), pd.concat([noisy, copies], ignore_index=True), CLASSES)
    names = {f"{copy}{name}" for name in replaced for copy in ("", "copy of ")}
    assert table.loc[table["claimed"], "image_id"].isin(names).sum() >= 0.8 * len(names)
    random = np.random.default_rng(0)
    probabilities, labels = random.dirichlet(np.ones(3), 200), random.integers(0, 3, 200)
    once = label_noise(probabilities, labels, np.arange(200))
    twice = label_noise(np.tile(probabilities, (2, 1)), np.tile(labels, 2), np.tile(np.arange(200), 2))
    assert twice.p_value == pytest.approx(once.p_value)
    assert np.allclose(twice.wrong[:200], once.wrong)


def sampled(count: int, seed: int, share: float, sharpness: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities at another temperature, labels drawn from the true ones, and which labels were then replaced."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 4, (count, 4))
    true = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labels = (random.random((count, 1)) > true.cumsum(axis=1)).sum(axis=1)
    is_replaced = random.random(count) < share
    labels = np.where(is_replaced, (labels + random.integers(1, 4, count)) % 4, labels)
    model = np.exp(sharpness * scores)
    return model / model.sum(axis=1, keepdims=True), labels, is_replaced


@pytest.mark.parametrize("sharpness", [0.5, 1, 2])
def test_the_share_of_wrong_labels_is_estimated_whatever_the_temperature(sharpness: float) -> None:
    probabilities, labels, is_replaced = sampled(4000, 3, 0.1, sharpness)
    noise = label_noise(probabilities, labels, np.arange(4000))
    assert noise.share == pytest.approx(0.1, abs=0.02)
    assert noise.wrong.sum() == pytest.approx(is_replaced.sum(), rel=0.15)
    likely = noise.wrong > 0.5
    assert is_replaced[likely].mean() == pytest.approx(noise.wrong[likely].mean(), abs=0.08)
    assert (label_noise(*sampled(4000, 4, 0, sharpness)[:2], np.arange(4000)).wrong == 0).all()


def test_right_labels_seldom_look_wrong() -> None:
    p_values = [label_noise(*sampled(300, seed, 0, 1)[:2], np.arange(300)).p_value for seed in range(12)]
    assert min(p_values) > 10 * SIGNIFICANCE


def test_one_image_alone_is_no_evidence() -> None:
    probabilities, labels, _ = sampled(300, 0, 0, 1)
    probabilities[0], labels[0] = [1, 0, 0, 0], 1
    assert label_noise(probabilities, labels, np.arange(300)).share == 0


def test_too_few_images_of_a_class_are_said_to_be_too_few() -> None:
    values, manifest = overlapping(60, 0)
    few = manifest.assign(group=np.where(manifest["class"] == "b", manifest.index % 4, manifest["group"]))
    with pytest.raises(AuditError, match="class b has 4; cross-validation needs two classes with images of 5 groups"):
        suspect_labels(values, few, CLASSES)
    with pytest.raises(AuditError, match="there is one class"):
        suspect_labels(values, manifest.assign(**{"class": "a"}), CLASSES)
    only_two = manifest["class"] != "c"
    assert set(suspect_labels(values[only_two], manifest[only_two], CLASSES)["suggested"]) <= {"a", "b"}


def test_phantoms_with_wrong_labels_are_found_and_none_is_claimed_without_them(tmp_path: Path) -> None:
    """The default phantoms and untrained backbone: four fifths of the wrong labels are claimed."""
    counts, shown = class_counts(480), mislabelled(480)
    paths = {
        f"{name}/images/{name}-{number}.png": (name, number) for name in counts for number in range(1, counts[name] + 1)
    }

    def drawn(path: str, pattern: str) -> np.ndarray:
        name, number = paths[path]
        image, _ = phantom(
            PHANTOM_CLASSES.index(pattern), np.random.default_rng([0, PHANTOM_CLASSES.index(name), number])
        )
        return resize(image, 224, "bilinear")

    patterns = [(path, name) for path, (name, _) in paths.items()] + list(shown.items())
    images = np.stack(list(in_parallel(lambda one: drawn(*one), patterns)))
    manifest = pd.DataFrame({"image_id": list(paths), "class": [name for name, _ in paths.values()]})
    manifest = manifest.assign(group=range(len(paths)), split="train")
    wrong = manifest.set_index("image_id").loc[list(shown)].reset_index().assign(split="test")
    everything = pd.concat([manifest, wrong], ignore_index=True)
    data = LabelledImages(images, everything, tuple(counts), "phantoms", tmp_path)
    scaling = scaling_layer("MobileNetV2", "unit")
    backbone, _ = frozen_backbone("MobileNetV2", data, scaling, weights="random", synthetic=True)
    values = np.array(features_by_depth(backbone, scaling, [0], data)[0].values)
    clean = suspect_labels(values[: len(paths)], manifest, tuple(counts))
    assert len(clean) > 20
    assert not clean["claimed"].any()
    assert list(shown) == [path for path in paths if path in shown], "in the order of the images"
    values[manifest.index[manifest["image_id"].isin(shown)]] = values[len(paths) :]
    faulty = suspect_labels(values[: len(paths)], manifest, tuple(counts))
    claimed = faulty[faulty["claimed"]]
    assert claimed["image_id"].isin(shown).sum() >= 0.8 * len(shown)
    assert claimed["image_id"].isin(shown).mean() > 0.3
