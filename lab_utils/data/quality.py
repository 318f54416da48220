"""What is odd about a data set, as rows of a findings table: what was found, where, and what was done."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from lab_utils.core.config import Protocol
from lab_utils.data.download import Dataset, list_other_formats, list_strays, unlike_published
from lab_utils.data.manifest import Unreadable

COLUMNS = ["check", "class", "image_id", "detail", "action"]
COMMON = 0.95  # share of images alike in size or mode from which the others are odd
OUTLYING = 5.0  # modified z-scores: the usual 3.5 names a hundred sound radiographs in ten thousand
FARTHEST = 10  # bits of 64: up to this distance of perceptual hashes pairs of images are counted
SEARCHED = 25_000  # images among which pairs are looked for: their number grows with the square
SOURCE_IMAGES = 20  # of a source that can be learned
AT_ONCE = 256  # images compared with all others together

Row = tuple[str, str, str, str, str]


def audit(
    dataset: Dataset, manifest: pd.DataFrame, unreadable: Iterable[Unreadable], protocol: Protocol
) -> pd.DataFrame:
    """Collect all findings.

    Parameters
    ----------
    manifest, unreadable
        As of `lab_utils.data.manifest.build_manifest`.
    protocol : Protocol
        Which the split follows.

    Returns
    -------
    DataFrame
        One row per finding: check, class, image_id (empty where it concerns a class), detail, action.
    """
    images = manifest[manifest["kind"] == "image"]
    rows: list[Row] = [
        *(("unreadable", item.label, item.image_id, item.reason, "left out") for item in unreadable),
        *masks_as_images(manifest),
        *strays(dataset),
        *other_formats(dataset),
        *duplicates(images, protocol),
        *mask_faults(images),
        *unusual(images),
        *telling_sources(images),
        *missing_in_sheets(images),
        *(("listing differs", name, "", detail, "reported") for name, detail in unlike_published(dataset).items()),
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


def by_protocol(tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Tables of several protocols as one, under a first column `protocol`."""
    return pd.concat([table.assign(protocol=name) for name, table in tables.items()], ignore_index=True)[
        ["protocol", *next(iter(tables.values())).columns]
    ]


def masks_as_images(manifest: pd.DataFrame) -> Iterator[Row]:
    """Lung masks among the images: by their folder, and by their content, which has two grey levels at most."""
    for name, own in manifest[manifest["kind"] == "mask"].groupby("class", sort=False):
        detail = f"{len(own):,} files of masks/ count as images of this class"
        yield "mask as image", str(name), "", detail, "kept: the protocol counts them"
    for row in manifest[(manifest["kind"] == "image") & (manifest["levels"] <= 2)].to_dict("records"):
        detail = f"{row['levels']} grey levels: a mask or an empty picture"
        yield "looks like a mask", row["class"], row["image_id"], detail, "kept: look at it"


def strays(dataset: Dataset) -> Iterator[Row]:
    """Images in a class folder, but not where its images are taken from."""
    for name in dataset.classes:
        found = list_strays(dataset.root / name)
        if found:
            detail = f"{len(found):,} images beside the class's own, the first {found[0].relative_to(dataset.root)}"
            yield "not in the image folder", name, "", detail, "left out"


def other_formats(dataset: Dataset) -> Iterator[Row]:
    """Pictures of formats that are not read."""
    for name in dataset.classes:
        found = list_other_formats(dataset.root / name)
        if found:
            detail = (
                f"{len(found):,} files that are neither PNG nor JPEG, the first {found[0].relative_to(dataset.root)}"
            )
            yield "format not read", name, "", detail, "left out: convert them to PNG"


