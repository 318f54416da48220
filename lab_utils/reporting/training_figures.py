"""Figures of training: curves over epochs, and times."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from lab_utils.core.config import Scenario
from lab_utils.reporting import style
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import short
from lab_utils.reporting.style import GREYS, class_marks, panels, scenario_marks, spacing
from lab_utils.reporting.text import percent, seconds

__all__ = ["compared_curves", "training_curves", "training_overview", "training_times"]
QUANTITIES = {"accuracy": "accuracy (%)", "loss": "cross-entropy loss (nats)"}
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
    figure, axes = panels(2, 2.3, columns=2)
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
        ax.legend(loc="best")
    seeds = history["epoch"].value_counts().max()
    band = f" (mean of {seeds} seeds; the band covers all of them)" if seeds > 1 else ""
    caption = f"Training curves, {scenario.label}{band}"
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


def training_overview(histories: Mapping[str, pd.DataFrame], scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the validation accuracy of every scenario on one scale, from histories by scenario."""
    chosen = [scenario for scenario in scenarios if scenario.name in histories]
    figure, axes = panels(len(chosen), 2.1)
    values = pd.concat(histories.values())["val_accuracy"]
    for ax, scenario in zip(axes, chosen, strict=True):
        for name, other in histories.items():
            if name != scenario.name:
                sns.lineplot(other, x="epoch", y="val_accuracy", color=GREYS[2], linewidth=0.8, errorbar=None, ax=ax)
        history, marks = histories[scenario.name], scenario_marks(scenario)
        sns.lineplot(history, x="epoch", y="val_accuracy", **marks, markeredgewidth=0, **SEEDS, ax=ax)
        ax.set_ylim(values.min() - 0.01, min(values.max() + 0.01, 1.005))
        _name_axes(ax, "validation accuracy (%)", ticks=5)
        ax.set_title(short(scenario.label, 28), fontsize=9, **spacing(scenario.label))
    style.label_outer(axes)
    ends = [f"{s.label} ends at {percent(histories[s.name]['val_accuracy'].iloc[-1])}" for s in chosen]
    alt = f"Line charts of validation accuracy over epochs. {'; '.join(ends)}."
    caption = "Validation accuracy of every scenario on one scale, the other scenarios in grey"
    return ReportFigure(figure, caption, "fig-overview", alt)


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
    """Show the times of each scenario of one protocol, with and without cached features.

    Parameters
    ----------
    times : DataFrame
        Columns scenario, backbone, features, training, uncached; the mean over seeds is drawn.
    """
    chosen = [scenario for scenario in scenarios if scenario.name in set(times["scenario"])]
    means = times.groupby("scenario")[["features", "training", "uncached"]].mean()
    features, training, uncached = means.loc[[scenario.name for scenario in chosen]].to_numpy().T
    figure, (ax,) = panels(1, 0.9 + 0.55 * len(chosen), columns=1)
    colors = [scenario_marks(scenario)["color"] for scenario in chosen]
    upper, lower = np.arange(len(chosen)) - 0.19, np.arange(len(chosen)) + 0.19
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
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
    style.name_rows(ax, [scenario.label for scenario in chosen], 24)
    said = "; ".join(
        f"{scenario.label}: {seconds(means.training[scenario.name])}, "
        f"without cached features about {seconds(means.uncached[scenario.name])}"
        for scenario in chosen
    )
    once = seconds(times.groupby("backbone")["features"].max().sum())
    alt = f"Bar chart of training times. {said}. Features took {once} once."
    caption = "Training time across scenarios: features computed once, training, and training without cached features"
    return ReportFigure(figure, caption, "fig-times", alt)
