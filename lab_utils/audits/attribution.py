"""Where a network looks: Grad-CAM from features at a cut, and how much of it lies in the lungs."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from lab_utils.audits.probes import Audited, View, coefficients, linear_model
from lab_utils.core.machine import in_parallel
from lab_utils.core.paths import Workspace
from lab_utils.data.store import Pixels
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.uncertainty import mean_interval
from lab_utils.models.backbone import Float, load_model, trunk_of
from lab_utils.models.features import Extraction, Features, ensure_features
from lab_utils.models.prefix import Prefix
from lab_utils.models.runtime import keras, tf

FEW = 10  # groups of images below which a mean has no interval
BATCH = 64  # images per pass through what lies above the cut
COLUMNS = ["class", "outcome", "images", "share", "low", "high", "area", "ceiling"]


@dataclass(frozen=True)
class Attribution:
    """Grad-CAM of some images, each for the class that the network names.

    Parameters
    ----------
    maps : float32 (n, h, w), not negative
        One value per cell of the backbone's last feature map.
    predicted : int64 (n,)
        Place of the class.
    confidence : float32 (n,) in [0, 1]
        Its probability.
    """

    maps: Float
    predicted: NDArray[np.int64]
    confidence: Float


def grad_cam(maps: Any, gradients: Any) -> Any:
    """Feature maps weighted by the mean gradient of the class's score, negative sums cut off.

    Selvaraju et al., *Grad-CAM*, ICCV 2017 (arXiv 1610.02391), equations 1 and 2.

    Parameters
    ----------
    maps, gradients : float32 (n, h, w, K)
        Activations of the last convolutional block, and the score's gradients with respect to them.

    Returns
    -------
    float32 (n, h, w)
    """
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))


def explain(
    run: Run,
    chosen: Audited,
    extraction: Extraction,
    backbone: keras.Model,
    ceiling: Attribution | None,
    workspace: Workspace,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Where a trained network looks on the validation images: `shares` (none without lung masks) and `examples`.

    Parameters
    ----------
    run : Run
    chosen : Audited
        Of its protocol.
    extraction, backbone
        Of its protocol and backbone.
    ceiling : Attribution or None
        Of `lungs_only_attribution`.
    """
    depth = max(1, run.scenario.trainable_convs)  # a head alone is trained on pooled features, which have no place
    (features,) = ensure_features(extraction, backbone, [depth], workspace)
    places = np.flatnonzero(chosen.manifest["split"] == "validation")
    rows, validation = chosen.views["full"].rows[places], chosen.manifest.iloc[places]
    classes = list(run.record["dataset"]["classes"])
    found = attribute(trained_model(run), features.cut, features, rows)
    if chosen.masks is None or ceiling is None:
        return pd.DataFrame(columns=COLUMNS), examples(found, validation, classes)
    cover = coverage(chosen.masks, rows, *found.maps.shape[1:])
    return shares(found, ceiling, cover, validation, classes), examples(found, validation, classes)


def trained_model(run: Run) -> keras.Model:
    """A run's network; raises LabError where it is missing, damaged, or another run's."""
    return load_model(run.file("model.keras"), stage="30_train")


def lungs_only_attribution(
    chosen: Audited, inputs: Mapping[str, Float], extraction: Extraction, backbone: keras.Model
) -> Attribution | None:
    """Of a linear model trained and judged on images of lungs alone: what so few cells reach if it is the lungs.

    Parameters
    ----------
    inputs : mapping
        As of `lab_utils.audits.probes.inputs_of`.

    Returns
    -------
    Attribution or None
        On the validation images; None without lung masks.
    """
    if "lungs_only" not in inputs:
        return None
    split = chosen.manifest["split"].to_numpy()
    model = linear_model(inputs["lungs_only"][split == "train"], chosen.manifest["class"].to_numpy()[split == "train"])
    view = chosen.views["lungs_only"].only(np.flatnonzero(split == "validation"))
    cut = backbone.layers[-1].name
    prefix = Prefix(trunk_of(backbone), [cut], extraction.backbone, extraction.scaling, view.shape[1:])
    return attribute_linear(prefix, view, *coefficients(model))


