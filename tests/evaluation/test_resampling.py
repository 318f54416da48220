import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax
from sklearn import metrics

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.calibration import brier_score, calibration_error, reliability
from lab_utils.evaluation.predictions import predicted_of
from lab_utils.evaluation.resampling import image_weights, measures_of, scores_with_intervals

CLASSES = ["a", "b", "c"]


def network(counts: dict[str, int], *, sharpness: float = 1.5, seed: int = 0, digits: int = 9) -> pd.DataFrame:
    """Predictions of a network that is often right; few digits make ties."""
    random = np.random.default_rng(seed)
    truth = [name for name, count in counts.items() for _ in range(count)]
    scores = random.normal(0, 1, (len(truth), 3))
    scores[np.arange(len(truth)), [CLASSES.index(name) for name in truth]] += sharpness
    table = pd.DataFrame({"image_id": map(str, range(len(truth))), "group": range(len(truth)), "y_true": truth})
    return table.join(pd.DataFrame(softmax(scores, axis=1).round(digits), columns=[f"p_{name}" for name in CLASSES]))


def test_every_score_is_scikit_learn_s_of_the_resampled_images() -> None:
    table = network({"a": 30, "b": 25, "c": 12}, digits=1)
    weights = np.random.default_rng(1).integers(0, 4, (2, len(table))).astype(float)
    found = {(one.name, one.label, one.other): one.statistic(weights) for one in measures_of(table)}
    for number, row in enumerate(weights.astype(int)):
        drawn = table.loc[np.repeat(table.index, row)]
        truth, guess = drawn["y_true"], predicted_of(drawn)
        expected = {
            ("accuracy", "", ""): metrics.accuracy_score(truth, guess),
            ("balanced_accuracy", "", ""): metrics.balanced_accuracy_score(truth, guess),
            ("macro_f1", "", ""): metrics.f1_score(truth, guess, average="macro"),
            ("ece", "", ""): calibration_error(reliability(drawn)),
            ("brier", "", ""): brier_score(drawn),
        }
        for name in CLASSES:
            is_class, score = truth == name, drawn[f"p_{name}"]
            expected["auc", name, ""] = metrics.roc_auc_score(is_class, score)
            expected["average_precision", name, ""] = metrics.average_precision_score(is_class, score)
        for first, second in (("a", "b"), ("a", "c"), ("b", "c")):
            pair = drawn[truth.isin([first, second])]
            odds = np.log(pair[f"p_{first}"].clip(1e-37)) - np.log(pair[f"p_{second}"].clip(1e-37))
            expected["pair_auc", first, second] = metrics.roc_auc_score(pair["y_true"] == first, odds)
        assert set(expected) == set(found)
        for key, value in expected.items():
            assert found[key][number] == pytest.approx(value), key


def test_intervals_hold_the_value_and_accuracy_has_wilson_s() -> None:
    table = network({"a": 60, "b": 40, "c": 20})
    found = scores_with_intervals(table).set_index(["measure", "class", "other"])
    assert found["value"].between(found["low"], found["high"]).all()
    assert found["low"].min() >= 0
    hits = predicted_of(table) == table["y_true"]
    assert found.iloc[0][["low", "high"]].tolist() == list(wilson_interval(pd.Series(hits), table["group"]))
    pd.testing.assert_frame_equal(scores_with_intervals(table, ["ece"]), scores_with_intervals(table, ["ece"]))
    assert set(scores_with_intervals(table, ["auc", "pair_auc"])["measure"]) == {"auc", "pair_auc"}


def test_resamples_keep_the_groups_of_each_class_and_copies_are_no_evidence() -> None:
    table = network({"a": 40, "b": 40, "c": 12})
    patients = table.assign(group=table["group"] // 4)
    blocks = list(image_weights(patients["group"], patients["y_true"]))
    weights = np.concatenate(blocks)
    assert weights.shape == (2000, len(table))
    per_class = pd.DataFrame(weights.T).groupby(patients["y_true"]).sum()
    assert (per_class.nunique(axis=1) == 1).all()
    assert (weights.reshape(2000, -1, 4) == weights.reshape(2000, -1, 4)[:, :, :1]).all(), "a patient is drawn as one"

    def width(frame: pd.DataFrame) -> float:
        low, high = scores_with_intervals(frame, ["auc"])[["low", "high"]].to_numpy()[0]
        return float(high - low)

    copies = pd.concat([table] * 4, ignore_index=True)
    assert width(copies) == pytest.approx(width(table), rel=0.05)
    assert width(copies.assign(group=range(len(copies)))) < 0.6 * width(table)


def test_few_groups_perfect_scores_and_absent_classes_have_no_interval() -> None:
    few = scores_with_intervals(network({"a": 40, "b": 9}))
    assert not few["class"].isin(["c"]).any()
    assert few["value"].notna().all()
    assert few.set_index("measure")["low"].dropna().index.tolist() == ["accuracy", "ece", "brier"]
    perfect = scores_with_intervals(network({"a": 20, "b": 20}, sharpness=50)).groupby("measure").first()
    assert perfect["value"]["auc"] == 1
    assert np.isnan(perfect["low"]["auc"]), "all resamples of a perfect score are perfect"
    assert perfect["low"]["accuracy"] == pytest.approx(40 / (40 + 1.959964**2))
    alone = scores_with_intervals(network({"a": 20}))
    assert alone["measure"].tolist() == ["accuracy", "balanced_accuracy", "macro_f1", "ece", "brier"]
