"""The gallery of errors: wrong predictions with Grad-CAM, as one page."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.data.labelled import LabelledImages
from lab_utils.evaluation.predictions import predicted_of
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.transport import surest_errors
from lab_utils.reporting.cards import Card, Section, write_cards
from lab_utils.reporting.names import readable
from lab_utils.reporting.text import count

MOST = 200  # errors of a scenario that the page shows

Maps = Mapping[str, NDArray[np.floating[Any]]]


def write_error_page(
    path: Path, runs: Sequence[tuple[Run, Maps]], data: LabelledImages, root: Path, notices: Sequence[str]
) -> int:
    """Write the page of wrong predictions, by scenario, the surest first.

    Return the number of images shown.

    Parameters
    ----------
    path : Path
        The HTML file. The links to the image files start at its folder.
    runs : sequence of Run and mapping
        Runs of one protocol and seed, one at least. Each has its Grad-CAM maps: image_id to float (h, w), not negative.
        An image may have none.
    data : LabelledImages
        All images of the protocol.
    root : Path
        Folder that the image_id starts from.
    notices : sequence of str
        What no reader must miss.
    """
    row_of = pd.Series(range(len(data)), index=data.manifest["image_id"])
    sections = []
    for run, maps in runs:
        predictions = run.predictions()
        places = surest_errors(predictions, len(predictions))
        wrong = predictions.assign(predicted=predicted_of(predictions)).iloc[places[:MOST]]
        cards = [
            Card(
                heading=row["image_id"],
                image=data.images[row_of[row["image_id"]]],
                heat=maps.get(row["image_id"]),
                bars={
                    f"predicted: {readable(row['predicted'])}": row[f"p_{row['predicted']}"],
                    f"true: {readable(row['y_true'])}": row[f"p_{row['y_true']}"],
                },
                link=Path(os.path.relpath(root / row["image_id"], path.parent)).as_posix(),
            )
            for row in wrong.to_dict("records")
        ]
        rest = f"The file predictions.csv of the run {run.name} has every prediction."
        text = _text(len(places), len(predictions)) + (f" {rest}" if len(places) > MOST else "")
        sections.append(Section(f"Scenario {run.scenario.name}", cards, text, rest))  # a title may change without a run
    first = runs[0][0]
    introduction = [
        f"The page shows the wrong predictions of the validation images, protocol {first.protocol.name}, seed "
        f"{first.seed}. In each scenario, the error of the highest probability comes first.",
        "Images are shown as the network receives them. The Grad-CAM map marks the regions that raised the score of "
        "the predicted class, not what the patient has.",
        "A link opens the file of the image, as long as this page and the data set stay where they are.",
    ]
    if any(card.heat is None for section in sections for card in section.cards):
        introduction.append("An image without a map was not audited, or Grad-CAM is not possible for the network.")
    return write_cards(path, "Gallery of errors", notices, introduction, sections)


def _text(errors: int, images: int) -> str:
    """Count the errors in a sentence."""
    if not errors:
        return f"All {count(images)} validation images are classified correctly."
    verb = "is" if errors == 1 else "are"
    text = f"{count(errors)} of {count(images)} validation images {verb} classified wrongly."
    return f"{text} The {count(MOST)} errors of the highest probability are shown." if errors > MOST else text
