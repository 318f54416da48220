from pathlib import Path

import pandas as pd

from lab_utils.core.catalogue import read_table
from lab_utils.core.config import load_experiment
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset
from lab_utils.reporting.cards import data_card, model_card, shortcomings
from tests.conftest import SCENARIOS


def as_dict(card: pd.DataFrame) -> dict[str, str]:
    assert list(card.columns) == ["Aspect", "Content"]
    assert (card["Content"].str.len() > 3).all()
    return dict(card.to_numpy())


def test_the_model_card_has_the_run_s_own_numbers(finished: tuple[Path, Path]) -> None:
    lab, experiment = Workspace(finished[0]), load_experiment(str(finished[1]))
    record = read_json(lab.run("described", "fc_only", 0) / "run.json", stage="30")
    tables = [read_table(lab, name) for name in ("intervals", "metrics", "times")]
    card = as_dict(
        model_card([record], experiment.protocol("described"), experiment.chosen_scenarios(), *tables, ["It is wrong."])
    )
    assert "Diagnosis" in card["Not for"]
    assert card["Training data"].startswith("37 images")
    assert card["Shortcomings"] == "It is wrong."
    assert "untrained (random features)" in card["Model"]
    assert record["weights_sha256"][:32] in card["Weights"]
    assert 0.1 < record["memory_mb"] / 1000 < 8
    accuracy = tables[1].set_index("scenario")["accuracy"]["fc_only"]
    assert f"Train only FC layers: accuracy {100 * accuracy:.1f} %" in card["Metrics"]
    assert card["Metrics"].count("macro F1") == len(SCENARIOS)


def test_the_data_card_says_what_the_data_are(prepared: Workspace) -> None:
    data, manifest = load_dataset(prepared), read_table(prepared, "manifest", protocol="described")
    protocol = load_experiment().protocol("described")
    findings = pd.DataFrame({"check": ["exact duplicate"] * 2, "class": ["COVID"] * 2})
    card = as_dict(data_card(data, manifest, protocol, findings, "at random"))
    assert card["Classes"].startswith("COVID 8 (8 masks); Lung Opacity")
    assert card["Findings"] == "exact duplicate: 2"
    assert card["Split"].endswith("for validation: at random")
    assert "https://example.org/synthetic-phantom" in card["Sources"]
    assert card["Images"].startswith("299 x 299 pixels (100% of them)")


def test_shortcomings_are_what_speaks_against_the_networks() -> None:
    leaks = pd.DataFrame([{"validation": 1000, "copied": 12}])
    findings = pd.DataFrame({"check": ["mask as image", "unshared source"], "class": ["a", "Lung_Opacity"]})
    row = {"accuracy": 0.7, "low": 0.6, "high": 0.8}
    reached = pd.DataFrame([{"input": name, **row} for name in ("full", "border")])
    found = shortcomings(reached, 0.5, "Of one + two much.", leaks, findings)
    assert found == [
        "A linear model on the border alone reaches 70.0 % [60.0, 80.0], better than the commonest class.",
        "Of one + two much.",
        "12 of 1,000 validation images have a copy in the training set.",
        "Lung masks count as images.",
        "No other class shares a source with Lung Opacity: the hospital gives the class away.",
    ]
    assert shortcomings(reached, 0.6, "", leaks.assign(copied=0), findings.iloc[:0]) == []
