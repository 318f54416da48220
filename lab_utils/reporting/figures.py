"""Every plot of the lab: takes axes, returns axes. One style, one colour and marker per scenario throughout."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.font_manager import fontManager
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from sklearn.metrics import precision_recall_curve, roc_curve

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import UNREADABLE, Pixels, decode, lungs_in
from lab_utils.data.folders import list_images, list_masks
from lab_utils.evaluation.metrics import SPECIFICITY
from lab_utils.reporting import fonts

# Okabe and Ito's colours, told apart by the colour-blind (jfly.uni-koeln.de/color, 2008); without their yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
TIGHT: dict[str, Any] = {"linespacing": 0.95}  # in labels of two lines, for STIX asks for much room between lines
BARS: dict[str, Any] = {"linestyle": "none", "elinewidth": 1.2, "capsize": 2}  # of intervals
WIDTH = 6.3  # inches: the text width of the report's page
STYLE: dict[Any, Any] = {
    "font.family": fonts.FAMILIES,
    "mathtext.fontset": "stix",
    "font.size": 10,  # points, as the page's text, for a figure is as wide as the text and never scaled
    "text.parse_math": False,  # a dollar in a class's name is a dollar
    "axes.titlesize": 10,
    "axes.prop_cycle": cycler(color=PALETTE),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.facecolor": "white",
}


def use_style() -> None:
    """Set matplotlib to the lab's style for the rest of the notebook."""
    known = {Path(font.fname) for font in fontManager.ttflist}
    for path in (found for folder in fonts.folders() for found in folder.glob("*.ttf")):
        if path not in known:
            fontManager.addfont(path)
    mpl.rcParams.update(STYLE)


def panels(count: int, height: float, *, columns: int = 3) -> tuple[Figure, list[Axes]]:
    """A figure of the page's width with `count` panels, `columns` to a row of `height` inches."""
    rows = -(-count // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(WIDTH, height * rows), squeeze=False)
    for ax in grid.flat[count:]:
        ax.set_axis_off()
    return figure, list(grid.flat[:count])


def label_outer(axes: Sequence[Axes], *, columns: int = 3) -> None:
    """Leave labels to the panels on the left and to those with no panel below them."""
    for place, ax in enumerate(axes):
        below = ax.get_xlabel()
        ax.label_outer()
        if place + columns >= len(axes):
            ax.tick_params(labelbottom=True)
            ax.set_xlabel(below)


def readable(name: str) -> str:
    """A class's name as printed: Lung_Opacity as Lung Opacity."""
    return name.replace("_", " ")


def short(name: str, width: int = 20) -> str:
    """A class's name on an axis: at most two lines of `width` characters, what is left out as an ellipsis."""
    return "\n".join(textwrap.wrap(readable(name), width, max_lines=2, placeholder=" …"))


def marks(scenarios: Sequence[Scenario]) -> dict[str, dict[str, Any]]:
    """Colour and marker of each scenario, by its place in `scenarios`: all that lab.yaml defines, run or not."""
    return {
        s.name: {"color": PALETTE[i % len(PALETTE)], "marker": MARKERS[i % len(MARKERS)]}
        for i, s in enumerate(scenarios)
    }


def class_balance(ax: Axes, manifest: pd.DataFrame) -> Axes:
    """Images per class, training and validation side by side, counts on the bars."""
    counts = manifest.groupby(["class", "split"]).size().unstack(fill_value=0)
    for place, side in enumerate(("train", "validation")):
        at = np.arange(len(counts)) + (place - 0.5) * 0.4
        bars = ax.bar(
            at, counts[side], 0.38, label=side, color=PALETTE[place], hatch=("", "//")[place], edgecolor="white"
        )
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=8, padding=1)
    ax.set_xticks(range(len(counts)), [short(name, 16) for name in counts.index], **TIGHT)
    ax.set_ylabel("images")
    ax.grid(axis="x", visible=False)
    ax.legend()
    return ax


