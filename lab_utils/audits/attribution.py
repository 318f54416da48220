"""Attribution: how much of a network's Grad-CAM lies inside the lungs, by class."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.machine import in_parallel
from lab_utils.data.decode import Pixels
from lab_utils.evaluation.intervals import mean_interval
from lab_utils.models.explain import Attribution

BLIND = ("uniform", "centre", "other_lungs", "random_head")  # they know nothing of the image or of the classes
REFERENCES = (*BLIND, "lungs_only", "lungs")
EXAMPLES = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
RANGE = ["random_head_low", "random_head_high"]
SHARES = ["class", "outcome", "images", "share", "low", "high", *REFERENCES, *RANGE, "exceeded"]
LEAST_IMAGES = 10  # of a class and outcome that are explained with random heads, before these are compared
CENTRE_SD = 0.25  # of the side of the image: standard deviation of the blob in the centre

Float = NDArray[np.float32]


def coverage(masks: Pixels, rows: NDArray[np.int64], height: int, width: int) -> Float:
    """The share of each cell of a grid that lungs cover: float32 (n, height, width) in [0, 1].

    Parameters
    ----------
    masks : uint8 (N, H, W)
        Lungs above 127; may be a memory map.
    rows : int64 (n,)
        Which of them.
    """

    def covered(row: int) -> Float:
        lungs = Image.fromarray(np.where(masks[row] > 127, np.uint8(255), np.uint8(0)))
        return np.asarray(lungs.resize((width, height), Image.Resampling.BOX), np.float32) / np.float32(255)

    return np.array(list(in_parallel(covered, rows)), np.float32)


def share_inside(maps: Float, cover: Float) -> Float:
    """Share of each image's attribution inside the lungs: float32 (n,), NaN without any.

    The energy-based pointing game of Wang et al., *Score-CAM*, CVPR workshops 2020 (arXiv 1910.01279). The attribution
    of a cell is taken to be spread evenly over it. `maps` and `cover` are float32 (n, h, w).
    """
    total = maps.sum(axis=(1, 2))
    return np.divide((maps * cover).sum(axis=(1, 2)), total, out=np.full_like(total, np.nan), where=total > 0)


def reference_shares(cover: Float, groups: pd.Series) -> dict[str, Float]:
    """Shares inside the lungs of maps that no network made: name to float32 (n,).

    - uniform: the same attribution everywhere.
    - centre: a Gaussian blob in the centre of every image, a strong baseline of gaze prediction (Judd, Durand and
      Torralba, MIT technical report 2012-001).
    - other_lungs: the lungs of another image, expected over all images of other groups.
    - lungs: exactly the lungs; below 1, because cells at the edge of the lungs are covered in part.

    Parameters
    ----------
    cover : float32 (n, h, w)
        See `coverage`.
    groups : Series (n,)
        Group of each image: near-duplicates and images of one patient.
    """
    height, width = ((np.arange(cells) + 0.5) / cells - 0.5 for cells in cover.shape[1:])
    blob = np.exp(-(height[:, None] ** 2 + width**2) / (2 * CENTRE_SD**2)).astype(np.float32)
    lungs = cover / np.maximum(cover.sum(axis=(1, 2), keepdims=True), np.finfo(np.float32).tiny)
    codes, names = pd.factorize(groups)
    of_group = np.zeros((len(names), *cover.shape[1:]), np.float32)
    np.add.at(of_group, codes, lungs)
    others = (lungs.sum(axis=0) - of_group)[codes]
    maps = {"uniform": np.ones_like(cover), "centre": np.broadcast_to(blob, cover.shape), "other_lungs": others}
    return {name: share_inside(values, cover) for name, values in {**maps, "lungs": cover}.items()}


def attribution_shares(
    attribution: Attribution, lungs_only: Float, cover: Float, manifest: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Share of attribution inside the lungs by class and outcome: table attribution of one run.

    A share means little alone, so the table has references: see `reference_shares`. Two more come from models:
    random_head is the mean of the random heads (random_head_low and random_head_high: the smallest and the largest),
    and lungs_only a linear model that sees only lungs. The network exceeds a reference of `BLIND` if the interval of
    the paired difference lies above 0. It exceeds random_head if its share exceeds those of all heads on their images.

    Parameters
    ----------
    attribution : Attribution
        Of the network.
    lungs_only : float32 (n, h, w)
        Maps of a model that sees only lungs, of the same images.
    cover : float32 (n, h, w)
        See `coverage`.
    manifest : DataFrame (n rows)
        Columns class, group.
    classes : sequence of str
        In the order of the network's outputs.
    """
    predicted = np.array(classes, object)[attribution.predicted]
    table = pd.DataFrame(
        {
            "class": pd.Categorical(manifest["class"].to_numpy(), categories=list(classes)),
            "outcome": np.where(predicted == manifest["class"], "correct", "wrong"),
            "group": manifest["group"].to_numpy(),
            "share": share_inside(attribution.maps, cover),
            **reference_shares(cover, manifest["group"]),
            "lungs_only": share_inside(lungs_only, cover),
        }
    )
    heads = _random_shares(attribution, cover)
    images = table.dropna(subset="share")
    parts = [(("", ""), images), *images.groupby(["class", "outcome"], observed=True)]
    rows = [{"class": name, "outcome": outcome, **_row(part, heads)} for (name, outcome), part in parts if len(part)]
    return pd.DataFrame(rows, columns=SHARES)


