import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, softmax
from scipy.stats import norm
from sklearn import metrics

from lab_utils.evaluation.intervals import (
    REPORTED,
    intervals,
    mean_interval,
    paired_difference,
    scores_with_intervals,
)
from lab_utils.evaluation.predictions import predicted_of

CLASSES = ["a", "b", "c"]
NAMES = [*REPORTED, "macro_auc", "pair_auc"]
Z = 1.959964


def network(counts: dict[str, int], *, sharpness: float = 1.5, seed: int = 0, digits: int = 9) -> pd.DataFrame:
    """Predictions of a network that is often right; few digits make ties."""
    random = np.random.default_rng(seed)
    truth = [name for name, count in counts.items() for _ in range(count)]
    scores = random.normal(0, 1, (len(truth), 3))
    scores[np.arange(len(truth)), [CLASSES.index(name) for name in truth]] += sharpness
    table = pd.DataFrame({"image_id": map(str, range(len(truth))), "group": range(len(truth)), "y_true": truth})
    return table.join(pd.DataFrame(softmax(scores, axis=1).round(digits), columns=[f"p_{name}" for name in CLASSES]))


def test_every_score_is_scikit_learn_s() -> None:
    table = network({"a": 30, "b": 25, "c": 12}, digits=1)
    found = scores_with_intervals(table, NAMES).set_index(["measure", "class", "other"])["value"]
    truth, guess = table["y_true"], predicted_of(table)
    assert found["accuracy", "", ""] == metrics.accuracy_score(truth, guess)
    assert found["balanced_accuracy", "", ""] == pytest.approx(metrics.balanced_accuracy_score(truth, guess))
    assert found["macro_f1", "", ""] == pytest.approx(metrics.f1_score(truth, guess, average="macro"))
    precision, recall, f1, _ = metrics.precision_recall_fscore_support(truth, guess, labels=CLASSES)
    areas = []
    for place, name in enumerate(CLASSES):
        is_class, score = truth == name, table[f"p_{name}"]
        areas.append(metrics.roc_auc_score(is_class, score))
        assert found["auc", name, ""] == pytest.approx(areas[-1])
        assert found["average_precision", name, ""] == pytest.approx(metrics.average_precision_score(is_class, score))
        scores = (found[measure, name, ""] for measure in ("precision", "recall", "f1"))
        assert tuple(scores) == pytest.approx((precision[place], recall[place], f1[place]))
        assert found["specificity", name, ""] == pytest.approx(metrics.recall_score(~is_class, guess != name))
    assert found["macro_auc", "", ""] == pytest.approx(np.mean(areas))
    pair = table[truth.isin(["a", "c"])]
    odds = np.log(pair["p_a"].clip(1e-37)) - np.log(pair["p_c"].clip(1e-37))
    assert found["pair_auc", "a", "c"] == pytest.approx(metrics.roc_auc_score(pair["y_true"] == "a", odds))


@pytest.mark.parametrize(("count", "sharpness"), [(8, 1.0), (8, 50.0), (1, 50.0), (200, 1.0)])
def test_every_interval_contains_its_value_and_has_a_width(count: int, sharpness: float) -> None:
    table = network({"a": 40, "b": 60, "c": count}, sharpness=sharpness)
    found = scores_with_intervals(table, NAMES)
    blind = table.assign(p_a=1 / 3, p_b=1 / 3, p_c=1 / 3)
    for name, label in (("accuracy", ""), ("macro_auc", ""), ("auc", "c"), ("recall", "c"), ("brier", "")):
        for other in (table, blind):
            difference, low, high = paired_difference(table, other, name, label)
            assert low <= difference <= high
            assert high - low > 0.001, f"difference of {name}"
    assert found["value"].between(found["low"], found["high"]).all()
    assert (found["high"] > found["low"]).all()
    assert found["low"].min() >= 0
    assert found.loc[~found["measure"].str.contains("brier"), "high"].max() <= 1
    pd.testing.assert_frame_equal(found, scores_with_intervals(table, NAMES))


