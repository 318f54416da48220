"""Plots of the data set: counts, features and radiographs. A plot reads no file."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from numpy.typing import NDArray

from lab_utils.data.decode import Pixels
from lab_utils.reporting.style import CLASS_COLORS, GREYS, MARKERS, OUTLINE, TIGHT, name_rows, short


def class_balance(ax: Axes, manifest: pd.DataFrame) -> Axes:
    """Draw the number of images of each class in the training and the validation set."""
    names, sets = sorted(manifest["class"].unique()), ["train", "validation"]
    sns.countplot(
        manifest, x="class", hue="split", order=names, hue_order=sets, palette=list(GREYS[:2]), saturation=1, ax=ax
    )
    for bars in ax.containers:
        ax.bar_label(bars, fmt="{:,.0f}", fontsize=9)  # type: ignore[arg-type]
    ax.set_xticks(range(len(names)), [short(name) for name in names], **TIGHT)
    ax.set(xlabel="", ylabel="images")
    ax.grid(axis="x", visible=False)
    ax.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    return ax


def split_contents(ax: Axes, manifests: Mapping[str, pd.DataFrame]) -> Axes:
    """Draw how many images and lung masks the sets of each protocol hold."""
    table = pd.concat({name: manifest[["split", "kind"]] for name, manifest in manifests.items()}, names=["protocol"])
    counts = pd.crosstab([table.index.get_level_values("protocol"), table["split"]], table["kind"])
    counts = counts.reindex(columns=["image", "mask"], fill_value=0).reindex(list(manifests), level=0)
    images, masks = counts.to_numpy().T
    at = np.arange(len(counts))
    ax.barh(at, images, 0.6, color=GREYS[0], label="images")
    ax.barh(at, masks, 0.6, left=images, color=GREYS[2], hatch="//", edgecolor="white", label="lung masks")
    for place, (image_count, mask_count) in enumerate(zip(images, masks, strict=True)):
        text = f" {image_count:,}" + (f" + {mask_count:,}" if mask_count else "")
        ax.text(image_count + mask_count, place, text, va="center", fontsize=9)
    ax.set(xlabel="files", xlim=(0, 1.2 * (images + masks).max()))
    ax.figure.legend(loc="outside lower center", ncols=2)
    return name_rows(ax, [f"{protocol}: {side}" for protocol, side in counts.index])


def feature_scatter(ax: Axes, points: NDArray[np.float64], classes: pd.Series, explained: Sequence[float]) -> Axes:
    """Draw images as dots on two principal components; colour and marker show the class.

    Parameters
    ----------
    points : float (N, 2)
    classes : Series of str (N,)
    explained : two floats in [0, 1]
        Share of the variance that each component explains.
    """
    names = sorted(classes.unique())
    x, y = points.T
    style: dict[str, Any] = {
        "hue_order": names,
        "style_order": names,
        "palette": [CLASS_COLORS[place % len(CLASS_COLORS)] for place in range(len(names))],
        "markers": [MARKERS[place % len(MARKERS)] for place in range(len(names))],
    }
    labels = classes.to_numpy()
    sns.scatterplot(x=x, y=y, hue=labels, style=labels, **style, s=16, alpha=0.7, linewidth=0, ax=ax)
    ax.set(
        xlabel=f"component 1 ({100 * explained[0]:.0f} % of the variance)",
        ylabel=f"component 2 ({100 * explained[1]:.0f} %)",
    )
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(handles, [short(name) for name in names], loc="center left", bbox_to_anchor=(1, 0.5))
    return ax


def radiograph(ax: Axes, image: Pixels, title: str = "", lungs: NDArray[np.bool_] | None = None) -> Axes:
    """Draw a radiograph in grey with the outline of its lungs.

    Parameters
    ----------
    image : uint8 (H, W) or (H, W, 3)
    lungs : bool (h, w), optional
        Lung pixels; the mask may have another size than the image.
    """
    height, width = image.shape[:2]
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, extent=(0, width, height, 0))
    if lungs is not None and lungs.min() < lungs.max():
        rows, columns = lungs.shape
        x, y = np.linspace(0, width, columns), np.linspace(0, height, rows)
        ax.contour(x, y, lungs.astype(float), levels=[0.5], colors=OUTLINE, linewidths=0.9)
    ax.set_title(title, fontsize=8, **TIGHT)
    ax.set_axis_off()
    return ax


def heat_map(
    ax: Axes, image: Pixels, heat: NDArray[np.float64], title: str = "", lungs: NDArray[np.bool_] | None = None
) -> Axes:
    """Draw a Grad-CAM map (rows, columns) over its radiograph; see `radiograph`."""
    radiograph(ax, image, title, lungs)
    height, width = image.shape[:2]
    ax.imshow(heat, cmap="inferno", alpha=0.45, interpolation="bilinear", extent=(0, width, height, 0), vmin=0)
    return ax
