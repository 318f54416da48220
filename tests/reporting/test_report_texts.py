"""The texts of the report under invented results: they say what the tables say, and claim nothing else."""

import re
from types import SimpleNamespace
from typing import Any

import nbformat
import pandas as pd
import pytest

from lab_utils.audits.attribution import BLIND
from lab_utils.core.config import Scenario
from lab_utils.evaluation.tables import time_totals
from lab_utils.reporting import exhibits, tables
from lab_utils.reporting.text import render
from tests.conftest import PROJECT

SCENARIOS = [
    Scenario(name=name, title=f"title of {name}", trainable_convs=0, number=number)
    for number, name in enumerate(("one", "two", "three"), start=1)
]
LABELS = {scenario.name: scenario.label for scenario in SCENARIOS}
TIMES = pd.DataFrame(
    {
        "protocol": "p",
        "scenario": ["one", "two"],
        "seed": 0,
        "backbone": "MobileNetV2",
        "training": [30.0, 20.0],
        "features": 5.0,
        "uncached": [600.0, 500.0],
    }
)
TESTED = pd.DataFrame(
    {
        "scenario": ["one", "two"],
        "seed": 0,
        "measure": "accuracy",
        "class": "",
        "value": [0.75, 0.8],
        "low": [0.7, None],
        "high": [0.8, None],
        "images": 100,
        "patients": [40, 40],
    }
)


@pytest.fixture(autouse=True)
def fresh_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhibits, "_numbers", {})


