"""The tables of stage 40 that judge each run, and the means over its seeds."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.evaluation.calibration import calibration_scores, reliability
from lab_utils.evaluation.influence import clusters_of
from lab_utils.evaluation.intervals import reported_scores
from lab_utils.evaluation.judged import JudgedRun, by_protocol
from lab_utils.evaluation.means import mean_scores
from lab_utils.evaluation.prevalence import predictive_values
from lab_utils.evaluation.selective import accuracy_by_coverage, accuracy_by_source


def score_tables(runs: Sequence[JudgedRun], manifests: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Compute the tables of scores: name in the catalogue to table.

    They hold intervals, means, calibration, predictive values, and accuracy on some of the images.

    Parameters
    ----------
    runs : sequence of JudgedRun
    manifests : mapping
        Name of a protocol to its manifest.
    """
    parts: dict[str, list[pd.DataFrame]] = {}
    for judged in runs:
        run, predictions = judged.run, judged.predictions
        of_run = {
            "intervals": reported_scores(judged.scores, predictions),
            "calibration": reliability(predictions),
            "calibration_scores": calibration_scores(predictions),
            "prevalence": predictive_values(predictions),
            "selective": accuracy_by_coverage(predictions),
            "source_scores": accuracy_by_source(predictions, manifests[judged.protocol]),
        }
        for name, table in of_run.items():
            parts.setdefault(name, []).append(run.labelled(table))
    for protocol, scenarios in by_protocol(runs).items():
        for scenario, seeds in scenarios.items():
            images = seeds[0].predictions
            table = mean_scores([judged.scores for judged in seeds], clusters_of(images))
            labels = {"protocol": protocol, "scenario": scenario, "seeds": len(seeds), "images": len(images)}
            parts.setdefault("means", []).append(pd.DataFrame([labels]).merge(table, how="cross"))
    return {name: pd.concat(rows, ignore_index=True) for name, rows in parts.items()}
