"""How much of a score comes from elsewhere than the lungs: one linear model, on ever less of the images.

What a network can do without lungs it may do with them too (DeGrave et al., Nature Machine Intelligence 3, 2021;
Maguolo and Nanni, arXiv 2004.12823).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from lab_utils.core.files import digest, whole
from lab_utils.core.machine import in_parallel
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.data.download import Dataset
from lab_utils.data.quality import of_large_sources, source_rule
from lab_utils.data.store import Pixels, ensure_masks, open_store
from lab_utils.evaluation.predictions import predictions_table
from lab_utils.evaluation.uncertainty import intervals
from lab_utils.models.backbone import POOL, Float, trunk_of
from lab_utils.models.features import Extraction, Features
from lab_utils.models.prefix import Prefix
from lab_utils.models.runtime import keras

INPUTS = ("full", "histogram", "thumbnail_8x8", "border", "lungs_erased", "lungs_only")
SOURCES = ["question", "among", "images", "choices", "majority", "accuracy", "low", "high"]
MASKED = 0.9  # share of every class's images that must have a lung mask for the inputs that need one
FRAME = 1 / 8  # of the side: how wide the border is
THUMBNAIL = 8  # pixels to a side
LOOSENESS = 10  # over the number of inputs, the inverse of the L2 penalty: the same spread of scores for few and many
PERCENTILES = (5, 25, 50, 75, 95)
PAIR = ("COVID", "Lung_Opacity")  # of the real database: both adults


@dataclass(frozen=True)
class View:
    """Images of a store with a part of each in black, made as they are read.

    Parameters
    ----------
    images : uint8 (N, H, W) or (N, H, W, 3)
    rows : int64 (n,)
        Which images, in this order.
    kept : uint8 (N, H, W), optional
        Above 127: what stays of an image.
    inverted : bool
        Whether it is that which goes.
    """

    images: Pixels
    rows: NDArray[np.int64]
    kept: Pixels | None = None
    inverted: bool = False

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> tuple[int, ...]:
        """(n, H, W) or (n, H, W, 3)."""
        return (len(self.rows), *self.images.shape[1:])

    def only(self, places: NDArray[np.int64]) -> "View":
        """The same of some of the images."""
        return replace(self, rows=self.rows[places])

    def __getitem__(self, place: slice) -> Pixels:
        images = self.images[self.rows[place]]
        if self.kept is None:
            return images
        stays = (self.kept[self.rows[place]] > 127) != self.inverted
        return images * (stays if images.ndim == 3 else stays[..., None])


@dataclass(frozen=True)
class Audited:
    """The images of one protocol on which inputs are compared: the same rows and the same split for all.

    Parameters
    ----------
    manifest : DataFrame
        Their rows of the manifest.
    views : dict
        Input to its images: full, border and, where there are masks, lungs_erased and lungs_only.
    masks : uint8 (N, H, W) or None
        Of all images of the store; lungs above 127.
    key : str
        Of what the views were made from.
    """

    manifest: pd.DataFrame
    views: dict[str, View]
    masks: Pixels | None
    key: str


def audited(dataset: Dataset, manifest: pd.DataFrame, store: str, workspace: Workspace) -> Audited:
    """Choose the images of the audit: all; those with a lung mask where nearly all have one."""
    is_image, has_lungs = manifest["kind"] == "image", manifest["lungs"] > 0
    is_masked = bool(has_lungs[is_image].groupby(manifest["class"]).mean().min() >= MASKED)
    rows = np.flatnonzero(is_image & has_lungs if is_masked else is_image)
    chosen, images = manifest.iloc[rows].reset_index(drop=True), open_store(workspace, store)
    size, masks, mask_key = images.shape[1], None, ""
    frame = np.full((size, size), 255, np.uint8)
    edge = round(size * FRAME)
    frame[edge:-edge, edge:-edge] = 0
    views = {
        "full": View(images, rows),
        "border": View(images, rows, np.broadcast_to(frame, (len(images), size, size))),
    }
    if is_masked:
        mask_key = ensure_masks(dataset, manifest, size, workspace)
        masks = open_store(workspace, mask_key)
        views["lungs_erased"], views["lungs_only"] = View(images, rows, masks, True), View(images, rows, masks)
    return Audited(chosen, views, masks, digest(store, mask_key, rows.tolist(), FRAME))


def inputs_of(
    chosen: Audited, extraction: Extraction, backbone: keras.Model, workspace: Workspace, pooled: Features | None = None
) -> dict[str, Float]:
    """What the linear model is given: float32 (n, K) for each input.

    full, border, lungs_erased, lungs_only: the frozen backbone's pooled features, kept on disk; histogram: nine
    statistics of the grey levels; thumbnail_8x8: 64 mean grey levels.

    Parameters
    ----------
    pooled : Features, optional
        The pooled features of all images of the store, where they are at hand.
    """
    images, rows = chosen.views["full"], range(len(chosen.manifest))
    cheap: dict[str, Callable[[Pixels], Float]] = {"histogram": histogram, "thumbnail_8x8": thumbnail}
    described = in_parallel(lambda row: [take(_grey(images[row : row + 1][0])) for take in cheap.values()], rows)
    found = dict(zip(cheap, map(np.array, zip(*described, strict=True)), strict=True))
    prefix = Prefix(trunk_of(backbone), [POOL], extraction.backbone, extraction.scaling, images.shape[1:])
    for name, view in chosen.views.items():
        if name == "full" and pooled is not None:
            found[name] = pooled.rows(view.rows).astype(np.float32)
            continue
        path = workspace.features(digest(extraction.features_key(POOL), chosen.key, name)) / "pooled.npy"
        if not path.is_file():
            with whole(path) as draft:
                np.save(draft, _pooled(prefix, view, name))
        found[name] = np.load(path, mmap_mode="r", allow_pickle=False)
    return found


def _pooled(prefix: Prefix, view: View, name: str) -> Float:
    """The prefix' pooled features of all images: float32 (n, K)."""
    features = np.empty((len(view), *prefix.shapes[0]), np.float32)
    with progress(total=len(view), desc=name, unit="image") as bar:

        def write(start: int, blocks: Sequence[Float]) -> None:
            features[start : start + len(blocks[0])] = blocks[0]
            bar.update(len(blocks[0]))

        prefix.run(view, write)
    return features


