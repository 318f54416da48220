from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.config import Protocol, Scenario, load_experiment
from lab_utils.evaluation.judged import JudgedRun, by_protocol, correct_on

CLASSES = ["a", "b", "c"]


def table_of(truth: list[str], guess: list[str], groups: list[int] | None = None, first: int = 0) -> pd.DataFrame:
    """Predictions that are certain; images are numbered from `first`."""
    names = [str(number) for number in range(first, first + len(truth))]
    table = pd.DataFrame({"image_id": names, "group": groups or range(len(truth)), "y_true": truth})
    return table.assign(**{f"p_{name}": [float(one == name) for one in guess] for name in CLASSES})


@dataclass(frozen=True)
class FakeRun:
    """A run whose predictions are at hand."""

    table: pd.DataFrame
    scenario: Scenario
    protocol: Protocol
    seed: int = 0
    reads: list[int] = field(default_factory=list)

    def predictions(self) -> pd.DataFrame:
        self.reads.append(1)
        return self.table


def judged(table: pd.DataFrame, scenario: str = "one", seed: int = 0, **protocol: Any) -> JudgedRun:
    """A judged run; `protocol` are settings of its protocol, which is `described` without any."""
    settings = {**load_experiment().protocol("described").model_dump(), "follows": "", "change": "", **protocol}
    run: Any = FakeRun(table, Scenario(name=scenario, title=scenario, trainable_convs=0), Protocol(**settings), seed)
    return JudgedRun(run)


def test_predictions_are_read_once_and_scores_belong_to_them() -> None:
    run = judged(table_of(["a", "b", "b", "a"], ["a", "b", "a", "a"]))
    accuracy = next(score for score in run.scores if score.measure == "accuracy")
    assert accuracy.value == 0.75
    assert run.scores is run.scores
    assert run.run.reads == [1]  # type: ignore[attr-defined]


def test_runs_are_sorted_and_judged_on_chosen_images_in_their_order() -> None:
    table = table_of(["a", "b", "c"], ["a", "c", "c"])
    runs = [judged(table, "one"), judged(table, "two", name="corrected"), judged(table.iloc[::-1], "one", seed=1)]
    found = by_protocol(runs)
    assert list(found) == ["described", "corrected"]
    assert found["described"] == {"one": [runs[0], runs[2]]}
    correct = correct_on(found["described"]["one"], pd.Series(["1", "2"]))
    np.testing.assert_array_equal(correct, [[False, True], [False, True]])
    with pytest.raises(KeyError):
        correct_on(runs, pd.Series(["3"]))
