from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.models.backbone import freeze, scaling_layer, trunk_of
from lab_utils.models.convolutions import last_convolutions
from lab_utils.models.cut import Graph, graph_of, joined
from lab_utils.models.matrix_product import with_matrix_products
from lab_utils.models.pretrained import obtain_backbone
from lab_utils.models.runtime import keras, tf
from tests.models.conftest import Build

layers = keras.layers


@pytest.fixture(scope="module")
def mobilenet() -> keras.Model:
    return obtain_backbone("MobileNetV2", 64, weights="random", synthetic=True)[0]


def trunk(backbone: keras.Model, size: int = 64) -> Graph:
    return graph_of(trunk_of(backbone, scaling_layer("MobileNetV2", "unit"), (size, size, 3)))


def named(*names: str) -> Callable[[Any], bool]:
    return lambda layer: layer.name in names


@pytest.mark.parametrize(
    ("convs", "cut", "shape"),
    [
        (2, "block_16_depthwise_relu", (2, 2, 960)),
        (1, "block_16_project_BN", (2, 2, 320)),
        (0, "global_average_pooling2d", (1280,)),
    ],
)
def test_the_graph_is_cut_right_before_what_is_trained(
    mobilenet: keras.Model, convs: int, cut: str, shape: tuple[int, ...]
) -> None:
    graph = trunk(mobilenet)
    step = graph.steps[graph.cut_place(last_convolutions(mobilenet, convs).__contains__)]
    assert step.layer.name.startswith(cut)
    assert step.output.shape[1:] == shape


def test_a_cut_never_lies_inside_a_residual_block(mobilenet: keras.Model) -> None:
    graph = trunk(mobilenet)
    assert graph.steps[graph.cut_place(named("block_15_project"))].layer.name == "block_14_add"
    assert graph.cut_place(named("Conv1")) == -1, "scaling alone is not worth keeping"


def test_a_backbone_with_operations_that_are_no_layers_is_cut_too() -> None:
    backbone = obtain_backbone("MobileNetV3Small", 32, weights="random", synthetic=True)[0]
    graph = trunk(backbone, 32)
    assert any(not isinstance(step.layer, layers.Layer) for step in graph.steps)
    step = graph.steps[graph.cut_place(last_convolutions(backbone, 1).__contains__)]
    assert step.output.shape[1:] == (1, 1, 96)


def classifier(*inner: Any, frozen: bool = True) -> keras.Model:
    """A small model: a convolution, frozen or not, some layers, and a head."""
    stem = layers.Conv2D(4, 3, trainable=not frozen)
    return keras.Sequential([keras.Input((8, 8, 3)), stem, *inner, layers.Flatten(), layers.Dense(2)])


@pytest.mark.parametrize(
    ("model", "cut"),
    [
        (lambda: classifier(), "Flatten"),
        (lambda: classifier(frozen=False), None),
        (lambda: classifier(layers.ReLU(), layers.Dropout(0.5)), "ReLU"),
        (lambda: classifier(layers.BatchNormalization(center=False, scale=False)), "Conv2D"),
        (lambda: classifier(layers.BatchNormalization(trainable=False)), "Flatten"),
        (lambda: classifier(layers.Dropout(0.5, trainable=False)), "Conv2D"),  # still draws, as in Keras
        (lambda: keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), *classifier().layers]), None),
    ],
)
def test_what_training_changes_or_draws_at_random_is_never_cached(
    model: Callable[[], keras.Model], cut: str | None
) -> None:
    graph = graph_of(model())
    place = graph.cut_place()
    assert (type(graph.steps[place].layer).__name__ if place >= 0 else None) == cut


def test_an_image_that_is_used_again_later_forbids_a_cut() -> None:
    image = keras.Input((8, 8, 3))
    maps = layers.Conv2D(3, 1, trainable=False)(image)
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(layers.Add()([maps, image]))))
    assert type(graph_of(model).steps[graph_of(model).cut_place()].layer).__name__ == "Flatten"
    late = keras.Model(
        image, layers.Dense(2)(layers.Flatten()(layers.Concatenate()([layers.Conv2D(3, 1)(maps), image])))
    )
    assert graph_of(late).cut_place() == -1