def _grey(image: Pixels) -> Pixels:
    return image if image.ndim == 2 else np.asarray(Image.fromarray(image).convert("L"))


def histogram(image: Pixels) -> Float:
    """Mean, deviation, skewness, kurtosis and five percentiles of a grey image (H, W): float32 (9,)."""
    levels = np.bincount(image.ravel(), minlength=256) / image.size
    values = np.arange(256)
    mean = levels @ values
    deviation = float(np.sqrt(levels @ (values - mean) ** 2))
    moments = [levels @ ((values - mean) / (deviation or 1)) ** power for power in (3, 4)]
    percentiles = np.searchsorted(levels.cumsum(), np.array(PERCENTILES) / 100)
    return np.array([mean, deviation, *moments, *percentiles], np.float32)


def thumbnail(image: Pixels) -> Float:
    """Mean grey levels over a grid of 8 x 8: float32 (64,)."""
    small = Image.fromarray(image).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel()


def linear_model(values: Float, labels: NDArray[np.object_]) -> Pipeline:
    """Fit multinomial logistic regression on standardised inputs (a linear probe: Alain and Bengio, arXiv 1610.01644).

    Parameters
    ----------
    values : float32 (n, K)
    labels : str (n,)
    """
    model = make_pipeline(StandardScaler(), LogisticRegression(C=LOOSENESS / values.shape[1], max_iter=2000))
    return model.fit(values, labels)


def coefficients(model: Pipeline) -> tuple[Float, Float]:
    """A linear model's coefficients (C, K) and biases (C,) in units of its inputs."""
    scaler, regression = model
    weights, biases = regression.coef_ / scaler.scale_, regression.intercept_
    if len(weights) == 1:  # two classes: scikit-learn keeps the second's score alone
        weights, biases = np.vstack([0 * weights, weights]), np.append(0 * biases, biases)
    return weights.astype(np.float32), (biases - weights @ scaler.mean_).astype(np.float32)


