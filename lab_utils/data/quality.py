"""Problems of a data set: the rows of the findings table."""

from collections.abc import Iterator
from pathlib import PurePosixPath

import pandas as pd

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Protocol
from lab_utils.data.dataset import Dataset
from lab_utils.data.duplicates import duplicates
from lab_utils.data.kaggle import PUBLISHED_COUNTS
from lab_utils.data.sources import NBSP, missing_sources, source_confounding
from lab_utils.data.splits import PRECEDENCE, UNDIVIDED
from lab_utils.data.storage import conversions, storage_confounding

LEAST_IMAGES = 10  # of a class or a data set, below which no image is an outlier
LEAST_SPREAD = 1.0  # grey levels: a class whose images agree better has no outliers within five
COMMON_SHARE = 0.95  # of images with one size or mode; above it the remaining images are findings
MOST_UNPLANNED = 0.05  # deviation of a class's share of validation images from the planned one
MOST_DEVIATION = 5.0  # modified z-score: the usual 3.5 selects a hundred sound radiographs in ten thousand

Row = tuple[str, str, str, str, str]


def collect_findings(
    dataset: Dataset, manifest: pd.DataFrame, left_out: pd.DataFrame, protocol: Protocol
) -> pd.DataFrame:
    """Collect the findings of all checks; columns as in the catalogue."""
    images = manifest[manifest["kind"] == "image"]
    rows: list[Row] = [
        *((check, name, path, why, "left out") for check, name, path, why in left_out.itertuples(index=False)),
        *mask_images(manifest),
        *dataset.problems,
        *duplicates(images, protocol),
        *divided_patients(images),
        *unplanned_shares(manifest, protocol),
        *mask_faults(images),
        *unusual_formats(images),
        *conversions(images),
        *storage_confounding(images),
        *unusual_grey_levels(images),
        *source_confounding(images),
        *missing_sources(images),
        *(("listing differs", name, "", detail, "reported") for name, detail in published_differences(dataset).items()),
    ]
    return pd.DataFrame(rows, columns=list(catalogue()["findings"].columns))


def mask_images(manifest: pd.DataFrame) -> Iterator[Row]:
    """Report masks among the images: by their folder, or by at most two grey levels."""
    for name, masks in manifest[manifest["kind"] == "mask"].groupby("class", sort=False):
        detail = f"{len(masks):,} files of masks/ count as images of this class."
        yield "mask as image", str(name), "", detail, "kept; the protocol counts them"
    for row in manifest[(manifest["kind"] == "image") & (manifest["levels"] <= 2)].to_dict("records"):
        levels = "1 grey level" if row["levels"] == 1 else f"{row['levels']} grey levels"
        detail = f"The image has {levels}: it is a mask or empty."
        yield "looks like a mask", row["class"], row["image_id"], detail, "kept; inspect it"


def divided_patients(images: pd.DataFrame) -> Iterator[Row]:
    """Report patients on both sides of a split, and the number of images without one.

    That number is given only where other images have a patient.
    """
    known = images[images["patient"] != ""]
    for patient, rows in known.groupby("patient", sort=False):
        if rows["split"].nunique() > 1:
            images_per_side = rows["split"].value_counts()
            counts = ", ".join(f"{images_per_side[side]} {side}" for side in PRECEDENCE if side in images_per_side)
            classes = rows["class"].unique()
            name = str(classes[0]) if len(classes) == 1 else ""
            detail = f"Patient {patient} has images on several sides of the split: {counts}."
            yield "patient on both sides", name, rows["image_id"].iloc[0], detail, "kept on both sides"
    if 0 < len(known) < len(images):
        detail = f"The patient of {len(images) - len(known):,} of {len(images):,} images is unknown."
        yield "patient unknown", "", "", detail, "kept; each counts as a patient of its own"


def unplanned_shares(manifest: pd.DataFrame, protocol: Protocol) -> Iterator[Row]:
    """Report classes whose share of validation images is far from `val_fraction`.

    Far is more than five percentage points. Large groups may leave no nearer split. Where the data give the validation
    set, no share was planned.
    """
    is_given = protocol.split == "given" and (manifest["given"] == "validation").any()
    if protocol.split not in UNDIVIDED or is_given:
        return
    pool = manifest[manifest["split"] != "test"]
    shares = (pool["split"] == "validation").groupby(pool["class"], sort=False).mean()
    for name, share in shares[(shares - protocol.val_fraction).abs() > MOST_UNPLANNED].items():
        planned = f"{100 * protocol.val_fraction:.3g}{NBSP}% were planned, and a group is never divided."
        detail = f"{100 * share:.1f}{NBSP}% of the images are for validation; {planned}"
        yield "share for validation", str(name), "", detail, "kept"


