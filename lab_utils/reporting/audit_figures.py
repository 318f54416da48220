"""Figures of the audits: masked images, and where a network looks."""

from typing import Any

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
from lab_utils.reporting.style import GREYS, legend_of, neutral_marks, panels
from lab_utils.reporting.text import number_interval, percent

REFERENCES: dict[str, tuple[str, str, Any]] = {  # columns of the table attribution: name, colour, line
    "uniform": ("uniform: the same everywhere", GREYS[1], ":"),
    "centre": ("centre: a blob in the centre", GREYS[1], "--"),
    "other_lungs": ("other lungs: the lungs of another image", GREYS[1], "-."),
    "lungs_only": ("lungs only: a linear model that sees only lungs", GREYS[0], ":"),
    "lungs": ("lungs: exactly the lungs", GREYS[0], "-"),
}

__all__ = ["attribution_shares", "grad_cam", "masked_inputs", "suspect_labels"]


def masked_inputs(probes: pd.DataFrame, network: pd.DataFrame) -> ReportFigure:
    """Show the AUC as image content is removed: of a linear model, and of a network.

    Parameters
    ----------
    probes, network : DataFrame
        The tables probes and network_inputs of one protocol; `network` may have no rows.
    """
    tables = {"linear model, trained on these images": probes, "network, trained on full images": network}
    rows = pd.concat([table.assign(model=name) for name, table in tables.items() if len(table)], ignore_index=True)
    rows = rows.assign(low=rows["auc_low"], high=rows["auc_high"], row=rows["input"].map(readable))
    questions = list(dict.fromkeys(rows["among"]))
    of_linear_model = rows[(rows["model"] == rows["model"].iloc[0]) & (rows["among"] == questions[0])]
    inputs = list(dict.fromkeys(of_linear_model.sort_values("auc", ascending=False, kind="stable")["row"]))
    marks = neutral_marks(list(dict.fromkeys(rows["model"])))
    figure, axes = panels(len(questions), 1.0 + 0.2 * len(inputs), columns=len(questions), sharex=True, sharey=True)
    said = []
    for ax, among in zip(axes, questions, strict=True):
        shown = rows[rows["among"] == among]
        draw_intervals(ax, shown, row="row", series="model", value="auc", marks=marks, order=inputs)
        null = shown.dropna(subset="null_auc_high").set_index("row")["null_auc_high"].reindex(inputs)
        ax.plot(null, range(len(inputs)), "|", color=GREYS[1], markersize=9, label="95 % quantile, permuted labels")
        ax.axvline(0.5, color=GREYS[1], linestyle="--", linewidth=1)
        ax.xaxis.set_major_formatter("{x:.1f}")
        ax.set(xlabel="macro AUC", title=readable(among) or "all classes")
        for row in shown.to_dict("records"):
            said.append(
                f"{readable(among) or 'all classes'}, {row['model']}, {row['row']}: {number_interval(row, 'auc')}"
            )
    figure.legend(handles=[*legend_of(marks), axes[0].get_lines()[-2]], loc="outside lower center", ncols=2)
    caption = (
        "Macro AUC as image content is removed, of a random sample of the images, with 95 % confidence intervals, "
        "sorted by that of the linear model; full all images is fitted on all training images and judged on all "
        "validation images; dashed, a model without skill"
    )
    return ReportFigure(figure, caption, "fig-probes", f"AUC. {'; '.join(said)}.")


def attribution_shares(attribution: pd.DataFrame, scenario: Scenario) -> ReportFigure:
    """Show the share of attribution inside the lungs by class and outcome, between references.

    Parameters
    ----------
    attribution : DataFrame
        The table of this name, of one run.
    """
    rows = attribution[attribution["class"] != ""]
    counts = {name: ", ".join(map(str, group["images"])) for name, group in rows.groupby("class")}
    rows = rows.assign(row=[f"{readable(name)} (n = {counts[name]})" for name in rows["class"]])
    everything = attribution[attribution["class"] == ""].iloc[0]
    marks = neutral_marks(["correct", "wrong"])
    figure, (ax,) = panels(1, 1.1 + min(0.35 * rows["row"].nunique(), 7.2), columns=1)
    draw_intervals(ax, rows, row="row", series="outcome", value="share", marks=marks)
    drawn = [
        ax.axvline(everything[name], color=color, linestyle=line, linewidth=1.2, zorder=0.5, label=label)
        for name, (label, color, line) in REFERENCES.items()
    ]
    heads = everything[["random_head_low", "random_head_high"]].fillna(everything["uniform"])  # without them, no band
    band = ax.axvspan(*heads, color=GREYS[2], alpha=0.6, zorder=0.1, label="random heads: smallest to largest")
    ax.set_xlabel("share of Grad-CAM attribution inside the lungs (%)")
    figure.legend(handles=[*legend_of(marks), band, *drawn], loc="outside lower center", ncols=2)
    said = [
        f"{readable(row['class'])}, {row['outcome']}: {percent(row['share'])} ({row['images']:,} images)"
        for row in rows.to_dict("records")
    ]
    references = [f"{label} {percent(everything[name])}" for name, (label, *_) in REFERENCES.items()]
    caption = (
        f"Share of Grad-CAM attribution inside the lungs by class and outcome, {scenario.label}, "
        "with 95 % confidence intervals; the lines are references, as means over all images of the sample"
    )
    alt = (
        f"Shares of attribution. {'; '.join(said)}. References: {'; '.join(references)}; random heads from "
        f"{percent(everything['random_head_low'])} to {percent(everything['random_head_high'])}."
    )
    return ReportFigure(figure, caption, "fig-attribution", alt)


def grad_cam(examples: pd.DataFrame, manifest: pd.DataFrame, dataset: Dataset, scenario: Scenario) -> ReportFigure:
    """Show a correct prediction and an error of each class: radiograph and Grad-CAM map.

    Parameters
    ----------
    examples : DataFrame
        The table examples, of one run.
    """
    mask_of = manifest.set_index("image_id")["mask"]
    shown: list[tuple[str, pd.DataFrame] | None] = []
    for name in dataset.classes:
        rows = examples[examples["class"] == name]
        for is_correct in (True, False):
            images = rows[(rows["predicted"] == name) == is_correct].groupby("image_id", sort=False)
            shown.append(next(((str(image_id), cells) for image_id, cells in images), None))
    pairs = [place for place in shown for _ in range(2)]  # unmarked, then marked
    masks = [read_image(dataset.root / mask_of[place[0]]) if place and mask_of[place[0]] else None for place in shown]
    outlined = "" if all(mask is None for mask in masks) else ", with the outline of the lungs"
    return image_grid(
        [read_image(dataset.root / place[0]) if place else None for place in pairs],
        [text for place in shown for text in (verdict(place[1].iloc[0]) if place else "", "")],
        f"Grad-CAM for the predicted class, {scenario.label}: the most confident correct prediction (left) and the "
        f"most confident error (right) of each class; beside each image its map{outlined}",
        f"fig-gradcam-{scenario.name}",
        lungs=[outline for mask in masks for outline in (None, None if mask is None else lungs_in(mask))],
        heats=[heat for place in shown for heat in (None, map_of(place[1]) if place else None)],
        columns=8,
        title_columns=2,
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
    return cells.pivot(index="row", columns="column", values="value").to_numpy(float)