def _random_shares(attribution: Attribution, cover: Float) -> pd.DataFrame:
    """Shares of the random heads: a column for each, rows of the images that they explain."""
    if attribution.random_maps is None or attribution.random_rows is None:
        return pd.DataFrame()
    maps, lungs = attribution.random_maps, cover[attribution.random_rows]
    shares = [share_inside(maps[:, head], lungs) for head in range(maps.shape[1])]
    return pd.DataFrame(np.array(shares, float).T, index=attribution.random_rows)


def _row(images: pd.DataFrame, heads: pd.DataFrame) -> dict[str, Any]:
    """Mean share of some images with its interval and its references."""
    groups, heads = images["group"].to_numpy(), heads[heads.index.isin(images.index)]
    mean, low, high = mean_interval(images["share"].to_numpy(float), groups)
    of_heads = heads.mean()
    exceeded = [
        name
        for name in BLIND
        if name in images and mean_interval((1 + images["share"] - images[name]).to_numpy(float) / 2, groups)[1] > 1 / 2
    ]
    if len(heads) >= LEAST_IMAGES and images["share"][heads.index].mean() > of_heads.max():
        exceeded.append("random_head")
    return {
        "images": len(images),
        **{"share": mean, "low": low, "high": high, "exceeded": "; ".join(exceeded)},
        **{name: images[name].mean() for name in REFERENCES if name in images},
        **dict(zip(["random_head", *RANGE], (of_heads.mean(), of_heads.min(), of_heads.max()), strict=True)),
    }


def attribution_examples(
    attribution: Attribution, manifest: pd.DataFrame, classes: Sequence[str], *, each: int = 2
) -> pd.DataFrame:
    """Maps of the images that the network is most confident about: table examples of one run.

    Of each class, `each` correct and `each` wrong images are taken. The other arguments are those of
    `attribution_shares`; the manifest has the column image_id too.
    """
    table = manifest[["image_id", "class"]].reset_index(drop=True)
    table["predicted"] = np.array(classes, object)[attribution.predicted]
    table["confidence"], table["position"] = attribution.confidence, table.index
    table["correct"] = table["class"] == table["predicted"]
    shown = table.sort_values("confidence", ascending=False, kind="stable").groupby(["class", "correct"]).head(each)
    shown = shown.sort_values(["class", "correct", "confidence"], ascending=[True, False, False], kind="stable")
    height, width = attribution.maps.shape[1:]
    cells = pd.MultiIndex.from_product([range(height), range(width)], names=["row", "column"]).to_frame(index=False)
    shown = shown.merge(cells, how="cross")
    shown["value"] = attribution.maps[shown["position"], shown["row"], shown["column"]]
    return shown[EXAMPLES]
