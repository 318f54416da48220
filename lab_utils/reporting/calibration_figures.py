"""Figures of confidence: reliability diagrams, and accuracy on the most confident images."""

from collections.abc import Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.runs import Run
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import short
from lab_utils.reporting.style import GREYS, label_outer, panels, percent_axis, scenario_marks, spacing
from lab_utils.reporting.text import percent

__all__ = ["accuracy_by_coverage", "reliability"]
QUOTED = (1.0, 0.8, 0.5)  # coverages in the words for readers who do not see the figure


def reliability(calibration: pd.DataFrame, scores: pd.DataFrame, runs: Sequence[Run]) -> ReportFigure:
    """Show accuracy against confidence of every run, in bins of equally many images.

    Parameters
    ----------
    calibration, scores : DataFrame
        The tables calibration and calibration_scores.
    """
    figure, axes = panels(len(runs), 2.3)
    least = min(run.rows_of(calibration)[["confidence", "low"]].min().min() for run in runs)
    said = []
    for ax, run in zip(axes, runs, strict=True):
        bins, row, marks = run.rows_of(calibration), run.rows_of(scores).iloc[0], scenario_marks(run.scenario)
        margins = (bins["accuracy"] - bins["low"], bins["high"] - bins["accuracy"])
        ax.plot([0, 1], [0, 1], "--", color=GREYS[1], linewidth=1)
        ax.errorbar(
            bins["confidence"], bins["accuracy"], margins, fmt=marks["marker"], color=marks["color"], linewidth=1
        )
        ax.set(xlim=(least - 0.03, 1.01), ylim=(least - 0.03, 1.03), xlabel="confidence (%)", ylabel="accuracy (%)")
        percent_axis(ax, "x", "y")
        ax.set_title(short(run.scenario.label, 28), fontsize=9, **spacing(run.scenario.label))
        text = f"ECE {row['ece']:.3f}\nif calibrated {row['ece_null']:.3f}"
        ax.text(0.03, 0.98, text, va="top", fontsize=8, transform=ax.transAxes)
        said.append(
            f"{run.scenario.label}: expected calibration error {row['ece']:.3f}; a calibrated network has "
            f"{row['ece_null']:.3f} on average"
        )
    label_outer(axes)
    caption = (
        "Reliability diagrams: accuracy against confidence in bins of equally many images, with Wilson's 95 % "
        "confidence intervals; expected calibration error (ECE), and that of a calibrated network on as many images"
    )
    return ReportFigure(figure, caption, "fig-reliability", f"Accuracy against confidence. {'; '.join(said)}.")


def accuracy_by_coverage(selective: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the accuracy on the most confident images of one run per scenario.

    Parameters
    ----------
    selective : DataFrame
        The table of this name, of one protocol and seed.
    """
    figure, (ax,) = panels(1, 2.7, columns=1)
    said = []
    for scenario in scenarios:
        rows, marks = (
            selective[selective["scenario"] == scenario.name].sort_values("coverage"),
            scenario_marks(scenario),
        )
        if rows.empty:
            continue
        ax.plot(rows["coverage"], rows["accuracy"], **marks, linewidth=1, label=scenario.label)
        ax.fill_between(rows["coverage"], rows["low"], rows["high"], color=marks["color"], alpha=0.12, linewidth=0)
        nearest = [rows.iloc[(rows["coverage"] - coverage).abs().argmin()] for coverage in QUOTED]
        points = [f"{percent(row['accuracy'])} on {percent(row['coverage'], 0)}" for row in nearest]
        said.append(f"{scenario.label}: {', '.join(points)} of the images")
    ax.set(xlabel="coverage: share of the images that are answered (%)", ylabel="accuracy (%)", ylim=(None, 1.005))
    percent_axis(ax, "x", "y")
    figure.legend(loc="outside lower center", ncols=2)
    caption = "Accuracy if only the most confident predictions are answered, with 95 % confidence intervals"
    return ReportFigure(figure, caption, "fig-coverage", f"A line per scenario. {'; '.join(said)}.")
