"""Predictions of new images by a trained run.

Each has probabilities, a Grad-CAM map, its most similar training images, and a measure of how unusual it is.
"""

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils import models, reporting
from lab_utils.audits.novelty import TrainingReference
from lab_utils.core.catalogue import PER_CLASS, catalogue, write_table_file
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.labelled import LabelledImages, prepare_test_images
from lab_utils.data.manifest import read_images
from lab_utils.data.unlabelled import list_images
from lab_utils.evaluation.predictions import classes_of, predicted_of, predictions_table, probabilities_of
from lab_utils.evaluation.temperature import fit_temperature, with_temperature
from lab_utils.reporting.cards import Card
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.names import readable
from lab_utils.reporting.prediction_page import (
    CSV,
    PAGE,
    TABLE,
    explanations,
    prediction_folder,
    summary,
    write_prediction_page,
)
from lab_utils.reporting.text import number, percent
from lab_utils.trained import TrainedRun

if TYPE_CHECKING:
    from lab_utils.lab import Lab

HELD_OUT = 12  # images that are predicted where none is given
SHOWN = 12  # images in the figure of a notebook
MOST_BARS = 6  # classes of a card


@dataclass(frozen=True, eq=False)
class Predictions:
    """The predictions of one run, and the folder with predictions.csv and predictions.html."""

    run: TrainedRun
    source: str  # the images in words
    table: pd.DataFrame  # table image_predictions
    temperature: float  # divisor of the scores before the softmax, above 1 for an overconfident network
    folder: Path
    cards: Sequence[Card]  # of the first images on the page

    @property
    def unusual(self) -> pd.DataFrame:
        """Rows of the images that are unlike the training images."""
        return self.table[self.table["unusual"] != ""]

    @property
    def summary(self) -> str:
        """Count images, unusual images and unreadable files in a sentence."""
        return summary(self.run.name, self.table)

    def figure(self) -> ReportFigure:
        """Show the first images of the page with their Grad-CAM maps."""
        names = [Path(card.heading).name for card in self.cards]
        classes = [f"{next(iter(card.bars))}{', unusual' * bool(card.flag)}" for card in self.cards]
        titles = [f"{name}\n{label}" for name, label in zip(names, classes, strict=True)]
        heats = [card.heat for card in self.cards if card.heat is not None]
        caption = "Images with Grad-CAM maps of their predicted classes; unusual images come first"
        images = [card.image for card in self.cards]
        return reporting.figures.image_grid(images, titles, caption, "fig-predicted", heats=heats)


@dataclass(frozen=True, eq=False)
class ReadableImages:
    """New images that could be read, with what a run says about each.

    Row i of everything is image i.
    """

    data: LabelledImages
    training: LabelledImages
    table: pd.DataFrame  # rows of the table image_predictions
    nearest: NDArray[np.int64]  # (N, 3), rows of the training data
    maps: NDArray[np.float32] | None  # (N, h, w): Grad-CAM; None where the network has no feature map
    files: str  # path from the page to the folder of the files; "" where the files are temporary

    @classmethod
    def predict(cls, run: TrainedRun, lab: "Lab", data: LabelledImages, temperature: float, files: str) -> Any:
        """Predict images that were prepared as the run's protocol prepares its own."""
        backbone, scaling, rows = lab.backbone(), lab.scaling_layer(), np.arange(len(data))
        # One pass computes what novelty, trained layers and Grad-CAM take; predict and attribute find it on the disk.
        depths = list(dict.fromkeys([0, run.scenario.trainable_convs or 1]))
        pooled = models.features_by_depth(backbone, scaling, depths, data)[0].values
        training = models.features_by_depth(backbone, scaling, [0], lab.data)[0].values
        novelty, nearest, similarities = TrainingReference.of(lab.data, training).compare(data.images, pooled)
        predictions = predictions_table(data.manifest, list(data.classes), models.predict(run.model, data, rows))
        table = _rows(predictions, with_temperature(predictions, temperature)).join(novelty)
        for place in range(nearest.shape[1]):
            similar = lab.manifest.iloc[nearest[:, place]]
            table[f"nearest_{place + 1}"] = similar["image_id"].to_numpy()
            table[f"nearest_{place + 1}_class"] = similar["class"].to_numpy()
            table[f"nearest_{place + 1}_similarity"] = similarities[:, place]
        maps = None
        with suppress(models.AttributionError):
            maps = models.attribute(run.model, data, rows).maps
        return cls(data, lab.data, table, nearest, maps, files)

    def card(self, place: int) -> Card:
        """Return what the page says about an image."""
        row, classes = self.table.iloc[place], self.data.classes
        scaled = row[[f"scaled_p_{name}" for name in classes]].to_numpy(float)
        unscaled, similar = row[f"p_{row['predicted']}"], self.nearest[place]
        texts = [
            f"{row[f'nearest_{n}_class']}, {number(row[f'nearest_{n}_similarity'], 3)}"
            for n in range(1, len(similar) + 1)
        ]
        return Card(
            heading=row["image_id"],
            image=np.array(self.data.images[place]),
            heat=None if self.maps is None else self.maps[place],
            lines=[
                f"Probability without temperature scaling: {percent(unscaled)}",
                f"Percentile of the distance to the training images: features {number(row['feature_percentile'], 0)}, "
                f"grey levels {number(row['thumbnail_percentile'], 0)}",
            ],
            bars={readable(classes[best]): scaled[best] for best in np.argsort(-scaled)[:MOST_BARS]},
            link=f"{self.files}/{row['image_id']}" if self.files else "",
            flag=row["unusual"],
            neighbours=[(self.training.images[one], readable(text)) for one, text in zip(similar, texts, strict=True)],
        )


