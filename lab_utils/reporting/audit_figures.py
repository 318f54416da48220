"""Figures of the audits: masked images, and where a network looks."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import lungs_in, read_image
from lab_utils.reporting.data_figures import image_grid
from lab_utils.reporting.evaluation_figures import draw_intervals
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import readable
from lab_utils.reporting.style import FEW, GREYS, legend_of, neutral_marks, panels
from lab_utils.reporting.text import interval, percent

__all__ = ["attribution_shares", "grad_cam", "probe_accuracies", "suspect_labels"]


def probe_accuracies(probes: pd.DataFrame) -> ReportFigure:
    """Show the accuracy of a linear model as image content is removed: table probes."""
    protocols = list(dict.fromkeys(probes["protocol"]))
    marks = neutral_marks(protocols)
    figure, (ax,) = panels(1, 0.9 + (0.22 + 0.06 * len(protocols)) * probes["input"].nunique(), columns=1)
    rows = probes.assign(row=probes["input"].map(readable))
    draw_intervals(ax, rows, row="row", series="protocol", value="accuracy", marks=marks)
    for name, majority in probes.groupby("protocol")["majority"].first().items():
        ax.axvline(majority, color=marks[str(name)]["color"], linestyle="--", linewidth=1)
    if len(protocols) > 1:
        figure.legend(handles=legend_of(marks), loc="outside lower center", ncols=3)
    first = probes[probes["protocol"] == protocols[0]]
    said = "; ".join(f"{readable(row['input'])} {interval(row, 'accuracy')}" for row in first.to_dict("records"))
    alt = f"Accuracies, protocol {protocols[0]}: {said}; majority-class baseline {percent(first['majority'].iloc[0])}."
    caption = (
        "Accuracy of one linear model as image content is removed, with 95 % confidence intervals; "
        "dashed, the majority-class baseline"
    )
    return ReportFigure(figure, caption, "fig-probes", alt)


def attribution_shares(attribution: pd.DataFrame, scenario: Scenario) -> ReportFigure:
    """Show the share of attribution inside the lungs by class and outcome.

    Parameters
    ----------
    attribution : DataFrame
        The table of this name, of one run.
    """
    rows = attribution[attribution["class"] != ""]
    classes, marks = list(dict.fromkeys(rows["class"])), neutral_marks(["correct", "wrong"])
    figure, (ax,) = panels(1, 1.0 + min(0.5 * len(classes), 7.5), columns=1)
    draw_intervals(ax, rows, row="class", series="outcome", value="share", marks=marks)
    references = {"area": "share of the image that the lungs cover", "lungs_only": "lungs-only reference"}
    for outcome, dodge in (("correct", -0.25), ("wrong", 0.25)):
        of_outcome = rows[rows["outcome"] == outcome].set_index("class").reindex(classes)
        for (column, name), color in zip(references.items(), (GREYS[1], "black"), strict=True):
            at = np.arange(len(classes)) + dodge
            ax.plot(of_outcome[column], at, "|", color=color, markersize=9, label=name)
    ax.set_xlabel("share of Grad-CAM attribution inside the lungs (%)")
    handles = [*legend_of(marks), *ax.get_lines()[-2:]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    said = [
        f"{readable(row['class'])}, {row['outcome']}: {percent(row['share'])} ({row['images']:,} images; "
        f"the lungs cover {percent(row['area'])}, lungs-only reference {percent(row['lungs_only'])})"
        for row in rows.to_dict("records")
    ]
    caption = (
        f"Share of Grad-CAM attribution inside the lungs by class and outcome, {scenario.label}, "
        "with 95 % confidence intervals"
    )
    return ReportFigure(figure, caption, "fig-attribution", f"Shares of attribution. {'; '.join(said)}.")


def grad_cam(examples: pd.DataFrame, manifest: pd.DataFrame, dataset: Dataset, scenario: Scenario) -> ReportFigure:
    """Show Grad-CAM maps of each class: correct predictions left, errors right.

    Parameters
    ----------
    examples : DataFrame
        The table examples, of one run.
    """
    mask_of, is_few = manifest.set_index("image_id")["mask"], len(dataset.classes) <= FEW
    half, number, correct, wrong = (2, "two ", "predictions", "errors") if is_few else (1, "", "prediction", "error")
    places: list[tuple[str, pd.DataFrame] | None] = []
    for name in dataset.classes:
        rows = examples[examples["class"] == name]
        for is_correct in (True, False):
            chosen = rows[(rows["predicted"] == name) == is_correct].groupby("image_id", sort=False)
            shown = [(str(image_id), cells) for image_id, cells in chosen][:half]
            places += [*shown, *[None] * (half - len(shown))]
    masks = [read_image(dataset.root / mask_of[place[0]]) if place and mask_of[place[0]] else None for place in places]
    return image_grid(
        [read_image(dataset.root / place[0]) if place else None for place in places],
        [verdict(place[1].iloc[0]) if place else "" for place in places],
        f"Grad-CAM for the predicted class, {scenario.label}: the {number}most confident correct {correct} (left) and "
        f"the {number}most confident {wrong} (right) of each class, with the outline of the lungs",
        f"fig-gradcam-{scenario.name}",
        lungs=[None if mask is None else lungs_in(mask) for mask in masks],
        heats=[map_of(place[1]) if place else np.zeros((1, 1)) for place in places],
        columns=4 if is_few else 8,
    )


def suspect_labels(suspects: pd.DataFrame, dataset: Dataset, most: int = 12) -> ReportFigure:
    """Show the lowest ranks of the table suspects: given label and suggested class."""
    shown = suspects.head(most).to_dict("records")
    return image_grid(
        [read_image(dataset.root / row["image_id"]) for row in shown],
        [f"label {row['class']}\n{row['suggested']}, {percent(row['probability_suggested'], 0)}" for row in shown],
        "Images that fit their label least, the most suspect first: the label of each, and the class that "
        "linear discriminant analysis suggests with its probability",
        "fig-suspects",
    )


def verdict(cell: pd.Series) -> str:
    """Return true class, predicted class and confidence of an image of the table examples."""
    return f"{cell['class']} as\n{cell['predicted']}, {percent(cell['confidence'], 0)}"


def map_of(cells: pd.DataFrame) -> NDArray[np.float64]:
    """Return the Grad-CAM map of an image of the table examples: float (h, w)."""
    return cells.pivot(index="row", columns="column", values="value").to_numpy()
