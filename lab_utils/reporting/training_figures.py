"""Figures of training: curves over epochs, and times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab_utils.core.config import Scenario
from lab_utils.reporting import style
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.style import GREYS, class_marks, panels, scenario_marks
from lab_utils.reporting.text import percent, seconds

__all__ = ["compared_curves", "training_curves", "training_times"]
QUANTITIES = {"accuracy": "accuracy (%)", "loss": "loss (nats)"}
SEEDS: dict[str, Any] = {"errorbar": ("pi", 100), "err_kws": {"linewidth": 0}}  # a band from the lowest to the highest


def training_curves(history: pd.DataFrame, scenario: Scenario, compare: Sequence[pd.DataFrame] = ()) -> ReportFigure:
    """Show accuracy and loss over epochs: training dashed, validation solid, a band for seeds.

    Parameters
    ----------
    history : DataFrame
        Columns epoch, accuracy, loss, val_accuracy, val_loss; several rows per epoch where there are several seeds.
    compare : sequence of DataFrame
        Histories that are compared with this one: the axes have room for all of them.
    """
    figure, axes = panels(2, 1.65, columns=2)
    marks = scenario_marks(scenario)
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        names = [quantity, f"val_{quantity}"]
        sns.lineplot(history, x="epoch", y=names[0], ls="--", color=marks["color"], label="training", **SEEDS, ax=ax)
        sns.lineplot(history, x="epoch", y=names[1], **marks, markeredgewidth=0, label="validation", **SEEDS, ax=ax)
        values = pd.concat([history, *compare])[names]
        low, high = values.min().min(), values.max().max()
        margin = 0.05 * max(high - low, 0.01)
        ax.set_ylim(*((low - margin, min(high + margin, 1.01)) if quantity == "accuracy" else (0, high + margin)))
        _name_axes(ax, QUANTITIES[quantity])
        handles, names = ax.get_legend_handles_labels()
        ax.legend().remove()
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    seeds = history["epoch"].value_counts().max()
    band = f" (mean of {seeds} seeds; the band covers all of them)" if seeds > 1 else ""
    caption = f"Training curves, {scenario.label}{band}: accuracy and cross-entropy loss"
    return ReportFigure(figure, caption, f"fig-curves-{scenario.name}", describe_curves(history))


def _name_axes(ax: Axes, quantity: str, ticks: int = 10) -> None:
    ax.set(xlabel="epoch", ylabel=quantity)
    ax.xaxis.set_major_locator(MaxNLocator(ticks, integer=True, steps=[1, 2, 5, 10]))
    if quantity.endswith("(%)"):
        style.percent_axis(ax, "y")


def describe_curves(history: pd.DataFrame) -> str:
    """Return training curves in words."""
    means = history.groupby("epoch", as_index=False).mean(numeric_only=True)
    best, end = means.iloc[means["val_accuracy"].argmax()], means.iloc[-1]
    return (
        f"Two line charts over {len(means)} epochs. Validation accuracy starts at {percent(means['val_accuracy'][0])}, "
        f"is highest in epoch {best['epoch']:.0f} ({percent(best['val_accuracy'])}) and ends at "
        f"{percent(end['val_accuracy'])}, training accuracy at {percent(end['accuracy'])}. "
        f"Validation loss ends at {end['val_loss']:.2f}, training loss at {end['loss']:.2f}."
    )


def compared_curves(histories: Mapping[str, pd.DataFrame]) -> ReportFigure:
    """Show validation accuracy and loss of several trainings, from histories by printed name."""
    figure, axes = panels(2, 3.2, columns=2)
    table = pd.concat(histories, names=["training"]).reset_index("training")
    marks = {**class_marks(len(histories)), "markeredgewidth": 0}
    for ax, quantity in zip(axes, QUANTITIES, strict=True):
        sns.lineplot(table, x="epoch", y=f"val_{quantity}", hue="training", style="training", **marks, **SEEDS, ax=ax)
        _name_axes(ax, f"validation {QUANTITIES[quantity]}")
    handles, names = axes[0].get_legend_handles_labels()
    for ax in axes:
        ax.legend().remove()
    figure.legend(handles, names, loc="outside lower center")
    said = [f"{name}: {describe_curves(history)}" for name, history in histories.items()]
    return ReportFigure(figure, "Validation accuracy and loss of several trainings", "fig-compared", " ".join(said))


def training_times(times: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the times of each scenario, with cached features (left) and without (right).

    Parameters
    ----------
    times : DataFrame
        Of one protocol: columns scenario, backbone, features, training, uncached; the mean over seeds is drawn.
    """
    chosen = [scenario for scenario in scenarios if scenario.name in set(times["scenario"])]
    means = times.groupby("scenario")[["features", "training", "uncached"]].mean()
    features, training, uncached = means.loc[[scenario.name for scenario in chosen]].to_numpy().T
    figure, (cached, without) = panels(2, 0.8 + 0.3 * len(chosen), columns=2, sharey=True)
    rows, colors = np.arange(len(chosen)), [scenario_marks(scenario)["color"] for scenario in chosen]
    cached.barh(rows, features, 0.6, color=GREYS[2], hatch="//", edgecolor="white", label="features (once, shared)")
    cached.barh(rows, training, 0.6, left=features, color=colors, label="training")
    without.barh(rows, uncached, 0.6, color=colors)
    labels = [f"{once:.0f} + {after:.0f} s" for once, after in zip(features, training, strict=True)]
    _name_bars(cached, features + training, labels, "with cached features (s)")
    _name_bars(without, uncached, [f"{total:,.0f} s" for total in uncached], "without cached features, estimated (s)")
    style.name_rows(cached, [scenario.label for scenario in chosen], 24)
    handles, names = cached.get_legend_handles_labels()
    handles[1] = Patch(color="#555555")  # of training in the colour of any scenario
    figure.legend(handles, names, loc="outside lower center", ncols=2)
    said = "; ".join(
        f"{scenario.label}: {seconds(means.training[scenario.name])}, "
        f"without cached features about {seconds(means.uncached[scenario.name])}"
        for scenario in chosen
    )
    once = seconds(times.groupby("backbone")["features"].max().sum())
    alt = f"Bar charts of training times. {said}. Features took {once} once."
    caption = "Training time across scenarios, with cached features (left) and without (right); the scales differ"
    return ReportFigure(figure, caption, "fig-times", alt)


def _name_bars(ax: Axes, totals: NDArray[np.float64], texts: Sequence[str], name: str) -> None:
    """Write a text behind each bar, with room for it."""
    for row, (total, text) in enumerate(zip(totals, texts, strict=True)):
        ax.text(total, row, f" {text}", va="center", fontsize=9)
    ax.set(xlabel=name, xlim=(0, 1.4 * totals.max()))
    ax.grid(axis="y", visible=False)