def split_contents(ax: Axes, manifests: Mapping[str, pd.DataFrame]) -> Axes:
    """What is in the training and in the validation set of each protocol: images, and lung masks that count as images.

    Parameters
    ----------
    manifests : mapping
        Protocol to its manifest.
    """
    rows = [
        (f"{protocol}: {side}", [(own["kind"] == kind).sum() for kind in ("image", "mask")])
        for protocol, manifest in manifests.items()
        for side, own in manifest.groupby("split")
    ]
    images, masks = np.array([counts for _, counts in rows]).T
    at = np.arange(len(rows))
    ax.barh(at, images, 0.6, color=PALETTE[0], label="images")
    ax.barh(at, masks, 0.6, left=images, color=PALETTE[1], hatch="//", edgecolor="white", label="lung masks")
    for place, (image_count, mask_count) in enumerate(zip(images, masks, strict=True)):
        text = f" {image_count:,}" + (f" + {mask_count:,}" if mask_count else "")
        ax.text(image_count + mask_count, place, text, va="center", fontsize=9)
    ax.set_yticks(at, [short(name, 30) for name, _ in rows], **TIGHT)
    ax.invert_yaxis()
    ax.set_xlabel("files")
    ax.set_xlim(right=1.2 * (images + masks).max())
    ax.grid(axis="y", visible=False)
    ax.figure.legend(loc="outside lower center", ncols=2)
    return ax


def scatter(ax: Axes, points: np.ndarray, classes: pd.Series, shares: Sequence[float]) -> Axes:
    """Images as dots on two principal components, one colour and marker per class.

    Parameters
    ----------
    points : float (N, 2)
    classes : Series of str (N,)
    shares : two floats in [0, 1]
        Of the variance that each component explains, for the axes' labels.
    """
    for place, name in enumerate(sorted(set(classes))):
        own = points[(classes == name).to_numpy()]
        ax.plot(
            *own.T,
            MARKERS[place % len(MARKERS)],
            color=PALETTE[place % len(PALETTE)],
            markersize=3,
            alpha=0.6,
            linestyle="none",
            label=short(name),
        )
    ax.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    ax.set_ylabel(f"component 2 ({shares[1]:.0%})")
    ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def radiographs(
    axes: Sequence[Axes], images: Sequence[Pixels], titles: Sequence[str], masks: Sequence[Pixels | None] | None = None
) -> Sequence[Axes]:
    """Radiographs in grey, each with the outline of its lung mask where there is one.

    Parameters
    ----------
    images, masks : uint8 (H, W) or (H, W, 3)
        A mask may have another size than its image.
    """
    for ax, image, title, mask in zip(axes, images, titles, masks or [None] * len(images), strict=True):
        height, width = image.shape[:2]
        ax.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
        if mask is not None and mask.min() < mask.max():
            rows, columns = mask.shape[:2]
            ax.contour(
                np.linspace(0, width, columns),
                np.linspace(0, height, rows),
                lungs_in(mask).astype(float),
                levels=[0.5],
                colors=PALETTE[4],
                linewidths=0.9,
            )
        ax.set_title(title, fontsize=8, **TIGHT)
        ax.set_axis_off()
    return axes


