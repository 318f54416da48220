import pandas as pd
import pytest

from lab_utils.core.config import Scenario
from lab_utils.reporting.discussion import (
    attribution,
    by_class,
    comparison,
    conclusion,
    describe_curves,
    describe_errors,
    describe_examples,
    describe_shares,
    duration,
    findings_by_check,
    in_short,
    majority,
    reproduction,
    shortcuts,
    stability,
    survival,
)

SCENARIOS = [Scenario(name, f"Title of {name}", 0) for name in ("one", "two", "three")]

TIMES = pd.DataFrame(
    {"scenario": ["one", "two"], "training": [30.0, 20.0], "extraction": [5.0, 5.0], "plain": [600.0, 500.0]}
)


def metrics(**accuracies: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {
                "protocol": "described",
                "scenario": name,
                "seed": seed,
                "accuracy": value,
                "macro_f1": value - 0.01,
                "images": 1000,
                "majority": 0.5,
            }
            for name, values in accuracies.items()
            for seed, value in enumerate(values)
        ]
    )


def pair(better: str = "", seeds: int = 5) -> pd.DataFrame:
    """A row of comparisons between the scenarios one and two."""
    row = {"first": "one", "second": "two", "seeds": seeds, "difference": -0.021, "low": -0.034, "high": -0.008}
    return pd.DataFrame([{**row, "different": 1.0, "null": 0.5, "better": better}])


@pytest.mark.parametrize("best", ["one", "two", "three"])
def test_the_best_scenario_stands_first(best: str) -> None:
    accuracies = {name: [0.9 if name == best else 0.8] for name in ("one", "two", "three")}
    text = comparison(metrics(**accuracies), pair(seeds=1), SCENARIOS)
    assert text.index(f"Title of {best}") == min(text.index(s.title) for s in SCENARIOS)
    assert "90.0 % (macro F1 89.0 %)" in text


def test_one_seed_claims_nothing() -> None:
    text = comparison(metrics(one=[0.9], two=[0.5]), pair(seeds=1), SCENARIOS)
    assert "**One seed: no comparison is claimed**" in text
    assert "better than" not in text


def test_one_scenario_is_not_compared() -> None:
    text = comparison(metrics(one=[0.9]), pair()[:0], SCENARIOS)
    assert text.endswith("*Title of one* 90.0 % (macro F1 89.0 %). There is nothing to compare it with.")


def test_what_is_better_is_called_that_with_its_interval() -> None:
    text = comparison(metrics(one=[0.9, 0.8], two=[0.7, 0.7]), pair(better="two"), SCENARIOS)
    assert "*Title of one* 85.0 %" in text
    assert "*Title of two* is better than *Title of one*, by 2.1 points [0.8, 3.4]" in text


@pytest.mark.parametrize(
    ("seeds", "why"), [(3, "3 seeds are few for that, 5 are"), (5, "over 5 seeds no difference has")]
)
def test_what_is_not_better_is_not(seeds: int, why: str) -> None:
    text = comparison(metrics(one=[0.9] * seeds, two=[0.8] * seeds), pair(seeds=seeds), SCENARIOS)
    assert f"**No scenario is called better than another**: {why}" in text


def test_the_easiest_and_the_hardest_class() -> None:
    report = pd.DataFrame(
        [
            ("a_b", 0.5, 0.6, 0.55, 10),
            ("c", 1, 1, 1, 20),
            ("accuracy", None, None, 0.1, 30),
            ("macro avg", 0, 0, 0, 30),
        ],
        columns=["class", "precision", "recall", "f1", "support"],
    )
    assert by_class(report, SCENARIOS[0]) == (
        "**Title of one**: highest F1 for c (1.00), lowest for a b (0.55: precision 0.50, recall 0.60, 10 images)."
    )


def test_the_fastest_scenario_is_the_one_that_was_fastest() -> None:
    assert duration(TIMES, SCENARIOS) == (
        "'Title of two' trained fastest, in 20 s; 'Title of one' took longest, 30 s. Before that, what is frozen was computed "
        "once in 5 s. In all, 55 s; the plain way would have taken about 1,100 s, 20.0 times as long."
    )
    assert duration(TIMES[:1], SCENARIOS).startswith("Training took 30 s. Before that")


def test_both_sentences_on_time_count_every_seed() -> None:
    twice = pd.concat([TIMES, TIMES])
    assert "In all, 105 s; the plain way would have taken about 2,200 s" in duration(twice, SCENARIOS)
    assert "All of it took 105 s" in (text := in_short(metrics(one=[0.9], two=[0.8]), twice, SCENARIOS))
    assert text.endswith("about 2,200 s.")


def test_the_report_in_short() -> None:
    text = in_short(metrics(one=[0.9], two=[0.8]), TIMES, SCENARIOS)
    assert "accuracy on 1,000 validation images: Title of one 90.0 %; Title of two 80.0 %." in text
    assert "Naming the commonest class would reach 50.0 %. All of it took 55 s" in text
    assert text.endswith("the plain way would have taken about 1,100 s.")


def test_curves_in_words() -> None:
    history = pd.DataFrame(
        {
            "epoch": [1, 2, 3],
            "accuracy": [0.5, 0.7, 0.95],
            "val_accuracy": [0.4, 0.9, 0.8],
            "loss": [1.0, 0.5, 0.25],
            "val_loss": [1.5, 0.75, 0.875],
        }
    )
    assert describe_curves(history) == (
        "Two line charts over 3 epochs. Validation accuracy starts at 40.0 %, is highest in epoch 2 (90.0 %) and ends at "
        "80.0 %, training accuracy at 95.0 %. Validation loss ends at 0.88, training loss at 0.25."
    )


