import shutil
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lab_utils.core.config import Experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.data.store import open_store
from lab_utils.models.backbone import load_backbone, scaling_layers, to_rgb, trunk_of
from lab_utils.models.features import Extraction, Features, ensure_features, ensure_rows, extract, load_extraction
from lab_utils.models.prefix import Prefix
from lab_utils.models.runtime import keras


def sets_of(lab: Workspace, convs: list[int]) -> tuple[Extraction, keras.Model, list[Features]]:
    extraction = load_extraction("described", "MobileNetV2", lab)
    backbone = load_backbone(lab, extraction.backbone_key)
    return extraction, backbone, ensure_features(extraction, backbone, convs, lab)


def test_features_are_the_prefix_s_outputs(prepared: Workspace) -> None:
    extraction, backbone, found = sets_of(prepared, [2, 1, 0])
    store = open_store(prepared, extraction.store_key)
    rows = np.array([0, 52, 7])
    images = to_rgb(store[rows])
    for layer in scaling_layers("MobileNetV2", "unit"):
        images = layer(images)
    trunk = trunk_of(backbone)
    for features in found:
        expected = np.asarray(keras.Model(trunk.input, trunk.get_layer(features.cut).output)(images, training=False))
        assert features.shape == (len(store), *expected.shape[1:])
        scale = np.abs(expected).max()
        assert np.abs(features.rows(rows) - expected).max() <= 1e-4 * scale


def test_nothing_is_computed_twice(prepared_copy: Workspace) -> None:
    files = {path: path.stat().st_mtime_ns for path in prepared_copy.features("").rglob("*.npy")}
    assert len(files) == 3
    sets_of(prepared_copy, [0])
    assert {path: path.stat().st_mtime_ns for path in prepared_copy.features("").rglob("*.npy")} == files


def test_a_further_cut_computes_that_one_alone(prepared_copy: Workspace) -> None:
    before = {path: path.stat().st_mtime_ns for path in prepared_copy.features("").rglob("*.npy")}
    _, _, (found,) = sets_of(prepared_copy, [3])
    after = {path: path.stat().st_mtime_ns for path in prepared_copy.features("").rglob("*.npy")}
    assert set(after) - set(before) == {found.shards[0].path}
    assert {path: after[path] for path in before} == before
    assert found.cut == "block_15_add"


def test_the_key_is_all_that_features_depend_on(prepared: Workspace) -> None:
    extraction = load_extraction("described", "MobileNetV2", prepared)
    key = extraction.features_key("Conv_1")
    assert replace(extraction, size=99, backbone_key="").features_key("Conv_1") == key
    others = [
        extraction.features_key("out_relu"),
        replace(extraction, scaling="backbone").features_key("Conv_1"),
        replace(extraction, store_key="x").features_key("Conv_1"),
        replace(extraction, weights_sha256="x").features_key("Conv_1"),
        replace(extraction, backbone="VGG16").features_key("Conv_1"),
        replace(extraction, storage="float16").features_key("Conv_1"),
    ]
    assert len({key, *others}) == 7


