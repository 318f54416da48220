"""Attribution: how much of a network's Grad-CAM lies inside the lungs, by class."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lab_utils.core.machine import in_parallel
from lab_utils.data.decode import Pixels
from lab_utils.evaluation.uncertainty import mean_interval
from lab_utils.models.explain import Attribution

EXAMPLES = ["image_id", "class", "predicted", "confidence", "row", "column", "value"]
SHARES = ["class", "outcome", "images", "share", "low", "high", "area", "lungs_only"]

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


def attribution_shares(
    attribution: Attribution, reference: Attribution, cover: Float, manifest: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Share of attribution inside the lungs by class and outcome: table attribution of one run.

    Evenly spread attribution would reach the area of the lungs. So few cells cannot reach 1.

    Parameters
    ----------
    attribution, reference : Attribution
        Of the network, and of a model that sees only lungs, on the same images.
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
            "area": cover.mean(axis=(1, 2)),
            "lungs_only": share_inside(reference.maps, cover),
        }
    ).dropna(subset="share")
    rows = []
    for (name, outcome), images in [(("", ""), table), *table.groupby(["class", "outcome"], observed=True)]:
        if images.empty:  # no image has any attribution
            continue
        mean, low, high = mean_interval(images["share"].to_numpy(float), images["group"].to_numpy())
        references = (images["area"].mean(), images["lungs_only"].mean())
        rows.append((name, outcome, len(images), mean, low, high, *references))
    return pd.DataFrame(rows, columns=SHARES)


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
