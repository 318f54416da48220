"""The tables of stage 40 that judge each run, and the means over its seeds."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.evaluation.calibration import calibration_scores, reliability
from lab_utils.evaluation.influence import Clusters
from lab_utils.evaluation.intervals import Score, reported_scores
from lab_utils.evaluation.judged import JudgedRun
from lab_utils.evaluation.means import mean_scores
from lab_utils.evaluation.prevalence import predictive_values
from lab_utils.evaluation.selective import accuracy_by_coverage, accuracy_by_source


def score_tables(runs: Sequence[JudgedRun], manifests: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Compute intervals, means, calibration, predictive values and accuracy on some of the images.

    Parameters
    ----------
    runs : sequence of JudgedRun
    manifests : mapping
        Name of a protocol to its manifest.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    scenarios: dict[tuple[str, str], list[tuple[pd.DataFrame, list[Score]]]] = {}
    for judged in runs:
        run, predictions, scores = judged.run, judged.predictions, judged.scores
        scenarios.setdefault((run.protocol.name, run.scenario.name), []).append((predictions, scores))
        of_run = {
            "intervals": reported_scores(scores, predictions),
            "calibration": reliability(predictions),
            "calibration_scores": calibration_scores(predictions),
            "prevalence": predictive_values(predictions),
            "selective": accuracy_by_coverage(predictions),
            "source_scores": accuracy_by_source(predictions, manifests[run.protocol.name]),
        }
        for name, table in of_run.items():
            parts.setdefault(name, []).append(run.labelled(table))
    means = []
    for (protocol, scenario), seeds in scenarios.items():
        images = seeds[0][0]
        table = mean_scores([scores for _, scores in seeds], Clusters(images["group"], images["y_true"]))
        labels = {"protocol": protocol, "scenario": scenario, "seeds": len(seeds), "images": len(images)}
        means.append(pd.DataFrame([labels]).merge(table, how="cross"))
    return {name: pd.concat(rows, ignore_index=True) for name, rows in {**parts, "means": means}.items()}
