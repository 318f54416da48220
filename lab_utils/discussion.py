"""The report's sentences that depend on the numbers. Nothing is claimed here that the tables do not say."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from lab_utils.display import verbatim
from lab_utils.figures import readable
from lab_utils.metrics import SUMMARY
from lab_utils.runs import Run
from lab_utils.scenarios import Scenario


def percent(fraction: float) -> str:
    """0.8714 as '87.1 %'."""
    return f"{100 * fraction:.1f} %"


def standard_error(accuracy: float, images: int) -> float:
    """Binomial standard error of an accuracy measured on `images` independent images."""
    return float(np.sqrt(accuracy * (1 - accuracy) / images))


def comparison(metrics: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """Which scenario scored highest, and whether that means anything.

    Parameters
    ----------
    metrics : DataFrame
        Columns scenario, seed, accuracy, macro_f1, images, of one protocol.
    """
    titles = {s.name: s.title for s in scenarios}
    means = (
        metrics.groupby("scenario")[["accuracy", "macro_f1"]]
        .mean()
        .sort_values("accuracy", ascending=False, kind="stable")
    )
    if len(means) == 1:
        only = means.iloc[0]
        return (
            f"One scenario was run, *{verbatim(titles[means.index[0]])}*: accuracy {percent(only['accuracy'])}, "
            f"macro F1 {percent(only['macro_f1'])}. There is nothing to compare."
        )
    best, worst = means.index[0], means.index[-1]
    gap = means.loc[best, "accuracy"] - means.loc[worst, "accuracy"]
    images = int(metrics["images"].iloc[0])
    error = standard_error(means.loc[best, "accuracy"], images)
    seeds = metrics["seed"].nunique()
    if gap == 0:
        same = percent(means.loc[best, "accuracy"])
        return f"All scenarios reached the same accuracy, {same}, on {images:,} validation images."
    ranking = "; ".join(
        f"*{verbatim(titles[name])}* {percent(accuracy)} (macro F1 {percent(macro_f1)})"
        for name, accuracy, macro_f1 in means.itertuples()
    )
    size = "less than" if gap < 2 * error else "more than"
    caution = (
        "One seed: no comparison is claimed, for another seed moves each of these numbers too."
        if seeds == 1
        else f"Means over {seeds} seeds; their spread is in the table of runs."
    )
    return (
        f"By accuracy on {images:,} validation images: {ranking}. First and last are {100 * gap:.1f} points apart, "
        f"{size} two standard errors of one such accuracy (2 x {100 * error:.1f} points, from the number of images "
        f"alone). {caution}"
    )


def by_class(report: pd.DataFrame, scenario: Scenario) -> str:
    """The easiest and the hardest class of one classification report."""
    classes = report[~report["class"].isin(SUMMARY)].sort_values("f1", kind="stable")
    low, high = classes.iloc[0], classes.iloc[-1]
    return (
        f"**{verbatim(scenario.title)}**: highest F1 for {verbatim(readable(high['class']))} ({high['f1']:.2f}), "
        f"lowest for {verbatim(readable(low['class']))} ({low['f1']:.2f}: precision {low['precision']:.2f}, "
        f"recall {low['recall']:.2f}, {int(low['support']):,} images)."
    )


def duration(times: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """Which scenario trained fastest, and what the shared extraction costs beside it; plain text, not markdown."""
    titles = {s.name: s.title for s in scenarios}
    means = times.groupby("scenario")["training"].mean().sort_values()
    pass_seconds = times["extraction"].max()
    if len(means) == 1:
        return f"Training took {means.iloc[0]:.0f} s, after {pass_seconds:.0f} s of feature extraction."
    return (
        f"{titles[means.index[0]]!r} trained fastest, in {means.iloc[0]:.0f} s; "
        f"{titles[means.index[-1]]!r} took longest, {means.iloc[-1]:.0f} s. "
        f"Before either, what is frozen was computed once for all of them in {pass_seconds:.0f} s."
    )


def stability(histories: Mapping[str, pd.DataFrame], scenarios: Sequence[Scenario], last: int = 10) -> list[str]:
    """Oscillation and overfitting, one sentence per scenario.

    Parameters
    ----------
    histories : mapping
        Scenario name to its history table.
    last : int
        Over how many final epochs the oscillation is measured.
    """
    sentences = []
    for scenario in scenarios:
        if scenario.name not in histories:
            continue
        tail = histories[scenario.name].tail(last)
        spread = 100 * (tail["val_accuracy"].max() - tail["val_accuracy"].min())
        end = tail.iloc[-1]
        gap = 100 * (end["accuracy"] - end["val_accuracy"])
        direction = "above" if gap >= 0 else "below"
        sentences.append(
            f"**{verbatim(scenario.title)}**: over the last {len(tail)} epochs the validation accuracy ranged over "
            f"{spread:.1f} points; "
            f"at the end training accuracy was {abs(gap):.1f} points {direction} it."
        )
    return sentences


def conclusion(metrics: pd.DataFrame, backbone: str, weights: str, *, synthetic: bool) -> str:
    """What was reached, against what a constant answer reaches."""
    best, majority = metrics["accuracy"].max(), metrics["majority"].iloc[0]
    network = (
        f"{backbone} pretrained on ImageNet"
        if weights == "imagenet"
        else f"an untrained {backbone} (random features, BatchNorm calibrated on training images)"
    )
    data = "synthetic phantoms" if synthetic else "images"
    text = (
        f"On these {data}, {network} reaches an accuracy of up to {percent(best)}; "
        f"naming the commonest class for every image gives {percent(majority)}"
        f"{'' if best > majority else ', which no scenario surpasses'}. "
    )
    if synthetic:
        return text + "That shows that the lab works, and nothing about disease."
    return (
        text
        + "The split is random over images: how the model does on patients of another hospital is not measured here."
    )


def reproduction(
    runs: Sequence[Run], metrics: pd.DataFrame, published: Mapping[str, Mapping[str, float]]
) -> pd.DataFrame:
    """The write-up's accuracy and macro F1 beside ours, one row per protocol and scenario that it has.

    Parameters
    ----------
    published : mapping
        Scenario to {"accuracy", "macro_f1"}, as in report/published.yaml.
    """
    titles = {run.scenario.name: run.scenario.title for run in runs}
    means = metrics.groupby(["protocol", "scenario"], sort=False)[["accuracy", "macro_f1"]].mean().reset_index()
    means = means[means["scenario"].isin(published)]
    return pd.DataFrame(
        {
            "Protocol": means["protocol"],
            "Scenario": means["scenario"].map(titles),
            "Accuracy, published": [published[name]["accuracy"] for name in means["scenario"]],
            "Accuracy, here": means["accuracy"],
            "Macro F1, published": [published[name]["macro_f1"] for name in means["scenario"]],
            "Macro F1, here": means["macro_f1"],
        }
    )