def attribute(model: keras.Model, cut: str, features: Features, rows: NDArray[np.int64]) -> Attribution:
    """Grad-CAM of a trained network for images whose features at a cut are on disk.

    The frozen part below the cut, most of the network, is not run again.

    Parameters
    ----------
    model : keras.Model
        As `lab_utils.models.training.save_run` leaves it: scaling, backbone, head.
    cut : str
        Name of the backbone's layer whose output `features` holds; a feature map, not yet pooled.
    features : Features
    rows : int64 (n,)
        Which of its images.
    """
    backbone, head = _parts(model)
    above = keras.Model(backbone.get_layer(cut).output, backbone.output)
    last = head[-1]

    @tf.function(autograph=False, reduce_retracing=True)
    def explained(batch: Any) -> Any:
        maps = above(tf.cast(batch, tf.float32), training=False)
        with tf.GradientTape() as tape:
            tape.watch(maps)
            values = maps
            for layer in head[:-1]:
                values = layer(values)
            scores = values @ last.kernel + last.bias  # before the softmax
            best = tf.reduce_max(scores, axis=-1)
        found = grad_cam(maps, tape.gradient(best, maps))
        return found, tf.argmax(scores, axis=-1), tf.reduce_max(tf.nn.softmax(scores), axis=-1)

    parts = [
        [np.asarray(part) for part in explained(features.rows(rows[start : start + BATCH]))]
        for start in range(0, len(rows), BATCH)
    ]
    return Attribution(*(np.concatenate(part) for part in zip(*parts, strict=True)))


def attribute_linear(prefix: Prefix, view: View, coefficients: Float, biases: Float) -> Attribution:
    """Grad-CAM of a linear model on pooled features: the score's gradient is its coefficients over the number of cells.

    Parameters
    ----------
    prefix : Prefix
        To the backbone's last feature map, (h, w, K).
    view : View
        The images.
    coefficients, biases : float32 (C, K), (C,)
        In units of the pooled features.
    """
    count, (height, width, _) = len(view), prefix.shapes[0]
    found = Attribution(
        np.empty((count, height, width), np.float32), np.empty(count, np.int64), np.empty(count, np.float32)
    )

    def write(start: int, blocks: Sequence[Float]) -> None:
        maps = blocks[0]
        scores = maps.mean(axis=(1, 2)) @ coefficients.T + biases
        best = scores.argmax(axis=1)
        own = slice(start, start + len(maps))
        found.maps[own] = np.einsum("nhwk,nk->nhw", maps, coefficients[best] / (height * width)).clip(0)
        found.predicted[own] = best
        found.confidence[own] = np.exp(scores.max(axis=1) - np.logaddexp.reduce(scores, axis=1))

    prefix.run(view, write)
    return found


def coverage(masks: Pixels, rows: NDArray[np.int64], height: int, width: int) -> Float:
    """The share of each cell of a grid that lungs cover.

    Parameters
    ----------
    masks : uint8 (N, H, W)
        Lungs above 127; a memory map will do.
    rows : int64 (n,)
        Which of them.

    Returns
    -------
    float32 (n, height, width) in [0, 1]
    """

    def covered(row: int) -> Float:
        lungs = Image.fromarray(np.where(masks[row] > 127, np.uint8(255), np.uint8(0)))
        return np.asarray(lungs.resize((width, height), Image.Resampling.BOX), np.float32) / np.float32(255)

    return np.array(list(in_parallel(covered, rows)), np.float32)


