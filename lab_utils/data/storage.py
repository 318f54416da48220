"""Storage of the images: conversions, and classes that are stored differently."""

from collections.abc import Iterator

import pandas as pd
from statsmodels.stats.proportion import proportion_confint

from lab_utils.data.record import FIRST_FRAME, INVERTED, OPAQUE, RANGE, UPRIGHT, WINDOW
from lab_utils.data.sources import NBSP

LEAST_GAP = 0.07  # between a class's share of one storage and that of any other class
CONVERSIONS = {
    RANGE: "not stored as 8-bit grey levels: each file's smallest value became 0 and its largest 255, in every class",
    WINDOW: "mapped to grey levels by the window that the DICOM file gives",
    INVERTED: "stored with 0 for white, and inverted",
    UPRIGHT: "rotated or mirrored by the EXIF orientation",
    OPAQUE: "partly transparent, and composited on black",
    FIRST_FRAME: "the first frame of several, and the others were not read",
}

Row = tuple[str, str, str, str, str]


def conversions(images: pd.DataFrame) -> Iterator[Row]:
    """Report how stored values became 8-bit pixels, one row per kind of conversion."""
    for conversion, sentence in CONVERSIONS.items():
        converted = images[[conversion in text.split("; ") for text in images["conversion"]]]
        if len(converted):
            classes = converted["class"].unique()
            verb = "image was" if len(converted) == 1 else "images were"
            detail = f"{len(converted):,} {verb} {sentence}; the first is {converted['image_id'].iloc[0]}."
            yield "conversion", classes[0] if len(classes) == 1 else "", "", detail, "kept"


def storage_confounding(images: pd.DataFrame) -> Iterator[Row]:
    """Report classes whose files are stored differently from every other class.

    Format, mode, depth, size and conversion are compared.

    A network may learn the traces of the storage instead of the disease. A class is reported if the lower bound of the
    95 % interval (Wilson) of its share of one value lies clearly above the share of that value in any other class.
    """
    sizes = images["width"].astype(str) + "\N{MULTIPLICATION SIGN}" + images["height"].astype(str)
    depths = images["bits"].astype(str) + NBSP + "bits"
    storage = {
        "format": images["format"],
        "mode": images["mode"],
        "depth": depths,
        "size": sizes,
        "conversion": images["conversion"].replace("", "none"),
    }
    differences: dict[str, list[str]] = {}
    for what, values in storage.items():
        counts = pd.crosstab(values, images["class"])
        lowest = counts.apply(lambda column: proportion_confint(column, column.sum(), method="wilson")[0])
        shares = counts / counts.sum()
        for name in counts.columns:
            elsewhere = shares.drop(columns=name).max(axis="columns")
            gap = (lowest[name] - elsewhere).sort_values(ascending=False, kind="stable")
            if gap.iloc[0] > LEAST_GAP:
                value = gap.index[0]
                share, other = (f"{100 * part:.0f}{NBSP}%" for part in (shares[name][value], elsewhere[value]))
                differences.setdefault(str(name), []).append(
                    f"{what} {value} in {share} of its images, {other} at most elsewhere"
                )
    for name, texts in differences.items():
        detail = f"Its storage reveals the class: {'; '.join(texts)}."
        yield "storage confounding", name, "", detail, "kept; store all classes alike"
