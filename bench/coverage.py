"""How often do the lab's 95 % intervals contain the true value? Simulated calibrated networks, of which it is known.

``.venv/bin/python bench/coverage.py`` prints the table of docs/statistics.md and writes coverage.json. Each simulated
experiment draws validation images of four classes, one of them rare, and computes every score of table intervals. The
true scores come from 400,000 images of the same network. The case "pairs" has two classes and two predictions.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, softmax
from scipy.stats import norm

from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.evaluation.influence import Clusters
from lab_utils.evaluation.intervals import REPORTED, paired_difference, scores_of
from lab_utils.evaluation.means import mean_scores
from lab_utils.evaluation.prevalence import predictive_values

RARE = {60: 9, 144: 9, 636: 25, 6349: 25, 12698: 25}  # validation images: those of the rare class
SHARES = (0.3, 0.5, 0.2)  # of the other images
NAMES = ("rare", "second", "common", "fourth")
SEPARATIONS = (3.0, 3.6, 4.2)  # accuracies from about 87 to 96 %
SPREAD = 0.3  # of the difficulty of images, on a logarithmic scale
POPULATION = 400_000  # images
SEEDS = 5  # runs of a scenario
SEED_BIAS, SEED_NOISE = 0.5, 1.0  # of the scores of a run: for each class, and for each image
MANY_SEEDS = 200  # that the true means come from
DISTANCES = ((4.0, 3.0), (3.5, 2.5), (2.5, 1.5), (3.5, 3.0))  # of the rare class, in two predictions
CORRELATIONS = (0.5, 0.9)  # of their scores
KEYS = ["measure", "class"]

Truth = Mapping[tuple[str, str], float]


def class_counts(images: int) -> list[int]:
    """Numbers of images of each class, the rare one first."""
    rare = RARE[images]
    others = [round(share * (images - rare)) for share in SHARES[1:]]
    return [rare, images - rare - sum(others), *others]


def simulated_scores(random: np.random.Generator, counts: Sequence[int], separation: float) -> tuple[Any, Any]:
    """Draw images of four Gaussian classes: their classes (N,), and the exact log probability of each class (N, 4).

    Each image has its own difficulty, which the network knows. The probabilities are therefore calibrated.
    """
    total = sum(counts)
    true = np.repeat(np.arange(len(counts)), counts)
    distance = separation / np.sqrt(2) * np.exp(SPREAD * random.normal(size=(total, 1)))
    images = random.normal(size=(total, len(counts)))
    images[np.arange(total), true] += distance[:, 0]
    return true, np.log(np.array(counts) / total) + images * distance


def table_of(true: NDArray[np.int64], scores: NDArray[np.float64], copies: NDArray[np.int64] | None = None) -> Any:
    """Return predictions in which every image is a group, or has copies in its group."""
    columns = {"image_id": np.arange(len(true)), "group": np.arange(len(true)), "y_true": np.array(NAMES, object)[true]}
    probabilities = pd.DataFrame(softmax(scores, axis=1), columns=[f"p_{name}" for name in NAMES])
    table = pd.DataFrame(columns).join(probabilities)
    return table if copies is None else table.loc[table.index.repeat(copies)].reset_index(drop=True)


def seed_tables(random: np.random.Generator, counts: Sequence[int], separation: float, seeds: int) -> Iterator[Any]:
    """Predictions of several runs for the same images: each favours some classes, and errs on images of its own."""
    true, scores = simulated_scores(random, counts, separation)
    for _ in range(seeds):
        change = SEED_BIAS * random.normal(size=len(NAMES)) + SEED_NOISE * random.normal(size=scores.shape)
        yield table_of(true, scores + change)


def values_of(predictions: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Scores of many images, without intervals of calibration errors, and predictive values."""
    names = [name for name in REPORTED if "scaled" not in name and name != "ece"]
    values = {(one.measure, one.label): one.value for one in scores_of(predictions, names)}
    return values | {key: value for key, value, *_ in predictive_rows(predictions)}


def predictive_rows(predictions: pd.DataFrame) -> Iterator[tuple[tuple[str, str], float, float, float]]:
    """Predictive values of the rare class with their bounds."""
    for row in predictive_values(predictions).to_dict("records"):
        for name in ("ppv", "npv"):
            key = f"{name} at {100 * row['prevalence']:.0f} %", "rare"
            yield key, row[name], row[f"{name}_low"], row[f"{name}_high"]