def inside(maps: Float, cover: Float) -> Float:
    """The share of each image's attribution that lies in the lungs: float32 (n,), missing where there is none at all.

    The energy-based pointing game of Wang et al., *Score-CAM*, CVPR workshops 2020 (arXiv 1910.01279). A cell's
    attribution is taken to be spread evenly over it.

    Parameters
    ----------
    maps, cover : float32 (n, h, w)
        As of `Attribution` and `coverage`.
    """
    total = maps.sum(axis=(1, 2))
    return np.divide((maps * cover).sum(axis=(1, 2)), total, out=np.full_like(total, np.nan), where=total > 0)


def shares(
    found: Attribution, ceiling: Attribution, cover: Float, validation: pd.DataFrame, classes: Sequence[str]
) -> pd.DataFrame:
    """Attribution inside the lungs by class and outcome, between its floor and its ceiling.

    Parameters
    ----------
    found : Attribution
        Of the network.
    ceiling : Attribution
        Of a model that sees lungs only, on the same images.
    cover : float32 (n, h, w)
        As of `coverage`.
    validation : DataFrame (n rows)
        Columns class, group.
    classes : sequence of str
        In the order of the network's outputs.

    Returns
    -------
    DataFrame
        Columns class (empty: all), outcome (correct, wrong; empty: both), images, share (mean), low, high (95 %
        interval; missing below ten groups), area (of the lungs: what attribution spread evenly would reach), ceiling
        (what the model that sees lungs alone reaches: maps of so few cells cannot reach 1).
    """
    table = pd.DataFrame(
        {
            "class": validation["class"].to_numpy(),
            "outcome": np.where(np.array(classes, object)[found.predicted] == validation["class"], "correct", "wrong"),
            "group": validation["group"].to_numpy(),
            "share": inside(found.maps, cover),
            "area": cover.mean(axis=(1, 2)),
            "ceiling": inside(ceiling.maps, cover),
        }
    ).dropna(subset="share")
    rows = []
    for name, outcome, own in _parted(table, classes):
        if len(own):
            mean, low, high = mean_interval(own["share"].to_numpy(float), own["group"].to_numpy())
            if own["group"].nunique() < FEW:
                low = high = np.nan
            rows.append((name, outcome, len(own), mean, low, high, own["area"].mean(), own["ceiling"].mean()))
    return pd.DataFrame(rows, columns=COLUMNS)


def _parted(table: pd.DataFrame, classes: Sequence[str]) -> Iterator[tuple[str, str, pd.DataFrame]]:
    yield "", "", table
    for name in classes:
        for outcome in ("correct", "wrong"):
            yield name, outcome, table[(table["class"] == name) & (table["outcome"] == outcome)]


def examples(found: Attribution, validation: pd.DataFrame, classes: Sequence[str], *, each: int = 2) -> pd.DataFrame:
    """The surest correct and the surest wrong images of every class, with their maps.

    Returns
    -------
    DataFrame
        One row per cell of a map: image_id, class, predicted, confidence, row, column, value.
    """
    predicted = np.array(classes, object)[found.predicted]
    table = pd.DataFrame(
        {
            "image_id": validation["image_id"].to_numpy(),
            "class": validation["class"].to_numpy(),
            "predicted": predicted,
            "confidence": found.confidence,
            "place": np.arange(len(predicted)),
        }
    )
    table["right"] = table["class"] == table["predicted"]
    surest = table.sort_values("confidence", ascending=False, kind="stable").groupby(["class", "right"]).head(each)
    surest = surest.sort_values(["class", "right", "confidence"], ascending=[True, False, False], kind="stable")
    height, width = found.maps.shape[1:]
    cells = pd.MultiIndex.from_product([range(height), range(width)], names=["row", "column"]).to_frame(index=False)
    shown = surest.merge(cells, how="cross")
    shown["value"] = found.maps[shown["place"], shown["row"], shown["column"]]
    return shown[["image_id", "class", "predicted", "confidence", "row", "column", "value"]]


def _parts(model: keras.Model) -> tuple[keras.Model, list[Any]]:
    """A network's backbone and the layers behind it."""
    place = next(place for place, layer in enumerate(model.layers) if isinstance(layer, keras.Model))
    return model.layers[place], model.layers[place + 1 :]
