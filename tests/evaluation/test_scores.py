from dataclasses import dataclass
from typing import Any

import pandas as pd

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Protocol, Scenario, load_experiment
from lab_utils.evaluation.intervals import intervals
from lab_utils.evaluation.judged import JudgedRun
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.scores import score_tables
from tests.evaluation.test_intervals import network


@dataclass(frozen=True)
class FakeRun(Run):
    table: pd.DataFrame

    def predictions(self) -> pd.DataFrame:
        return self.table


def test_every_run_and_scenario_has_its_rows_with_the_columns_of_the_catalogue(tmp_path: Any) -> None:
    experiment = load_experiment()
    protocol: Protocol = experiment.protocol("described")
    scenarios: list[Scenario] = experiment.chosen_scenarios()[:2]
    tables = [network({"a": 30, "b": 25, "c": 0}, seed=seed) for seed in range(3)]
    runs = [
        FakeRun(protocol, scenario, seed, tmp_path, table)
        for scenario, count in zip(scenarios, (2, 1), strict=True)
        for seed, table in enumerate(tables[:count])
    ]
    manifest = pd.DataFrame({"image_id": tables[0]["image_id"], "source": "x"})
    found = score_tables([JudgedRun(run) for run in runs], {"described": manifest})
    for name, table in found.items():
        catalogue()[name].check(table.columns)
        assert table["scenario"].unique().tolist() == [scenario.name for scenario in scenarios], name
    assert set(found) == {
        "calibration",
        "calibration_scores",
        "intervals",
        "means",
        "prevalence",
        "selective",
        "source_scores",
    }
    of_run = runs[1].rows_of(found["intervals"])
    pd.testing.assert_frame_equal(of_run[["measure", "class", "value", "low", "high"]], intervals(tables[1]))
    means = found["means"].set_index(["scenario", "measure", "class"])
    assert means.loc[(scenarios[0].name, "accuracy", "")][["seeds", "images"]].tolist() == [2, 55]
    accuracies = found["intervals"].query("measure == 'accuracy'").groupby("scenario", sort=False)["value"].mean()
    assert means.xs("accuracy", level="measure")["value"].tolist() == accuracies.tolist()
