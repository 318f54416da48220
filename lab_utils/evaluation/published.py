"""The write-up's numbers next to the lab's, and what its class counts imply."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
import yaml
from scipy.stats import t as student

from lab_utils.core.paths import project_root
from lab_utils.data.kaggle import PUBLISHED_COUNTS
from lab_utils.data.proportions import LEVEL, wilson_bounds
from lab_utils.evaluation.comparisons import bounds, group_count
from lab_utils.evaluation.crossed import Estimate, crossed_estimate
from lab_utils.evaluation.influence import QUANTILE, Array, clusters_of
from lab_utils.evaluation.judged import JudgedRun, by_protocol
from lab_utils.evaluation.means import mean_bounds
from lab_utils.evaluation.predictions import classes_of
from lab_utils.evaluation.scorer import Score, Scorer

MEASURES = ("precision", "recall", "f1", "support")  # of a class, in the order of report/published.yaml
PARTS = ["protocol", "scenario", "seeds"]
COLUMNS = ["measure", "class", "published", "reproduced", "difference", "low", "high", "differs"]
AGREEMENT = ["protocol", "values", "mean_absolute_difference", "low", "high"]
ROUNDING = QUANTILE * 0.01 / np.sqrt(12)  # margin of a number that is rounded to two digits


def read_published() -> dict[str, Any]:
    """Read the write-up's numbers (report/published.yaml): source, scenarios by name."""
    return yaml.safe_load((project_root() / "report" / "published.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True, eq=False)
class Reproduction:
    """Runs of one scenario under one protocol, next to the write-up's numbers of that scenario."""

    runs: Sequence[JudgedRun]  # one per seed
    published: Mapping[str, Any]  # accuracy, macro_f1 and classes, as in report/published.yaml

    @cached_property
    def scores(self) -> dict[tuple[str, str], list[Score]]:
        """Scores of each run that the write-up gives too, by measure and class."""
        of_runs = [{(one.measure, one.label): one for one in run.scores} for run in self.runs]
        return {key: [scores[key] for scores in of_runs] for key in self.values() if key in of_runs[0]}

    def values(self) -> dict[tuple[str, str], float]:
        """The published values, without supports, by measure and class."""
        values = {("accuracy", ""): self.published["accuracy"], ("macro_f1", ""): self.published["macro_f1"]}
        for name, numbers in self.published["classes"].items():
            values |= {(measure, name): number for measure, number in zip(MEASURES[:3], numbers, strict=False)}
        return values

    def table(self) -> pd.DataFrame:
        """Compare the means over seeds with the published values: table published of one scenario.

        The squares of the halves of the interval of a difference add up (Zou and Donner, Stat. Med. 27, 2008): images
        and seeds of this lab, see `mean_bounds`; images and seed of the write-up, whose seed is taken to vary as the
        lab's; and the rounding of the published value. The images on both sides count as independent, so the interval
        is too wide where they are the same. With one seed the interval knows no seeds, and no value is said to differ.
        """
        rows = [self._row(key, scores) for key, scores in self.scores.items()]
        supports = self.runs[0].predictions["y_true"].value_counts()
        for name, numbers in self.published["classes"].items():
            support = int(supports.get(name, 0))
            rows.append(("support", name, numbers[-1], support, support - numbers[-1], np.nan, np.nan, None))
        return pd.DataFrame(rows, columns=COLUMNS)

    def absolute_differences(self, seeds: Collection[int]) -> Iterator[tuple[Array, Array]]:
        """Yield the absolute difference of each value to the published one, without macro F1.

        It comes with the influences of the images, for some seeds: (S,) and (S, N).
        """
        for key, scores in self.scores.items():
            if key[0] != "macro_f1":
                chosen = [score for score, run in zip(scores, self.runs, strict=True) if run.run.seed in seeds]
                differences = np.array([score.value for score in chosen]) - self.values()[key]
                sign = np.sign(differences.mean())
                yield sign * differences, sign * np.stack([score.influence for score in chosen])

    def _row(self, key: tuple[str, str], scores: list[Score]) -> tuple[Any, ...]:
        clusters, published = clusters_of(self.runs[0].predictions), self.values()[key]
        covariance = clusters.covariance(np.stack([one.influence for one in scores]))
        reproduced, low, high = mean_bounds(np.array([(one.value, one.low, one.high) for one in scores]), covariance)
        image_low, image_high = self._published_bounds(*key)
        values = np.array([one.value for one in scores])
        estimate = crossed_estimate([values], covariance, group_count(clusters))
        other = np.hypot(_seed_margin(estimate, len(values)), ROUNDING)
        difference = reproduced - published
        low = difference - float(np.sqrt((reproduced - low) ** 2 + (image_high - published) ** 2 + other**2))
        high = difference + float(np.sqrt((high - reproduced) ** 2 + (published - image_low) ** 2 + other**2))
        differs = not low <= 0 <= high if len(scores) > 1 else None
        return *key, published, reproduced, difference, low, high, differs

    def _published_bounds(self, measure: str, name: str) -> tuple[float, float]:
        """Bound a published value as the lab's values are bounded, by the published counts.

        The correlations of the F1 of the classes are those of the first run.
        """
        classes = self.published["classes"]
        if measure == "accuracy":
            return wilson_bounds(self.published["accuracy"], sum(numbers[-1] for numbers in classes.values()))
        if measure == "macro_f1":
            scores = [
                replace(self.scores["f1", label][0], value=numbers[2], low=low, high=high)
                for label, numbers in classes.items()
                if ("f1", label) in self.scores
                for low, high in [self._published_bounds("f1", label)]
            ]
            mean = Scorer(self.runs[0].predictions).mean(measure, scores)
            return self.published[measure] - (mean.value - mean.low), self.published[measure] + mean.high - mean.value
        precision, recall, f1, support = classes[name]
        guessed = recall * support / precision if precision else support
        if measure == "f1":
            low, high = wilson_bounds(f1 / (2 - f1), (support + guessed) * (1 - f1 / 2))
            return 2 * low / (1 + low), 2 * high / (1 + high)
        return wilson_bounds(recall, support) if measure == "recall" else wilson_bounds(precision, guessed)


def _seed_margin(estimate: Estimate, seeds: int) -> float:
    """Half of the 95 % interval of the write-up's seed, which varies as the lab's seeds do."""
    if seeds < 2:
        return 0.0
    return float(student.ppf((1 + LEVEL) / 2, seeds - 1) * np.sqrt(seeds * estimate.seed_variance))


def _reproductions(runs: Iterable[JudgedRun], published: Mapping[str, Any]) -> Iterator[Reproduction]:
    """Yield the runs of each protocol and scenario that has the write-up's scenario and classes."""
    for scenarios in by_protocol(runs).values():
        for scenario, of_scenario in scenarios.items():
            numbers = published.get(scenario)
            if numbers and set(numbers["classes"]) <= set(classes_of(of_scenario[0].predictions)):
                yield Reproduction(of_scenario, numbers)


def published_table(runs: Iterable[JudgedRun], published: Mapping[str, Any]) -> pd.DataFrame:
    """Compare all runs with the write-up: table published, see `Reproduction.table`.

    `published` maps the name of a scenario to its numbers.
    """
    tables = [pd.DataFrame(columns=[*PARTS, *COLUMNS])]
    for one in _reproductions(runs, published):
        first = one.runs[0]
        tables.append(one.table().assign(protocol=first.protocol, scenario=first.scenario, seeds=len(one.runs)))
    return pd.concat(tables[1:] or tables, ignore_index=True)[[*PARTS, *COLUMNS]]


def agreement(runs: Iterable[JudgedRun], published: Mapping[str, Any]) -> pd.DataFrame:
    """Measure how close each protocol comes to the write-up: table agreement.

    This is the mean absolute difference over the accuracies and over precision, recall and F1 of the classes, of all
    scenarios. Its interval holds the variation of the lab's images and seeds; that of the write-up is the same for all
    protocols. The signs of the differences are taken as known. Seeds count that all scenarios have.
    """
    by_name: dict[str, list[Reproduction]] = {}
    for one in _reproductions(runs, published):
        by_name.setdefault(one.runs[0].protocol, []).append(one)
    rows = []
    for protocol, ones in by_name.items():
        seeds = set.intersection(*({run.run.seed for run in one.runs} for one in ones))
        if seeds:
            parts = [part for one in ones for part in one.absolute_differences(seeds)]
            values, influences = (np.mean(each, axis=0) for each in zip(*parts, strict=True))
            clusters = clusters_of(ones[0].runs[0].predictions)
            estimate = crossed_estimate([values], clusters.covariance(influences), group_count(clusters))
            low, high = bounds(estimate, clusters)
            rows.append((protocol, len(parts), estimate.value, max(low, 0), high))
    return pd.DataFrame(rows, columns=AGREEMENT)


def published_supports(published: Mapping[str, Any], fraction: float = 0.3) -> pd.DataFrame:
    """What the published counts imply: 30 % of images and lung masks, or 60 % of images.

    Keras' ``validation_split`` counts the files of a class folder. The two readings give the same counts.

    Parameters
    ----------
    published : mapping
        The numbers of one scenario.
    fraction : float in (0, 0.5)
        Share of the validation set according to the write-up.

    Returns
    -------
    DataFrame
        Columns class, images (of the full database), files (images and masks), of_files (``int(fraction * files)``),
        of_images (``int(2 * fraction * images)``), published (support), images_only (``int(fraction * images)``).
    """
    table = pd.DataFrame(PUBLISHED_COUNTS.items(), columns=["class", "images"])
    return table.assign(
        files=2 * table["images"],
        of_files=(fraction * 2 * table["images"]).astype(int),
        of_images=(2 * fraction * table["images"]).astype(int),
        published=[published["classes"][name][-1] for name in table["class"]],
        images_only=(fraction * table["images"]).astype(int),
    )
