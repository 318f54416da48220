"""Grad-CAM of any trained Keras model, and of linear models on pooled features."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lab_utils.core.errors import LabError
from lab_utils.data.arrays import SlicedImages
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.convolutions import ordered_convolutions
from lab_utils.models.cut import Graph, graph_of, moves_in_training
from lab_utils.models.engine import FeatureExtractor, Float, to_rgb
from lab_utils.models.features import cached_features
from lab_utils.models.runtime import keras, tf

BATCH = 64  # images per pass
RANDOM_HEADS = 20  # a share above those of all random heads has p < 1/20


class AttributionError(LabError):
    """A network that Grad-CAM cannot explain."""


@dataclass(frozen=True)
class Attribution:
    """Grad-CAM of some images, each for its predicted class."""

    maps: Float  # (n, h, w), not negative: one value per cell of the last feature map
    predicted: NDArray[np.int64]  # (n,), index of the predicted class
    confidence: Float  # (n,), in [0, 1]: probability of the predicted class
    random_maps: Float | None = None  # (m, heads, h, w): of m of the images, with random heads
    random_rows: NDArray[np.int64] | None = None  # (m,): which of the n images

    def first(self, count: int) -> "Attribution":
        """Return the first images, among them those with random heads."""
        return replace(self, **{name: getattr(self, name)[:count] for name in ("maps", "predicted", "confidence")})


def grad_cam(maps: Any, gradients: Any) -> Any:
    """Weight feature maps (n, h, w, K) by the mean gradient of the score: (n, h, w).

    Negative sums become zero.

    Selvaraju et al., *Grad-CAM*, ICCV 2017 (arXiv 1610.02391), equations 1 and 2.
    """
    weights = tf.reduce_mean(gradients, axis=(1, 2), keepdims=True)
    return tf.nn.relu(tf.reduce_sum(weights * maps, axis=-1))


def attribute(
    model: Any, data: LabelledImages, rows: NDArray[np.int64], random_rows: NDArray[np.int64] | None = None
) -> Attribution:
    """Compute Grad-CAM for the images of some rows (n,) of the data.

    Those of `random_rows` (m,), numbers below n, are explained with random heads too. A random head is the part behind
    the last feature map with random kernels. Its maps show what Grad-CAM gives although the head has learned nothing:
    the randomisation test of Adebayo et al., *Sanity Checks for Saliency Maps*, NeurIPS 2018 (arXiv 1810.03292).

    Raises
    ------
    AttributionError
        If the model has no feature map (N, h, w, K) that alone leads to its output, or no softmax layer at its end.
    """
    graph = graph_of(model)
    last = last_map(graph)
    # Features that are cached lie before the last convolution, also where the head alone was trained.
    convolutions = ordered_convolutions(Graph(graph.input, graph.steps[: last + 1]))
    explained_layer = [graph.steps[last].layer, *convolutions][-1]
    place = graph.cut_place(lambda layer: moves_in_training(layer) or layer is explained_layer)
    inputs = data.images if place < 0 else cached_features(graph, [place], data)[0].values
    explained, randomised = _explainer(graph, place, last)

    def computed(function: Any, chosen: NDArray[np.int64]) -> list[Any]:
        parts = [function(inputs[chosen[start : start + BATCH]]) for start in range(0, len(chosen), BATCH)]
        return [np.concatenate(part) for part in zip(*parts, strict=True)]

    attribution = Attribution(*computed(explained, rows))
    if random_rows is None:
        return attribution
    return replace(attribution, random_maps=computed(randomised, rows[random_rows])[0], random_rows=random_rows)


def attribute_image(model: Any, image: NDArray[np.uint8]) -> tuple[Float, Attribution]:
    """Predict one image that is not part of the data: its probabilities (C,) and its Grad-CAM.

    The image is uint8 (H, W) or (H, W, 3), of the size that the model takes.
    """
    graph = graph_of(model)
    explained, _ = _explainer(graph, -1, last_map(graph))
    batch = image[None]
    probabilities = np.asarray(model(to_rgb(batch), training=False))[0]
    return probabilities, Attribution(*(part.numpy() for part in explained(batch)))


def attribute_linear(
    extractor: FeatureExtractor, images: SlicedImages, coefficients: Float, biases: Float
) -> Attribution:
    """Compute Grad-CAM of a linear model on pooled features.

    Its coefficients are (C, K), its biases (C,).

    `extractor` gives the backbone's last feature map (h, w, K). The gradient of the score is the coefficients over the
    number of cells.
    """
    count, (height, width, _) = len(images), extractor.shapes[0]
    result = Attribution(
        np.empty((count, height, width), np.float32), np.empty(count, np.int64), np.empty(count, np.float32)
    )

    def write(start: int, blocks: Sequence[Float]) -> None:
        maps = blocks[0]
        scores = maps.mean(axis=(1, 2)) @ coefficients.T + biases
        best = scores.argmax(axis=1)
        rows = slice(start, start + len(maps))
        result.maps[rows] = np.einsum("nhwk,nk->nhw", maps, coefficients[best] / (height * width)).clip(0)
        result.predicted[rows] = best
        result.confidence[rows] = np.exp(scores.max(axis=1) - np.logaddexp.reduce(scores, axis=1))

    extractor.run(images, write)
    return result


def last_map(graph: Graph) -> int:
    """Find the last step that gives a feature map through which everything passes."""
    places = [place for place in graph.cuts() if len(graph.steps[place].output.shape) == 4]
    if not places:
        raise AttributionError(
            "Grad-CAM needs a feature map (N, h, w, K) that alone leads to the output; this model has none"
        )
    return places[-1]


def _explainer(graph: Graph, place: int, last: int) -> tuple[Any, Any]:
    """Compile two functions of a batch at step `place`.

    The first gives maps, class and confidence, the second the maps of all random heads.
    """
    above = graph.part(place, last) if last > place else None
    head, final = graph.part(last, len(graph.steps) - 2), graph.steps[-1].layer
    if not (isinstance(final, keras.layers.Dense) and final.activation is keras.activations.softmax):
        raise AttributionError(
            f"Grad-CAM needs a dense softmax layer at the end of the model, found {type(final).__name__}"
        )

    def features(batch: Any) -> Any:
        values = to_rgb(batch) if place < 0 else tf.cast(batch, tf.float32)
        return values if above is None else above(values, training=False)

    def cam_and_scores(maps: Any) -> tuple[Any, Any]:
        with tf.GradientTape() as tape:
            tape.watch(maps)
            scores = head(maps, training=False) @ final.kernel
            if final.use_bias:
                scores += final.bias  # before the softmax
            best = tf.reduce_max(scores, axis=-1)
        return grad_cam(maps, tape.gradient(best, maps)), scores

    @tf.function(autograph=False, reduce_retracing=True)
    def explained(batch: Any) -> Any:
        cam, scores = cam_and_scores(features(batch))
        return cam, tf.argmax(scores, axis=-1), tf.reduce_max(tf.nn.softmax(scores), axis=-1)

    @tf.function(autograph=False, reduce_retracing=True)
    def randomised(batch: Any) -> Any:
        maps, kernels = features(batch), [one for one in (*head.weights, *final.weights) if len(one.shape) > 1]

        def cam(number: Any) -> Any:
            drawn = [(kernel, _glorot(kernel.shape, (number, index))) for index, kernel in enumerate(kernels)]
            with keras.StatelessScope(state_mapping=drawn):
                return cam_and_scores(maps)[0]

        return (tf.transpose(tf.map_fn(cam, tf.range(RANDOM_HEADS), fn_output_signature=tf.float32), [1, 0, 2, 3]),)

    return explained, randomised


def _glorot(shape: tuple[int, ...], seed: tuple[Any, int]) -> Any:
    """Draw a kernel as Keras does before training (Glorot and Bengio, AISTATS 2010)."""
    limit = (6 / (int(np.prod(shape[:-1])) + shape[-1])) ** 0.5
    return tf.random.stateless_uniform(shape, seed, -limit, limit)