def samples(axes: np.ndarray, data: Dataset) -> np.ndarray:
    """Radiographs taken evenly from each class's list of files, with the outline of the lung mask where there is one.

    Parameters
    ----------
    axes : array of Axes (classes, images)
    data : Dataset
    """
    for row, name in zip(axes, data.classes, strict=True):
        paths = list_images(data.root / name)
        pairs = ((path, _decoded(path)) for path in paths[:: max(1, len(paths) // len(row))][: len(row)])
        shown = [(path, image) for path, image in pairs if image is not None]
        masks = {path.stem: path for path in list_masks(data.root / name)}
        radiographs(
            row[: len(shown)],
            [image for _, image in shown],
            [short(path.stem, 16) for path, _ in shown],
            [_decoded(masks[path.stem]) if path.stem in masks else None for path, _ in shown],
        )
        for ax in row[len(shown) :]:
            ax.set_axis_off()
    return axes


def _decoded(path: Path) -> Pixels | None:
    """An image, or nothing where it cannot be read."""
    try:
        return decode(path.read_bytes())
    except UNREADABLE:
        return None


def curve(
    ax: Axes, history: pd.DataFrame, quantity: str, style: dict[str, Any], *, beside: Sequence[pd.DataFrame] = ()
) -> Axes:
    """One quantity over epochs, "accuracy" or "loss": training dashed, validation solid with markers.

    Parameters
    ----------
    history : DataFrame
        Columns epoch, accuracy, loss, val_accuracy, val_loss.
    beside : sequence of DataFrame
        Histories that are to be compared with this one: the axis has room for all of them.
    """
    names = [quantity, f"val_{quantity}"]
    ax.plot(history["epoch"], history[names[0]], "--", color=style["color"], alpha=0.75, label="training")
    ax.plot(history["epoch"], history[names[1]], "-", **style, label="validation")
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    values = pd.concat([history, *beside])[names]
    low, high = values.min().min(), values.max().max()
    margin = 0.05 * max(high - low, 0.01)
    if quantity == "accuracy":
        ax.set_ylim(low - margin, min(high + margin, 1.01))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_ylabel("accuracy (%)")
    else:
        ax.set_ylim(0, high + margin)
        ax.set_ylabel("cross-entropy loss (nats)")
    ax.legend(loc="best")
    return ax


def small_multiples(
    axes: Sequence[Axes], histories: Mapping[str, pd.DataFrame], scenarios: Sequence[Scenario]
) -> Sequence[Axes]:
    """Validation accuracy over epochs, a panel per scenario on one scale, the other scenarios in grey behind it.

    Parameters
    ----------
    axes : sequence of Axes
        One per history.
    histories : mapping
        Scenario name to its history table.
    scenarios : sequence of Scenario
        All that lab.yaml defines.
    """
    style, titles = marks(scenarios), {s.name: s.title for s in scenarios}
    values = pd.concat(histories.values())["val_accuracy"]
    for ax, (name, history) in zip(axes, histories.items(), strict=True):
        for other in histories.values():
            ax.plot(other["epoch"], other["val_accuracy"], color="#bbbbbb", linewidth=0.8)
        ax.plot(history["epoch"], history["val_accuracy"], **style[name])
        ax.set_title(short(titles[name], 28), fontsize=9, **TIGHT)
        ax.set_ylim(values.min() - 0.01, min(values.max() + 0.01, 1.005))
        ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5))
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_xlabel("epoch")
    label_outer(axes)
    axes[0].set_ylabel("validation accuracy (%)")
    return axes


def confusion_matrix(ax: Axes, confusion: pd.DataFrame, title: str = "") -> Axes:
    """True classes down, predicted across: counts, shaded by the share of the true class.

    Parameters
    ----------
    confusion : DataFrame
        Columns y_true, y_pred, images, as of `lab_utils.evaluation.metrics.confusion`.
    """
    classes = list(dict.fromkeys(confusion["y_true"]))
    counts = confusion.pivot(index="y_true", columns="y_pred", values="images").loc[classes, classes].to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    ax.pcolormesh(shares, cmap="Blues", vmin=0, vmax=1, edgecolor="white", linewidth=0.8)
    size = min(8.0, 40 / len(classes))
    for (row, column), count in np.ndenumerate(counts):
        color = "white" if shares[row, column] > 0.55 else "black"
        ax.text(column + 0.5, row + 0.5, f"{count:,}", ha="center", va="center", fontsize=size, color=color)
    at, names = np.arange(len(classes)) + 0.5, [short(name, 18) for name in classes]
    ax.set_xticks(at, names, rotation=40, ha="right", rotation_mode="anchor", fontsize=size, **TIGHT)
    ax.set_yticks(at, names, fontsize=size, **TIGHT)
    ax.set(xlabel="predicted", ylabel="true", aspect="equal")
    ax.set_title(title, fontsize=9, **TIGHT)
    ax.invert_yaxis()
    ax.tick_params(length=0)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def intervals(ax: Axes, table: pd.DataFrame, scenarios: Sequence[Scenario]) -> Axes:
    """One score of every run with its interval: a row per scenario, the seeds below each other in it.

    Parameters
    ----------
    table : DataFrame
        Columns scenario, seed, value, low, high (fractions) of one measure and protocol.
    scenarios : sequence of Scenario
        All that lab.yaml defines; those without a run are left out.
    """
    style, chosen = marks(scenarios), [s for s in scenarios if s.name in set(table["scenario"])]
    for place, scenario in enumerate(chosen):
        own = table[table["scenario"] == scenario.name]
        at = place + np.linspace(-0.3, 0.3, len(own)) if len(own) > 1 else [place]
        reach = [own["value"] - own["low"], own["high"] - own["value"]]
        ax.errorbar(own["value"], at, xerr=reach, **BARS, **style[scenario.name])
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return _rows(ax, [short(s.title, 24) for s in chosen])


def _rows(ax: Axes, names: Sequence[str]) -> Axes:
    """A row per name, the first on top."""
    ax.set_yticks(range(len(names)), names, **TIGHT)
    ax.set_ylim(len(names) - 0.5, -0.5)
    ax.grid(axis="y", visible=False)
    return ax


def reliability(ax: Axes, bins: pd.DataFrame, style: dict[str, Any]) -> Axes:
    """Accuracy against confidence, with the diagonal of a calibrated network; larger dots hold more images.

    Parameters
    ----------
    bins : DataFrame
        As of `lab_utils.evaluation.calibration.reliability`.
    """
    ax.plot([0, 1], [0, 1], "--", color="#777777", linewidth=1)
    sizes = 10 + 120 * bins["images"] / bins["images"].sum()
    ax.plot(bins["confidence"], bins["accuracy"], color=style["color"], linewidth=1)
    ax.scatter(bins["confidence"], bins["accuracy"], sizes, **style, zorder=3)
    ax.set(xlim=(0, 1.02), ylim=(-0.02, 1.05), xlabel="confidence (%)", ylabel="accuracy (%)")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    return ax


def roc(ax: Axes, predictions: Mapping[str, pd.DataFrame], name: str, scenarios: Sequence[Scenario]) -> Axes:
    """ROC curves of one class against all others, a line per scenario; dotted, the specificity of the sensitivities.

    Parameters
    ----------
    predictions : mapping
        Scenario name to its predictions table.
    name : str
        The class; no line is drawn where it, or all others, are absent.
    """
    for scenario, table in predictions.items():
        truth = table["y_true"] == name
        if truth.nunique() == 2:
            false_positive, sensitivity, _ = roc_curve(truth, table[f"p_{name}"])
            _thin(ax, false_positive, sensitivity, scenario, scenarios)
    ax.axvline(1 - SPECIFICITY, color="#777777", linestyle=":", linewidth=1)
    ax.set(xlim=(-0.02, 1), ylim=(0, 1.02), xlabel="1 - specificity", ylabel="sensitivity", aspect="equal")
    ax.set_title(short(name, 18), fontsize=9, **TIGHT)
    return ax


def precision_recall(
    ax: Axes, predictions: Mapping[str, pd.DataFrame], name: str, scenarios: Sequence[Scenario]
) -> Axes:
    """Precision against recall of one class, a line per scenario; parameters as of `roc`."""
    for scenario, table in predictions.items():
        truth = table["y_true"] == name
        if truth.nunique() == 2:
            precision, recall, _ = precision_recall_curve(truth, table[f"p_{name}"])
            _thin(ax, recall, precision, scenario, scenarios)
    ax.set(xlim=(0, 1.02), ylim=(0, 1.02), xlabel="recall", ylabel="precision", aspect="equal")
    ax.set_title(short(name, 18), fontsize=9, **TIGHT)
    return ax


def _thin(ax: Axes, x: np.ndarray, y: np.ndarray, scenario: str, scenarios: Sequence[Scenario]) -> None:
    ax.plot(x, y, **marks(scenarios)[scenario], linewidth=1, markersize=3, markevery=0.2, label=scenario)


def matching_pairs(axes: Sequence[Axes], pairs: pd.DataFrame, manifest: pd.DataFrame, data: Dataset) -> Sequence[Axes]:
    """Pairs of images side by side.

    Parameters
    ----------
    axes : sequence of Axes
        Two per pair.
    pairs : DataFrame
        As of `lab_utils.data.duplicates.matches`.
    """
    class_of = manifest.set_index("image_id")["class"]
    for place, row in enumerate(pairs.to_dict("records")):
        for ax, name in zip(axes[2 * place :], (row["first"], row["second"]), strict=False):
            image = _decoded(data.root / name)
            title = f"{short(class_of[name], 16)}\n{row['distance']} bits apart"
            radiographs([ax], [np.zeros((1, 1), np.uint8) if image is None else image], [title])
    return axes


def shortcuts(ax: Axes, table: pd.DataFrame, majority: Mapping[str, float]) -> Axes:
    """Accuracy on ever less of the images with intervals, a marker per protocol; dashed, naming the commonest class.

    Parameters
    ----------
    table : DataFrame
        Columns protocol, input, accuracy, low, high.
    majority : mapping
        Protocol to the accuracy of the commonest class.
    """
    inputs, protocols = list(dict.fromkeys(table["input"])), list(dict.fromkeys(table["protocol"]))
    offsets = np.linspace(-0.22, 0.22, len(protocols)) if len(protocols) > 1 else [0]
    for place, (name, offset) in enumerate(zip(protocols, offsets, strict=True)):
        own = table[table["protocol"] == name].set_index("input").reindex(inputs)
        reach = [own["accuracy"] - own["low"], own["high"] - own["accuracy"]]
        color, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        at = np.arange(len(inputs)) + offset
        ax.errorbar(own["accuracy"], at, xerr=reach, **BARS, color=color, marker=marker, label=name)
        ax.axvline(majority[name], color=color, linestyle="--", linewidth=1)
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    ax.set_xlabel("accuracy (%)")
    if len(protocols) > 1:
        ax.figure.legend(loc="outside lower center", ncols=3)
    return _rows(ax, [readable(name) for name in inputs])


def attributions(axes: np.ndarray, examples: pd.DataFrame, manifest: pd.DataFrame, data: Dataset) -> np.ndarray:
    """Radiographs under their heat maps: a row per class, correct images in the left half, errors in the right.

    Parameters
    ----------
    axes : array of Axes (classes, 2 n)
    examples : DataFrame
        As of `lab_utils.audits.attribution.examples`, of one run.
    """
    masks = manifest.set_index("image_id")["mask"]
    for row, name in zip(axes, data.classes, strict=True):
        for ax in row:
            ax.set_axis_off()
        half = len(row) // 2
        for is_right, places in ((True, row[:half]), (False, row[half:])):
            own = examples[(examples["class"] == name) & ((examples["predicted"] == name) == is_right)]
            for ax, (image_id, cells) in zip(places, own.groupby("image_id", sort=False), strict=False):
                image = _decoded(data.root / str(image_id))
                if image is None:
                    continue
                first = cells.iloc[0]
                title = f"{short(name, 18)} as\n{short(first['predicted'], 18)}, {first['confidence']:.0%}"
                mask = _decoded(data.root / masks[image_id]) if masks[image_id] else None
                radiographs([ax], [image], [title], [mask])
                heat = cells.pivot(index="row", columns="column", values="value").to_numpy()
                height, width = image.shape[:2]
                ax.imshow(
                    heat, cmap="inferno", alpha=0.45, interpolation="bilinear", extent=(0, width, height, 0), vmin=0
                )
    return axes


def attribution_shares(ax: Axes, table: pd.DataFrame, classes: Sequence[str]) -> Axes:
    """Share of the attribution in the lungs by class and outcome with intervals, between floor and ceiling.

    Parameters
    ----------
    table : DataFrame
        As of `lab_utils.audits.attribution.shares`, of one run.
    """
    for place, (outcome, marker) in enumerate({"correct": "o", "wrong": "s"}.items()):
        own = table[table["outcome"] == outcome].set_index("class").reindex(list(classes))
        at = np.arange(len(classes)) + (place - 0.5) * 0.3
        reach = [own["share"] - own["low"], own["high"] - own["share"]]
        ax.errorbar(own["share"], at, xerr=reach, **BARS, color=PALETTE[place], marker=marker, label=outcome)
        ax.plot(own["area"], at, "|", color="#777777", markersize=9, label="" if place else "the lungs' area")
        ax.plot(own["ceiling"], at, "|", color="black", markersize=9, label="" if place else "lungs seen only")
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0, symbol=""))
    ax.set_xlabel("share of the attribution in the lungs (%)")
    ax.figure.legend(loc="outside lower center", ncols=4)
    return _rows(ax, [short(name) for name in classes])