def shared_layer(image: Any) -> Any:
    """A layer that is called in front of the cut and behind it."""
    relu = layers.ReLU()
    maps = relu(layers.Conv2D(3, 3, trainable=False)(image))
    return relu(layers.Conv2D(3, 3)(maps))


def shared_convolution(image: Any) -> Any:
    """A frozen 1x1 convolution in front of the trained one and twice behind it."""
    convolution = layers.Conv2D(3, 1, trainable=False)
    return convolution(convolution(layers.Conv2D(3, 3)(convolution(image))))


def shared_model(image: Any) -> Any:
    """A model of frozen and trained layers that is called twice."""
    inner = keras.Sequential([layers.Conv2D(3, 1, trainable=False), layers.Conv2D(3, 1)])
    return inner(inner(layers.Conv2D(3, 1, trainable=False)(image)))


def several_outputs(image: Any) -> Any:
    """A frozen model of two outputs, of which one is trained on."""
    inner = keras.Input((8, 8, 3))
    frozen = keras.Model(inner, [layers.Conv2D(3, 1)(inner), layers.Conv2D(2, 1)(inner)])
    frozen.trainable = False
    first, second = frozen(image)
    return layers.Concatenate()([layers.Conv2D(3, 1)(first), second])


def frozen_behind_trained(image: Any) -> Any:
    """A frozen layer behind a trained one."""
    return layers.Conv2D(3, 1, trainable=False)(layers.Conv2D(3, 1)(layers.Conv2D(3, 1, trainable=False)(image)))


@pytest.mark.parametrize(
    ("build_maps", "cut"),
    [
        (shared_layer, "ReLU"),
        (shared_convolution, "Conv2D"),
        (shared_model, "Conv2D"),
        (several_outputs, None),
        (frozen_behind_trained, "Conv2D"),
    ],
)
def test_the_parts_of_any_graph_give_the_model_and_train_what_it_trains(
    build_maps: Callable[[Any], Any], cut: str | None
) -> None:
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(build_maps(image))))
    graph = graph_of(model)
    place, last = graph.cut_place(), len(graph.steps) - 1
    assert (type(graph.steps[place].layer).__name__ if place >= 0 else None) == cut
    images = np.random.default_rng(0).random((2, 8, 8, 3), np.float32)
    part = with_matrix_products(graph.part(place, last))
    features = images if place < 0 else graph.part(-1, place)(images)
    assert np.allclose(part(features), model(images), atol=1e-6)
    assert {id(weight) for weight in part.trainable_weights} == {id(weight) for weight in model.trainable_weights}


def test_a_layer_that_is_unfrozen_in_a_frozen_model_moves() -> None:
    inner = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(2, 1), layers.Conv2D(2, 1), layers.ReLU()])
    inner.trainable = False
    inner.layers[1].trainable = True
    model = keras.Sequential([keras.Input((8, 8, 3)), inner, layers.Flatten(), layers.Dense(2)])
    assert len(model.trainable_weights) == 4, "Keras trains it"
    assert graph_of(model).cut_place() == 0


class Halved(layers.Layer):
    """A student's layer."""

    def call(self, image: Any) -> Any:
        return image / 2

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


@pytest.mark.parametrize(
    "layer",
    [
        Halved,
        lambda: layers.Lambda(lambda image: image / 2),
        lambda: layers.Conv2D(4, 1, activation=lambda values: values / 2),
        lambda: layers.TimeDistributed(Halved()),
    ],
)
def test_code_that_may_change_without_a_trace_is_never_cached(layer: Callable[[], Any]) -> None:
    given = layer()
    given.trainable = False
    assert graph_of(classifier(given)).cut_place() == 0