def duplicates(images: pd.DataFrame, protocol: Protocol) -> Iterator[Row]:
    """Images with the decoded pixels, or with the 64-bit perceptual hash, of an earlier one.

    The hash is that of Zauner (Implementation and benchmarking of perceptual image hash functions, 2010). At distance 0
    alone are pairs taken for copies: radiographs look alike, and farther ones are of different patients.
    """
    firsts = {key: images.drop_duplicates(key).set_index(key) for key in ("pixels", "phash")}
    for copy in images[images.duplicated("phash") | images.duplicated("pixels")].to_dict("records"):
        exact = firsts["pixels"].loc[copy["pixels"]]
        is_exact = exact["image_id"] != copy["image_id"]
        original = exact if is_exact else firsts["phash"].loc[copy["phash"]]
        check, what = ("exact duplicate", "pixels") if is_exact else ("near-duplicate", "perceptual hash")
        crosses, foreign = original["split"] != copy["split"], original["class"] != copy["class"]
        detail = f"same {what} as {original['image_id']}, on {'the other' if crosses else 'the same'} side of the split"
        if foreign:
            detail += f", of another class ({original['class']})"
        together = "kept on one side, with its group" if protocol.split == "grouped" else "kept"
        yield check, copy["class"], copy["image_id"], detail, "kept on both sides" if crosses else together


def leaks(manifest: pd.DataFrame) -> pd.DataFrame:
    """How many validation images have a copy in the training set.

    Returns
    -------
    DataFrame
        One row: validation (images), copied (those whose group has training images), share, low, high (Wilson's 95 %
        interval, J. Am. Stat. Assoc. 22, 1927, by statsmodels).
    """
    images = manifest[manifest["kind"] == "image"]
    groups = {side: images.loc[images["split"] == side, "group"] for side in ("train", "validation")}
    copied, count = int(groups["validation"].isin(groups["train"]).sum()), len(groups["validation"])
    low, high = proportion_confint(copied, count, method="wilson")
    row = {"validation": count, "copied": copied, "share": copied / count, "low": low if copied else 0.0, "high": high}
    return pd.DataFrame([row])


def matches(manifest: pd.DataFrame, closest: int = 6) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Pairs of images by the Hamming distance of their perceptual hashes, among 25,000 spread evenly if there are more.

    Parameters
    ----------
    closest : int
        How many pairs of different classes are named.

    Returns
    -------
    counts : DataFrame
        Columns distance (bits, 0 to 10), within, across (pairs of one class, of two).
    pairs : DataFrame
        The closest pairs of different classes: columns distance, first, second (image_id).
    """
    rows = np.flatnonzero(manifest["kind"] == "image")
    if len(rows) > SEARCHED:
        rows = rows[np.linspace(0, len(rows) - 1, SEARCHED).astype(int)]
    hashes = np.array([int(text, 16) for text in manifest["phash"].iloc[rows]], np.uint64)
    names, labels = manifest["image_id"].to_numpy()[rows], pd.factorize(manifest["class"].iloc[rows])[0]
    counts, found = np.zeros((2, FARTHEST + 1), int), []
    for start in range(0, len(rows), AT_ONCE):
        first, second, distance = _near(hashes, start)
        across = labels[first] != labels[second]
        for kind in (0, 1):
            counts[kind] += np.bincount(distance[across == kind], minlength=FARTHEST + 1)
        pairs = pd.DataFrame({"distance": distance, "first": names[first], "second": names[second]})[across]
        found.append(pairs.nsmallest(closest, "distance"))
    table = pd.DataFrame({"distance": range(FARTHEST + 1), "within": counts[0], "across": counts[1]})
    return table, pd.concat(found).nsmallest(closest, "distance").reset_index(drop=True)


def _near(hashes: NDArray[np.uint64], start: int) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]:
    """Pairs of an image from row `start` on with a later one, up to `FARTHEST` apart: rows, rows, distances."""
    block = hashes[start : start + AT_ONCE]
    distance = np.bitwise_count(block[:, None] ^ hashes[None, start:])
    first, second = np.nonzero(distance <= FARTHEST)
    later = first < second
    first, second = first[later], second[later]
    return first + start, second + start, distance[first, second]


def mask_faults(images: pd.DataFrame) -> Iterator[Row]:
    """Images without a lung mask, or with one that is empty or cannot be read; nothing where no image has any."""
    if not (images["mask"] != "").any():
        return
    without = images.groupby("class")["mask"].agg(lambda own: not (own != "").any())
    for name in without.index[without]:
        yield "mask missing", str(name), "", "no image of this class has one", "no audit that needs lungs"
    for row in images[~(images["lungs"] > 0) & ~images["class"].map(without)].to_dict("records"):
        check = "mask missing" if not row["mask"] else "mask empty" if row["lungs"] == 0 else "mask unreadable"
        yield check, row["class"], row["image_id"], row["mask"], "kept; out of the audits that need lungs"


def unusual(images: pd.DataFrame) -> Iterator[Row]:
    """Images unlike nearly all others in size or mode, or far from their class's in brightness or contrast.

    Far is a modified z-score above 5: distance from the median over 1.4826 times the median distance (Iglewicz and
    Hoaglin, How to Detect and Handle Outliers, 1993).
    """
    sizes = images["width"].astype(str) + "x" + images["height"].astype(str)
    for check, values in (("size", sizes), ("mode", images["mode"])):
        commonest = values.mode().iloc[0]
        if (values == commonest).mean() < COMMON:
            seen = ", ".join(map(str, values.value_counts().index[:4]))
            yield f"unusual {check}", "", "", f"no common {check}: {seen} ...", "kept"
            continue
        for row, value in zip(images[values != commonest].to_dict("records"), values[values != commonest], strict=True):
            detail = f"{value}, where {(values == commonest).mean():.1%} have {commonest}"
            yield f"unusual {check}", row["class"], row["image_id"], detail, "kept"
    for column, check in (("mean", "brightness"), ("deviation", "contrast")):
        for name, own in images.groupby("class", sort=False):
            center = own[column].median()
            spread = 1.4826 * (own[column] - center).abs().median()
            for row in own[(own[column] - center).abs() > OUTLYING * spread].to_dict("records"):
                detail = f"{column} of grey levels {row[column]:.0f}, the class's median is {center:.0f}"
                yield f"unusual {check}", str(name), row["image_id"], detail, "kept: look at it"


class SourceRule(NamedTuple):
    """How well the source alone tells the class: the commonest class of each source in training, on validation images.

    Parameters
    ----------
    images : int
        Validation images whose source has at least 20 images.
    accuracy, low, high : float
        With Wilson's 95 % interval.
    majority : float
        Accuracy of the commonest class.
    """

    images: int
    accuracy: float
    low: float
    high: float
    majority: float


def source_rule(images: pd.DataFrame) -> SourceRule | None:
    """The rule's score; None where no source is large enough."""
    known = of_large_sources(images)
    train, judged = (known[known["split"] == side] for side in ("train", "validation"))
    if not len(train) or not len(judged):
        return None
    commonest = train["class"].mode().iloc[0]
    rule = train.groupby("source")["class"].agg(lambda own: own.mode().iloc[0])
    right = int((judged["source"].map(rule).fillna(commonest) == judged["class"]).sum())
    low, high = proportion_confint(right, len(judged), method="wilson")
    return SourceRule(len(judged), right / len(judged), low, high, (judged["class"] == commonest).mean())