def test_a_hit_computes_nothing_and_every_kind_of_miss_does(
    prepared_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    extraction, backbone, _ = sets_of(prepared_copy, [0])
    other = prepared_copy.images("other")
    shutil.copytree(prepared_copy.images(extraction.store_key), other)
    computed: list[str] = []
    run = Prefix.run
    monkeypatch.setattr(Prefix, "run", lambda *given, **named: computed.append("once") or run(*given, **named))

    def passes(convs: int = 0, **changes: Any) -> int:
        computed.clear()
        ensure_features(replace(extraction, **changes), backbone, [convs], prepared_copy)
        return len(computed)

    assert [passes(), passes(convs=1), passes(size=99), passes(backbone_key="")] == [0] * 4
    misses: list[dict[str, Any]] = [
        {"convs": 5},
        {"scaling": "backbone"},
        {"store_key": "other"},
        {"weights_sha256": "0" * 64},
        {"storage": "float16"},
    ]
    assert [passes(**miss) for miss in misses] == [1] * len(misses)
    assert [passes(**miss) for miss in misses] == [0] * len(misses)


def test_what_is_missing_alone_is_computed_in_whatever_shards_the_rest_is(prepared_copy: Workspace) -> None:
    extraction, backbone, (features,) = sets_of(prepared_copy, [1])
    rows = np.random.default_rng(0).permutation(features.shape[0])
    expected = features.rows(rows)
    shutil.rmtree(features.shards[0].path.parent)
    for start, stop in ((5, 20), (15, 30), (40, 53)):
        ensure_rows(extraction, backbone, [1], prepared_copy, start, stop)
    shards = {path: path.stat().st_mtime_ns for path in prepared_copy.features("").rglob("*.npy")}
    (again,) = ensure_features(extraction, backbone, [1], prepared_copy)
    assert [shard.first for shard in again.shards] == [0, 5, 20, 30, 40]
    assert again.shape == (53, 2, 2, 320)
    assert np.array_equal(again.rows(rows), expected)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards


def test_protocols_with_the_same_images_and_scaling_share(prepared_copy: Workspace, experiment: Experiment) -> None:
    lab = prepared_copy
    before = sorted(path.name for path in lab.features("").iterdir())
    (lab.root / "protocols" / "other").mkdir()
    for path in (lab.root / "protocols" / "described").iterdir():
        (lab.root / "protocols" / "other" / path.name).write_bytes(path.read_bytes())
    extract(experiment, experiment.protocol("described").model_copy(update={"name": "other"}), "MobileNetV2", lab)
    assert sorted(path.name for path in lab.features("").iterdir()) == before


def test_a_truncated_file_is_reported(prepared_copy: Workspace) -> None:
    _, _, (found,) = sets_of(prepared_copy, [0])
    with found.shards[0].path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(LabError, match=r"features\.npy: not as stage 25_features wrote it; delete .* and run stage 25"):
        sets_of(prepared_copy, [0])


def test_a_file_of_other_features_is_reported(prepared_copy: Workspace) -> None:
    _, _, (found,) = sets_of(prepared_copy, [0])
    path = found.shards[0].path.with_name("features.json")
    record = read_json(path, stage="25")
    record["shape"][0] += 1
    write_json(path, record)
    with pytest.raises(LabError, match=r"features\.npy: expected float32"):
        sets_of(prepared_copy, [0])


def test_features_of_earlier_images_are_refused(prepared_copy: Workspace) -> None:
    path = prepared_copy.preprocessing("described")
    record = read_json(path, stage="20")
    write_json(path, {**record, "store": "0" * 16})
    with pytest.raises(LabError, match="the manifest now belongs to 0000000000000000; run stage 25_features again"):
        load_extraction("described", "MobileNetV2", prepared_copy)


def test_records_of_another_version_are_refused(prepared_copy: Workspace) -> None:
    path = prepared_copy.extraction("described", "MobileNetV2")
    record = read_json(path, stage="25")
    del record["storage"]
    write_json(path, record)
    with pytest.raises(LabError, match=r"written by another version of the lab .*storage.*run stage 25_features again"):
        load_extraction("described", "MobileNetV2", prepared_copy)


def test_a_run_that_is_stopped_leaves_no_half_features(
    prepared_copy: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lab_utils.models.features.ArrayWriter.write", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    before = sorted(prepared_copy.features("").rglob("*.npy"))
    with pytest.raises(KeyboardInterrupt):
        sets_of(prepared_copy, [4])
    assert sorted(prepared_copy.features("").rglob("*.npy")) == before


def test_half_precision_takes_half_the_room_and_rounds(prepared_copy: Workspace) -> None:
    extraction, backbone, (single,) = sets_of(prepared_copy, [1])
    (half,) = ensure_features(replace(extraction, storage="float16"), backbone, [1], prepared_copy)
    assert half.shards[0].path != single.shards[0].path
    sizes = [one.shards[0].path.stat().st_size - one.shards[0].offset for one in (half, single)]
    assert sizes == [half.nbytes, 2 * half.nbytes]
    rows = np.array([3, 50])
    assert half.rows(rows).dtype == np.float16
    assert np.allclose(half.rows(rows), single.rows(rows), rtol=1e-3, atol=1e-6)


def test_scenarios_seeds_and_protocols_are_no_part_of_the_key(prepared: Workspace) -> None:
    names = set(vars(load_extraction("described", "MobileNetV2", prepared)))
    assert names == {"backbone", "weights", "weights_sha256", "backbone_key", "store_key", "scaling", "size", "storage"}
