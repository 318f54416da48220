"""What the tests of figures share."""

from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from matplotlib.axes import Axes

from lab_utils.core.config import Scenario
from lab_utils.reporting import style
from lab_utils.reporting.exhibits import ReportFigure

SCENARIOS = [
    Scenario(name=name, title=f"title of {name}", trainable_convs=0, number=number)
    for number, name in enumerate(("one", "two", "three", "four"), start=1)
]
ONE, TWO = SCENARIOS[:2]


@pytest.fixture(autouse=True)
def lab_style() -> None:
    style.use_style()


def axis_of(shown: ReportFigure) -> Axes:
    """The only axes of a figure, which can be drawn."""
    shown.figure.draw_without_rendering()
    (ax,) = shown.figure.axes
    return ax


def run(scenario: Scenario) -> Any:
    """What figures ask of a finished run; tables of one run need no column scenario."""
    rows_of = lambda table: table[table["scenario"] == scenario.name] if "scenario" in table else table  # noqa: E731
    return SimpleNamespace(scenario=scenario, protocol=SimpleNamespace(name="p"), seed=0, rows_of=rows_of)


def history(**changes: Any) -> pd.DataFrame:
    columns = {
        "epoch": [1, 2, 3],
        "accuracy": [0.5, 0.7, 0.95],
        "val_accuracy": [0.4, 0.9, 0.8],
        "loss": [1.0, 0.5, 0.25],
        "val_loss": [1.5, 0.75, 0.875],
    }
    return pd.DataFrame({**columns, **changes})


def intervals_in(ax: Axes) -> set[tuple[float, ...]]:
    """Both ends of every horizontal line that is no marker and no reference."""
    drawn = [line.get_xdata() for line in ax.lines if line.get_linestyle() != "None"]
    ends = {tuple(round(float(x), 3) for x in xs) for xs in drawn if len(xs) == len(set(xs)) == 2}
    return {pair for pair in ends if pair[0] == pair[0] and pair[1] == pair[1]}  # markers may lie at nan
