import numpy as np
import pandas as pd
import pytest

from lab_utils.audits import probes
from lab_utils.audits.probes import permutations, probe, probe_scores
from lab_utils.audits.tables import AuditError
from lab_utils.evaluation.metrics import classification_report


def manifest_of(labels: list[str]) -> pd.DataFrame:
    rows = range(len(labels))
    sides = [("train", "validation")[n % 3 == 0] for n in rows]
    return pd.DataFrame(
        {"image_id": [f"i{n}" for n in rows], "group": rows, "split": sides, "class": labels, "source": ""}
    )


def test_a_weak_signal_is_detected_and_noise_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "REFITS", 99)
    random = np.random.default_rng(1)
    labels = random.choice(["COVID", "Lung_Opacity", "Normal"], 480, p=[0.3, 0.2, 0.5])
    noise = random.normal(size=(480, 40)).astype(np.float32)
    weak = noise.copy()
    weak[:, 0] += 1.0 * (labels == "COVID")
    inputs = {
        "full": (5 * pd.get_dummies(labels).to_numpy() + noise[:, :3]).astype(np.float32),
        "weak": weak,
        "noise": noise,
    }
    table = probe_scores(inputs, manifest_of(list(labels))).set_index(["among", "input"])
    everyone, adults = table.loc[""], table.loc["COVID / Lung_Opacity"]
    assert everyone["above_null"].to_dict() == {"full": True, "weak": True, "noise": False}
    assert everyone["accuracy"]["weak"] - everyone["majority"]["weak"] < 0.05, "the majority baseline hides the signal"
    assert everyone["null_auc"].between(0.48, 0.52).all()
    assert (everyone["null_auc"] < everyone["null_auc_high"]).all()
    assert everyone["difference_high"]["noise"] < everyone["difference"]["noise"] + 0.2 < 0
    assert np.isnan(everyone["difference"]["full"])
    assert adults["images"]["full"] == sum(labels[::3] != "Normal")
    assert adults["auc"]["full"] > 0.95 > adults["auc"]["noise"]
    assert (
        probe(noise, manifest_of(list(labels))["class"], manifest_of(list(labels))).predictions["y_true"] == labels[::3]
    ).all()


def test_copies_widen_the_null(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "REFITS", 99)
    random, group = np.random.default_rng(2), np.repeat(np.arange(30), 10)
    values = (random.normal(size=(30, 8))[group] + 0.01 * random.normal(size=(300, 8))).astype(np.float32)
    copies = manifest_of(list(random.choice(["a", "b"], 30)[group])).assign(group=group)
    copies["split"] = np.where(group < 20, "train", "validation")
    high = [
        probe(values, manifest["class"], manifest).null(0.5)["null_auc_high"]
        for manifest in (copies, copies.assign(group=range(300)))
    ]
    assert high[0] > 0.7 > high[1]


def test_the_null_has_no_skill_where_both_sides_have_as_many_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "REFITS", 199)
    labels, side = np.array(list("ab") * 40, object), np.random.default_rng(4).normal(size=(40, 8))
    manifest = manifest_of(list(labels)).assign(split=["train"] * 40 + ["validation"] * 40)
    result = probe(np.tile(side, (2, 1)).astype(np.float32), manifest["class"], manifest)
    assert result.null_auc.mean() == pytest.approx(0.5, abs=0.02), "equal permutations of both sides are learnt"


def test_permutations_keep_groups_together() -> None:
    labels, groups = np.array(list("aabbbc"), object), np.array([7, 7, 3, 3, 3, 9])
    permuted = permutations(labels, groups, 50, np.random.default_rng(0))
    assert all(len(set(column[:2])) == len(set(column[2:5])) == 1 for column in permuted.T)
    assert {"".join(column[[0, 2, 5]]) for column in permuted.T} == {"abc", "acb", "bac", "bca", "cab", "cba"}


def test_the_baseline_is_that_of_the_validation_images() -> None:
    manifest = manifest_of(list("bab") * 40)
    manifest["split"] = ["train"] * 60 + ["validation"] * 60
    values = np.random.default_rng(3).normal(size=(120, 2)).astype(np.float32)
    assert probe_scores({"full": values}, manifest)["majority"].tolist() == pytest.approx([2 / 3])


def test_a_class_that_the_training_images_lack_is_never_predicted_and_counts_as_wrong() -> None:
    manifest = manifest_of(list("ab") * 30 + ["c", "c"])
    manifest.loc[60:, "split"] = "validation"
    values = pd.get_dummies(manifest["class"]).to_numpy(np.float32)
    predictions = probe(values, manifest["class"], manifest).predictions
    report = classification_report(predictions).set_index("class")
    assert report["recall"].to_dict() | {"accuracy": 0.0} == pytest.approx(
        {"a": 1, "b": 1, "c": 0, "accuracy": 0, "macro avg": 2 / 3, "weighted avg": 20 / 22}
    )


def test_few_patients_are_too_few_for_a_probe() -> None:
    manifest = manifest_of(list("ab") * 30).assign(group=[n % 9 for n in range(60)])
    values = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32)
    with pytest.raises(AuditError, match="validation images form 3 groups; a permutation test needs 10"):
        probe_scores({"full": values}, manifest)


def test_without_training_images_each_image_is_judged_by_a_model_that_has_not_seen_its_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(probes, "REFITS", 99)
    random, group = np.random.default_rng(5), np.arange(120) // 2
    labels = random.choice(["a", "b"], 60)[group]
    known = (random.normal(size=(60, 30))[group] + 0.01 * random.normal(size=(120, 30))).astype(np.float32)
    manifest = manifest_of(list(labels)).assign(group=group, split="validation")
    learnt = probe(known, manifest["class"], manifest)
    assert learnt.predictions["image_id"].tolist() == manifest["image_id"].tolist(), "all are judged"
    assert learnt.null_auc.mean() == pytest.approx(0.5, abs=0.05)
    signal = (known + 3 * (labels == "a")[:, None]).astype(np.float32)
    table = probe_scores({"full": known, "signal": signal}, manifest).set_index("input")
    assert table["above_null"].to_dict() == {"full": False, "signal": True}
    assert table["images"].tolist() == [120, 120]
