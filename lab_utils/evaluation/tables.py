"""All tables of stage 40_evaluate: the scores of every run, and what sums them up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lab_utils.evaluation import metrics
from lab_utils.evaluation.changes import protocol_changes
from lab_utils.evaluation.comparisons import comparisons
from lab_utils.evaluation.intervals import INTERVAL, intervals
from lab_utils.evaluation.judged import JudgedRun
from lab_utils.evaluation.published import agreement, published_table
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.scores import score_tables


def evaluation_tables(
    runs: Sequence[Run], published: Mapping[str, Any], manifests: Mapping[str, pd.DataFrame]
) -> dict[str, pd.DataFrame]:
    """Compute every table of stage 40 for finished runs: name in the catalogue to table.

    Parameters
    ----------
    runs : sequence of Run
    published : mapping
        Name of a scenario to the write-up's numbers, as in report/published.yaml.
    manifests : mapping
        Name of a protocol to its manifest.
    """
    judged = [JudgedRun(run) for run in runs]
    tables = {
        "metrics": over_runs(judged, metrics.scores),
        "reports": over_runs(judged, metrics.classification_report),
        "extremes": over_runs(judged, metrics.extremes),
        "confusion": over_runs(judged, metrics.confusion),
        "comparisons": comparisons(judged),
        "changes": protocol_changes(judged),
        "published": published_table(judged, published),
        "agreement": agreement(judged, published),
        "test_scores": pd.concat(
            [run.labelled(test_scores(run, manifests[run.protocol.name])) for run in runs], ignore_index=True
        ),
        "curves": pd.concat([run.labelled(metrics.curve_summary(run.history())) for run in runs], ignore_index=True),
        "times": times(runs),
    }
    tables |= score_tables(judged, manifests)
    tables["time_totals"] = time_totals(tables["times"])
    tables["ranking"] = ranking(tables["metrics"], tables["times"])
    return tables


def over_runs(runs: Sequence[JudgedRun], measure: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Apply `measure` to every run's predictions; columns protocol, scenario, seed come first."""
    return pd.concat([judged.run.labelled(measure(judged.predictions)) for judged in runs], ignore_index=True)


def test_scores(run: Run, manifest: pd.DataFrame) -> pd.DataFrame:
    """Scores with intervals on the test set that the data give: table test_scores of one run.

    It has no rows without a test set. Scores of a class count the images and the patients of that class.
    """
    predictions = run.test_predictions()
    table = intervals(predictions) if len(predictions) else pd.DataFrame(columns=INTERVAL)
    patients = predictions["image_id"].map(manifest.set_index("image_id")["patient"])
    chosen = [predictions["y_true"].isin([name] if name else predictions["y_true"]) for name in table["class"]]
    counts = [patients[rows].nunique() if (patients[rows] != "").all() else pd.NA for rows in chosen]
    table["images"] = pd.array([int(rows.sum()) for rows in chosen], "Int64")
    table["patients"] = pd.array(counts, "Int64")
    return table


def times(runs: Sequence[Run]) -> pd.DataFrame:
    """Seconds of each run: table times.

    Training without cached features is an estimate. Every epoch would run the frozen layers too, at the speed of
    TensorFlow's forward pass measured when the features were computed.
    """
    rows = [{**run.labels(), "backbone": run.record["scenario"]["backbone"], **run.record["seconds"]} for run in runs]
    return pd.DataFrame(rows)


def time_totals(times: pd.DataFrame) -> pd.DataFrame:
    """Seconds of each protocol, with and without cached features: table time_totals.

    The features of a backbone were computed once for all of its runs.
    """
    features = times.groupby(["protocol", "backbone"])["features"].max().groupby("protocol").sum()
    sums = times.groupby("protocol", sort=False)[["training", "uncached"]].sum()
    sums.insert(0, "features", features)
    sums.insert(2, "total", sums["features"] + sums["training"])
    return sums.assign(speedup=sums["uncached"] / sums["total"]).reset_index()


def ranking(scores: pd.DataFrame, times: pd.DataFrame) -> pd.DataFrame:
    """Scenarios of each protocol by mean accuracy over seeds: table ranking."""
    keys = ["protocol", "scenario"]
    means = scores.merge(times, on=[*keys, "seed"]).groupby(keys, sort=False)
    table = means[["images", "accuracy", "macro_f1", "majority", "training"]].mean().astype({"images": int})
    table.insert(0, "seeds", means.size())
    protocols = table.reset_index().groupby("protocol", sort=False)
    ranked = [rows.sort_values("accuracy", ascending=False, kind="stable") for _, rows in protocols]
    return pd.concat(ranked, ignore_index=True)