def probe(values: Float, labels: pd.Series, manifest: pd.DataFrame, *, shuffle: int | None = None) -> pd.DataFrame:
    """Fit the linear model on the training images and predict the validation images.

    Parameters
    ----------
    values : float32 (n, K)
    labels : Series of str (n,)
    manifest : DataFrame
        Columns image_id, group, split.
    shuffle : int, optional
        Seed of a permutation of the training labels, after which nothing can be learned.

    Returns
    -------
    DataFrame
        As of `lab_utils.evaluation.predictions.predictions_table`.
    """
    train = (manifest["split"] == "train").to_numpy()
    known = labels[train].to_numpy()
    if shuffle is not None:
        known = np.random.default_rng(shuffle).permutation(known)
    model = linear_model(values[train], known)
    judged = manifest[~train].assign(**{"class": labels[~train]})
    return predictions_table(judged, list(model.classes_), model.predict_proba(values[~train]))


def shortcuts(inputs: dict[str, Float], manifest: pd.DataFrame) -> pd.DataFrame:
    """The linear model's scores on every input, and on the full image with its training labels shuffled.

    Returns
    -------
    DataFrame
        Columns input, accuracy, macro_f1, low, high (95 % interval of the accuracy): fractions in [0, 1].
    """
    labels = manifest["class"]
    tables = {name: probe(inputs[name], labels, manifest) for name in INPUTS if name in inputs}
    tables["permuted_labels"] = probe(inputs["full"], labels, manifest, shuffle=0)
    return pd.DataFrame([{"input": name, **_scored(table)} for name, table in tables.items()])


def _scored(predictions: pd.DataFrame) -> dict[str, float]:
    table = intervals(predictions).set_index("measure")
    accuracy, low, high = map(float, table.loc["accuracy", ["value", "low", "high"]])
    return {"accuracy": accuracy, "macro_f1": float(table["value"]["macro_f1"]), "low": low, "high": high}


def sources(full: Float, manifest: pd.DataFrame) -> pd.DataFrame:
    """How far images, sources and classes give each other away; empty without metadata sheets.

    Parameters
    ----------
    full : float32 (n, K)
        Features of the full images.

    Returns
    -------
    DataFrame
        Columns question, among (class; empty: all), images (judged), choices, majority (accuracy of the commonest
        answer), accuracy, low, high (95 % interval). Questions: "class from the source" (each source's commonest class
        in training), "source from the image" (of all images, then within each class of several sources; sources with
        20 images or more, on both sides of the split), "class from the image" (between COVID and Lung_Opacity alone,
        both adults).
    """
    rule = source_rule(manifest)
    if rule is None:
        return pd.DataFrame(columns=SOURCES)
    choices = of_large_sources(manifest)["class"].nunique()
    rows = [("class from the source", "", rule.images, choices, rule.majority, rule.accuracy, rule.low, rule.high)]
    asked = [("source from the image", "", "source", manifest)]
    asked += [("source from the image", str(name), "source", own) for name, own in manifest.groupby("class")]
    if set(PAIR) <= set(manifest["class"]):
        pair = manifest[manifest["class"].isin(PAIR)]
        asked.append(("class from the image", " / ".join(PAIR), "class", pair))
    for question, among, column, own in asked:
        own = _on_both_sides(of_large_sources(own) if column == "source" else own, column)
        if own[column].nunique() > 1:
            found = _scored(probe(full[own.index], own[column], own))
            judged = own.loc[own["split"] == "validation", column]
            most = judged.value_counts(normalize=True).iloc[0]
            row = (len(judged), own[column].nunique(), most, found["accuracy"], found["low"], found["high"])
            rows.append((question, among, *row))
    return pd.DataFrame(rows, columns=SOURCES)


def _on_both_sides(images: pd.DataFrame, column: str) -> pd.DataFrame:
    """Those images whose value in a column is found in training and in validation."""
    return images[images.groupby(column)["split"].transform("nunique") == 2]