def said(phrase: str, path: str = "report/lab_report.ipynb", **names: Any) -> str:
    """The only text of a notebook with this phrase, filled in, as a reader sees it."""
    notebook = nbformat.read(PROJECT / path, as_version=4)
    (source,) = [cell.source for cell in notebook.cells if phrase in cell.source and cell.source.startswith("%%text")]
    text = render(source.removeprefix("%%text\n"), {"label": LABELS, **names})
    return re.sub(r"\s+", " ", re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", text))


def executed(cell_id: str, **names: Any) -> dict[str, Any]:
    """The names that a code cell of the report defines."""
    notebook = nbformat.read(PROJECT / "report" / "lab_report.ipynb", as_version=4)
    exec(next(cell.source for cell in notebook.cells if cell.id == cell_id), names)
    return names


def means(**accuracies: float) -> pd.DataFrame:
    """The accuracies in the table means, each with an interval of ten points."""
    rows = [
        ("p", name, 1, 1000, "accuracy", "", value, value - 0.05, value + 0.05) for name, value in accuracies.items()
    ]
    columns = ["protocol", "scenario", "seeds", "images", "measure", "class", "value", "low", "high"]
    return pd.DataFrame(rows, columns=columns)


def overall(scores: pd.DataFrame) -> pd.DataFrame:
    """Accuracy and macro F1, which is lower by a point, by scenario and measure."""
    lower = scores.assign(measure="macro_f1", value=scores["value"] - 0.01)
    return pd.concat([scores, lower]).set_index(["scenario", "measure"])


def pair(better: str = "", seeds: int = 5, p: float = 0.2) -> pd.DataFrame:
    """A row of comparisons between the scenarios one and two."""
    row = {"first": "one", "second": "two", "difference": -0.021, "low": -0.034, "high": -0.008, "detectable": 0.019}
    return pd.DataFrame([{**row, "better": better, "seeds": seeds, "p": p}])


def ranked(comparisons: pd.DataFrame, seeds: int, *, differs: object = None, **accuracies: float) -> str:
    """What the discussion says of the ranking; the write-up has 86 % for the scenario one."""
    scores, names = means(**accuracies), list(accuracies)
    f1 = pd.DataFrame({"class": "a_b", "value": 0.55, "low": 0.4, "high": 0.7}, index=names)
    published = pd.DataFrame({"published": [0.86], "difference": 0.04, "low": -0.01, "high": 0.09, "differs": differs})
    return said(
        '{{ ref("tbl-ranking") }} gives the',
        runs=[SimpleNamespace(scenario=scenario) for scenario in SCENARIOS if scenario.name in names],
        ranking=scores,
        overall_scores=overall(scores),
        means=scores,
        scenarios=SCENARIOS,
        tables=tables,
        highest_f1=f1.assign(value=1.0, low=0.9, high=1.0, **{"class": "c"}),
        lowest_f1=f1,
        against_write_up=published.assign(scenario="one").set_index("scenario"),
        comparisons=comparisons,
        claims=comparisons[comparisons["better"] != ""],
        seeds=seeds,
        seeds_needed=5,
    )


def test_one_seed_claims_nothing() -> None:
    text = ranked(pair()[:0], 1, one=0.9, two=0.5)
    assert (
        "- **S1: title of one**: accuracy 90.0 % [85.0, 95.0]. The difference to the write-up (86 %) is +4.0 [−1.0, +9.0] "
        "percentage points; one seed does not decide whether they differ. Its F1-score is highest for c (1.00 [0.90, "
        "1.00]) and lowest for a b (0.55 [0.40, 0.70])." in text
    )
    assert "- **S2: title of two**: accuracy 50.0 % [45.0, 55.0]. Its F1-score" in text
    assert "**One seed: no scenario is called better than another**" in text
    assert "is better than" not in text
    assert "tbl-comparisons" not in text
    alone = ranked(pair()[:0], 5, one=0.9, two=0.5)
    assert "**No scenario is called better than another**, because one scenario alone has several seeds." in alone
    assert "One seed" not in alone


@pytest.mark.parametrize(("differs", "verdict"), [(True, "**they differ**"), (False, "no difference is shown")])
def test_each_scenario_has_a_verdict(differs: bool, verdict: str) -> None:
    assert f"percentage points; {verdict}." in ranked(pair()[:0], 5, differs=differs, one=0.9)


def test_one_scenario_is_not_compared() -> None:
    text = ranked(pair()[:0], 1, one=0.9)
    assert text.endswith("There is no other scenario to compare it with.")
    assert "gives the accuracy, beside that of the write-up." in text


def test_what_is_better_is_called_that_with_its_interval() -> None:
    text = ranked(pair(better="two"), 5, one=0.85, two=0.7)
    assert "- S2: title of two **is better than** S1: title of one. The accuracy of S1: title of one differs by" in text
    assert "by −2.1 [−3.4, −0.8] percentage points" in text
    assert text.index("[Table 1](#tbl-ranking)") < text.index("[Table 2](#tbl-comparisons)")
    assert "detects a true difference of 1.9 percentage points with a probability of about 80 %" in text


def counted(comparisons: pd.DataFrame, *seeds: int) -> str:
    """What notebook 40 says of comparisons, with the seeds of each scenario."""
    shown = SimpleNamespace(comparisons=comparisons, ranking=pd.DataFrame({"seeds": seeds}))
    names = {"labels": LABELS, "shown": shown, "seeds_needed": 5}
    return said("may be called better than another", "notebooks/40_evaluate.ipynb", **names)


@pytest.mark.parametrize(
    ("seeds", "why"), [(3, "3 seeds are too few, a claim needs 5"), (5, "no difference over at least 5 seeds")]
)
def test_what_is_not_better_is_not(seeds: int, why: str) -> None:
    for text in (ranked(pair(seeds=seeds), 5, one=0.9, two=0.8), counted(pair(seeds=seeds), seeds, 5)):
        assert ("detects a true difference" in text) == (seeds == 5)
    assert f"**No scenario is called better than another**: {why}" in ranked(pair(seeds=seeds), 5, one=0.9, two=0.8)


def test_what_was_not_tested_is_called_that() -> None:
    missing = pair(seeds=3, p=float("nan")).assign(low=None, high=None, detectable=float("nan"))
    for text in (ranked(missing, 3, one=0.9, two=0.8), counted(missing, 3, 3)):
        assert re.search("[Nn]othing was tested.*, because the validation images form fewer than ten", text)
        assert not re.search("too few|significant|detects", text)


def test_notebook_40_says_why_nothing_is_claimed() -> None:
    assert counted(pair("two"), 5, 5).startswith("S2: title of two is better than S1: title of one: the accuracy of S1")
    assert counted(pair()[:0], 1).endswith("There is no other scenario.")
    assert counted(pair()[:0], 1, 1).endswith("There is one seed for each scenario.")
    assert counted(pair()[:0], 5, 1).endswith("One scenario alone has several seeds.")
    assert counted(pair(seeds=3), 3, 3).endswith("There are 3 seeds for each scenario, and a claim needs 5.")
    assert "No difference over at least 5 seeds is significant" in counted(pair(), 5, 5)


def timed(times: pd.DataFrame) -> str:
    runs = times.groupby("scenario", as_index=False)
    ranked = runs.agg(training=("training", "mean"), seeds=("seed", "nunique")).sort_values("training")
    totals = time_totals(times).iloc[0]
    names = {"ranking": ranked, "fastest": ranked.iloc[0], "slowest": ranked.iloc[-1], "time_totals": totals}
    return said("Before training", record={"precision": "bfloat16"}, seeds=ranked["seeds"].max(), **names)


def test_the_fastest_scenario_is_the_one_that_was_fastest() -> None:
    text = timed(TIMES)
    assert text.startswith(
        "S2: title of two trained fastest, in 20.0 s. S1: title of one took longest, 30.0 s. Before training, "
        "frozen-layer activations were computed once and cached, in 5.00 s."
    )
    assert "Matrix products of training steps were computed in bfloat16; validation and predictions are" in text
    assert "In total, features and 2 trainings took 55.0 s." in text
    assert "Training without cached features would have taken about 1,100 s, 20.0 times as long." in text
    assert timed(TIMES[:1]).startswith("Training took 30.0 s. Before training")


def elsewhere(*rows: tuple[str, float, float | None]) -> pd.DataFrame:
    """Accuracies of scenarios on the outside collection "other": scenario, value, low."""
    table = pd.DataFrame(rows, columns=["scenario", "value", "low"], dtype=object).assign(collection="other", images=40)
    table[["value", "low"]] = table[["value", "low"]].astype(float)
    return table.assign(high=table["value"] + 0.1, internal=0.9, internal_low=0.85, internal_high=0.95)


OUTSIDE = elsewhere(("one", 0.6, 0.5), ("two", 0.8, None))
TITLES = {"other": "<b>other_hospital</b>"}


def headlines(outside: pd.DataFrame, **accuracies: float) -> dict[str, Any]:
    """What summary and conclusion are made of, under protocol `corrected`."""
    return {
        "headline": "corrected",
        "headline_means": means(**accuracies),
        "headline_majority": 0.5,
        "headline_outside": outside,
        "outside_titles": TITLES,
        "outside_majority": {"other": 0.5},
        "probe_backbone": "MobileNetV2",
    }


def test_each_network_and_the_split_are_described() -> None:
    def built(*networks: tuple[str, tuple[int, ...]]) -> str:
        used = [{"backbone": name, "epochs": 2, "batch_size": 8, "optimizer": "adam"} for name, _ in networks]
        runs = [
            SimpleNamespace(scenario=scenario, record={"scenario": {**settings, "learning_rate": 0.1}})
            for scenario, settings in zip(SCENARIOS, used, strict=False)
        ]
        names = {
            "lab": SimpleNamespace(classes=["a", "b"]),
            "parameters": {name: {"Trainable params": 9, "Total params": 20} for name in LABELS},
            "backbones": list(dict.fromkeys(name for name, _ in networks)),
            "trainings": ["2 epochs", "3 epochs"][: len(networks)],
            "trained_by": dict.fromkeys(LABELS, "2 epochs"),
            "backbones_by_head": {head: [name for name, its in networks if its == head] for _, head in networks},
        }
        return said("BatchNorm runs in inference", networks=networks, runs=runs, smallest=runs[0], **names)

    text = built(("MobileNetV2", (32, 16)), ("DenseNet121", ()))
    assert (
        "The classifier of MobileNetV2 is removed. Its place is taken by global average pooling, Dense(32, ReLU),"
        in text
    )
    assert (
        "The classifier of DenseNet121 is removed. Its place is taken by global average pooling and Dense(2, soft"
        in text
    )
    assert "- **S2: title of two**: DenseNet121; 9 of 20 parameters are trained; 2 epochs" in text
    same = built(("MobileNetV2", (32,)), ("DenseNet121", (32,)))
    assert "The classifiers of MobileNetV2 and DenseNet121 are removed. Their place is taken by global average" in same
    assert "- **S1: title of one**: 9 of 20 parameters are trained" in built(("MobileNetV2", (32, 16)))


def summary(outside: pd.DataFrame = OUTSIDE, probes: pd.DataFrame | None = None, **accuracies: float) -> str:
    values = headlines(outside, **accuracies or {"one": 0.9, "two": 0.8})
    names = {"probes": inputs(lungs_erased=0.7) if probes is None else probes, **values}
    names["protocol"] = SimpleNamespace(name="corrected")
    return said("sets these accuracies on one axis", **executed("lab-401", **names))


def test_three_sentences_answer_the_question() -> None:
    text = summary()
    assert text == (
        "On 1,000 validation images, S1: title of one reaches an accuracy of 90.0 % [85.0, 95.0] and S2: title of two "
        "80.0 % [75.0, 85.0]; the majority-class baseline has 50.0 %. **A shortcut is not excluded:** with the lungs "
        "erased, a linear model still reaches 70.0 % [65.0, 75.0]. On images of another origin, S1: title of one "
        "reaches 60.0 % [50.0, 70.0] (*<b>other_hospital</b>*, baseline 50.0 %). [Summary figure](#fig-summary) sets these "
        "accuracies on one axis."
    )
    assert summary(one=0.9).startswith("On 1,000 validation images, S1: title of one reaches an accuracy of 90.0 % [85")
    assert "95.0]; the majority-class" in summary(one=0.9)
    assert "The accuracy on images of another origin is not known." in summary(OUTSIDE[:0])


def test_a_shortcut_is_only_called_absent_where_it_was_looked_for() -> None:
    unseen = summary(probes=inputs(lungs_erased=0.4))
    assert "**The audits found no shortcut:** with the lungs erased, a linear model is not above the perm" in unseen
    without_masks = summary(probes=inputs(border=0.7))
    assert "**A shortcut is not excluded:** from the border alone, a linear model still reaches 70.0 %" in without_masks
    assert "is not known, because the linear models were left out" in summary(probes=inputs()[:0])


def test_the_sentence_on_time_counts_every_seed() -> None:
    twice = pd.concat([TIMES, TIMES.assign(seed=1)])
    assert "features and 4 trainings took 105 s." in timed(twice)
    assert timed(twice).startswith("S2: title of two trained fastest, in 20.0 s (mean over 2 seeds).")
    two_backbones = pd.concat([TIMES, TIMES.assign(backbone="DenseNet121", features=7.0)])
    assert "trainings took 112 s." in timed(two_backbones)


def causes(*, seeds: int = 1, written: object = ("one",)) -> str:
    curve = {"tail": 10.0, "accuracy_range": 0.07, "gap": -0.05, "final_loss": 0.6}
    recalls = pd.DataFrame({"value": 0.5, "low": 0.2, "high": 0.8}, index=["one"])
    return said(
        "Why do the curves oscillate?",
        runs=[SimpleNamespace(scenario=SCENARIOS[0])],
        images=200,
        written=written,
        curves=pd.DataFrame(curve, index=["one"]),
        least_losses={"one": 0.3},
        rarest="a_b",
        class_images={"a_b": 9},
        rarest_recalls=recalls,
        claimed_suspects=[1, 2],
        leak=SimpleNamespace(copied=3),
        seeds=seeds,
        final_accuracies=pd.DataFrame({"scenario": "one", "a": [0.8, 0.9]}).groupby("scenario")["a"],
    )


def test_each_suspected_cause_of_oscillation_has_a_number() -> None:
    text = causes()
    assert "One of 200 validation images is 0.50 percentage points. In the last 10 epochs" in text
    assert "varies over 7.0 points (14 images, S1)." in text
    assert "accuracy is −5.0 points (S1). The validation loss ends at 2.0 times its minimum." in text
    assert "The rarest class, a b, has 9 validation images. Its recall is 50.0 % [20.0, 80.0] (S1). 2 labels" in text
    assert "In the training set are copies of 3 validation images." in text
    assert text.endswith("One seed does not show it.")
    assert causes(seeds=2).endswith("Over 2 seeds, the standard deviation of the final accuracy is 7.1 points (S1).")


def inputs(**scores: float) -> pd.DataFrame:
    """Probes of which accuracy and AUC are the same."""
    base = {"full": 0.9, "histogram": 0.4, "thumbnail_8x8": 0.4, "border": 0.4, **scores}
    table = pd.DataFrame(dict.fromkeys(("accuracy", "auc"), base))
    for column, margin in {"low": -0.05, "high": 0.05}.items():
        table[column] = table[f"auc_{column}"] = table["auc"] + margin
    return table.assign(
        above_null=table["low"] > 0.5, null_auc=0.5, difference=-0.2, among="COVID / Lung_Opacity", images=50
    ).assign(difference_low=-0.3, difference_high=-0.1)


def concluded(
    accuracy: float,
    *,
    synthetic: bool,
    tested: pd.DataFrame = TESTED[:0],
    outside: pd.DataFrame = OUTSIDE[:0],
    claims: pd.DataFrame | None = None,
    **probed: float,
) -> str:
    values = {**headlines(outside, one=accuracy), "probes": inputs(full_all_images=0.88, **probed)}
    names = {"dataset": SimpleNamespace(synthetic=synthetic), "protocol": SimpleNamespace(name="described")}
    names |= {"runs": [1, 2], "tested": tested, "claims": pair()[:0] if claims is None else claims, **values}
    return said("How accurate are the networks?", **executed("lab-401", **names))


def test_the_conclusion_answers_four_questions() -> None:
    text = concluded(0.9, synthetic=False, lungs_erased=0.7)
    assert (
        "How accurate are the networks?** S1: title of one 90.0 % [85.0, 95.0]. The majority-class baseline has 50"
        in text
    )
    assert "a linear model on the features of the frozen MobileNetV2 has 88.0 % [83.0, 93.0]." in text
    assert "Which ranking can be told?** None: no scenario is called better than another." in text
    assert "Is a shortcut excluded?** No. With the lungs erased, a linear model has an accuracy of 70.0 %" in text
    assert "What happens elsewhere?** This is not known" in text
    assert "phantoms" not in text
    assert "S2: title of two is better than S1: title of one." in concluded(0.9, synthetic=False, claims=pair("two"))
    absent = concluded(0.9, synthetic=False, lungs_erased=0.4)
    assert "The audits found none. With the lungs erased, the macro AUC of a linear model is 0.400" in absent
    measured = concluded(0.9, synthetic=False, outside=OUTSIDE)
    assert (
        "On *<b>other_hospital</b>*, the lowest accuracy is that of S1: title of one: 60.0 % [50.0, 70.0] (on validation "
        "images of the same classes 90.0 % [85.0, 95.0]), and the highest that of S2: title of two: 80.0 % [90.0] (90.0 % "
        "[85.0, 95.0]); the majority-class baseline has 50.0 %." in measured
    )


def test_a_model_below_the_constant_answer_is_called_that() -> None:
    text = concluded(0.4, synthetic=True)
    assert "The majority-class baseline has 50.0 %, and no interval lies above it;" in text
    assert "nothing about disease" in text
    assert "no interval lies above" not in concluded(0.9, synthetic=True)


def test_what_remains_with_lungs_erased_is_reported() -> None:
    for erased, boxed, sentence in (
        (0.6, 0.58, "**It uses more than the lungs.**"),
        (0.6, 0.54, "It uses more than the lungs, or the outline that erased lungs leave."),
        (0.54, 0.6, "This does not show that it uses more than the lungs."),
    ):
        network = inputs(lungs_erased=erased, box_erased=boxed).assign(scenario="one")
        text = probed(inputs(lungs_erased=0.7), inputs()[:0], network=network)
        assert f"The network S1: title of one has 0.900 [0.850, 0.950] on full images, {erased:.3f} [" in text
        assert sentence in text
        assert ("**It uses" in text) == sentence.startswith("**")
    assert "No trained network was judged on erased images." in probed(inputs(), inputs()[:0], network=inputs()[:0])


@pytest.mark.parametrize(
    ("erased", "boxed", "sentence"),
    [
        (0.6, 0.58, "**This network uses more than the lungs.**"),
        (0.6, 0.54, "It uses more than the lungs, or the outline that erased lungs leave."),
        (0.54, 0.6, "This does not show that the network uses more than the lungs."),
    ],
)
def test_notebook_45_claims_no_more_than_erased_lungs_show(erased: float, boxed: float, sentence: str) -> None:
    uses, network = inputs(lungs_erased=erased, box_erased=boxed), SimpleNamespace(scenario=SCENARIOS[0])
    values = {"rows": inputs(), "refits": 500, "above": [], "uses": uses, "network": network}
    text = said("A shortcut that exists", "notebooks/45_audit.ipynb", **values)
    assert "No input without lungs is shown to predict the class." in text
    assert text.endswith(f"with their bounding box erased; without skill it is 0.5. {sentence}")


def probed(
    probes: pd.DataFrame, adults: pd.DataFrame, network: pd.DataFrame | None = None, masks: int = 1, **coarse: pd.Series
) -> str:
    network = inputs(lungs_erased=0.6, box_erased=0.6).assign(scenario="one") if network is None else network
    values = {"network": network, "adults": adults, "of_database": True, "total": SimpleNamespace(masks=masks)}
    return said("How does the AUC change", probes=probes, coarse=coarse, **values)


def test_inputs_without_lungs_are_named_and_compared_with_permuted_labels() -> None:
    probes = inputs(border=0.7, lungs_erased=0.7, lungs_only=0.8, other_lungs_erased=0.75)
    text = probed(probes, probes, border=probes.loc["border"])
    assert (
        "All inputs are of one random sample of 50 images; cross-validation fits the model on four fifths of them at a time."
        in text
    )
    assert (
        "On the full image, the AUC is 0.900 [0.850, 0.950]; refits to permuted labels, the null, have a mean" in text
    )
    assert "These inputs show little or nothing of the lungs" in text
    assert "These inputs leave out the middle" in probed(probes, probes, masks=0, border=probes.loc["border"])
    assert "better than with permuted labels (Holm-corrected p below 5 %): border (0.700 [0.650, 0.750])." in text
    assert "With the outline of another image erased, the AUC is 0.750 [0.700, 0.800]; with the lungs alone" in text
    assert "In the COVID-19 Radiography Database, COVID / Lung Opacity are both of adults" in text
    assert "0.700 [0.650, 0.750], and −20.0 [−30.0, −10.0] points from that of the full image" in text
    assert "The network was not trained on erased images." in text
    text = probed(inputs(), inputs()[:0])
    assert "No input without lungs predicts the class better than with permuted labels; the intervals" in text
    assert "adults" not in text


def test_attribution_in_words() -> None:
    row = {
        "scenario": "one",
        "images": 120,
        "share": 0.4,
        "low": 0.35,
        "high": 0.45,
        "uniform": 0.2,
        "centre": 0.3,
        "other_lungs": 0.5,
    }
    row |= {"lungs": 0.7, "random_head_low": 0.1, "random_head_high": 0.42, "exceeded": "uniform; centre"}
    shown, nothing, phrase = SimpleNamespace(scenario=SCENARIOS[0]), pd.DataFrame(), "Where do the networks look?"
    reasons = {"audit": ["Grad-CAM, S1: one", "linear models"], "reason": ["no feature map", "few images"]}
    names: dict[str, Any] = {"all_blind": "; ".join(BLIND), "headline": "corrected"}
    names["audits_left_out"] = pd.DataFrame(reasons)

    def text(exceeded: str) -> str:
        overall = pd.DataFrame([{**row, "exceeded": exceeded}])
        return said(phrase, shown=shown, examples=overall, overall=overall, **names)

    some = text("uniform; centre")
    assert re.search(r"shows Grad-CAM \\?\[\[\d+\]\(#ref-selvaraju2017\)\\?\] for S1: title of one\.", some)
    assert "on a random sample of 120 validation images are (by class: Appendix A): - S1" in some
    assert (
        "- S1: title of one: 40.0 % [35.0, 45.0]; random heads 10.0 % to 42.0 %; it exceeds uniform and centre" in some
    )
    assert "uniform attribution has 20.0 %, a blob in the centre 30.0 %, the lungs of another image 50.0 %" in some
    assert "No network exceeds them all." in some
    assert "it exceeds no reference" in text("")
    assert "At least one network exceeds them all." in text("; ".join(BLIND))
    text_without = said(phrase, shown=shown, examples=nothing, overall=nothing, **names)
    assert "was left out." in text_without
    assert "The share of Grad-CAM attribution inside the lungs was left out: no feature map." in text_without


def model_card(**changes: Any) -> str:
    record = {
        "weights": "random",
        "weights_sha256": "0" * 64,
        "images": {"train": 37, "validation": 11},
        "python": "3.13",
        "cpus": 2,
        "platform": "x",
        "versions": {"tensorflow": "1", "keras": "2", "lab-utils": "3"},
    }
    values: dict[str, Any] = {
        "networks": {("MobileNetV2", (32, 16))},
        "record": record,
        "runs": [],
        "protocol": SimpleNamespace(name="described", masks=False),
        "headline": "corrected",
        "calibration": pd.DataFrame({"ece_null_high": [0.03, 0.04]}),
        "without_lungs": {},
        "overall": pd.DataFrame(),
        "leak": pd.Series({"copied": 0, "validation": 1000}),
        "has_masks": False,
        "unshared": pd.Series([], dtype=object),
        "tested": TESTED[:0],
        "sides": {"test": 0},
        "commit": "unknown (outside a git repository)",
        "memory": 800.0,
        "times": TIMES,
        "time_totals": time_totals(TIMES).iloc[0],
        "elsewhere": OUTSIDE[:0],
        "outside_titles": {},
    }
    return said("## Model card", **{**values, **changes})


def test_shortcomings_are_what_speaks_against_the_networks() -> None:
    row = {"scenario": "one", "share": 0.4, "low": 0.35, "high": 0.45, "uniform": 0.2}
    text = model_card(
        without_lungs={"the border alone": pd.Series({"auc": 0.7, "auc_low": 0.6, "auc_high": 0.8})},
        overall=pd.DataFrame([row]),
        leak=pd.Series({"copied": 12, "validation": 1000}),
        has_masks=True,
        unshared=pd.Series(["Lung_Opacity"]),
    )
    for sentence in (
        "a linear model on the border alone reaches a macro AUC of 0.700 [0.600, 0.800], which is above that of",
        "S1: title of one, protocol corrected:** the share of Grad-CAM attribution inside the lungs is 40.0 % [35.0, 45.0]",
        "12 of 1,000 validation images have a copy in the training set.",
        "lung masks count as images.",
        "no other class shares a source with Lung Opacity, so the source can reveal the class.",
    ):
        assert sentence in text, sentence
    clean = model_card()
    assert "Shortcoming:" not in clean
    assert "a head of 32 and 16 hidden units; untrained (random features)" in clean
    assert "commit unknown" in clean
    tested = model_card(tested=TESTED, sides={"test": 100})
    assert "11 images of the same collection for validation and 100 as a test set; no images of another" in tested
    assert "Test set, S1: title of one, seed 0:** accuracy 75.0 % [70.0, 80.0]." in tested
    assert "Test set, S2: title of two, seed 0:** accuracy 80.0 %." in tested


def described(**changes: Any) -> str:
    reason = "<script>alert(1)</script> [a](b) names 3 images."
    classes = {"a_b": {"images": 1200}, "*c*": {"images": 3}}
    dataset = SimpleNamespace(kind="folder", classes=classes, layout="table", layout_reason=reason, synthetic=False)
    total = SimpleNamespace(images=1203, masks=0)
    values = {"dataset": dataset, "total": total, "patients": 0, "without_patient": 1203, **changes}
    values = {"of_database": False, "obtained": "from a folder", **values}
    return said("The layout was recognised", **values)


def test_the_layout_and_the_patients_are_named() -> None:
    text = described()
    assert "The layout was recognised as *table*. <script>alert(1)</script> [a](b) names 3 images." in text
    assert "- a b: 1,200 images - *c*: 3 images **Patients are not known.** Images of one patient" in text
    text = described(patients=400, without_patient=0)
    assert "The data name 400 patients. In confidence intervals, the images of a patient count as a group." in text
    assert "name 400 patients; 3 images have no patient" in described(patients=400, without_patient=3)


def divided(rule: str, given: dict[str, int], left_out: dict[str, str], test: int = 0) -> str:
    return said(
        "Labels were one-hot encoded",
        headline="corrected",
        has_patients=False,
        protocols=[],
        recommended="corrected",
        in_words={"described": "images alone"},
        lab=SimpleNamespace(experiment=SimpleNamespace(image_size=64), left_out=left_out),
        protocol=SimpleNamespace(name="described", interpolation="bilinear", split=rule, masks=False),
        dataset=SimpleNamespace(given=given),
        scaling="divided by 255",
        split_rule="as the data give them",
        sides=SimpleNamespace(train=70, validation=30, test=test),
        pooling=["described"],
        problems=pd.Series([], dtype=int),
        conversions=["<b>12 bits</b> were scaled."],
    )


def test_pooled_sets_and_protocols_left_out_are_named() -> None:
    text = divided("stratified", {"train": 70, "validation": 10, "test": 20}, {"given": "class <b>: one image"}, 20)
    assert "as the data give them: 70 for training and 30 (30 %) for validation." in text
    assert "The data give a test set of 20 images. They were used for no training and for no choice" in text
    assert "These protocols pool both and divide the images anew: described." in text
    assert "**Left out:** protocol given: class <b>: one image." in text
    text = divided("stratified", {"train": 80}, {})
    assert not re.search("pool|Left out|give a test set", text)


def test_the_test_set_s_scores_stand_beside_those_of_the_validation_set() -> None:
    intervals = TESTED.assign(value=0.9, low=0.85, high=0.95)
    values = {"tables": tables, "intervals": intervals, "test_scores": TESTED, "scenarios": SCENARIOS}
    assert "100 images of 40 patients. [Table 1](#tbl-test) compares" in said("**Test set.**", tested=TESTED, **values)
    unknown = said("**Test set.**", tested=TESTED.assign(patients=pd.NA), **values)
    assert "a test set of 100 images. [Table 1]" in unknown
    assert said("**Test set.**", tested=TESTED[:0], **values) == ""
    shown = tables.test_scores(intervals, TESTED, SCENARIOS).frame.to_numpy().tolist()
    assert [cell.replace(exhibits.NBSP, " ") if isinstance(cell, str) else cell for cell in shown[0]] == [
        "S1", 0, "accuracy", "90.0 % [85.0, 95.0]", "75.0 % [70.0, 80.0]",
    ]  # fmt: skip
    assert shown[1][-1] == f"80.0{exhibits.NBSP}%"
    text = concluded(0.9, synthetic=False, tested=TESTED)
    assert "S1: title of one (protocol described, seed 0) has 75.0 % [70.0, 80.0]. On the test set" in text


def test_audits_left_out_give_their_reason() -> None:
    rows = pd.DataFrame({"audit": ["linear models"], "reason": ["<i>ten groups</i> are needed"]})
    values = {"suspects": [], "claimed_suspects": pd.DataFrame(), "sources": pd.DataFrame()}
    phrase = "Are labels suspect?"
    assert said(phrase, audits_left_out=rows, **values).endswith(
        "- **Left out:** linear models: <i>ten groups</i> are needed."
    )
    assert "Left out" not in said(phrase, audits_left_out=rows[:0], **values)
    nothing = inputs()[:0]
    assert "The linear models were left out." in probed(nothing, nothing)


def of_collection(outside: pd.DataFrame, *, copies: int = 0) -> str:
    """What the appendix says of one collection."""
    rows = outside.assign(patients=30, among="all classes", measure="accuracy", **{"class": "", "other": ""})
    errors = [rows.assign(measure=name, value=value) for name, value in {"ece": 0.6, "scaled_ece": 0.25}.items()]
    scores = pd.concat([rows, rows.assign(measure="balanced_accuracy"), *errors], ignore_index=True)
    counts = {"collection": "other", "title": TITLES["other"], "label": ["x"], "class": "a", "images": 40}
    counts |= {"unreadable": 0, "copies": copies, "judged": 40}
    values = {"scores_of": {"other": scores}, "counts_of": {"other": pd.DataFrame(counts)}, "errors_of": {}}
    values |= {"runs": [], "outside_data": {}, "tables": tables, "scenarios": SCENARIOS, "outside_titles": TITLES}
    return said("counts all images", headline_outside=rows, judged_run=SimpleNamespace(scenario=SCENARIOS[0]), **values)


def outside(rows: pd.DataFrame, titles: dict[str, str], *, synthetic: bool = False) -> str:
    """What the section Elsewhere says."""
    data = {"other": SimpleNamespace(synthetic=synthetic)} if titles else {}
    nothing = SimpleNamespace(external_accuracies=lambda *given: "")
    values = {"scenarios": [], "outside_means": None, "outside_majority": {"other": 0.55}, "figures": nothing}
    values |= {"headline": "corrected", "outside_data": data, "outside_titles": titles}
    return said("No outside collection was given", headline_outside=rows.assign(patients=30), **values)


def test_each_collection_is_compared_with_validation_images_and_the_baseline() -> None:
    assert (
        "- **<b>other_hospital</b>** (40 images of 30 patients): the interval of the accuracy lies below the one on "
        "validation images for 1 of 2 scenarios, and above the majority-class baseline (55.0 %) for 0."
        in outside(OUTSIDE, TITLES)
    )
    text = of_collection(OUTSIDE)
    assert (
        "takes the expected calibration error of S1: title of one from 0.600 [0.500, 0.700] to 0.250 [0.500, 0.700]."
        in text
    )
    assert "near-duplicates of images of this data set" not in text
    assert "shared classes a network chooses" not in text
    assert "The judged images are of one class" in text
    assert "1 image is a near-duplicate of images of this data set" in of_collection(OUTSIDE, copies=1)


def test_without_a_collection_the_section_says_how_to_get_one() -> None:
    nothing = outside(OUTSIDE[:0], {})
    assert nothing.startswith("No outside collection was given")
    assert nothing.endswith("`make report EXTERNAL=path/to/the/images` measures it.")
    assert outside(OUTSIDE[:0], TITLES).startswith("No image of the outside collections")
    for synthetic in (True, False):
        assert ("phantoms of a second hospital" in outside(OUTSIDE, TITLES, synthetic=synthetic)) == synthetic


def test_the_model_card_says_what_happened_elsewhere() -> None:
    assert "of the same collection; no images of another hospital." in model_card()
    text = model_card(elsewhere=OUTSIDE, outside_titles=TITLES)
    assert "of the same collection; outside collections: <b>other_hospital</b>." in text
    assert "**Elsewhere, <b>other_hospital</b>, S1: title of one:** accuracy 60.0 % [50.0, 70.0]; on validation" in text


def test_suspect_labels_are_claimed_with_how_many_may_be_wrong_or_not_at_all() -> None:
    suspects = pd.DataFrame({"image_id": list("abc"), "wrong": [0.9, 0.6, 0.2], "claimed": [True, True, False]})
    nothing = pd.DataFrame(columns=["audit", "reason"])
    names = {"suspects": suspects, "claimed_suspects": suspects[:2], "audits_left_out": nothing}
    names["sources"] = pd.DataFrame()
    text = said("Are labels suspect?", **names)
    assert "2 labels are claimed to be suspect**, because the other images contradict them" in text
    assert "About 2 of them are expected to be wrong; the others belong to difficult images." in text
    text = said("Are labels suspect?", **{**names, "claimed_suspects": suspects[:0]})
    assert "**No label is claimed to be suspect.**" in text
    assert "gives 3 images another class than their label" in text
    left_out = pd.DataFrame({"audit": ["suspect labels"], "reason": ["one class"]})
    text = said("Are labels suspect?", **{**names, "claimed_suspects": suspects[:0], "audits_left_out": left_out})
    assert text.startswith("**Are labels suspect?** The labels were not examined.")


def reproduced(seeds: int, **changes: Any) -> str:
    values = {
        "reproduced": pd.DataFrame({"protocol": ["p"]}),
        "agreement": pd.DataFrame({"protocol": "p", "mean_absolute_difference": [6.0], "low": 5.0, "high": 7.0}),
        "readings": pd.DataFrame(
            {"protocol": ["images_60", "published"], "low": [5.0, 6.5], "high": [7.0, 8.5], "seeds": [seeds, 5]}
        ),
        "differing": pd.DataFrame({"sum": [30], "size": [42]}, index=["p"]),
        "dataset": SimpleNamespace(synthetic=False),
        "total": SimpleNamespace(images=2117),
        "published_images": 21165,
        "figures": SimpleNamespace(published_differences=lambda *given: ""),
        "scenarios": [],
        "seeds": seeds,
        "written": {"one": 0.86},
    }
    return said("What the published class counts imply", **{**values, **changes})


def test_values_differ_from_the_write_up_only_where_seeds_are_known() -> None:
    text = reproduced(5)
    assert (
        "Under protocol `p`, 30 of 42 values differ. Under perfect reproduction, about 5 % of the values would" in text
    )
    assert "The mean absolute difference to the write-up is 6.0 [5.0, 7.0] percentage points under `p`." in text
    assert "This run used 2,117 images, the write-up 21,165." in text
    assert "Of these, `images_60` comes closer to the write-up's values, but the intervals overlap." in text
    assert "One seed does not decide which of the two comes closer to the write-up's values." in reproduced(1)
    unbounded = pd.DataFrame({"protocol": ["images_60", "published"], "low": None, "high": 7.0, "seeds": 5})
    assert "too few to decide which of the two comes closer" in reproduced(5, readings=unbounded)
    text = reproduced(5, dataset=SimpleNamespace(synthetic=True))
    assert "closer" not in text
    text = reproduced(1, dataset=SimpleNamespace(synthetic=True), readings=pd.DataFrame())
    assert "With one seed, no value is said to differ." in text
    assert "values differ" not in text
    assert "only that it can be made" in text
    assert "closer" not in text
    nothing = reproduced(1, reproduced=pd.DataFrame(), readings=pd.DataFrame())
    assert nothing == "No scenario of this run has the name of one in the write-up, so there is nothing to compare."
    other = reproduced(1, reproduced=pd.DataFrame(), readings=pd.DataFrame(), written={})
    assert other.startswith("The classes of this run are not those of the write-up")


def changed(*seeds: int, low: float | None = 0.01) -> str:
    row = {"from": "a", "to": "b", "what": "<b>", "scenario": "one", "difference": 0.03, "low": low, "high": 0.05}
    changes = pd.DataFrame([{**row, "seeds": number} for number in seeds])
    lab = SimpleNamespace(experiment=SimpleNamespace(known_protocols=["a", "b"]), table=lambda name: changes)
    nothing = SimpleNamespace(protocol_changes=lambda *given: "")
    drawn = {"figures": nothing, "tables": nothing, "scenarios": [], "protocols": ["a", "b"]}
    return said("One change at a time", **executed("lab-201", lab=lab), **drawn)


def test_a_change_has_an_effect_only_where_seeds_are_known() -> None:
    text = changed(5, 3)
    assert "2 of 2 intervals exclude 0. Without any effect, about 5 % would." in text
    assert "- `a` → `b` (<b>), S1: title of one: +3.0 [+1.0, +5.0] percentage points" in text
    assert "Each protocol drew its split once" in text
    for text in (changed(1, 1), changed(5, 1)):
        assert "one seed does not decide whether a change has an effect" in text
        assert not re.search("exclude|about 5 %|percentage points", text)
    assert "no effect is claimed" in changed(5, low=None)


def test_a_positive_answer_is_explained_by_its_prevalence() -> None:
    values = pd.DataFrame([{"scenario": "one", "class": "a_b", "prevalence": 0.05, "ppv": 0.2, "ppv_low": 0.1}])
    names = {
        "runs": [SimpleNamespace(scenario=SCENARIOS[0])],
        "prevalence": None,
        "scenarios": [],
        "tables": SimpleNamespace(predictive_values=lambda *given: ""),
    }
    text = said("What does a positive answer mean?", first_values=values.assign(ppv_high=0.3), **names)
    assert "A positive answer of S1: title of one is right in 20.0 % [10.0, 30.0] of the cases if 5 % have a b." in text
    assert said("What does a positive answer mean?", first_values=values[:0], **names) == ""


def test_calibration_is_judged_by_that_of_calibrated_networks() -> None:
    rows = pd.DataFrame({"ece": [0.04, 0.02], "ece_null_high": 0.03}, index=["one", "two"])
    scores = means(one=0.04, two=0.02).assign(measure="ece", low=0.01, high=0.05).set_index(["scenario", "measure"])
    text = said("Are the probabilities calibrated?", calibration_means=rows, overall_scores=scores)
    assert "- S1: title of one: ECE 0.040 [0.010, 0.050], **above** that of 95 % of calibrated networks (0.030)" in text
    assert "- S2: title of two: ECE 0.020 [0.010, 0.050], not above that" in text


def data_card(kind: str, classes: list[str], people: dict[str, Any]) -> str:
    """The data card of four images, one of them from the radiographs of children."""
    images = {
        "kind": "image",
        "width": 9,
        "height": 9,
        "grey": True,
        "split": ["train", "train", "validation", "train"],
    }
    counts = {name: {"images": 1, "masks": 1} for name in classes}
    sources = {classes[0]: {"https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia": 3}}
    dataset = SimpleNamespace(
        **{"kind": kind, "synthetic": kind == "phantom", "classes": counts, "sources": sources},
        **{"layout": "", "layout_reason": "", "fingerprint": "0123"},
    )
    is_known = classes == ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"] and kind != "phantom"
    names = {"dataset": dataset, "lab": SimpleNamespace(manifest=pd.DataFrame(images | people)), "pd": pd}
    names = executed("lab-79", **names, of_database=is_known)
    names |= {"obtained": "from an archive", "data_title": "title"}
    names |= {"sides": pd.Series({"train": 3, "validation": 1, "test": 0}), "split_rule": "at random"}
    return said("## Data card", **names, patients=0, problems=pd.Series(dtype=int))


def test_the_data_card_says_what_is_known_of_the_database_and_of_no_other_data() -> None:
    database, unknown = ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"], {"age": None, "sex": ""}
    card = data_card("archive", database, unknown)
    assert "3 images of COVID show children of 1 to 5 years (Guangzhou" in card
    assert "a segmentation network made the lung masks" in card
    assert "**Age and sex:** not given with the images." in card
    for kind, classes in (("phantom", database), ("folder", ["a", "b"])):
        assert not re.search("Kermany|segmentation network", data_card(kind, classes, unknown))
    known = data_card("folder", ["a", "b"], {"age": [30.0, 50.0, 60.0, None], "sex": ["F", "M", "F", ""]})
    assert "train: median age 40 years, F 1, M 1; validation: median age 60 years, F 1, M 0." in known