def test_constants_and_the_choice_of_an_output_are_part_of_the_key() -> None:
    frozen = layers.Conv2D(4, 1, trainable=False)

    def key(change: Callable[[Any], Any]) -> str:
        image = keras.Input((8, 8, 3))
        graph = graph_of(keras.Model(image, layers.Dense(2)(layers.Flatten()(change(image)))))
        return graph.key(graph.cut_place())

    means = np.zeros((8, 8, 3), np.float32)
    other = means.copy()
    other[4, 4, 1] = 1
    changes: list[Callable[[Any], Any]] = [
        lambda image: frozen(image * 2.0),
        lambda image: frozen(image * 3.0),
        lambda image: frozen(image - means),
        lambda image: frozen(image - other),
        lambda image: frozen(image)[:, ::2],
        lambda image: frozen(image)[:, 1::2],
        lambda image: keras.ops.split(frozen(image), 2, axis=-1)[0],
        lambda image: keras.ops.split(frozen(image), 2, axis=-1)[1],
    ]
    assert len({key(change) for change in changes}) == len(changes)
    assert key(changes[3]) == key(changes[3])


def test_a_model_inside_a_model_is_followed_however_it_was_built(build: Build) -> None:
    sequential = build("last_conv")
    image = keras.Input((64, 64, 3))
    values = image
    for layer in sequential.layers:
        values = layer(values)
    functional = keras.Model(image, values)
    functional.compile("adam", loss=lambda truth, guess: keras.ops.mean(guess))
    first, second = graph_of(sequential), graph_of(functional)
    assert [step.layer.name for step in first.steps] == [step.layer.name for step in second.steps]
    assert first.cut_place() == second.cut_place()
    images = np.random.default_rng(0).random((2, 64, 64, 3), np.float32) * 255
    flat = first.part(-1, len(first.steps) - 1)
    assert np.allclose(flat(images), sequential(images), atol=1e-6)


def test_a_subclassed_model_is_refused() -> None:
    class Mine(keras.Model):
        def call(self, image: Any) -> Any:
            return image

    with pytest.raises(LabError, match="expected a Sequential or functional Keras model .* found Mine"):
        graph_of(Mine())
    image = keras.Input((8, 8, 3))
    with pytest.raises(LabError, match="found Mine"):  # its call is not what its graph says
        graph_of(Mine(image, layers.ReLU()(image)))


def test_the_key_is_what_the_frozen_layers_compute(build: Build) -> None:
    def key(model: keras.Model) -> str:
        graph = graph_of(model)
        return graph.key(graph.cut_place())

    first, again, other = build("last_conv"), build("last_conv", seed=5, head=(8,)), build("fc_only")
    assert key(first) == key(again), "names, head and seed do not count"
    assert key(first) != key(other)
    kernel = again.layers[1].get_layer("Conv1").kernel
    kernel.assign(kernel + 1)
    assert key(first) != key(again)


def test_freezing_keeps_each_layer_s_own_flag(mobilenet: keras.Model) -> None:
    freeze(mobilenet)
    mobilenet.get_layer("Conv_1").trainable = True
    assert [weight.path.split("/")[-2] for weight in mobilenet.trainable_weights] == ["Conv_1"]


def test_a_frozen_backbone_draws_nothing_at_random() -> None:
    backbone = obtain_backbone("EfficientNetB0", 32, weights="random", synthetic=True)[0]
    freeze(backbone)
    graph = trunk(backbone, 32)
    assert graph.cut_place() == len(graph.steps) - 1
    images = np.random.default_rng(0).random((2, 32, 32, 3), np.float32)
    assert np.allclose(backbone(images, training=True), backbone(images, training=False))


@pytest.mark.parametrize("shared", [True, False])
def test_joined_models_give_the_outputs_of_both(*, shared: bool) -> None:
    image, frozen = keras.Input((8, 8, 3)), layers.Conv2D(4, 3, trainable=False)
    features = keras.Model(image, layers.GlobalAveragePooling2D()(frozen(image)))
    maps = frozen(image) if shared else layers.Conv2D(4, 3)(image)
    network = keras.Model(image, layers.Dense(2, "softmax")(layers.Flatten()(maps)))
    both = joined(features, network)
    images = np.random.default_rng(0).random((2, 8, 8, 3)).astype(np.float32)
    for output, model in zip(both(images), (features, network), strict=True):
        assert np.allclose(output, model(images), atol=1e-6)
    compiled = tf.function(both).get_concrete_function(tf.TensorSpec(images.shape))
    assert [operation.type for operation in compiled.graph.get_operations()].count("Conv2D") == (1 if shared else 2)
