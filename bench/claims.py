"""How often does the lab claim a difference that is none? Simulated runs, of which the truth is known.

``.venv/bin/python bench/claims.py`` prints the tables of docs/statistics.md and writes claims.json.

- Scenarios: three equally good ones. A false claim is an experiment in which one is called better than another.
- Published: the write-up's numbers are those of one more run of the same network, rounded to two digits.
- Time: every table of stage 40 for one protocol with five seeds of three scenarios.
"""

import argparse
import gc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import seconds_of
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import norm

from lab_utils.core.config import load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.evaluation.comparisons import compare_scenarios
from lab_utils.evaluation.influence import Clusters
from lab_utils.evaluation.intervals import scores_of
from lab_utils.evaluation.judged import JudgedRun
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.published import MEASURES, Reproduction
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.scorer import Score
from lab_utils.evaluation.tables import evaluation_tables

IMAGES = (144, 636, 6349, 12698)  # validation images: phantoms, a tenth of the database, 30 % and 60 % of it
DEVIATIONS = ((0.005,) * 3, (0.012,) * 3, (0.024,) * 3, (0.024, 0.005, 0.005))  # of the seeds of three scenarios
ACCURACY = 0.93
DIFFICULTY = 2.5  # standard deviation of the difficulty of images; that of what is random in a run is 1
COUNTS = {"COVID": 2169, "Lung_Opacity": 3607, "Normal": 6115, "Viral Pneumonia": 807}  # of the write-up's images
SKILLS = (0.04, 0.1, 0.2)  # standard deviation of the separation of the classes over seeds
SEPARATION = 4.6  # of the classes: an accuracy of about 0.87
SCORES = ("accuracy", "macro_f1", *MEASURES[:3])


def correct_runs(
    random: np.random.Generator, images: int, seeds: int, deviations: tuple[float, ...], gain: float
) -> Iterator[NDArray[np.bool_]]:
    """Yield, for each scenario, whether its runs are right on the same images: bool (seeds, images).

    An image is as difficult for every run. `gain` is the true accuracy of the first scenario minus that of the others.
    """
    scale = np.sqrt(1 + DIFFICULTY**2)
    slope = norm.pdf(norm.ppf(ACCURACY)) / scale  # of the accuracy by the skill of a run
    ease = DIFFICULTY * random.standard_normal(images, dtype=np.float32)
    for place, deviation in enumerate(deviations):
        mean = norm.ppf(ACCURACY + (-gain if place else gain) / 2) * scale
        skill = mean + deviation / slope * random.standard_normal((seeds, 1), dtype=np.float32)
        yield random.standard_normal((seeds, images), dtype=np.float32) < ease + np.float32(skill)


def false_claims(images: int, deviations: tuple[float, ...], experiments: int, seeds: int = 5) -> dict[str, Any]:
    """Simulate experiments of one kind.

    Shares of experiments with a false claim, of intervals that contain the true difference, and of experiments that
    detect a difference of the median detectable size.
    """
    random = np.random.default_rng([images, seeds, round(1000 * sum(deviations))])
    clusters = Clusters(pd.Series(range(images)), pd.Series(np.zeros(images)))

    def experiment(gain: float) -> pd.DataFrame:
        runs = correct_runs(random, images, seeds, deviations, gain)
        return compare_scenarios(dict(zip(("first", "second", "third"), runs, strict=True)), clusters)

    tables = [experiment(0.0) for _ in range(experiments)]
    detectable = float(np.median([table["detectable"][0] for table in tables]))
    detected = [experiment(detectable)["p"][0] < 0.05 for _ in range(experiments)]
    return {
        "images": images,
        "deviations": " ".join(f"{100 * each:.1f}" for each in deviations),
        "seeds": seeds,
        "false_claims": np.mean([(table["p"] < 0.05).any() for table in tables]),
        "coverage": np.mean([(table["low"] <= 0) & (table["high"] >= 0) for table in tables]),
        "detectable": detectable,
        "power": np.mean(detected),
    }


@dataclass(frozen=True)
class StoredRun(Run):
    """A run whose predictions and history are at hand."""

    table: pd.DataFrame

    def predictions(self) -> pd.DataFrame:
        """Return the simulated predictions."""
        return self.table

    def test_predictions(self) -> pd.DataFrame:
        """Return no rows."""
        return self.table[:0]

    def history(self) -> pd.DataFrame:
        """Return a history of one epoch."""
        return pd.DataFrame([dict.fromkeys(("epoch", "accuracy", "loss", "val_accuracy", "val_loss", "seconds"), 1.0)])

    @property
    def record(self) -> dict[str, Any]:
        """Return backbone and seconds."""
        seconds = dict.fromkeys(("features", "shared", "training", "uncached"), 1)
        return {"scenario": {"backbone": "MobileNetV2"}, "seconds": seconds}


class ScoredRun(JudgedRun):
    """A run of which only the published scores are computed."""

    @cached_property
    def scores(self) -> list[Score]:
        """Scores that the write-up gives."""
        return scores_of(self.predictions, SCORES)


