from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from lab_utils.evaluation.judged import JudgedRun
from lab_utils.evaluation.published import COLUMNS, PARTS, agreement, published_supports, published_table
from tests.conftest import PROJECT
from tests.evaluation.test_judged import judged, table_of

PUBLISHED = yaml.safe_load((PROJECT / "report" / "published.yaml").read_text())["scenarios"]
TRUTH = ["a"] * 200 + ["b"] * 200


def runs_of(accuracies: list[float], **protocol: Any) -> list[JudgedRun]:
    """A run per accuracy, which is also the precision and recall of both classes."""
    runs = []
    for seed, accuracy in enumerate(accuracies):
        wrong = np.arange(200) >= round(200 * accuracy)
        guess = [*np.where(wrong, "b", "a"), *np.where(wrong, "a", "b")]
        runs.append(judged(table_of(TRUTH, guess), seed=seed, **protocol))
    return runs


def numbers(value: float, images: int = 2000) -> dict[str, Any]:
    """The write-up's numbers: one value for everything."""
    return {"one": {"accuracy": value, "macro_f1": value, "classes": {name: [value] * 3 + [images] for name in "ab"}}}


def test_two_readings_give_the_published_supports() -> None:
    for scenario in PUBLISHED.values():
        table = published_supports(scenario)
        for column in ("published", "of_files", "of_images"):
            assert table[column].tolist() == [2169, 3607, 6115, 807]
        assert (table["images_only"] < table["published"]).all()


def test_a_value_differs_if_the_interval_of_the_difference_excludes_zero() -> None:
    table = published_table(runs_of([0.9, 0.91, 0.89, 0.9, 0.9]), numbers(0.8))
    assert table.columns.tolist() == [*PARTS, *COLUMNS]
    assert table["measure"].tolist() == ["accuracy", "macro_f1"] + ["precision", "recall", "f1"] * 2 + ["support"] * 2
    scores, supports = table[:8], table[8:]
    assert scores["difference"].to_numpy() == pytest.approx(0.1, abs=0.002)
    assert scores["differs"].astype(bool).all()
    assert (scores["low"].astype(float) > 0.02).all()
    assert supports["difference"].tolist() == [-1800, -1800]
    assert supports[["low", "high", "differs"]].isna().all(axis=None)
    near = published_table(runs_of([0.9, 0.91, 0.89, 0.9, 0.9]), numbers(0.89))
    assert not near["differs"][:8].any()


def test_with_one_seed_there_is_an_interval_but_no_verdict() -> None:
    table = published_table(runs_of([0.9]), numbers(0.5))
    assert table["seeds"].unique().tolist() == [1]
    assert (table["low"][:8] > 0.3).all()
    assert table["differs"].isna().all()


def test_the_interval_of_a_difference_holds_both_sides_their_seeds_and_the_rounding() -> None:
    def half(runs: list[JudgedRun], images: int, value: float = 0.9) -> float:
        row = published_table(runs, numbers(value, images)).iloc[0]
        return float(row["high"] - row["low"]) / 2

    one, infinite = runs_of([0.9]), 10**9
    image = 1.96 * np.sqrt(0.09 / 400)
    assert half(one, infinite) == pytest.approx(np.hypot(image, 1.96 * 0.01 / np.sqrt(12)), rel=0.02)
    assert half(one, 200) == pytest.approx(np.hypot(half(one, infinite), image), rel=0.02)
    seeds = 0.05 * 4.303  # standard deviation times Student's quantile with two degrees of freedom
    assert half(runs_of([0.65, 0.7, 0.75]), infinite, 0.7) == pytest.approx(seeds * np.sqrt(1 + 1 / 3), rel=0.05)


def test_perfect_scores_and_other_classes() -> None:
    perfect = published_table(runs_of([1.0, 1.0]), numbers(1.0))[:8]
    assert (perfect["low"] < 0).all()
    assert (perfect["high"] > 0).all()
    assert published_table(runs_of([0.9]), PUBLISHED).empty
    unknown = {"one": {**numbers(0.9)["one"], "classes": {"other": [0.9, 0.9, 0.9, 100]}}}
    assert published_table(runs_of([0.9]), unknown).columns.tolist() == [*PARTS, *COLUMNS]
    assert published_table(runs_of([0.9]), unknown).empty


def test_agreement_is_the_mean_absolute_difference_of_each_protocol() -> None:
    near, far = runs_of([0.9, 0.91, 0.89]), runs_of([0.7, 0.71, 0.69], name="corrected")
    table = agreement([*near, *far], numbers(0.87)).set_index("protocol")
    assert table["values"].tolist() == [7, 7]
    assert table["mean_absolute_difference"].to_numpy() == pytest.approx([0.03, 0.17], abs=0.002)
    assert (table["low"] < table["mean_absolute_difference"]).all()
    assert table["high"]["described"] < table["low"]["corrected"]
    assert agreement(near, {}).empty
    assert isinstance(agreement(near[:1], numbers(0.87)), pd.DataFrame)