def true_scores(counts: Sequence[int], separation: float) -> Truth:
    """Scores of a calibrated network on very many images in the same proportions."""
    many = [count * (POPULATION // sum(counts)) for count in counts]
    values = values_of(table_of(*simulated_scores(np.random.default_rng(1), many, separation)))
    return values | {("ece", ""): 0.0, ("scaled_ece", ""): 0.0, ("scaled_brier", ""): values["brier", ""]}


def true_means(counts: Sequence[int], separation: float) -> Truth:
    """Means of scores over very many runs."""
    many = [count * (POPULATION // MANY_SEEDS // sum(counts) * 5) for count in counts]
    random = np.random.default_rng(1)
    runs = [values_of(next(seed_tables(random, many, separation, 1))) for _ in range(MANY_SEEDS)]
    return {key: float(np.mean([run[key] for run in runs])) for key in runs[0]}


def coverage(images: int, experiments: int, *, case: str = "") -> pd.DataFrame:
    """Simulate experiments of one size: measure, class, coverage (fraction), width (mean), least (width).

    Cases are "copies" (every other image has one, in its group) and "means" (of five runs).
    """
    counts, random, rows = class_counts(images), np.random.default_rng(images), []
    separations = SEPARATIONS[1:2] if case == "means" else SEPARATIONS
    truths = [(true_means if case == "means" else true_scores)(counts, separation) for separation in separations]
    for number in range(experiments):
        truth, separation = truths[number % len(truths)], separations[number % len(truths)]
        if case == "means":
            tables = list(seed_tables(random, counts, separation, SEEDS))
            scores = [scores_of(table, REPORTED) for table in tables]
            found = mean_scores(scores, Clusters(tables[0]["group"], tables[0]["y_true"])).to_dict("records")
            bounds = [((row["measure"], row["class"]), row["low"], row["high"]) for row in found]
        else:
            copies = random.integers(1, 3, images) if case else None
            table = table_of(*simulated_scores(random, counts, separation), copies)
            bounds = [((one.measure, one.label), one.low, one.high) for one in scores_of(table, REPORTED)]
            bounds += [(key, low, high) for key, _, low, high in predictive_rows(table)]
        rows += [(*key, low <= truth[key] <= high, high - low) for key, low, high in bounds if key in truth]
    return summary(rows)


def summary(rows: Sequence[tuple[Any, ...]]) -> pd.DataFrame:
    """Shares of intervals that contain the true value: measure, class, coverage, width (mean), least (width)."""
    groups = pd.DataFrame(rows, columns=[*KEYS, "contained", "width"]).groupby(KEYS, sort=False)
    return groups.agg(coverage=("contained", "mean"), width=("width", "mean"), least=("width", "min")).reset_index()


def paired_tables(
    random: np.random.Generator, images: int, distances: Sequence[float], correlation: float
) -> Iterator[Any]:
    """Two predictions of the same images of two classes, whose scores are correlated within a class."""
    true, shared = np.arange(images) < RARE[images], np.sqrt(correlation) * random.normal(size=images)
    for distance in distances:
        noise = shared + np.sqrt(1 - correlation) * random.normal(size=images)
        scores = expit(distance * (true - 0.5) + noise)
        columns = {"group": np.arange(images), "y_true": np.where(true, "rare", "common")}
        yield pd.DataFrame(columns).assign(p_rare=scores, p_common=1 - scores)


def difference_coverage(images: int, experiments: int) -> pd.DataFrame:
    """Simulate differences between two areas under the ROC curve, as `coverage` does other scores."""
    random, rows = np.random.default_rng(images), []
    for (first, second), correlation in product(DISTANCES, CORRELATIONS):
        true, label = norm.cdf(first / np.sqrt(2)) - norm.cdf(second / np.sqrt(2)), f"{first}, {second}; {correlation}"
        for _ in range(experiments):
            tables = paired_tables(random, images, (first, second), correlation)
            _, low, high = paired_difference(*tables, "auc", "rare")
            rows.append(("difference in AUC", label, low <= true <= high, high - low))
    return summary(rows)


def main() -> None:
    """Print the coverage of every measure and write coverage.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="*", default=list(RARE)[1:])
    parser.add_argument("--cases", nargs="*", default=["", "copies", "means", "pairs"], help='"", copies, means, pairs')
    given = parser.parse_args()
    tables = {}
    for case in given.cases:
        for images in [636] if case in ("copies", "means") else given.images:
            began, name = time.perf_counter(), f"{images:,} {case}".strip()
            if case == "pairs":
                tables[name] = difference_coverage(images, given.experiments)
            else:
                tables[name] = coverage(images, given.experiments, case=case)
            print(f"{name}: {time.perf_counter() - began:.0f} s")
            print(tables[name].round(3).to_string(index=False), flush=True)
    columns = {name: table.set_index(KEYS)["coverage"] for name, table in tables.items()}
    print((100 * pd.concat(columns, axis=1)).round(1).reset_index().to_markdown(index=False))
    folder = Workspace.open(given.workspace).root / "bench"
    results = {name: table.to_dict("records") for name, table in tables.items()}
    write_json(folder / "coverage.json", {"experiments": given.experiments, "coverage": results, **provenance()})


if __name__ == "__main__":
    main()