def mask_faults(images: pd.DataFrame) -> Iterator[Row]:
    """Report missing, empty and unreadable lung masks; nothing where no image has a mask."""
    if not (images["mask"] != "").any():
        return
    has_masks = (images["mask"] != "").groupby(images["class"]).any()
    for name in has_masks.index[~has_masks]:
        yield "mask missing", str(name), "", "No image of this class has a mask.", "left out of audits that need lungs"
    for row in images[~(images["lungs"] > 0) & images["class"].map(has_masks)].to_dict("records"):
        fault = "missing" if not row["mask"] else "empty" if row["lungs"] == 0 else "unreadable"
        detail = f"The lung mask is {fault}" + (f": {row['mask']}." if row["mask"] else ".")
        yield f"mask {fault}", row["class"], row["image_id"], detail, "kept; left out of audits that need lungs"


def unusual_formats(images: pd.DataFrame) -> Iterator[Row]:
    """Report images whose size or mode differs from that of nearly all images.

    Fewer than ten images are not judged.
    """
    if len(images) < LEAST_IMAGES:
        return
    sizes = images["width"].astype(str) + "\N{MULTIPLICATION SIGN}" + images["height"].astype(str)
    for quantity, values in (("size", sizes), ("mode", images["mode"])):
        most_frequent = values.mode().iloc[0]
        share = (values == most_frequent).mean()
        differs = values != most_frequent
        if share < COMMON_SHARE and differs.sum() > 1:
            examples = ", ".join(map(str, values.value_counts().index[:4]))
            detail = f"No {quantity} is common to {100 * COMMON_SHARE:.0f}{NBSP}% of the images; examples: {examples}."
            yield f"unusual {quantity}", "", "", detail, "kept"
            continue
        for row, value in zip(images[differs].to_dict("records"), values[differs], strict=True):
            detail = f"The {quantity} is {value}; {100 * share:.1f}{NBSP}% of the images have {most_frequent}."
            yield f"unusual {quantity}", row["class"], row["image_id"], detail, "kept"


def unusual_grey_levels(images: pd.DataFrame) -> Iterator[Row]:
    """Report images whose brightness or contrast is far from that of their class.

    Far is a modified z-score above 5: the distance from the median over 1.4826 times the median distance
    (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993). Classes below ten images have no outliers.
    """
    for column, check in (("mean", "brightness"), ("deviation", "contrast")):
        for name, class_images in images.groupby("class", sort=False):
            if len(class_images) < LEAST_IMAGES:
                continue
            median = class_images[column].median()
            distance = (class_images[column] - median).abs()
            spread = max(1.4826 * distance.median(), LEAST_SPREAD)
            for row in class_images[distance > MOST_DEVIATION * spread].to_dict("records"):
                detail = f"The {column} of its grey levels is {row[column]:.0f}; the class's median is {median:.0f}."
                yield f"unusual {check}", str(name), row["image_id"], detail, "kept; inspect it"


def published_differences(dataset: Dataset) -> dict[str, str]:
    """Compare the files with the COVID-19 Radiography Database's: class to difference.

    Its files are `<class>-1.png` and so on. Data of other classes have no differences, unless Kaggle sent them as
    that database.
    """
    if dataset.kind != "kaggle" and (dataset.synthetic or set(dataset.classes) != set(PUBLISHED_COUNTS)):
        return {}
    differences = {}
    for name in sorted({*dataset.classes, *PUBLISHED_COUNTS}):
        count = PUBLISHED_COUNTS.get(name, 0)
        published = {f"{name}-{number}.png" for number in range(1, count + 1)}
        present = {PurePosixPath(path).name for path in dataset.images_of(name)["image_id"]}
        changes = [
            f"{len(names):,} {what}, the first {min(names, key=lambda file: (len(file), file))}"
            for what, names in (("missing", published - present), ("not published", present - published))
            if names
        ]
        if changes:
            differences[name] = (
                f"The folder holds {len(present):,} images, the published class {count:,}: {', and '.join(changes)}."
            )
    return differences
