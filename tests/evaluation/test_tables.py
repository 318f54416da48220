from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pytest

from lab_utils.evaluation.intervals import INTERVAL, intervals
from lab_utils.evaluation.tables import ranking, time_totals
from lab_utils.evaluation.tables import test_scores as scores_on_test_set
from tests.evaluation.test_intervals import network

TIMES = pd.DataFrame(
    {
        "protocol": "described",
        "scenario": ["one", "two"],
        "seed": 0,
        "backbone": "MobileNetV2",
        "features": 5.0,
        "shared": 2,
        "training": [30.0, 20.0],
        "uncached": [600.0, 500.0],
    }
)


def scores(**accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "protocol": "described",
                "scenario": name,
                "seed": seed,
                "images": 1000,
                "accuracy": value,
                "macro_f1": value - 0.01,
                "majority": 0.5,
            }
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


def test_features_that_runs_share_are_counted_once() -> None:
    (row,) = time_totals(TIMES).to_dict("records")
    expected = {"protocol": "described", "features": 5, "training": 50, "total": 55, "uncached": 1100, "speedup": 20}
    assert row == expected
    (row,) = time_totals(pd.concat([TIMES, TIMES.assign(backbone="DenseNet121", features=7.0)])).to_dict("records")
    assert row["features"] == 12


def test_totals_count_every_seed() -> None:
    (row,) = time_totals(pd.concat([TIMES, TIMES.assign(seed=1)])).to_dict("records")
    assert (row["total"], row["uncached"]) == (105, 2200)


@pytest.mark.parametrize("best", ["one", "two", "three"])
def test_the_best_scenario_comes_first(best: str) -> None:
    accuracies = {name: [0.9 if name == best else 0.8] for name in ("one", "two", "three")}
    times = pd.concat([TIMES, TIMES[:1].assign(scenario="three")])
    table = ranking(scores(**accuracies), times)
    assert table["scenario"].tolist() == [best, *(name for name in accuracies if name != best)]
    assert table["macro_f1"].iloc[0] == pytest.approx(0.89)


def test_ranking_takes_means_over_seeds_and_keeps_the_order_of_protocols() -> None:
    times = pd.concat([TIMES, TIMES.assign(seed=1, training=40.0)])
    both = [table.assign(protocol=name) for name in ("described", "corrected") for table in (times,)]
    measured = scores(one=[0.9, 0.8], two=[0.7, 0.7])
    table = ranking(pd.concat([measured.assign(protocol=name) for name in ("described", "corrected")]), pd.concat(both))
    assert table["protocol"].tolist() == ["described"] * 2 + ["corrected"] * 2
    assert table.loc[0, ["seeds", "accuracy", "training"]].tolist() == pytest.approx([2, 0.85, 35])


@dataclass(frozen=True)
class RunWithTestSet:
    table: pd.DataFrame

    def test_predictions(self) -> pd.DataFrame:
        return self.table


def test_a_test_set_has_the_scores_of_a_validation_set_with_images_and_patients() -> None:
    table = network({"a": 25, "b": 20, "c": 15}).assign(group=np.arange(60) // 2)
    manifest = pd.DataFrame({"image_id": table["image_id"], "patient": [f"P{n // 2}" for n in range(60)]})
    run: Any = RunWithTestSet(table)
    found = scores_on_test_set(run, manifest)
    pd.testing.assert_frame_equal(found[INTERVAL], intervals(table))
    assert found.loc[0, ["images", "patients"]].tolist() == [60, 30]
    of_a = found[found["class"] == "a"].iloc[0]
    assert of_a["images"] == (table["y_true"] == "a").sum()
    assert of_a["patients"] == manifest.loc[table["y_true"] == "a", "patient"].nunique()
    manifest.loc[0, "patient"] = ""
    assert scores_on_test_set(run, manifest)["patients"].isna()[0], "an unknown patient could be any"
    run = RunWithTestSet(table.iloc[:0])
    assert scores_on_test_set(run, manifest).columns.tolist() == [*INTERVAL, "images", "patients"]
    assert scores_on_test_set(run, manifest).empty
