"""All tables of stage 40_evaluate: the scores of every run, and what sums them up."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pandas as pd

from lab_utils.evaluation import calibration, metrics, uncertainty
from lab_utils.evaluation.published import published_table
from lab_utils.evaluation.runs import Run


def evaluation_tables(runs: Sequence[Run], published: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Compute every table of stage 40 for finished runs: name in the catalogue to table.

    `published` maps the name of a scenario to the write-up's numbers, as in report/published.yaml.
    """
    tables = {
        "metrics": over_runs(runs, metrics.scores),
        "reports": over_runs(runs, metrics.classification_report),
        "extremes": over_runs(runs, metrics.extremes),
        "confusion": over_runs(runs, metrics.confusion),
        "operating_points": over_runs(runs, metrics.operating_points),
        "calibration": over_runs(runs, calibration.reliability),
        "intervals": over_runs(runs, uncertainty.intervals),
        "comparisons": uncertainty.comparisons(runs),
        "curves": pd.concat([run.labelled(metrics.curve_summary(run.history())) for run in runs], ignore_index=True),
        "times": times(runs),
    }
    tables["time_totals"] = time_totals(tables["times"])
    tables["ranking"] = ranking(tables["metrics"], tables["times"])
    tables["published"] = published_table(runs, tables["reports"], tables["intervals"], published)
    return tables


def over_runs(runs: Sequence[Run], measure: Callable[[pd.DataFrame], pd.DataFrame]) -> pd.DataFrame:
    """Apply `measure` to every run's predictions; columns protocol, scenario, seed come first."""
    return pd.concat([run.labelled(measure(run.predictions())) for run in runs], ignore_index=True)


def times(runs: Sequence[Run]) -> pd.DataFrame:
    """Seconds of each run: table times.

    Training without cached features is an estimate. Every epoch would run the frozen layers too, at the speed of
    TensorFlow's forward pass measured when the features were computed.
    """
    return pd.DataFrame([{**run.labels(), **run.record["seconds"]} for run in runs])


def time_totals(times: pd.DataFrame) -> pd.DataFrame:
    """Seconds of each protocol, with and without cached features: table time_totals."""
    sums = times.groupby("protocol", sort=False).agg(
        features=("features", "max"), training=("training", "sum"), uncached=("uncached", "sum")
    )
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
