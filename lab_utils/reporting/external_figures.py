"""Figures of outside collections: accuracies, and the surest errors."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import read_image
from lab_utils.evaluation.transport import ALL, INTERNAL
from lab_utils.reporting.audit_figures import map_of, verdict
from lab_utils.reporting.data_figures import image_grid
from lab_utils.reporting.evaluation_figures import draw_intervals
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import short
from lab_utils.reporting.style import GREYS, legend_of, neutral_marks, panels, spacing
from lab_utils.reporting.text import interval

VALIDATION, OUTSIDE = "validation images of the same classes", "outside collection"
__all__ = ["external_accuracies", "external_errors"]


def external_accuracies(
    means: pd.DataFrame, scenarios: Sequence[Scenario], titles: Mapping[str, str], majority: Mapping[str, float]
) -> ReportFigure:
    """Show each scenario's accuracy on outside collections and on validation images.

    Parameters
    ----------
    means : DataFrame
        What `lab_utils.evaluation.transport.over_seeds` returns, of one protocol.
    titles, majority : mapping
        Name of a collection to its title, and to the accuracy of its majority-class baseline.
    """
    rows = means[(means["measure"] == "accuracy") & (means["among"] == ALL)]
    titles = {name: title for name, title in titles.items() if name in set(rows["collection"])}
    marks = neutral_marks([VALIDATION, OUTSIDE])
    columns = min(2, len(titles))
    height = 0.75 + 0.42 * len(scenarios)
    figure, axes = panels(len(titles), height, columns=columns, sharey=True, sharex=True)
    labels, said = {scenario.name: scenario.label for scenario in scenarios}, []
    for ax, (name, title) in zip(axes, titles.items(), strict=True):
        chosen = rows[rows["collection"] == name].assign(row=rows["scenario"].map(labels), place=OUTSIDE)
        inside = chosen[["row", *INTERNAL.values()]].rename(columns={new: old for old, new in INTERNAL.items()})
        both = pd.concat([inside.assign(place=VALIDATION), chosen], ignore_index=True)
        draw_intervals(ax, both, row="row", series="place", value="value", marks=marks, order=list(labels.values()))
        ax.axvline(majority[name], color=GREYS[1], linestyle="--", linewidth=1)
        ax.set(xlabel="accuracy (%)", xlim=(0, 1.02))
        ax.set_title(short(title, 34), fontsize=9, **spacing(title))
        said += [
            f"{title}, {row['row']}: {interval(row)}, on validation images {interval(row, 'internal')}"
            for row in chosen.to_dict("records")
        ]
    figure.legend(handles=legend_of(marks), loc="outside lower center", ncols=2)
    caption = (
        "Accuracy on validation images and on outside collections, means over seeds with 95 % confidence intervals; "
        "dashed, the majority-class baseline of the collection"
    )
    return ReportFigure(figure, caption, "fig-external", f"Accuracies. {'; '.join(said)}.")


def external_errors(
    examples: pd.DataFrame, collection: str, title: str, dataset: Dataset, scenario: Scenario
) -> ReportFigure:
    """Show the most confident errors on an outside collection, with Grad-CAM maps.

    Parameters
    ----------
    examples : DataFrame
        The table external_examples, of one run and one collection.
    """
    images = [(str(name), cells) for name, cells in examples.groupby("image_id", sort=False)]
    images.sort(key=lambda image: -image[1]["confidence"].iloc[0])
    return image_grid(
        [read_image(dataset.root / name) for name, _ in images],
        [verdict(cells.iloc[0]) for _, cells in images],
        f"Wrong predictions of highest confidence on {title}, {scenario.label}: true class, predicted class, "
        "confidence, and Grad-CAM for the predicted class",
        f"fig-external-{collection}",
        heats=[map_of(cells) for _, cells in images],
        columns=4,
    )
