"""The page of predictions on request: unusual images, unreadable files, other images."""

import re
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from lab_utils.audits.novelty import UNUSUAL
from lab_utils.core.catalogue import table_path
from lab_utils.core.files import digest
from lab_utils.core.paths import Workspace
from lab_utils.reporting.cards import Card, Section, write_cards
from lab_utils.reporting.exhibits import NBSP
from lab_utils.reporting.text import count, number

TABLE = "image_predictions"  # in the catalogue
CSV, PAGE = "predictions.csv", "predictions.html"  # in one folder
REST = f"The others are in {CSV}. Predict fewer images at a time to see them."


def prediction_folder(workspace: Workspace, images: str) -> Path:
    """Return the folder of the predictions of `images`, in ``predictions/`` of the workspace.

    It is named as the file or folder. Characters that are not letters, digits, "_", "-" or "." are replaced, and a
    digest keeps such names apart.
    """
    stem = Path(images).stem if images else "held_out"
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-")[:40]
    if not name or name != stem:
        name = f"{name or 'images'}-{digest(images)[:8]}"
    return table_path(workspace.writable, TABLE, images=name).parent


def summary(run: str, table: pd.DataFrame) -> str:
    """Count the rows of the table image_predictions in a sentence."""
    unreadable, unusual = (int((table[name] != "").sum()) for name in ("error", "unusual"))
    images, strange, files = (
        f"{count(rows)} {noun}{'' if rows == 1 else 's'}"
        for rows, noun in ((len(table) - unreadable, "image"), (unusual, "image"), (unreadable, "file"))
    )
    return f"Run {run} predicted {images}, called {strange} unusual, and could not read {files}."


def explanations(temperature: float, validation: pd.DataFrame) -> list[str]:
    """Explain the page; `validation` are the predictions that the temperature was fitted on."""
    return [
        "An image is unusual if its features or its coarse grey levels are farther from the training images than those "
        f"of {UNUSUAL:.0f}{NBSP}% of the training images. A network names one of its classes for every image, also for "
        "a photograph.",
        f"The bars are probabilities after temperature scaling. The temperature {number(temperature)} was fitted on "
        f"{count(len(validation))} validation images. Another hospital may need another one.",
        "Images are shown as the network receives them. The Grad-CAM map marks the regions that raised the score of "
        "the predicted class, not what the patient has. Beside the class of a similar training image is the cosine of "
        "the features, 1 for equal directions.",
    ]


def write_prediction_page(
    path: Path,
    source: str,
    notices: Sequence[str],
    introduction: Sequence[str],
    table: pd.DataFrame,
    cards: Sequence[Sequence[Card]],
) -> None:
    """Write unusual images, files that cannot be read, and other images.

    Parameters
    ----------
    source : str
        What was predicted, for the title.
    table : DataFrame
        Table image_predictions.
    cards : two sequences of Card, or none
        Of the unusual images, and of the others.
    """
    unreadable = table[table["error"] != ""]
    errors = [Card(row["image_id"] or "Table", lines=[row["error"]]) for row in unreadable.to_dict("records")]
    sections = [Section("Unusual images", shown, rest=REST) for shown in cards[:1]]
    sections += [Section("Files that cannot be read", errors, rest=REST)]
    sections += [Section("Other images", shown, rest=REST) for shown in cards[1:]]
    write_cards(path, f"Predictions: {source}", notices, introduction, [one for one in sections if len(one.cards)])
