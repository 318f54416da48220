"""Figures of the data set and of its images, with caption, label and alternative text."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.core.config import Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.data.decode import Pixels, lungs_in, read_image
from lab_utils.data.samples import SampleImage, sample_images
from lab_utils.reporting import data_plots
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.style import panels, readable, short, single
from lab_utils.reporting.text import percent

__all__ = [  # what `lab_utils.reporting.figures` offers too
    "class_balance", "duplicate_pairs", "feature_scatter", "grad_cam", "image_grid", "samples", "split_contents",
    "stored_images",
]  # fmt: skip
GRAD_CAM_COLUMNS = 4  # two correct images and two errors of each class


def class_balance(manifest: pd.DataFrame) -> ReportFigure:
    """Show the number of images of each class in the training and the validation set."""
    figure, ax = single(2.6)
    data_plots.class_balance(ax, manifest)
    counts = pd.crosstab(manifest["class"], manifest["split"])
    said = [f"{readable(str(name))} {row['train']:,} and {row['validation']:,}" for name, row in counts.iterrows()]
    alt = f"Bar chart of the images for training and for validation: {'; '.join(said)}."
    return ReportFigure(figure, "Images per class in the training and the validation set", "fig-balance", alt)


def split_contents(manifests: Mapping[str, pd.DataFrame]) -> ReportFigure:
    """Show how many images and lung masks the sets of each protocol hold."""
    figure, ax = single(0.9 + 0.45 * len(manifests))
    data_plots.split_contents(ax, manifests)
    said = [
        f"{name}, {side}: {(files['kind'] == 'image').sum():,} images and {(files['kind'] == 'mask').sum():,} masks"
        for name, manifest in manifests.items()
        for side, files in manifest.groupby("split")
    ]
    caption = "Images and lung masks in the training and the validation set of each protocol"
    return ReportFigure(figure, caption, "fig-splits", f"Bar chart of files: {'; '.join(said)}.")


def feature_scatter(points: NDArray[np.float64], classes: pd.Series, explained: Sequence[float]) -> ReportFigure:
    """Show images on the first two principal components; parameters as of the plot."""
    figure, ax = single(3.2)
    data_plots.feature_scatter(ax, points, classes, explained)
    caption = "Features before any training, first two principal components, one dot per image"
    alt = (
        f"Scatter plot of {len(points):,} images of {classes.nunique()} classes; "
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
    heats: Sequence[NDArray[np.float64]] = (),
    columns: int = 6,
) -> ReportFigure:
    """Show radiographs in a grid, with outlines of lungs or heat maps where given.

    Parameters
    ----------
    images : sequence of uint8 (H, W) or (H, W, 3), or None
        None leaves a place empty.
    titles : sequence of str
        Two lines at most; a name that comes from the data is cut to fit.
    heats : sequence of float (rows, columns)
        One map per image.
    """
    lines = max(title.count("\n") + 1 for title in titles)
    figure, axes = panels(len(images), 5.2 / columns + 0.13 * lines, columns=columns)
    for place, (ax, image, title) in enumerate(zip(axes, images, titles, strict=True)):
        outline = lungs[place] if lungs else None
        if image is None:
            ax.set_axis_off()
        elif heats:
            data_plots.heat_map(ax, image, heats[place], title, outline)
        else:
            data_plots.radiograph(ax, image, title, outline)
    shown = [" ".join(title.split()) for title, image in zip(titles, images, strict=True) if image is not None]
    kind = "Heat maps over chest radiographs" if heats else "Chest radiographs"
    return ReportFigure(figure, caption, label, f"{kind}: {'; '.join(shown)}.", photographic=True)


def samples(dataset: Dataset, columns: int = 6) -> ReportFigure:
    """Show radiographs taken evenly from each class, with the outlines of their lungs."""
    places: list[SampleImage | None] = []
    for shown in sample_images(dataset, columns).values():
        places += [*shown, *[None] * (columns - len(shown))]
    figure = image_grid(
        [place and place.image for place in places],
        [short(place.name, 16) if place else "" for place in places],
        "Samples of each class, taken evenly from its files, with the outline of the lung mask where there is one",
        "fig-samples",
        lungs=[place and place.lungs for place in places],
        columns=columns,
    )
    figure.alt = f"Grid of chest images, one row per class: {', '.join(map(readable, dataset.classes))}."
    return figure


def stored_images(images: Pixels, manifest: pd.DataFrame, count: int = 6) -> ReportFigure:
    """Show images of the store, as the network receives them."""
    places = np.linspace(0, len(manifest) - 1, count).astype(int)
    titles = [short(name, 16) for name in manifest["class"].iloc[places]]
    caption = f"Images of the store, {images.shape[1]} × {images.shape[2]} pixels"
    return image_grid([images[place] for place in places], titles, caption, "fig-store", columns=count)


def duplicate_pairs(pairs: pd.DataFrame, manifest: pd.DataFrame, dataset: Dataset) -> ReportFigure:
    """Show the most similar images of different classes in pairs."""
    class_of = manifest.set_index("image_id")["class"]
    names = [(row[side], row["distance"]) for row in pairs.to_dict("records") for side in ("first", "second")]
    figure = image_grid(
        [read_image(dataset.root / name) for name, _ in names],
        [f"{short(class_of[name], 16)}\n{distance} bits apart" for name, distance in names],
        "The most similar images of different classes, in pairs",
        "fig-pairs",
    )
    said = [f"{row['first']} and {row['second']}, {row['distance']} bits apart" for row in pairs.to_dict("records")]
    figure.alt = f"Pairs of radiographs: {'; '.join(said)}."
    return figure


def grad_cam(examples: pd.DataFrame, manifest: pd.DataFrame, dataset: Dataset, scenario: Scenario) -> ReportFigure:
    """Show Grad-CAM maps, a row per class: correct predictions left, errors right.

    Parameters
    ----------
    examples : DataFrame
        The table examples, of one run.
    """
    mask_of, half = manifest.set_index("image_id")["mask"], GRAD_CAM_COLUMNS // 2
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
        [_verdict(place[1].iloc[0]) if place else "" for place in places],
        f"Grad-CAM for the predicted class, {scenario.label}: the two most confident correct predictions (left) and "
        "the two most confident errors (right) of each class, with the outline of the lungs",
        f"fig-gradcam-{scenario.name}",
        lungs=[None if mask is None else lungs_in(mask) for mask in masks],
        heats=[_map_of(place[1]) if place else np.zeros((1, 1)) for place in places],
        columns=GRAD_CAM_COLUMNS,
    )


def _verdict(cell: pd.Series) -> str:
    return f"{short(cell['class'], 18)} as\n{short(cell['predicted'], 18)}, {percent(cell['confidence'], 0)}"


def _map_of(cells: pd.DataFrame) -> NDArray[np.float64]:
    return cells.pivot(index="row", columns="column", values="value").to_numpy()
