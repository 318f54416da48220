"""Duplicates: leaks into the validation set, pairs by the distance of their hashes."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.data.duplicates import leaks, matches


def test_leaks_count_validation_images_with_a_copy_in_training() -> None:
    sides = ["train"] * 3 + ["validation"] * 10
    copies = [0, 1, 2, 0, *range(10, 19)]
    manifest = pd.DataFrame({"kind": "image", "split": sides, "group": copies, "phash": copies, "patient": ""})
    row = leaks(manifest).iloc[0]
    assert (row["validation"], row["copied"], row["share"]) == (10, 1, 0.1)
    z = 1.959964  # Wilson's interval by its formula
    center = (0.1 + z**2 / 20) / (1 + z**2 / 10)
    half = z * np.sqrt(0.09 / 10 + z**2 / 400) / (1 + z**2 / 10)
    assert np.allclose([row["low"], row["high"]], [center - half, center + half], atol=1e-6)
    assert leaks(manifest.assign(phash=range(13))).iloc[0][["share", "low"]].tolist() == [0, 0]
    assert leaks(manifest)["same_patient"].isna().all()
    patients = [*"abcdca", *[""] * 7]  # of the validation images, two have a patient of the training images
    row = leaks(manifest.assign(patient=patients, group=range(13))).iloc[0]
    assert (row["copied"], row["same_patient"]) == (1, 2), "images of one patient are no copies"


def test_matches_are_those_of_comparing_every_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 2**63, 5, dtype=np.uint64)
    hashes = [int(base[n % 5] ^ np.uint64(1 << int(random.integers(64)))) for n in range(40)]
    manifest = pd.DataFrame(
        {
            "kind": "image",
            "image_id": [f"i{n}" for n in range(40)],
            "class": [("a", "b")[n % 3 == 0] for n in range(40)],
            "phash": [f"{value:016x}" for value in hashes],
        }
    )
    expected = np.zeros((11, 2), int)
    for first in range(40):
        for second in range(first):
            distance = (hashes[first] ^ hashes[second]).bit_count()
            if distance <= 10:
                expected[distance, int(manifest["class"][first] != manifest["class"][second])] += 1
    monkeypatch.setattr("lab_utils.data.duplicates.QUERY_BLOCK", 7)
    counts, pairs = matches(manifest)
    assert counts[["within", "across"]].to_numpy().tolist() == expected.tolist()
    assert len(pairs) == 6
    assert pairs["distance"].tolist() == sorted(np.repeat(np.arange(11), expected[:, 1]))[:6]
