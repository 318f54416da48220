"""Plots of training and evaluation. A plot takes axes and data, and reads no file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from sklearn.metrics import precision_recall_curve, roc_curve

from lab_utils.core.config import Scenario
from lab_utils.evaluation.metrics import SPECIFICITY
from lab_utils.reporting.style import (
    CLASS_COLORS,
    GREYS,
    MARKERS,
    TIGHT,
    name_rows,
    percent_axis,
    scenario_marks,
    short,
)

QUANTITIES = {"accuracy": "accuracy (%)", "loss": "cross-entropy loss (nats)"}
SEEDS: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"linewidth": 0}}  # a band from the lowest to the highest


def curve(
    ax: Axes, history: pd.DataFrame, quantity: str, marks: Mapping[str, Any], compare: Sequence[pd.DataFrame] = ()
) -> Axes:
    """Draw accuracy or loss over epochs: training dashed, validation solid, a band for seeds.

    Parameters
    ----------
    history : DataFrame
        Columns epoch, accuracy, loss, val_accuracy, val_loss; several rows per epoch where there are several seeds.
    quantity : {"accuracy", "loss"}
    marks : mapping
        Colour and marker, as of `lab_utils.reporting.style.scenario_marks`.
    compare : sequence of DataFrame
        Histories that are compared with this one: the axis has room for all of them.
    """
    names = [quantity, f"val_{quantity}"]
    sns.lineplot(history, x="epoch", y=names[0], ls="--", color=marks["color"], label="training", **SEEDS, ax=ax)
    sns.lineplot(history, x="epoch", y=names[1], **marks, markeredgewidth=0, label="validation", **SEEDS, ax=ax)
    values = pd.concat([history, *compare])[names]
    low, high = values.min().min(), values.max().max()
    margin = 0.05 * max(high - low, 0.01)
    ax.set(xlabel="epoch", ylabel=QUANTITIES[quantity])
    ax.set_ylim(*((low - margin, min(high + margin, 1.01)) if quantity == "accuracy" else (0, high + margin)))
    if quantity == "accuracy":
        percent_axis(ax, "y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.legend(loc="best")
    return ax


def validation_curve(ax: Axes, history: pd.DataFrame, marks: Mapping[str, Any], others: Sequence[pd.DataFrame]) -> Axes:
    """Draw the validation accuracy over epochs, and that of the others in grey behind it."""
    for other in others:
        sns.lineplot(other, x="epoch", y="val_accuracy", color=GREYS[2], linewidth=0.8, errorbar=None, ax=ax)
    sns.lineplot(history, x="epoch", y="val_accuracy", **marks, markeredgewidth=0, **SEEDS, ax=ax)
    values = pd.concat([history, *others])["val_accuracy"]
    ax.set(xlabel="epoch", ylabel="validation accuracy (%)")
    ax.set_ylim(values.min() - 0.01, min(values.max() + 0.01, 1.005))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
    percent_axis(ax, "y")
    return ax


def compared_curves(ax: Axes, histories: Mapping[str, pd.DataFrame], quantity: str) -> Axes:
    """Draw validation accuracy or loss over epochs, a line for each named history."""
    table = pd.concat(histories, names=["training"]).reset_index("training")
    style: dict[str, Any] = {
        "palette": [CLASS_COLORS[place % len(CLASS_COLORS)] for place in range(len(histories))],
        "markers": [MARKERS[place % len(MARKERS)] for place in range(len(histories))],
        "markeredgewidth": 0,
    }
    sns.lineplot(table, x="epoch", y=f"val_{quantity}", hue="training", style="training", **style, **SEEDS, ax=ax)
    ax.set(xlabel="epoch", ylabel=f"validation {QUANTITIES[quantity]}")
    if quantity == "accuracy":
        percent_axis(ax, "y")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.legend(title="")
    return ax


def confusion_matrix(ax: Axes, confusion: pd.DataFrame, title: str = "") -> Axes:
    """Draw counts by true and predicted class, shaded by their share of the true class.

    Parameters
    ----------
    confusion : DataFrame
        Columns y_true, y_pred, images, of one run.
    """
    classes = list(dict.fromkeys(confusion["y_true"]))
    counts = confusion.pivot(index="y_true", columns="y_pred", values="images").loc[classes, classes]
    size, names = min(8.0, 40 / len(classes)), [short(name, 18) for name in classes]
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    style: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False, "square": True, "linewidths": 0.8}
    sns.heatmap(shares, annot=counts, fmt=",d", annot_kws={"fontsize": size}, **style, ax=ax)
    at = np.arange(len(classes)) + 0.5
    ax.set_xticks(at, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size, **TIGHT)
    ax.set_yticks(at, names, rotation=0, fontsize=size, **TIGHT)
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.set_title(title, fontsize=9, **TIGHT)
    ax.tick_params(length=0)
    return ax


def score_intervals(
    ax: Axes, table: pd.DataFrame, row: str, series: str, value: str, marks: Mapping[Any, Any], order: Any = ()
) -> Axes:
    """Draw scores with their intervals, in rows; the series of a row are dodged.

    Parameters
    ----------
    table : DataFrame
        Columns low, high and those named by the next three; all scores are fractions.
    marks : mapping
        Name of the series to colour and marker.
    order : sequence of str
        All rows of the chart; empty: those of the table.
    """
    rows, bounds = list(order or dict.fromkeys(table[row])), table[["low", "high"]].to_numpy()
    sns.pointplot(
        pd.concat([table, table], ignore_index=True),  # seaborn asks for an interval from two values on
        x=value,
        y=row,
        hue=series,
        order=rows,
        hue_order=list(marks),
        palette=[mark["color"] for mark in marks.values()],
        markers=[mark["marker"] for mark in marks.values()],
        dodge=0.5 if len(marks) > 1 else False,
        linestyle="none",
        markersize=5,
        errorbar=lambda scores: bounds[scores.index[0] % len(bounds)],  # the one computed, not one by seaborn
        err_kws={"linewidth": 1.2},
        legend=False,
        ax=ax,
    )
    percent_axis(ax, "x")
    ax.set_xlabel(f"{value} (%)")
    return name_rows(ax, [str(name) for name in rows], 24)


def scenario_intervals(ax: Axes, table: pd.DataFrame, scenarios: Sequence[Scenario]) -> Axes:
    """Draw one score of every run with its interval, a row and a colour per scenario.

    Parameters
    ----------
    table : DataFrame
        Columns scenario, seed, value, low, high, of one measure and protocol.
    """
    labels = [scenario.label for scenario in scenarios]
    seeds = sorted(table["seed"].unique())
    for scenario in scenarios:
        rows = table[table["scenario"] == scenario.name].assign(row=scenario.label)
        marks = dict.fromkeys(seeds, scenario_marks(scenario))
        score_intervals(ax, rows, row="row", series="seed", value="value", marks=marks, order=labels)
    return ax


def reliability(ax: Axes, bins: pd.DataFrame, marks: Mapping[str, Any]) -> Axes:
    """Draw accuracy against confidence; larger dots hold more images."""
    ax.plot([0, 1], [0, 1], "--", color=GREYS[1], linewidth=1)
    ax.plot(bins["confidence"], bins["accuracy"], color=marks["color"], linewidth=1)
    sizes = 10 + 120 * bins["images"] / bins["images"].sum()
    ax.scatter(bins["confidence"], bins["accuracy"], sizes, **marks, zorder=3, clip_on=False)
    ax.set(xlim=(0, 1.02), ylim=(-0.02, 1.05), xlabel="confidence (%)", ylabel="accuracy (%)")
    percent_axis(ax, "x", "y")
    return ax


def class_curve(
    ax: Axes, predictions: Mapping[str, pd.DataFrame], name: str, scenarios: Sequence[Scenario], kind: str
) -> Axes:
    """Draw the one-vs-rest curve of a class, a line per scenario.

    Parameters
    ----------
    predictions : mapping
        Scenario to its predictions, with the columns y_true and p_<class>.
    name : str
        The class; a scenario has no line where it, or all other classes, are absent.
    kind : {"roc", "precision_recall"}
    """
    for scenario in scenarios:
        table = predictions[scenario.name]
        truth, score = table["y_true"] == name, table[f"p_{name}"]
        if truth.nunique() == 2:
            x, y = roc_curve(truth, score)[:2] if kind == "roc" else precision_recall_curve(truth, score)[1::-1]
            ax.plot(x, y, **scenario_marks(scenario), linewidth=1, markersize=3, markevery=0.2, label=scenario.label)
    if kind == "roc":
        ax.axvline(1 - SPECIFICITY, color=GREYS[1], linestyle=":", linewidth=1)
    x_name, y_name = ("1 − specificity", "sensitivity") if kind == "roc" else ("recall", "precision")
    ax.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel=x_name, ylabel=y_name)
    ax.set_title(short(name, 18), fontsize=9, **TIGHT)
    return ax


def reference_marks(ax: Axes, table: pd.DataFrame, references: Mapping[str, str], dodge: float) -> Axes:
    """Mark reference values (column to its name in the legend), `dodge` off the rows' middle."""
    for (column, name), color in zip(references.items(), (GREYS[1], "black"), strict=False):
        ax.plot(table[column], np.arange(len(table)) + dodge, "|", color=color, markersize=9, label=name)
    return ax


