"""Source confounding: how well the source that a metadata sheet names predicts the class."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pandas as pd

from lab_utils.data.proportions import majority_accuracy, wilson_interval

LEAST_IMAGES = 20  # of a source that a network can learn
CHILDREN = "paultimothymooney/chest-xray-pneumonia"  # in the address of the radiographs of children
NBSP = "\N{NO-BREAK SPACE}"


class SourceRule(NamedTuple):
    """Score of a rule that predicts the class from the source, on validation images."""

    images: int  # validation images whose source has at least 20 images
    accuracy: float
    low: float  # bounds of the 95 % interval, see `wilson_interval`
    high: float
    majority: float  # accuracy of the majority-class baseline


def source_rule(images: pd.DataFrame) -> SourceRule | None:
    """Score the rule "the most frequent class of the source"; None without large sources."""
    known = large_source_images(images)
    train, validation = (known[known["split"] == side] for side in ("train", "validation"))
    if not len(train) or not len(validation):
        return None
    majority_class = train["class"].mode().iloc[0]
    rule = train.groupby("source")["class"].agg(lambda classes: classes.mode().iloc[0])
    predicted = validation["source"].map(rule).fillna(majority_class)
    correct = predicted == validation["class"]
    interval = wilson_interval(correct, validation["group"])
    return SourceRule(len(validation), correct.mean(), *interval, majority_accuracy(validation["class"]))


def large_source_images(images: pd.DataFrame) -> pd.DataFrame:
    """Select the images whose source is known and has at least 20 images."""
    counts = images["source"].map(images["source"].value_counts())
    return images[(images["source"] != "") & (counts >= LEAST_IMAGES)]


def source_confounding(images: pd.DataFrame) -> Iterator[tuple[str, str, str, str, str]]:
    """Report sources that predict the class: a network may learn the hospital instead.

    The real database's sheets name the right sources for each class, and the wrong source for many files.
    """
    rule = source_rule(images)
    if rule is None or rule.low <= rule.majority:
        return
    detail = (
        f"The source alone predicts {100 * rule.accuracy:.0f}{NBSP}% of the classes; "
        f"the majority-class baseline reaches {100 * rule.majority:.0f}{NBSP}%."
    )
    yield "source confounding", "", "", detail, "measured in stage 45_audit"
    classes_per_source = images[images["source"] != ""].groupby("source")["class"].nunique()
    for name, class_images in large_source_images(images).groupby("class", sort=False):
        sources = class_images["source"].unique()
        if (classes_per_source[sources] == 1).all():
            noun = "sources contain" if len(sources) > 1 else "source contains"
            detail = f"Its {len(sources)} {noun} no image of another class."
            yield "unshared source", str(name), "", detail, "reported"


def missing_sources(images: pd.DataFrame) -> Iterator[tuple[str, str, str, str, str]]:
    """Report classes whose metadata sheet names some of the images and not all."""
    for name, class_images in images.groupby("class", sort=False):
        missing = class_images[class_images["source"] == ""]
        if 0 < len(missing) < len(class_images):
            first = missing["image_id"].iloc[0]
            detail = f"The sheet lacks {len(missing):,} of {len(class_images):,} images, the first {first}."
            yield "metadata sheet", str(name), "", detail, "kept; their source is unknown"


def images_of_children(sources: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Count the images of each class that show children of 1 to 5 years.

    Classes without them are left out. They are the radiographs from Guangzhou of Kermany et al. (Cell 172, 2018),
    recognised by their address.

    Parameters
    ----------
    sources : mapping
        Class to images by source, as ``dataset.sources``.
    """
    counts = {name: sum(n for url, n in urls.items() if CHILDREN in url) for name, urls in sources.items()}
    return {name: count for name, count in counts.items() if count}
