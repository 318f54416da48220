"""The figure that opens the report: all accuracies on one axis."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lab_utils.core.config import Scenario
from lab_utils.evaluation.transport import ALL
from lab_utils.reporting.evaluation_figures import draw_intervals
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.style import GREYS, NEUTRALS, WIDTH, legend_of, name_rows, scenario_marks
from lab_utils.reporting.text import interval

__all__ = ["accuracy_summary"]
PROBES = {  # inputs of the linear models, in the table probes, by the image content that is left
    "histogram": "nine grey-level statistics",
    "thumbnail_8x8": "thumbnail of 8 × 8 pixels",
    "border": "border alone",
    "lungs_erased": "lungs erased",
    "lungs_only": "lungs alone",
    "full_all_images": "full image, frozen features",
}
BASELINE = "majority-class baseline"
PUBLISHED: dict[str, Any] = {
    "marker": "D",
    "markersize": 6,
    "markerfacecolor": "none",
    "markeredgecolor": "#222222",
    "linestyle": "none",
}


def accuracy_summary(
    means: pd.DataFrame,
    probes: pd.DataFrame,
    outside: pd.DataFrame,
    majority: Mapping[str, float],
    published: Mapping[str, float],
    scenarios: Sequence[Scenario],
    titles: Mapping[str, str],
) -> ReportFigure:
    """Set baselines, scenarios and outside collections on one accuracy axis.

    Parameters
    ----------
    means : DataFrame
        The table of this name, of one protocol.
    probes : DataFrame
        The table of this name, of the same protocol and all classes, by its input.
    outside : DataFrame
        Of the same protocol, what `lab_utils.evaluation.transport.over_seeds` returns.
    majority : mapping
        Accuracy of the majority-class baseline: of the validation images ("") and of each collection by its name.
    published : mapping
        Name of a scenario to its accuracy in the write-up; no entry where the write-up has no such scenario.
    titles : mapping
        Name of a collection to its title.
    """
    labels = {scenario.name: scenario.label for scenario in scenarios}
    marks = {scenario.label: scenario_marks(scenario) for scenario in scenarios}
    means = _accuracies(means, labels)
    outside = _accuracies(outside[outside["among"] == ALL], labels)
    groups = {
        "Linear models": _linear_models(probes, majority[""]),
        "Networks, validation images": means.assign(row=means["series"]),
        "Networks, images of another origin": outside.assign(row=outside["collection"].map(titles)),
    }
    groups = {title: rows for title, rows in groups.items() if len(rows)}
    figure, axes = _stacked([len(rows) for rows in groups.values()])
    for ax, (title, rows) in zip(axes, groups.items(), strict=True):
        _draw_group(ax, title, rows, marks)
        if title == "Networks, validation images":
            ax.axvline(majority[""], color=GREYS[1], linestyle="--", linewidth=1)
            _draw_published(ax, [published.get(name) for name in means["scenario"]])
    if len(outside):
        shares = [majority[name] for name in outside["collection"].unique()]
        axes[-1].plot(shares, range(len(shares)), "|", color=GREYS[1], markersize=14)
    axes[-1].set_xlabel("accuracy (%)")
    handles = [*legend_of(marks), Line2D([], [], color=GREYS[1], linestyle="--", label=BASELINE)]
    handles += [Line2D([], [], **PUBLISHED, label="write-up")] if published else []
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    caption = (
        "Accuracies with 95 % confidence intervals. Linear models are fitted on the named part of the image: the last "
        "on all training images, the others by cross-validation on a random sample"
    )
    return ReportFigure(figure, caption, "fig-summary", _in_words(groups))


def _accuracies(table: pd.DataFrame, labels: Mapping[str, str]) -> pd.DataFrame:
    """Choose the accuracies of the scenarios, each in the series of its label."""
    rows = table[(table["measure"] == "accuracy") & table["scenario"].isin(list(labels))]
    return rows.assign(series=rows["scenario"].map(dict(labels)))


def _linear_models(probes: pd.DataFrame, majority: float) -> pd.DataFrame:
    """Return the accuracies of the linear models, after the baseline that needs no image."""
    rows: list[dict[str, Any]] = [{"row": BASELINE, "value": majority}]
    for name, title in PROBES.items():
        if name in probes.index:
            of = probes.loc[name]
            rows.append({"row": title, "value": of["accuracy"], "low": of["low"], "high": of["high"]})
    return pd.DataFrame(rows, columns=["row", "value", "low", "high"]).assign(series="")


def _stacked(counts: Sequence[int]) -> tuple[Figure, list[Axes]]:
    """Make panels above each other, each as high as its rows."""
    heights = [0.35 + 0.18 * count for count in counts]
    figure = Figure(figsize=(WIDTH, sum(heights) + 0.7))
    return figure, list(figure.subplots(len(counts), 1, sharex=True, height_ratios=heights, squeeze=False).flat)


def _draw_group(ax: Axes, title: str, rows: pd.DataFrame, marks: Mapping[str, Any]) -> None:
    """Draw a panel; where a row has one series, its marker lies in the middle."""
    order = list(dict.fromkeys(rows["row"]))
    shown = marks if rows["series"].any() else {"": {"color": NEUTRALS[0], "marker": "o"}}
    dodges = bool(rows["row"].duplicated().any())
    draw_intervals(ax, rows, "row", "series", "value", shown, order, dodges=dodges)
    name_rows(ax, order, 60)
    ax.set_title(title, loc="left", fontsize=9)
    ax.set(xlabel="", xlim=(0, 1.02))


def _draw_published(ax: Axes, values: Sequence[float | None]) -> None:
    """Draw the write-up's values as hollow diamonds, in the rows of their scenarios."""
    for row, value in enumerate(values):
        if value is not None:
            ax.plot([value], [row], **PUBLISHED)


def _in_words(groups: Mapping[str, pd.DataFrame]) -> str:
    rows = [row for table in groups.values() for row in table.to_dict("records")]
    names = [", ".join(dict.fromkeys(filter(None, (row["row"], row["series"])))) for row in rows]
    return f"Accuracies. {'; '.join(f'{name} {interval(row)}' for name, row in zip(names, rows, strict=True))}."
