"""What is odd about a data set, as rows of a findings table: what was found, where, and what was done."""

from collections.abc import Iterable

import pandas as pd

from lab_utils.download import Dataset
from lab_utils.manifest import Unreadable

COLUMNS = ["check", "class", "image_id", "detail", "action"]
PUBLISHED_COUNTS = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}


def audit(dataset: Dataset, manifest: pd.DataFrame, unreadable: Iterable[Unreadable]) -> pd.DataFrame:
    """Collect all findings.

    Returns
    -------
    DataFrame
        One row per finding: check, class, image_id (empty where it concerns a class), detail, action.
    """
    rows = [
        *(("unreadable", item.label, item.image_id, item.reason, "left out") for item in unreadable),
        *exact_duplicates(manifest),
        *published_counts(dataset),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def exact_duplicates(manifest: pd.DataFrame) -> list[tuple[str, str, str, str, str]]:
    """Images whose decoded pixels equal those of an earlier image."""
    images = manifest[manifest["kind"] == "image"]
    first = images.drop_duplicates("pixels").set_index("pixels")
    rows = []
    for copy in images[images.duplicated("pixels")].to_dict("records"):
        original = first.loc[copy["pixels"]]
        where = "the same side" if original["split"] == copy["split"] else "the other side"
        same = "" if original["class"] == copy["class"] else f", of another class ({original['class']})"
        rows.append(
            (
                "exact duplicate",
                copy["class"],
                copy["image_id"],
                f"same pixels as {original['image_id']}, on {where} of the split{same}",
                "kept",
            )
        )
    return rows


def published_counts(dataset: Dataset) -> list[tuple[str, str, str, str, str]]:
    """Classes of the COVID-19 Radiography Database whose number of images is not the published one.

    Empty for any other data.
    """
    if dataset.synthetic or set(dataset.classes) != set(PUBLISHED_COUNTS):
        return []
    return [
        ("count differs", name, "", f"{count['images']:,} images, {PUBLISHED_COUNTS[name]:,} published", "reported")
        for name, count in dataset.classes.items()
        if count["images"] != PUBLISHED_COUNTS[name]
    ]
