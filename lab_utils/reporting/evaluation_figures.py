"""Figures of the evaluation: errors, intervals and one-vs-rest scores."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from lab_utils.core.config import Scenario
from lab_utils.evaluation.runs import Run
from lab_utils.reporting import style
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import readable, scenario_numbers, short
from lab_utils.reporting.style import (
    FEW,
    GREYS,
    TALLEST,
    label_outer,
    legend_of,
    panels,
    percent_axis,
    scenario_marks,
    spacing,
)
from lab_utils.reporting.text import interval

__all__ = ["confusion_matrices", "one_vs_rest_scores", "score_intervals", "source_accuracies"]
ONE_VS_REST = {  # measure in the table means: title
    "auc": "area under ROC",
    "average_precision": "average precision",
    "sensitivity_at_95": "sensitivity at 95 % specificity",
}
CELLS: dict[str, Any] = {"cmap": "Blues", "vmin": 0, "vmax": 1, "cbar": False, "linewidths": 0.8}


def confusion_matrices(confusion: pd.DataFrame, runs: Sequence[Run]) -> ReportFigure:
    """Show the confusion matrix of every run, in words as well: table confusion.

    Few classes are named on both axes. Many are named at the rows, and have numbers at the columns.
    """
    classes = list(dict.fromkeys(confusion["y_true"]))
    columns, height = (3, 2.4) if len(classes) <= FEW else (1, 0.45 + 0.123 * len(classes))
    figure, axes = panels(len(runs), height, columns=columns)
    is_named = len({(run.protocol.name, run.seed) for run in runs}) > 1
    said = []
    for ax, run in zip(axes, runs, strict=True):
        counts = run.rows_of(confusion)
        detail = f" ({run.protocol.name}, seed {run.seed})" if is_named else ""
        _draw_confusion(ax, counts, classes)
        ax.set_title(short(f"{run.scenario.label}{detail}", 30), fontsize=9, **spacing(run.scenario.label))
        said.append(f"{run.scenario.label}{detail}: {describe_errors(counts)}")
    if columns == 3:
        label_outer(axes)
    caption = "Confusion matrices: images by true and predicted class, shaded by their share of the true class"
    return ReportFigure(figure, caption, "fig-confusion", " ".join(said))


def _draw_confusion(ax: Axes, confusion: pd.DataFrame, classes: list[str]) -> None:
    counts = confusion.pivot(index="y_true", columns="y_pred", values="images").loc[classes, classes]
    shares = counts.div(counts.sum(axis=1).clip(lower=1), axis=0)
    texts, is_few = counts.map("{:,}".format), len(classes) <= FEW
    size = min(8.0, 40 / len(classes)) if is_few else 6.5
    texts = texts if is_few else texts.where(counts > 0, "")
    sns.heatmap(shares, annot=texts, fmt="", annot_kws={"fontsize": size}, square=is_few, **CELLS, ax=ax)
    at = np.arange(len(classes)) + 0.5
    if is_few:
        names = [short(name, 18) for name in classes]
        ax.set_xticks(at, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size, **spacing(*names))
    else:
        names = [f"{short(name, 44, lines=1)}  {number}" for number, name in enumerate(classes, start=1)]
        ax.set_xticks(at, [str(number) for number in range(1, len(classes) + 1)], rotation=0, fontsize=size)
    ax.set_yticks(at, names, rotation=0, fontsize=size, **spacing(*names))
    ax.set(xlabel="predicted class", ylabel="true class")
    ax.tick_params(length=0)


def describe_errors(counts: pd.DataFrame) -> str:
    """Return the errors of one confusion matrix in words."""
    errors = counts[counts["y_true"] != counts["y_pred"]]
    total = f"{counts['images'].sum():,} images"
    if not errors["images"].sum():
        return f"none of {total} is classified wrongly."
    worst = errors.iloc[errors["images"].argmax()]
    return (
        f"{errors['images'].sum():,} of {total} are classified wrongly, "
        f"most often {readable(worst['y_true'])} as {readable(worst['y_pred'])} ({worst['images']:,})."
    )


def draw_intervals(
    ax: Axes,
    table: pd.DataFrame,
    row: str,
    series: str,
    value: str,
    marks: Mapping[Any, Any],
    order: Any = (),
    *,
    dodges: bool = True,
) -> None:
    """Draw scores with their intervals, in rows.

    Parameters
    ----------
    table : DataFrame
        Columns low, high and those named by the next three; all scores are fractions.
    marks : mapping
        Name of the series to colour and marker.
    order : sequence of str
        All rows of the chart; empty: those of the table.
    dodges : bool
        Whether the series of a row lie beside each other.
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
        dodge=False if len(marks) == 1 or not dodges else 0.5 if len(marks) <= FEW else 0.75,
        linestyle="none",
        markersize=5 if len(marks) <= FEW else 3.5,
        errorbar=lambda scores: bounds[scores.index[0] % len(bounds)],  # the one computed, not one by seaborn
        err_kws={"linewidth": 1.2},
        legend=False,
        ax=ax,
    )
    percent_axis(ax, "x")
    ax.set_xlabel(f"{value} (%)")
    style.name_rows(ax, [str(name) for name in rows], 24)