def test_errors_in_words() -> None:
    confusions = pd.DataFrame(
        [("two", "a_b", "a_b", 8), ("two", "a_b", "c", 2), ("two", "c", "a_b", 1), ("two", "c", "c", 9)],
        columns=["scenario", "y_true", "y_pred", "images"],
    )
    assert describe_errors(confusions, SCENARIOS) == (
        "Title of two: 3 of 20 images are classified wrongly, most often a b as c (2)."
    )
    perfect = confusions.assign(images=[8, 0, 0, 9])
    assert describe_errors(perfect, SCENARIOS) == "Title of two: none of 17 images is classified wrongly."


def test_oscillation_is_measured() -> None:
    history = pd.DataFrame({"accuracy": [0.5, 0.95], "val_accuracy": [0.8, 0.9]})
    (text,) = stability({"two": history}, SCENARIOS)
    assert "**Title of two**: over the last 2 epochs the validation accuracy ranged over 10.0 points" in text
    assert "training accuracy was 5.0 points above it" in text


def test_a_model_below_the_constant_answer_is_called_that() -> None:
    text = conclusion(metrics(one=[0.4]), "MobileNetV2", "random", synthetic=True)
    assert "up to 40.0 %; naming the commonest class for every image gives 50.0 %, which no scenario surpasses" in text
    assert "untrained MobileNetV2" in text
    assert "nothing about disease" in text
    assert "surpasses" not in conclusion(metrics(one=[0.9]), "MobileNetV2", "imagenet", synthetic=False)


def test_published_values_stand_beside_this_run_s() -> None:
    rows = [
        ("one", "accuracy", "", 0.86, 0.9, False),
        ("one", "precision", "a_b", 0.84, 0.85, True),
        ("one", "support", "a_b", 2169, 109, None),
    ]
    table = pd.DataFrame(rows, columns=["scenario", "measure", "class", "published", "here", "inside"])
    first, second = reproduction(table, {"one": "Scenario 1"}).to_dict("records")
    assert (first["Scenario"], first["Class"], first["F1-score"]) == ("Scenario 1", "Accuracy", "0.86 / 0.90*")
    assert (second["Class"], second["Precision"], second["Support"]) == ("a b", "0.84 / 0.85", "2,169 / 109")


def inputs(**accuracies: float) -> pd.DataFrame:
    base = {"full": 0.9, "histogram": 0.4, "thumbnail_8x8": 0.4, "border": 0.4, "permuted_labels": 0.4, **accuracies}
    rows = [
        {"input": name, "accuracy": value, "low": value - 0.05, "high": value + 0.05} for name, value in base.items()
    ]
    return pd.DataFrame(rows)


def test_what_survives_without_lungs_is_said() -> None:
    said = survival(inputs(lungs_erased=0.7, lungs_only=0.8), 0.5)
    assert said.startswith(
        "Without lungs, a linear model reaches 70.0 % [65.0, 75.0] where the whole image gives 90.0 %"
    )
    assert said.endswith("50% of what it adds to the commonest class survives.")
    assert "survives." not in survival(inputs(full=0.4, lungs_erased=0.7), 0.5)
    assert "100% of what it adds" in survival(inputs(lungs_erased=0.95), 0.5)
    assert "survives." not in survival(inputs(full=0.54, lungs_erased=0.6), 0.5)
    assert "0% of what it adds" in survival(inputs(lungs_erased=0.3), 0.5)
    assert "is not known, for too few images have a lung mask" in survival(inputs(), 0.5)


def test_shortcuts_are_named_and_chance_is_checked() -> None:
    said = shortcuts(inputs(border=0.7, lungs_erased=0.7, lungs_only=0.8), 0.5)
    assert "are better than the commonest class: the border alone (70.0 % [65.0, 75.0])." in said
    assert "The lungs alone give 80.0 %" in said
    assert said.endswith("chance, as it must be.")
    said = shortcuts(inputs(permuted_labels=0.7), 0.5)
    assert "Neither grey levels, nor a thumbnail, nor the border is surely better" in said
    assert said.endswith("MORE THAN CHANCE, so that something is wrong.")


def test_the_majority_is_that_of_the_validation_images() -> None:
    manifest = pd.DataFrame({"split": ["train"] * 3 + ["validation"] * 4, "class": list("bbbaaab")})
    assert majority(manifest) == 0.75


def test_attribution_in_words() -> None:
    row = {"outcome": "", "images": 9, "share": 0.4, "low": 0.35, "high": 0.45, "area": 0.2, "ceiling": 0.6}
    table = pd.DataFrame([{**row, "scenario": "one", "class": ""}, {**row, "scenario": "one", "class": "a_b"}])
    said = attribution(table, SCENARIOS)
    assert "'Title of one' 40.0 % [35.0, 45.0]" in said
    assert "20.0 % of the image" in said
    assert said.endswith("reaches 60.0 %.")
    assert describe_shares(table) == "a b, : 40.0 % of the attribution of 9 images, lungs 20.0 %, ceiling 60.0 %"
    cells = {"image_id": "x", "class": "a_b", "predicted": "c", "confidence": 0.913}
    assert describe_examples(pd.DataFrame([cells, cells])).endswith("radiographs. a b taken for c (91% sure)")


def test_findings_are_counted_by_check_and_class() -> None:
    findings = pd.DataFrame(
        [("b", "x_y", "kept"), ("b", "z", "kept"), ("b", "z", "kept"), ("a", "", "reported")],
        columns=["check", "class", "action"],
    )
    assert findings_by_check(findings).to_numpy().tolist() == [
        ["a", 1, "", "reported"],
        ["b", 3, "x y 1; z 2", "kept"],
    ]