def test_intervals_of_nine_images_contain_the_true_score_in_nine_of_ten_experiments() -> None:
    names, counts = ["macro_f1", "auc", "recall", "brier"], {"a": 60, "b": 40, "c": 9}
    many = network({name: 100 * count for name, count in counts.items()}, seed=99)
    truth = scores_with_intervals(many, names)["value"]
    drawn = [scores_with_intervals(network(counts, seed=seed), names) for seed in range(60)]
    contained = np.mean([truth.between(table["low"], table["high"]) for table in drawn], axis=0)
    assert contained.min() >= 0.87, "bench/coverage.py has the exact shares"
    assert contained.mean() < 0.995


def test_a_difference_of_nine_rare_images_is_contained_in_nine_of_ten_experiments() -> None:
    true, contained = norm.cdf(3.5 / np.sqrt(2)) - norm.cdf(2.5 / np.sqrt(2)), []
    for seed in range(40):
        random = np.random.default_rng(seed)
        table = pd.DataFrame({"group": range(60), "y_true": ["a"] * 9 + ["b"] * 51})
        shown = [expit(distance * (table["y_true"] == "a") + random.normal(size=60)) for distance in (3.5, 2.5)]
        _, low, high = paired_difference(*(table.assign(p_a=scores, p_b=1 - scores) for scores in shown), "auc", "a")
        contained.append(low <= true <= high)
    assert np.mean(contained) >= 0.9, "bench/coverage.py has the exact shares"


def test_classes_without_images_have_missing_scores_and_one_class_has_no_area() -> None:
    table = intervals(network({"a": 20, "b": 20})).set_index(["measure", "class"])
    assert table.xs("c", level="class").isna().all(axis=None)
    assert table.drop(index="c", level="class").notna().all(axis=None)
    alone = scores_with_intervals(network({"a": 20}), [*REPORTED, "pair_auc"])
    assert set(alone["measure"]) == {*REPORTED} - {"auc", "average_precision", "sensitivity_at_95", "specificity"}


def test_copies_are_no_evidence() -> None:
    table = network({"a": 40, "b": 40, "c": 12})
    copies = pd.concat([table] * 4, ignore_index=True)
    once, together, apart = (
        scores_with_intervals(frame, ["auc", "recall", "brier"])
        for frame in (table, copies, copies.assign(group=range(len(copies))))
    )
    widths = [frame["high"] - frame["low"] for frame in (once, together, apart)]
    assert widths[1].to_numpy() == pytest.approx(widths[0].to_numpy(), rel=0.01)
    assert (widths[2] < 0.75 * widths[0]).all()


def test_a_mean_has_the_interval_of_its_groups() -> None:
    mean, low, high = mean_interval(np.full(20, 0.3), np.arange(20))
    assert mean == pytest.approx(0.3)
    assert low < mean < high
    values = np.repeat([0.0, 1.0], 500)
    half = Z * 0.5 / np.sqrt(1000)
    assert mean_interval(values, np.arange(1000)) == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=0.001)
    _, low, high = mean_interval(values, np.repeat(np.arange(10), 100))
    assert high - low > 5 * 2 * half, "ten groups of copies are ten observations"
    assert np.isnan(mean_interval(values, np.zeros(1000))[1])


def test_a_difference_on_the_same_images_is_sharper_than_its_parts() -> None:
    first = network({"a": 60, "b": 60, "c": 60}, sharpness=1.2)
    same, *bounds = paired_difference(first, first, "macro_auc")
    alone = scores_with_intervals(first, ["macro_auc"]).iloc[0]
    assert same == 0
    assert 0 < bounds[1] - bounds[0] < 0.7 * (alone["high"] - alone["low"])
    better = first.assign(**{f"p_{n}": first[f"p_{n}"] + 0.3 * (first["y_true"] == n) for n in CLASSES})
    names = [f"p_{name}" for name in CLASSES]
    better[names] = better[names].div(better[names].sum(axis=1), axis=0)
    difference, low, high = paired_difference(better, first, "auc", "b")
    parts = [scores_with_intervals(table, ["auc"]).set_index("class").loc["b"] for table in (better, first)]
    assert difference == pytest.approx(parts[0]["value"] - parts[1]["value"])
    assert 0 < low < difference < high
    assert high - low < np.hypot(*(part["high"] - part["low"] for part in parts))
