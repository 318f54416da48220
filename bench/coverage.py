"""How often do the lab's 95 % intervals contain the true value? Simulated calibrated networks, of which it is known.

``.venv/bin/python bench/coverage.py`` prints the table of docs/statistics.md and writes coverage.json. Each simulated
experiment draws validation images of four classes, one of them rare, and computes every score of table intervals. The
true scores come from 400,000 images of the same network.
"""

import argparse
import time
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from scipy.special import softmax

from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.evaluation.intervals import REPORTED, Score, scores_of

RARE = {144: 9, 636: 25, 6349: 25, 12698: 25}  # validation images: those of the rare class
SHARES = (0.3, 0.5, 0.2)  # of the other images
NAMES = ("first", "common", "third", "rare")
SEPARATIONS = (2.8, 3.2, 3.6, 4.0, 4.4)  # accuracies from about 85 to 97 %
SPREAD = 0.3  # of the difficulty of images, on a logarithmic scale
POPULATION = 400_000  # images
TRUE = {"ece": 0.0, "scaled_ece": 0.0}  # the simulated networks are calibrated


def class_counts(images: int, rare: int) -> list[int]:
    """Numbers of images of each class, the rare one last."""
    others = [round(share * (images - rare)) for share in SHARES[1:]]
    return [images - rare - sum(others), *others, rare]


def simulate(random: np.random.Generator, counts: Sequence[int], separation: float) -> pd.DataFrame:
    """Draw images of four Gaussian classes, and the exact probability of each class given the image.

    Each image has its own difficulty, which the network knows. The probabilities are therefore calibrated.
    """
    total = sum(counts)
    true = np.repeat(np.arange(len(counts)), counts)
    distance = separation / np.sqrt(2) * np.exp(SPREAD * random.normal(size=(total, 1)))
    images = random.normal(size=(total, len(counts)))
    images[np.arange(total), true] += distance[:, 0]
    scores = np.log(np.array(counts) / total) + images * distance
    return table_of(true, softmax(scores, axis=1))


def table_of(true: np.ndarray, probabilities: np.ndarray) -> pd.DataFrame:
    """Return a table of predictions in which every image is a group of its own."""
    table = pd.DataFrame(
        {"image_id": np.arange(len(true)), "group": np.arange(len(true)), "y_true": np.array(NAMES, object)[true]}
    )
    return table.join(pd.DataFrame(probabilities, columns=[f"p_{name}" for name in NAMES]))


def true_scores(counts: Sequence[int], separation: float) -> dict[tuple[str, str], float]:
    """Scores of a network on very many images in the same proportions."""
    factor = POPULATION // sum(counts)
    table = simulate(np.random.default_rng(1), [count * factor for count in counts], separation)
    names = [name for name in REPORTED if not name.startswith("scaled") and name != "ece"]
    scores = {(one.measure, one.label): one.value for one in scores_of(table, names)}
    scores["scaled_brier", ""] = scores["brier", ""]
    return scores | {(name, ""): value for name, value in TRUE.items()}


def contained(scores: Sequence[Score], truth: Mapping[tuple[str, str], float]) -> list[tuple[str, str, bool, float]]:
    """Say of each score whether its interval contains the true value, and how wide it is."""
    tiny = 1e-9
    return [
        (one.measure, one.label, one.low - tiny <= truth[one.measure, one.label] <= one.high + tiny, one.high - one.low)
        for one in scores
    ]


def coverage(images: int, experiments: int, seed: int = 0) -> pd.DataFrame:
    """Simulate experiments of one size: measure, class, coverage (fraction), width (mean), least (width)."""
    counts, random = class_counts(images, RARE[images]), np.random.default_rng([seed, images])
    truth, rows = [true_scores(counts, separation) for separation in SEPARATIONS], []
    for number in range(experiments):
        place = number % len(SEPARATIONS)
        table = simulate(random, counts, SEPARATIONS[place])
        rows += contained(scores_of(table, REPORTED), truth[place])
    table = pd.DataFrame(rows, columns=["measure", "class", "contained", "width"])
    groups = table.groupby(["measure", "class"], sort=False)
    return groups.agg(coverage=("contained", "mean"), width=("width", "mean"), least=("width", "min")).reset_index()


def main() -> None:
    """Print the coverage of every measure and write coverage.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--experiments", type=int, default=1000)
    parser.add_argument("--images", type=int, nargs="*", default=list(RARE))
    given = parser.parse_args()
    tables = {}
    for images in given.images:
        began = time.perf_counter()
        tables[images] = coverage(images, given.experiments)
        print(f"n = {images}: {time.perf_counter() - began:.0f} s")
        print(tables[images].round(3).to_string(index=False), flush=True)
    folder = Workspace.open(given.workspace).root / "bench"
    results = {str(images): table.to_dict("records") for images, table in tables.items()}
    write_json(folder / "coverage.json", {"experiments": given.experiments, "coverage": results, **provenance()})


if __name__ == "__main__":
    main()