def simulated_runs(random: np.random.Generator, skill: float, runs: int) -> list[StoredRun]:
    """Draw images, and runs of one network that judge them."""
    experiment, names, counts = load_experiment(), np.array(list(COUNTS)), list(COUNTS.values())
    true = np.repeat(np.arange(len(counts)), counts)
    shared = DIFFICULTY * random.standard_normal((len(true), len(counts)))
    images = [str(number) for number in range(len(true))]
    manifest = pd.DataFrame({"image_id": images, "group": range(len(true)), "class": names[true]})
    drawn = []
    for seed in range(runs):
        scores = shared + random.standard_normal(shared.shape) + skill * random.standard_normal(len(counts))
        scores[np.arange(len(true)), true] += SEPARATION + skill * random.standard_normal()
        table = predictions_table(manifest, list(names), softmax(scores, axis=1).astype(np.float32))
        drawn.append(StoredRun(experiment.protocol("described"), experiment.scenario("fc_only"), seed, Path(), table))
    return drawn


def published_numbers(run: JudgedRun) -> dict[str, Any]:
    """Write the scores of a run as the write-up does: two digits."""
    scores = {(score.measure, score.label): round(score.value, 2) for score in run.scores}
    classes = {name: [*(scores[measure, name] for measure in MEASURES[:3]), count] for name, count in COUNTS.items()}
    return {"accuracy": scores["accuracy", ""], "macro_f1": scores["macro_f1", ""], "classes": classes}


def false_differences(skill: float, experiments: int, seeds: int, *, is_same: bool) -> dict[str, Any]:
    """Simulate perfect reproductions: shares of the values that differ.

    The last column is the rule before issue 16: the published value lies outside the interval of the first run.
    """
    random, rows = np.random.default_rng([seeds, round(100 * skill)]), []
    for _ in range(experiments):
        runs = [ScoredRun(run) for run in simulated_runs(random, skill, seeds + 1)]
        writeup = runs.pop() if is_same else ScoredRun(simulated_runs(random, skill, 1)[0])
        one = Reproduction(runs[:seeds], published_numbers(writeup))
        table = one.table().dropna(subset=["differs"])
        first = [scores[0] for scores in one.scores.values()]
        outside = [
            not score.low - 0.005 <= value <= score.high + 0.005
            for score, value in zip(first, table["published"], strict=True)
        ]
        accuracy = [score.value for score in one.scores["accuracy", ""]]
        rows.append((table["differs"].mean(), table["differs"].iloc[0], np.mean(outside), np.var(accuracy, ddof=1)))
    means = np.mean(np.array(rows, float), axis=0)
    return {
        "seeds": seeds,
        "images": "same" if is_same else "others",
        "deviation": np.sqrt(means[3]),
        "differ": means[0],
        "accuracy_differs": means[1],
        "outside_interval": means[2],
    }


def seconds_of_tables() -> float:
    """Time all tables of stage 40 for one protocol: five seeds of three scenarios, 12,698 predictions each."""
    scenarios, random = load_experiment().chosen_scenarios(), np.random.default_rng(0)
    runs = [replace(run, scenario=each) for each in scenarios for run in simulated_runs(random, SKILLS[0], 5)]
    manifest = runs[0].table.assign(patient="", source="")
    numbers = published_numbers(ScoredRun(simulated_runs(random, SKILLS[0], 1)[0]))
    published = {scenario.name: numbers for scenario in scenarios}
    return seconds_of(lambda: evaluation_tables(runs, published, {runs[0].protocol.name: manifest}))


def show(rows: Iterator[dict[str, Any]]) -> list[dict[str, Any]]:
    """Print each row when it is known."""
    known = []
    for row in rows:
        known.append(row)
        print(pd.DataFrame([row]).round(4).to_string(index=False, header=len(known) == 1), flush=True)
    return known


def main() -> None:
    """Print the tables and write claims.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--images", type=int, nargs="*", default=IMAGES)
    parser.add_argument("--experiments", type=int, default=1000, help="of each number of images and deviation")
    parser.add_argument("--reproductions", type=int, default=200)
    parser.add_argument("--tables", nargs="*", default=["claims", "published", "seconds"])
    given = parser.parse_args()
    gc.collect = lambda generation=2: 0  # statsmodels' multipletests collects garbage at every call
    kinds: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "claims": lambda: (false_claims(n, sds, given.experiments) for n, sds in product(given.images, DEVIATIONS)),
        "published": lambda: (
            false_differences(skill, given.reproductions, seeds, is_same=is_same)
            for is_same, seeds, skill in product((False, True), (5, 3), SKILLS)
        ),
        "seconds": lambda: iter([{"seconds": seconds_of_tables()}]),
    }
    results = {name: show(kinds[name]()) for name in given.tables}
    write_json(Workspace.open(given.workspace).root / "bench" / "claims.json", {**results, **provenance()})


if __name__ == "__main__":
    main()
