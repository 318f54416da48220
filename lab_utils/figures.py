"""Every plot of the lab: takes axes, returns axes. One style, one colour and marker per scenario throughout."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, PercentFormatter

from lab_utils.images import Pixels
from lab_utils.scenarios import Scenario

# Okabe and Ito's colours, told apart by the colour-blind (jfly.uni-koeln.de/color, 2008); without their yellow.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 6.3  # inches: the text width of the report's page
STYLE: dict[Any, Any] = {
    "font.family": "STIXGeneral",
    "mathtext.fontset": "stix",
    "font.size": 10,
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
    mpl.rcParams.update(STYLE)


def readable(name: str) -> str:
    """A class's name as printed: Lung_Opacity as Lung Opacity."""
    return name.replace("_", " ")


def marks(scenarios: Sequence[Scenario]) -> dict[str, dict[str, str]]:
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
    ax.set_xticks(range(len(counts)), [readable(name) for name in counts.index])
    ax.set_ylabel("images")
    ax.grid(axis="x", visible=False)
    ax.legend()
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
            label=readable(name),
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
            flat = mask if mask.ndim == 2 else mask[..., 0]
            ax.contour(
                np.linspace(0, width, columns),
                np.linspace(0, height, rows),
                flat,
                levels=[127],
                colors=PALETTE[4],
                linewidths=0.9,
            )
        ax.set_title(title, fontsize=8)
        ax.set_axis_off()
    return axes


def curve(ax: Axes, history: pd.DataFrame, quantity: str, style: Mapping[str, str]) -> Axes:
    """One quantity over epochs, "accuracy" or "loss": training dashed, validation solid with markers."""
    ax.plot(history["epoch"], history[quantity], "--", color=style["color"], alpha=0.75, label="training")
    ax.plot(
        history["epoch"],
        history[f"val_{quantity}"],
        "-",
        color=style["color"],
        marker=style["marker"],
        label="validation",
    )
    ax.set_xlabel("epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if quantity == "accuracy":
        ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        ax.set_ylabel("accuracy (%)")
    else:
        ax.set_ylabel("cross-entropy loss (nats)")
        ax.set_ylim(bottom=0)
    ax.legend()
    return ax


def confusion_matrix(ax: Axes, confusion: pd.DataFrame, title: str = "") -> Axes:
    """True classes down, predicted across: counts, shaded by the share of the true class.

    Parameters
    ----------
    confusion : DataFrame
        Columns y_true, y_pred, images, as of `lab_utils.metrics.confusion`.
    """
    classes = list(dict.fromkeys(confusion["y_true"]))
    counts = confusion.pivot(index="y_true", columns="y_pred", values="images").loc[classes, classes].to_numpy()
    shares = counts / counts.sum(axis=1, keepdims=True).clip(1)
    ax.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        ax.text(
            column,
            row,
            f"{count:,}",
            ha="center",
            va="center",
            fontsize=8,
            color="white" if shares[row, column] > 0.55 else "black",
        )
    names = [readable(name) for name in classes]
    ax.set_xticks(range(len(names)), names, rotation=35, ha="right", rotation_mode="anchor", fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.set(xlabel="predicted", ylabel="true", title=title)
    ax.grid(visible=False)
    ax.spines[:].set_visible(False)
    return ax


def training_times(ax: Axes, times: pd.DataFrame, scenarios: Sequence[Scenario]) -> Axes:
    """Seconds per scenario (mean over seeds), the shared pass over the images and the training itself apart.

    Parameters
    ----------
    times : DataFrame
        Columns scenario, extraction, training, as of `lab_utils.metrics.times`.
    scenarios : sequence of Scenario
        All that lab.yaml defines; those without a time are left out.
    """
    means = (
        times.groupby("scenario")[["extraction", "training"]]
        .mean()
        .reindex([s.name for s in scenarios if s.name in set(times["scenario"])])
    )
    style, at = marks(scenarios), np.arange(len(means))
    ax.barh(
        at,
        means["extraction"],
        0.6,
        color="#bbbbbb",
        hatch="//",
        edgecolor="white",
        label="feature extraction (once, shared)",
    )
    ax.barh(
        at,
        means["training"],
        0.6,
        left=means["extraction"],
        color=[style[name]["color"] for name in means.index],
        label="training",
    )
    for place, (extraction, training) in enumerate(means.to_numpy()):
        ax.text(extraction + training, place, f" {extraction:.0f} + {training:.0f} s", va="center", fontsize=9)
    titles = {s.name: s.title for s in scenarios}
    ax.set_yticks(at, [titles[name] for name in means.index])
    ax.invert_yaxis()
    ax.set_xlabel("time (s)")
    ax.set_xlim(right=means.sum(axis=1).max() * 1.25)
    ax.grid(axis="y", visible=False)
    ax.legend(loc="upper center", bbox_to_anchor=(0.4, -0.28), ncols=2)
    return ax