def training_times(ax: Axes, times: pd.DataFrame, scenarios: Sequence[Scenario]) -> Axes:
    """Seconds per scenario (mean over seeds): shared pass over the images, training, and the plain way below them.

    Parameters
    ----------
    times : DataFrame
        Columns scenario, extraction, training, plain, as of `lab_utils.evaluation.metrics.times`.
    scenarios : sequence of Scenario
        All that lab.yaml defines; those without a time are left out.
    """
    chosen = [s for s in scenarios if s.name in set(times["scenario"])]
    means = times.groupby("scenario")[["extraction", "training", "plain"]].mean().loc[[s.name for s in chosen]]
    style, at = marks(scenarios), np.arange(len(means))
    extraction, training, plain = means.to_numpy().T
    colors = [style[name]["color"] for name in means.index]
    here, there = at - 0.19, at + 0.19
    ax.barh(here, extraction, 0.36, color="#bbbbbb", hatch="//", edgecolor="white", label="features (once, shared)")
    ax.barh(here, training, 0.36, left=extraction, color=colors, label="training")
    ax.barh(there, plain, 0.36, color="none", edgecolor="#777777", linestyle="--", label="the plain way (estimated)")
    for place in at:
        total = extraction[place] + training[place]
        ax.text(total, here[place], f" {extraction[place]:.0f} + {training[place]:.0f} s", va="center", fontsize=9)
        ax.text(plain[place], there[place], f" {plain[place]:,.0f} s", va="center", fontsize=9)
    ax.set_yticks(at, [short(s.title, 24) for s in chosen], **TIGHT)
    ax.invert_yaxis()
    ax.set_xlabel("time (s)")
    ax.set_xlim(right=1.12 * max((extraction + training).max(), plain.max()))
    ax.grid(axis="y", visible=False)
    handles, labels = ax.get_legend_handles_labels()
    handles[1] = Patch(color="#555555")  # stands for training in every scenario's colour
    ax.figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=9)
    return ax
