from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import f1_score, precision_recall_fscore_support

from lab_utils.core.config import Protocol, Scenario, load_experiment
from lab_utils.evaluation import uncertainty

CLASSES = ["a", "b", "c"]


def predictions(truth: list[str], guess: list[str], groups: list[int] | None = None, sure: float = 1.0) -> pd.DataFrame:
    """A table in which every guess has probability `sure`, the rest shared."""
    rest = (1 - sure) / (len(CLASSES) - 1)
    table = pd.DataFrame(
        {"image_id": [str(n) for n in range(len(truth))], "group": groups or range(len(truth)), "y_true": truth}
    )
    for name in CLASSES:
        table[f"p_{name}"] = [sure if one == name else rest for one in guess]
    return table


def noisy(count: int, accuracy: float, seed: int = 0) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    truth = random.choice(CLASSES, count)
    wrong = np.array([CLASSES[(CLASSES.index(name) + 1) % 3] for name in truth])
    return predictions(list(truth), list(np.where(random.random(count) < accuracy, truth, wrong)))


@dataclass(frozen=True)
class FakeRun:
    scenario: Scenario
    seed: int
    table: pd.DataFrame
    protocol: Protocol = field(default_factory=lambda: load_experiment().protocol("described"))

    def predictions(self) -> pd.DataFrame:
        return self.table


def runs(make: Callable[[str, int], pd.DataFrame], seeds: int) -> list[Any]:
    return [
        FakeRun(Scenario(name=name, title=name, trainable_convs=0), seed, make(name, seed))
        for name in ("one", "two")
        for seed in range(seeds)
    ]


def width(table: pd.DataFrame, measure: str) -> float:
    row = table[table["measure"] == measure].iloc[0]
    return float(row["high"] - row["low"])


def test_scores_are_scikit_learn_s() -> None:
    table = noisy(200, 0.7)
    found = uncertainty.intervals(table).set_index(["measure", "class"])["value"]
    truth, guess = table["y_true"], uncertainty.predicted_of(table)
    assert found["accuracy", ""] == np.mean(truth == guess)
    assert found["macro_f1", ""] == pytest.approx(f1_score(truth, guess, average="macro"))
    expected = precision_recall_fscore_support(truth, guess, labels=CLASSES)
    for measure, values in zip(("precision", "recall", "f1"), expected, strict=False):
        assert found[measure].to_numpy() == pytest.approx(values)


def test_all_correct_has_wilson_s_interval_and_an_absent_class_no_scores() -> None:
    table = uncertainty.intervals(predictions(["a", "b"] * 20, ["a", "b"] * 20)).set_index(["measure", "class"])
    assert table.loc[("accuracy", ""), ["value", "low", "high"]].tolist() == pytest.approx(
        [1, 40 / (40 + 1.959964**2), 1]
    )
    for measure in ("precision", "recall"):
        assert table.loc[(measure, "b"), ["low", "high"]].tolist() == pytest.approx([20 / (20 + 1.959964**2), 1])
    assert table.loc[("macro_f1", ""), "value"] == 1
    assert table.loc[[("macro_f1", ""), ("f1", "a")], ["low", "high"]].isna().all(axis=None)
    assert table.xs("c", level="class").isna().all(axis=None)


@pytest.mark.parametrize("groups", [1, 9, 10])
def test_scores_of_fewer_than_ten_groups_have_no_interval(groups: int) -> None:
    patients = [n % groups for n in range(20)] + list(range(100, 130))  # twenty images of class a, thirty of b
    table = uncertainty.intervals(predictions(["a"] * 20 + ["b"] * 30, ["a", "b"] * 25, groups=patients))
    table = table.set_index(["measure", "class"])
    assert table["value"]["recall", "a"] == 0.5
    for measure in ("precision", "recall", "f1"):
        assert table["low"].notna()[measure, "a"] == table["high"].notna()[measure, "a"] == (groups >= 10)
        assert table["low"][measure, "b"] < table["high"][measure, "b"]
    assert table["low"]["accuracy", ""] < table["high"]["accuracy", ""]
    few = uncertainty.intervals(predictions(["a", "b"] * 9, ["a", "b"] * 9, groups=[n % 9 for n in range(18)]))
    assert few[["low", "high"]].isna().all(axis=None)
    assert few["value"].notna().sum() == 8


def test_twenty_classes_of_which_one_is_rare_have_scores() -> None:
    names = [f"class number {n} of a long list of findings"[:40] for n in range(20)]
    truth = [name for name in names[:-1] for _ in range(12)] + names[-1:]
    table = pd.DataFrame({"image_id": map(str, range(len(truth))), "group": range(len(truth)), "y_true": truth})
    for name in names:
        table[f"p_{name}"] = [float(one == name) for one in truth]
    found = uncertainty.intervals(table).set_index(["measure", "class"])
    assert found.loc[("recall", names[-1]), "value"] == 1
    assert np.isnan(found.loc[("recall", names[-1]), "low"]), "one image has no interval"
    assert found.loc[("recall", names[0]), ["low", "high"]].tolist() == pytest.approx([12 / (12 + 1.959964**2), 1])


