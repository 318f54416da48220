"""The figure that compares the values of this run with the published ones."""

from collections.abc import Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.published import MEASURES
from lab_utils.reporting.evaluation_figures import draw_intervals
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import readable, short
from lab_utils.reporting.style import GREYS, TALLEST, legend_of, neutral_marks, panels, percent_axis, spacing
from lab_utils.reporting.text import points

__all__ = ["published_differences"]
NAMES = {"accuracy": "accuracy", "macro_f1": "macro F1", "precision": "precision", "recall": "recall", "f1": "F1"}


def published_differences(published: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show each value of this run minus the published one, a marker per protocol.

    Parameters
    ----------
    published : DataFrame
        The table of this name. Supports are not drawn.
    """
    table = published[published["measure"] != MEASURES[-1]]
    table = table.assign(row=[_row(name, measure) for name, measure in table[["class", "measure"]].to_numpy()])
    chosen = [scenario for scenario in scenarios if scenario.name in set(table["scenario"])]
    order, marks = list(dict.fromkeys(table["row"])), neutral_marks(list(dict.fromkeys(table["protocol"])))
    height = min(0.9 + len(order) * (0.1 + 0.03 * len(marks)), TALLEST)
    figure, axes = panels(len(chosen), height, columns=len(chosen), sharey=True, sharex=True)
    for ax, scenario in zip(axes, chosen, strict=True):
        rows = table[table["scenario"] == scenario.name]
        ax.axvline(0, color=GREYS[1], linestyle="--", linewidth=1)
        draw_intervals(ax, rows, row="row", series="protocol", value="difference", marks=marks, order=order)
        ax.set_xlabel("difference (points)")
        ax.set_title(short(scenario.label, 24), fontsize=9, **spacing(scenario.label))
    percent_axis(axes[0], "x")
    figure.legend(handles=legend_of(marks), loc="outside lower center", ncols=4)
    caption = (
        "Value of this run minus the published value, in percentage points, with the 95 % confidence interval of the "
        "difference"
    )
    labels = {scenario.name: scenario.label for scenario in chosen}
    said = "; ".join(
        f"{labels[row['scenario']]}, protocol {row['protocol']}: {points(row['difference'])}"
        for row in table[table["measure"] == "accuracy"].to_dict("records")
    )
    return ReportFigure(figure, caption, "fig-published", f"Differences in accuracy, in points. {said}.")


def _row(name: str, measure: str) -> str:
    return f"{readable(name)}: {NAMES[measure]}" if name else NAMES[measure]