def of_large_sources(images: pd.DataFrame) -> pd.DataFrame:
    """Those images whose source is known and has at least 20 of them: a smaller one is too small to be learned."""
    counts = images["source"].map(images["source"].value_counts())
    return images[(images["source"] != "") & (counts >= SOURCE_IMAGES)]


def telling_sources(images: pd.DataFrame) -> Iterator[Row]:
    """Whether the metadata sheets' sources tell the classes apart, so that a network may learn the hospital instead.

    The real database's sheets are right class by class and wrong file by file.
    """
    rule = source_rule(images)
    if rule is None or rule.low <= rule.majority:
        return
    detail = f"the source alone names {rule.accuracy:.0%} of classes rightly, the commonest class {rule.majority:.0%}"
    yield "source tells the class", "", "", detail, "measured by the shortcut audit"
    known = of_large_sources(images)
    classes_of = images[images["source"] != ""].groupby("source")["class"].nunique()
    for name, own in known.groupby("class", sort=False):
        if (classes_of[own["source"].unique()] == 1).all():
            sources = own["source"].nunique()
            detail = f"shares none of its {sources} source{'s' * (sources > 1)} with another class"
            yield "source of its own", str(name), "", detail, "reported"


def missing_in_sheets(images: pd.DataFrame) -> Iterator[Row]:
    """Classes of whose images a metadata sheet names some and not all."""
    for name, own in images.groupby("class", sort=False):
        missing = own[own["source"] == ""]
        if 0 < len(missing) < len(own):
            detail = f"{len(missing):,} of {len(own):,} images are not in it, the first {missing['image_id'].iloc[0]}"
            yield "metadata sheet", str(name), "", detail, "kept; their source is unknown"