def score_intervals(intervals: pd.DataFrame, means: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show accuracy and macro F1 of one protocol: of runs and, in colour, their means.

    Parameters
    ----------
    intervals, means : DataFrame
        The tables of these names, of one protocol.
    """
    chosen = [scenario for scenario in scenarios if scenario.name in set(means["scenario"])]
    labels = {scenario.name: scenario.label for scenario in chosen}
    seeds = sorted(intervals["seed"].unique()) if means["seeds"].max() > 1 else []
    scores = pd.concat([intervals[intervals["seed"].isin(seeds)], means.assign(seed="mean")], ignore_index=True)
    scores = scores[scores["scenario"].isin(labels)].assign(row=scores["scenario"].map(labels))
    figure, axes = panels(2, 0.6 + (0.5 + 0.06 * len(seeds)) * len(chosen), columns=2, sharey=True)
    for ax, (measure, name) in zip(axes, {"accuracy": "accuracy", "macro_f1": "macro F1"}.items(), strict=True):
        for scenario in chosen:
            rows = scores[(scores["measure"] == measure) & (scores["scenario"] == scenario.name)]
            marks = {key: {"color": GREYS[1], "marker": "."} for key in seeds} | {"mean": scenario_marks(scenario)}
            draw_intervals(ax, rows, row="row", series="seed", value="value", marks=marks, order=list(labels.values()))
        ax.set_xlabel(f"{name} (%)")
    accuracies = means[(means["measure"] == "accuracy") & means["scenario"].isin(labels)]
    said = [f"{labels[row['scenario']]}: {interval(row)}" for row in accuracies.to_dict("records")]
    caption = "Accuracy and macro F1 with 95 % confidence intervals"
    if seeds:
        caption += f": grey, each of {len(seeds)} seeds (images alone); in colour, their mean (images and seeds)"
    return ReportFigure(figure, caption, "fig-intervals", f"Mean accuracy with interval. {'; '.join(said)}.")


def source_accuracies(scores: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the accuracy on the images of each source and class, a marker per scenario.

    Parameters
    ----------
    scores : DataFrame
        The table source_scores, of one protocol and seed.
    """
    labels = {scenario.name: scenario.label for scenario in scenarios}
    table = scores[(scores["class"] != "") & scores["scenario"].isin(labels)]
    names = [
        f"{readable(name)} ({images:,}), {str(source).split('://')[-1].removeprefix('www.')}"
        for name, images, source in table[["class", "images", "source"]].to_numpy()
    ]
    table = table.assign(row=names, series=table["scenario"].map(labels))
    marks = {scenario.label: scenario_marks(scenario) for scenario in scenarios}
    rows = table["row"].nunique()
    figure, (ax,) = panels(1, min(0.9 + rows * (0.2 + 0.08 * len(marks)), TALLEST), columns=1)
    draw_intervals(ax, table, row="row", series="series", value="accuracy", marks=marks)
    style.name_rows(ax, list(dict.fromkeys(names)), 36)
    figure.legend(handles=legend_of(marks), loc="outside lower center", ncols=2)
    said = [f"{row['row']}, {row['series']}: {interval(row, 'accuracy')}" for row in table.to_dict("records")]
    caption = "Accuracy by class (number of images) and source on validation images, with 95 % confidence intervals"
    return ReportFigure(figure, caption, "fig-sources", f"Accuracies. {'; '.join(said)}.")


def one_vs_rest_scores(means: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the one-vs-rest scores of every class as heat maps, a row per scenario.

    Parameters
    ----------
    means : DataFrame
        The table of this name, of one protocol.
    """
    scores = means[means["measure"].isin(ONE_VS_REST) & (means["class"] != "")]
    numbers = {name: number for name, number in scenario_numbers(scenarios).items() if name in set(scores["scenario"])}
    classes = list(dict.fromkeys(scores["class"]))
    columns = len(ONE_VS_REST) if len(classes) <= FEW else 1
    height = 1.1 + 0.25 * len(numbers) + (0.2 if columns == 1 else 0)
    figure, axes = panels(len(ONE_VS_REST), height, columns=columns, sharey=True)
    said = []
    for ax, (measure, title) in zip(axes, ONE_VS_REST.items(), strict=True):
        rows = scores[scores["measure"] == measure]
        values = (
            rows.pivot(index="scenario", columns="class", values="value").loc[list(numbers), classes].to_numpy(float)
        )
        size = 8 if len(classes) <= FEW else 6
        sns.heatmap(values, annot=True, fmt=".2f", annot_kws={"fontsize": size}, **CELLS, ax=ax)
        at = np.arange(len(classes)) + 0.5
        names = [short(name, 18) for name in classes]
        ax.set_xticks(at, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size, **spacing(*names))
        ax.set_yticks(np.arange(len(numbers)) + 0.5, list(numbers.values()), rotation=0)
        ax.tick_params(length=0)
        ax.set_title(title, fontsize=9)
        lowest = rows.nsmallest(1, "value").iloc[0]
        said.append(
            f"{title}: lowest {lowest['value']:.2f}, {readable(lowest['class'])}, {numbers[lowest['scenario']]}"
        )
    caption = "One-vs-rest scores of each class and scenario"
    return ReportFigure(figure, caption, "fig-one-vs-rest", f"Heat maps. {'; '.join(said)}.")
