"""Figures of the data set and of its images."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels, read_image
from lab_utils.data.samples import SampleImage, sample_images
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import CHARACTER, readable, short
from lab_utils.reporting.style import FEW, GREYS, OUTLINE, WIDTH, class_marks, name_rows, panels, spacing
from lab_utils.reporting.text import percent

SETS = ["train", "validation", "test"]
__all__ = ["class_balance", "duplicate_pairs", "feature_scatter", "image_grid", "samples", "split_contents"]
__all__ += ["stored_images"]


def class_balance(manifest: pd.DataFrame) -> ReportFigure:
    """Show the number of images of each class in the training, the validation and the test set."""
    counts = pd.crosstab(manifest["class"], manifest["split"])
    counts = counts[[side for side in SETS if side in counts]]
    figure, (ax,) = panels(1, 0.8 + min(len(counts) * (0.1 + 0.12 * counts.shape[1]), 7.7), columns=1)
    order = {"order": list(counts.index), "hue_order": list(counts.columns)}
    palette = list(GREYS[: counts.shape[1]])
    sns.countplot(manifest, y="class", hue="split", **order, palette=palette, saturation=1, ax=ax)
    for bars in ax.containers:
        ax.bar_label(bars, fmt=" {:,.0f}", fontsize=8)  # type: ignore[arg-type]
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, steps=[1, 2, 5, 10]))
    ax.set(xlabel="images", xlim=(0, 1.08 * counts.to_numpy().max()))
    name_rows(ax, order["order"])
    ax.legend(title="", loc="upper left", bbox_to_anchor=(1, 1))
    said = [
        f"{readable(str(name))}: {', '.join(f'{side} {number:,}' for side, number in row.items())}"
        for name, row in counts.iterrows()
    ]
    return ReportFigure(figure, "Images per class in each set", "fig-balance", f"Bar chart. {'; '.join(said)}.")


def split_contents(manifests: Mapping[str, pd.DataFrame]) -> ReportFigure:
    """Show how many images and lung masks the sets of each protocol hold."""
    table = pd.concat({name: manifest[["split", "kind"]] for name, manifest in manifests.items()}, names=["protocol"])
    counts = pd.crosstab([table.index.get_level_values("protocol"), table["split"]], table["kind"])
    counts = counts.reindex(columns=["image", "mask"], fill_value=0).reindex(SETS, level=1)
    counts = counts.reindex(list(manifests), level=0)
    images, masks = counts.to_numpy().T
    figure, (ax,) = panels(1, 0.9 + 0.18 * len(counts), columns=1)
    at = np.arange(len(counts))
    ax.barh(at, images, 0.6, color=GREYS[0], label="images")
    ax.barh(at, masks, 0.6, left=images, color=GREYS[2], hatch="//", edgecolor="white", label="lung masks")
    for place, (image_count, mask_count) in enumerate(zip(images, masks, strict=True)):
        text = f" {image_count:,}" + (f" + {mask_count:,}" if mask_count else "")
        ax.text(image_count + mask_count, place, text, va="center", fontsize=9)
    ax.set(xlabel="files", xlim=(0, 1.2 * (images + masks).max()))
    figure.legend(loc="outside lower center", ncols=2)
    name_rows(ax, [f"{protocol}: {side}" for protocol, side in counts.index])
    said = [
        f"{protocol}, {side}: {image_count:,} images and {mask_count:,} masks"
        for (protocol, side), image_count, mask_count in zip(counts.index, images, masks, strict=True)
    ]
    caption = "Images and lung masks in the sets of each protocol"
    return ReportFigure(figure, caption, "fig-splits", f"Bar chart of files: {'; '.join(said)}.")


def feature_scatter(points: NDArray[np.float64], classes: pd.Series, explained: Sequence[float]) -> ReportFigure:
    """Show images as dots on two principal components; colour and marker show the class.

    Parameters
    ----------
    points : float (N, 2)
    classes : Series of str (N,)
    explained : two floats in [0, 1]
        Share of the variance that each component explains.
    """
    names = sorted(classes.unique())
    marks = {"hue_order": names, "style_order": names, **class_marks(len(names))}
    is_few = len(names) <= FEW
    figure, (ax,) = panels(1, 3.2 if is_few else 3.6 + 0.15 * len(names), columns=1)
    (x, y), labels = points.T, classes.to_numpy()
    sns.scatterplot(x=x, y=y, hue=labels, style=labels, **marks, s=16, alpha=0.7, linewidth=0, ax=ax)
    ax.set(
        xlabel=f"component 1 ({100 * explained[0]:.0f} % of the variance)",
        ylabel=f"component 2 ({100 * explained[1]:.0f} %)",
    )
    handles, _ = ax.get_legend_handles_labels()
    ax.legend().remove()
    place: dict[str, Any] = {"loc": "outside right center"} if is_few else {"loc": "outside lower center", "ncols": 2}
    figure.legend(handles, [short(name, 20 if is_few else 36) for name in names], **place)
    caption = "Features before any training, first two principal components, one dot per image"
    alt = (
        f"Scatter plot of {len(points):,} images of {len(names)} classes; "
        f"the two components explain {percent(sum(explained), 0)} of the variance."
    )
    return ReportFigure(figure, caption, "fig-features", alt)


def image_grid(
    images: Sequence[Pixels | None],
    titles: Sequence[str],
    caption: str,
    label: str,
    *,
    lungs: Sequence[NDArray[np.bool_] | None] = (),
    heats: Sequence[NDArray[np.float64] | None] = (),
    columns: int = 6,
    title_columns: int = 1,
) -> ReportFigure:
    """Show radiographs in a grid, with outlines of lungs or heat maps where given.

    Parameters
    ----------
    images : sequence of uint8 (H, W) or (H, W, 3), or None
        None leaves a place empty.
    titles : sequence of str
        Each line is broken and cut to fit.
    lungs : sequence of bool (h, w), or None
        Lung pixels; a mask may have another size than its image.
    heats : sequence of float (rows, columns), or None
        One Grad-CAM map per image, where there is one.
    title_columns : int
        How many columns a title may cover; the places after it have none.
    """
    size = 8 if columns <= 6 else 6.5
    width = int(0.88 * WIDTH * 72 * title_columns / columns / (size * CHARACTER))
    broken = ["\n".join(short(line, width, 2 if columns <= 6 else 3) for line in title.split("\n")) for title in titles]
    lines = max(title.count("\n") + 1 for title in broken)
    figure, axes = panels(len(images), 5.2 / columns + 0.13 * size / 8 * lines, columns=columns)
    for place, (ax, image, title) in enumerate(zip(axes, images, broken, strict=True)):
        ax.set_axis_off()
        if image is not None:
            _draw_radiograph(ax, image, lungs[place] if lungs else None, heats[place] if heats else None)
            ax.set_title(title, fontsize=size, loc="left" if title_columns > 1 else "center", **spacing(title))
    shown = [
        readable(title).strip() for title, image in zip(titles, images, strict=True) if title and image is not None
    ]
    kind = "Heat maps over chest radiographs" if heats else "Chest radiographs"
    return ReportFigure(figure, caption, label, f"{kind}: {'; '.join(shown)}.", photographic=True)


def _draw_radiograph(
    ax: Axes, image: Pixels, lungs: NDArray[np.bool_] | None, heat: NDArray[np.float64] | None
) -> None:
    height, width = image.shape[:2]
    extent = (0, width, height, 0)
    ax.imshow(image, cmap="gray", vmin=0, vmax=255, extent=extent)
    if lungs is not None and lungs.min() < lungs.max():
        rows, columns = lungs.shape
        x, y = np.linspace(0, width, columns), np.linspace(0, height, rows)
        ax.contour(x, y, lungs.astype(float), levels=[0.5], colors=OUTLINE, linewidths=0.9)
    if heat is not None:
        ax.imshow(heat, cmap="inferno", alpha=0.45, interpolation="bilinear", extent=extent, vmin=0)


def samples(dataset: Dataset, columns: int = 6) -> ReportFigure:
    """Show radiographs taken evenly from each class, with the outlines of their lungs."""
    count = columns if len(dataset.classes) <= FEW else 2
    places: list[SampleImage | None] = []
    titles: list[str] = []
    for name, shown in sample_images(dataset, count).items():
        places += [*shown, *[None] * (count - len(shown))]
        titles += [name, *[""] * (count - 1)]
    figure = image_grid(
        [place and place.image for place in places],
        titles,
        "Samples of each class, taken evenly from its files, with the outline of the lung mask where there is one",
        "fig-samples",
        lungs=[place and place.lungs for place in places],
        columns=columns,
        title_columns=count,
    )
    figure.alt = f"Grid of chest images, {count} of each class: {', '.join(map(readable, dataset.classes))}."
    return figure


def stored_images(images: Pixels, manifest: pd.DataFrame, count: int = 6) -> ReportFigure:
    """Show images of the store, as the network receives them."""
    places = np.linspace(0, len(manifest) - 1, count).astype(int)
    caption = f"Images of the store, {images.shape[1]} × {images.shape[2]} pixels"
    return image_grid(
        [images[place] for place in places], list(manifest["class"].iloc[places]), caption, "fig-store", columns=count
    )


def duplicate_pairs(pairs: pd.DataFrame, manifest: pd.DataFrame, dataset: Dataset) -> ReportFigure:
    """Show the most similar images of different classes in pairs."""
    class_of = manifest.set_index("image_id")["class"]
    names = [(row[side], row["distance"]) for row in pairs.to_dict("records") for side in ("first", "second")]
    figure = image_grid(
        [read_image(dataset.root / name) for name, _ in names],
        [f"{class_of[name]}\n{distance} bits apart" for name, distance in names],
        "The most similar images of different classes, in pairs",
        "fig-pairs",
    )
    said = [f"{row['first']} and {row['second']}, {row['distance']} bits apart" for row in pairs.to_dict("records")]
    figure.alt = f"Pairs of radiographs: {'; '.join(said)}."
    return figure
