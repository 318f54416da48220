"""The figure of what each step in the chain of protocols changes."""

from collections.abc import Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.reporting.evaluation_figures import draw_intervals
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.style import GREYS, legend_of, name_rows, panels, scenario_marks
from lab_utils.reporting.text import points_interval

__all__ = ["protocol_changes"]


def protocol_changes(changes: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the change in accuracy from each protocol to the one that follows it.

    Parameters
    ----------
    changes : DataFrame
        The table of this name.
    scenarios : sequence of Scenario
        Those of the report; each has its colour and marker.
    """
    chosen = [scenario for scenario in scenarios if scenario.name in set(changes["scenario"])]
    labels = {scenario.name: scenario.label for scenario in chosen}
    steps = [f"{row['from']} → {row['to']}: {row['what']}" for row in changes.to_dict("records")]
    table = changes.assign(row=steps, series=changes["scenario"].map(labels))
    order, marks = list(dict.fromkeys(steps)), {scenario.label: scenario_marks(scenario) for scenario in chosen}
    figure, (ax,) = panels(1, 1.0 + len(order) * (0.22 + 0.11 * len(marks)), columns=1)
    ax.axvline(0, color=GREYS[1], linestyle="--", linewidth=1)
    draw_intervals(ax, table, row="row", series="series", value="difference", marks=marks, order=order)
    ax.set_xlabel("change in accuracy (percentage points)")
    name_rows(ax, order, 34)
    figure.legend(handles=legend_of(marks), loc="outside lower center", ncols=2)
    caption = (
        "Change in accuracy from each protocol to the next, on the validation images that both share, with 95 % "
        "confidence intervals"
    )
    said = "; ".join(f"{row['row']}, {row['series']}: {points_interval(row)}" for row in table.to_dict("records"))
    return ReportFigure(figure, caption, "fig-changes", f"Differences in accuracy, in points. {said}.")