def training_times(ax: Axes, times: pd.DataFrame, scenarios: Sequence[Scenario]) -> Axes:
    """Draw the seconds of each scenario, with and without cached features.

    Parameters
    ----------
    times : DataFrame
        Columns scenario, features, training, uncached; the mean over seeds is drawn.
    """
    means = times.groupby("scenario")[["features", "training", "uncached"]].mean()
    means = means.loc[[scenario.name for scenario in scenarios]]
    features, training, uncached = means.to_numpy().T
    colors = [scenario_marks(scenario)["color"] for scenario in scenarios]
    upper, lower = np.arange(len(means)) - 0.19, np.arange(len(means)) + 0.19
    ax.barh(upper, features, 0.36, color=GREYS[2], hatch="//", edgecolor="white", label="features (once, shared)")
    ax.barh(upper, training, 0.36, left=features, color=colors, label="training")
    without = "training without cached features (estimated)"
    ax.barh(lower, uncached, 0.36, color="none", edgecolor="#777777", linestyle="--", label=without)
    for place, total in enumerate(features + training):
        text = f" {features[place]:.0f} + {training[place]:.0f} s"
        ax.text(total, upper[place], text, va="center", fontsize=9)
        ax.text(uncached[place], lower[place], f" {uncached[place]:,.0f} s", va="center", fontsize=9)
    ax.set(xlabel="time (s)", xlim=(0, 1.12 * max((features + training).max(), uncached.max())))
    handles, labels = ax.get_legend_handles_labels()
    handles[1] = Patch(color="#555555")  # of training in the colour of any scenario
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=3)
    return name_rows(ax, [scenario.label for scenario in scenarios], 24)