@dataclass(frozen=True)
class Cards(Sequence[Card]):
    """Cards that are made when they are read: a page costs the memory of its own images alone."""

    images: ReadableImages
    places: NDArray[np.int64]

    def __len__(self) -> int:
        """Return the number of cards."""
        return len(self.places)

    def __getitem__(self, place: Any) -> Any:
        """Make one card."""
        return self.images.card(int(self.places[place]))


def predict_images(run: TrainedRun, images: str = "", *, reason: str = "") -> Predictions:
    """Predict images, and write predictions.csv and the page predictions.html.

    Not a medical device: a network names one of its classes for every image, also for a photograph.

    Parameters
    ----------
    run : TrainedRun
        See `choose_run`.
    images : str
        Path of an image, a folder (at any depth), an archive or a table; empty: twelve images of the test set or,
        without one, of the validation set. A file that cannot be read gets a row with the reason.
    reason : str
        Sentence for the page: why this run predicts.

    Raises
    ------
    LabError
        If the path does not exist, the archive is damaged or unsafe, or there is no image.
    """
    lab = replace(run.lab, protocol=run.protocol, scenario=run.scenario)
    folder, temperature = prediction_folder(lab.workspace, images), fit_temperature(run.predictions())
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder, prefix=".caches-", ignore_cleanup_errors=True) as caches:
        place = Workspace.open(caches)
        dataset, source = _open(lab, images, place.base / "files")
        manifest, left_out = read_images(dataset, dataset.listing)
        table, sections = _errors(dataset, left_out), []
        if len(manifest):
            is_temporary = dataset.root.is_relative_to(place.base)
            files = "" if is_temporary else Path(os.path.relpath(dataset.root, folder)).as_posix()
            data = _prepared(run, lab, dataset, manifest, place)
            predicted = ReadableImages.predict(run, lab, data, temperature, files)
            table = pd.concat([predicted.table, table], ignore_index=True)
            is_unusual = (predicted.table["unusual"] != "").to_numpy()
            sections = [Cards(predicted, np.flatnonzero(side)) for side in (is_unusual, ~is_unusual)]
        write_table_file(folder / CSV, TABLE, table := _complete(table))
        first = [card for cards in sections for card in islice(cards, SHOWN)][:SHOWN]
        result = Predictions(run, source, table, temperature, folder, first)
        introduction = [f"{summary(run.name, table)} {reason}".strip(), *explanations(temperature, run.predictions())]
        write_prediction_page(folder / PAGE, source, lab.notices, introduction, table, sections)
    return result


def _open(lab: "Lab", images: str, files: Path) -> tuple[Dataset, str]:
    """List the images to predict, and name them in words."""
    if images:
        return list_images(images, files), Path(images).name or images
    side = "test" if len(lab.data.rows("test")) else "validation"
    names = lab.manifest["image_id"][(lab.manifest["split"] == side) & (lab.manifest["kind"] == "image")]
    chosen = names.iloc[np.unique(np.linspace(0, len(names) - 1, HELD_OUT).astype(int))]
    listing = lab.dataset.listing[lab.dataset.listing["image_id"].isin(chosen)].reset_index(drop=True)
    return replace(lab.dataset, listing=listing, problems=[]), f"{len(listing)} images of the {side} set"


def _prepared(
    run: TrainedRun, lab: "Lab", dataset: Dataset, manifest: pd.DataFrame, place: Workspace
) -> LabelledImages:
    """Prepare images as the run's protocol prepares its own."""
    size, classes = lab.data.images.shape[1], tuple(classes_of(run.predictions()))
    return prepare_test_images(dataset, manifest, classes, lab.protocol, size, place, storage=lab.data.storage)


def _rows(predictions: pd.DataFrame, scaled: pd.DataFrame) -> pd.DataFrame:
    """Return image, predicted class, confidence and both kinds of probabilities."""
    table = predictions[["image_id"]].assign(
        predicted=predicted_of(predictions), confidence=probabilities_of(scaled).max(axis=1)
    )
    columns = [f"p_{name}" for name in classes_of(predictions)]
    return table.join(predictions[columns]).join(scaled[columns].add_prefix("scaled_"))


def _errors(dataset: Dataset, left_out: pd.DataFrame) -> pd.DataFrame:
    """Return one row per file that cannot be read, and per problem of a table."""
    problems = [(image_id, detail) for _, _, image_id, detail, _ in dataset.problems]
    rows = [*left_out[["image_id", "reason"]].itertuples(index=False), *problems]
    return pd.DataFrame(rows, columns=["image_id", "error"], dtype=object)


def _complete(table: pd.DataFrame) -> pd.DataFrame:
    """Give a table every column of the catalogue, with "" for missing texts."""
    columns = {name: column for name, column in catalogue()[TABLE].columns.items() if PER_CLASS not in name}
    table = table.reindex(columns=[*dict.fromkeys([*table.columns, *columns])])
    texts = [name for name, column in columns.items() if column.kind == "text"]
    return table.astype(dict.fromkeys(texts, object)).fillna(dict.fromkeys(texts, ""))
