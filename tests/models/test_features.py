import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.data.labelled import LabelledImages
from lab_utils.models.backbone import scaling_layer, trunk_of
from lab_utils.models.convolutions import last_convolutions
from lab_utils.models.cut import graph_of
from lab_utils.models.engine import FeatureExtractor, to_rgb
from lab_utils.models.features import Features, cut_table, features_by_depth, principal_components
from lab_utils.models.runtime import keras

UNIT = "unit"


def compute(data: LabelledImages, backbone: keras.Model, *depths: int, scaling: Any = UNIT) -> list[Features]:
    return list(features_by_depth(backbone, scaling_layer("MobileNetV2", scaling), depths, data).values())


def arrays(data: LabelledImages) -> dict[str, int]:
    return {path.parent.name: path.stat().st_mtime_ns for path in data.features_folder.rglob("*.npy")}


def test_features_are_the_frozen_layers_outputs(shared_data: LabelledImages, backbone: keras.Model) -> None:
    rows = np.array([0, 52, 7])
    graph = graph_of(trunk_of(backbone, scaling_layer("MobileNetV2", "unit"), (64, 64, 3)))
    for depth, features in zip((2, 1, 0), compute(shared_data, backbone, 2, 1, 0), strict=True):
        trained = last_convolutions(backbone, depth)
        place = graph.cut_place(lambda layer, trained=trained: layer in trained)
        expected = np.asarray(graph.part(-1, place)(to_rgb(shared_data.images[rows]), training=False))
        assert features.values.shape == (len(shared_data), *expected.shape[1:])
        assert np.abs(features.values[rows] - expected).max() <= 1e-4 * np.abs(expected).max()


def test_nothing_is_computed_twice_and_a_further_cut_alone(data: LabelledImages, backbone: keras.Model) -> None:
    before = arrays(data)
    assert len(before) == 3
    compute(data, backbone, 0)
    assert arrays(data) == before
    (features,) = compute(data, backbone, 3)
    after = arrays(data)
    assert set(after) - set(before) == {features.key}
    assert {key: after[key] for key in before} == before
    assert features.layer == "block_15_add"


def test_a_hit_computes_nothing_and_every_kind_of_miss_does(
    data: LabelledImages, backbone: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    passes: list[str] = []
    run = FeatureExtractor.run
    monkeypatch.setattr(FeatureExtractor, "run", lambda *given, **named: passes.append("one") or run(*given, **named))

    def count(depth: int = 0, scaling: str = "unit", **changes: Any) -> int:
        passes.clear()
        compute(replace(data, **changes), backbone, depth, scaling=scaling)
        return len(passes)

    assert [count(), count(depth=1), count(classes=("other",))] == [0] * 3
    misses: list[dict[str, Any]] = [
        {"depth": 5},
        {"scaling": "backbone"},
        {"store_key": "other"},
        {"storage": "float16"},
    ]
    assert [count(**miss) for miss in misses] == [1] * len(misses)
    assert [count(**miss) for miss in misses] == [0] * len(misses)
    kernel = backbone.get_layer("Conv1").kernel
    kernel.assign(kernel * 2)
    assert [count(), count()] == [1, 0]


def test_damaged_features_are_named(data: LabelledImages, backbone: keras.Model) -> None:
    (features,) = compute(data, backbone, 0)
    path = data.features_folder / features.key / "features.npy"
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(LabError, match=r"features\.npy: not as stage 25_features wrote it; delete .* and run stage 25"):
        compute(data, backbone, 0)
    path.with_name(f".{path.name}.sha256").unlink()
    with pytest.raises(LabError, match=r"features\.npy: not readable .* delete .* and run stage 25_features again"):
        compute(data, backbone, 0)
    shutil.rmtree(path.parent)
    (again,) = compute(data, backbone, 0)
    assert again.key == features.key


def test_features_of_other_images_are_refused(data: LabelledImages, backbone: keras.Model) -> None:
    fewer = replace(data, images=data.images[:20], manifest=data.manifest[:20])
    with pytest.raises(LabError, match="53 rows, expected 20"):
        compute(fewer, backbone, 0)


def test_a_run_that_is_stopped_leaves_no_half_features(
    data: LabelledImages, backbone: keras.Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab_utils.models.features.ArrayWriter.write", stop)
    before = arrays(data)
    with pytest.raises(KeyboardInterrupt):
        compute(data, backbone, 4)
    assert arrays(data) == before


def test_half_precision_takes_half_the_room_and_rounds(data: LabelledImages, backbone: keras.Model) -> None:
    (single,) = compute(data, backbone, 1)
    (half,) = compute(replace(data, storage="float16"), backbone, 1)
    assert half.key != single.key
    assert half.values.dtype == np.float16
    assert 2 * half.values.nbytes == single.values.nbytes
    assert np.allclose(half.values, single.values, rtol=1e-3, atol=1e-6)


def test_a_depth_that_leaves_nothing_frozen_has_no_features(data: LabelledImages, backbone: keras.Model) -> None:
    assert list(features_by_depth(backbone, scaling_layer("MobileNetV2", "unit"), ["all", 35, 0], data)) == [0]


def test_the_table_of_cuts_and_the_principal_components(data: LabelledImages, backbone: keras.Model) -> None:
    features = features_by_depth(backbone, scaling_layer("MobileNetV2", "unit"), [1, 0], data)
    table = cut_table(features).set_index("trainable_convs")
    assert table["values"].to_dict() == {1: 2 * 2 * 320, 0: 1280}
    assert table["megabytes"][0] == 53 * 1280 * 4 / 1e6
    before = features[1].values[:]
    points, explained, rows = principal_components(features[1])
    assert points.shape == (53, 2)
    assert 1 > explained[0] > explained[1] > 0
    assert sorted(rows) == list(range(53))
    values = np.asarray(before[rows], float).reshape(53, -1)
    assert np.allclose(explained, points.var(axis=0, ddof=1) / values.var(axis=0, ddof=1).sum(), rtol=1e-3)
    assert np.array_equal(features[1].values, before), "the features on disk stay"


def test_a_file_of_features_that_is_gone_is_computed_again(data: LabelledImages, backbone: keras.Model) -> None:
    for name in ("features.npy", "features.json"):
        (features,) = compute(data, backbone, 0)
        (data.features_folder / features.key / name).unlink()
        (again,) = compute(data, backbone, 0)
        assert np.allclose(again.values, features.values, rtol=1e-5)