def test_an_interval_has_the_width_of_the_binomial_s() -> None:
    expected = 2 * 1.96 * np.sqrt(0.8 * 0.2 / 2000)
    assert width(uncertainty.intervals(noisy(2000, 0.8)), "accuracy") == pytest.approx(expected, rel=0.1)


def test_copies_of_an_image_are_no_further_evidence() -> None:
    table = noisy(300, 0.8)
    twice = pd.concat([table, table], ignore_index=True)
    alone = twice.assign(group=range(len(twice)))
    once, both, apart = (width(uncertainty.intervals(one), "accuracy") for one in (table, twice, alone))
    assert both == pytest.approx(once)
    assert apart < 0.85 * once


def test_the_same_seed_gives_the_same_interval() -> None:
    table = noisy(100, 0.8)
    pd.testing.assert_frame_equal(uncertainty.intervals(table), uncertainty.intervals(table))
    assert not uncertainty.intervals(table).equals(uncertainty.intervals(table, seed=1))


def test_mcnemar_by_hand() -> None:
    first = np.array([True] * 6 + [True, False])
    second = np.array([False] * 6 + [True, False])
    alone = np.arange(8)
    assert uncertainty.mcnemar_p(first, second, alone) == pytest.approx(2 * 0.5**6)
    assert uncertainty.mcnemar_p(first, first, alone) == 1
    patients = np.array([0, 0, 0, 1, 1, 1, 2, 3])
    assert uncertainty.mcnemar_p(first, second, patients) == 2 * 0.5**2, "three images of a patient are one observation"


def test_p_values_are_corrected_by_holm_s_method() -> None:
    truth, wrong = ["a"] * 40, {("one", 0): 0, ("one", 1): 7, ("two", 0): 7, ("two", 1): 9}

    def make(name: str, seed: int) -> pd.DataFrame:
        count = wrong[name, seed]
        return predictions(truth, ["b"] * count + truth[count:])

    (row,) = uncertainty.comparisons(runs(make, 2)).to_dict("records")
    assert row["different"] == 0.25, "of six p-values, 0.0039 times 6 is below 0.05, 0.0156 times 5 is not"


def test_a_model_against_itself_is_not_better() -> None:
    table = noisy(200, 0.8)
    (row,) = uncertainty.comparisons(runs(lambda name, seed: table, 5)).to_dict("records")
    assert (row["difference"], row["low"], row["high"]) == (0, 0, 0)
    assert (row["different"], row["null"], row["better"]) == (0, 0, "")


def test_better_takes_five_seeds_and_an_interval_without_zero() -> None:
    def make(name: str, seed: int) -> pd.DataFrame:
        return noisy(400, 0.95 if name == "one" else 0.6, seed=seed).assign(image_id=[str(n) for n in range(400)])

    few, enough = (uncertainty.comparisons(runs(make, seeds)).iloc[0] for seeds in (1, 5))
    assert few["low"] > 0.2
    assert few["better"] == ""
    assert np.isnan(few["null"])
    assert enough["better"] == "one"
    assert enough["low"] < enough["difference"] < enough["high"]


def test_the_interval_of_a_difference_holds_the_spread_of_seeds() -> None:
    truth = ["a", "b"] * 200

    def make(name: str, seed: int) -> pd.DataFrame:
        wrong = 40 * seed if name == "one" else 80
        return predictions(truth, ["c"] * wrong + truth[wrong:])

    one, five = (uncertainty.comparisons(runs(make, seeds)).iloc[0] for seeds in (1, 5))
    assert one["high"] - one["low"] < 0.1
    assert five["difference"] == pytest.approx(0)
    assert five["low"] < -0.08
    assert five["high"] > 0.08


def test_a_mean_has_the_interval_of_its_groups() -> None:
    assert uncertainty.mean_interval(np.full(20, 0.3), np.arange(20)) == pytest.approx((0.3, 0.3, 0.3))
    values = np.repeat([0.0, 1.0], 500)
    mean, low, high = uncertainty.mean_interval(values, np.arange(1000))
    half = 1.96 * 0.5 / np.sqrt(1000)
    assert (mean, low, high) == pytest.approx((0.5, 0.5 - half, 0.5 + half), abs=0.005)
    _, low, high = uncertainty.mean_interval(values, np.repeat(np.arange(10), 100))
    assert high - low > 5 * 2 * half, "ten groups of copies are ten observations"
