import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lab_utils.core.config import Experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.data.store import open_store
from lab_utils.models import shards
from lab_utils.models.backbone import load_backbone
from lab_utils.models.features import ensure_features, extract, record_weights, recorded_weights
from lab_utils.models.shards import compute_shard, shard_rows
from tests.conftest import PROJECT

NAMES = ("described", "MobileNetV2")


@pytest.fixture
def three(experiment: Experiment) -> Experiment:
    return replace(experiment, shards=3)


def pieces(lab: Workspace) -> dict[str, int]:
    return {lab.relative(path): path.stat().st_mtime_ns for path in lab.features("").rglob("features.json")}


def test_shards_computed_by_themselves_are_what_the_stage_finds(prepared_copy: Workspace, three: Experiment) -> None:
    lab, protocol = prepared_copy, three.protocol("described")
    half = replace(three, storage="float16")
    record_weights(half, protocol, "MobileNetV2", lab)
    assert recorded_weights(three, protocol, "MobileNetV2", lab) is None
    extraction = recorded_weights(half, protocol, "MobileNetV2", lab)
    assert extraction is not None
    count = len(open_store(lab, extraction.store_key))
    for number in (3, 1, 2):
        compute_shard(half, *NAMES, number, lab)
        assert read_json(lab.shard(*NAMES, number, 3), stage="25")["rows"] == list(shard_rows(count, 3, number))
    before = pieces(lab)
    assert extract(half, protocol, "MobileNetV2", lab) == extraction
    assert pieces(lab) == before
    (features,) = ensure_features(extraction, load_backbone(lab, extraction.backbone_key), [1], lab)
    assert [shard.first for shard in features.shards] == [shard_rows(count, 3, number)[0] for number in (1, 2, 3)]


def test_a_shard_that_is_there_is_not_computed_again(prepared_copy: Workspace, three: Experiment) -> None:
    record_weights(three, three.protocol("described"), "MobileNetV2", prepared_copy)
    compute_shard(three, *NAMES, 2, prepared_copy)
    before = pieces(prepared_copy)
    compute_shard(three, *NAMES, 2, prepared_copy)
    assert pieces(prepared_copy) == before


def test_weights_come_before_shards(prepared_copy: Workspace, three: Experiment) -> None:
    with pytest.raises(LabError, match=r"weights-MobileNetV2\.json: not there.*run snakemake"):
        compute_shard(three, *NAMES, 1, prepared_copy)


def test_weights_settled_for_other_images_are_not_used(prepared_copy: Workspace, three: Experiment) -> None:
    protocol = three.protocol("described")
    record_weights(three, protocol, "MobileNetV2", prepared_copy)
    assert recorded_weights(three, protocol, "MobileNetV2", prepared_copy) is not None
    assert recorded_weights(replace(three, weights="auto"), protocol, "MobileNetV2", prepared_copy) is None
    assert recorded_weights(three, replace(protocol, scaling="backbone"), "MobileNetV2", prepared_copy) is None
    prepared_copy.manifest("described").write_text(prepared_copy.manifest("described").read_text() + " ")
    assert recorded_weights(three, protocol, "MobileNetV2", prepared_copy) is None


@pytest.mark.parametrize("number", [0, 4])
def test_there_is_no_such_shard(prepared: Workspace, three: Experiment, number: int) -> None:
    with pytest.raises(LabError, match=rf"shard {number}: the experiment says `shards: 3`, so they are 1 to that"):
        compute_shard(three, *NAMES, number, prepared)


def test_the_command_says_in_one_line_what_is_wrong(
    prepared: Workspace, config: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["shards", "nonsense", "MobileNetV2", "--workspace", str(prepared.root), "--config", str(config)]
    monkeypatch.setattr(sys, "argv", words)
    assert shards.main() == 1
    assert "failed after 0 s\nno protocol 'nonsense'" in capsys.readouterr().out


def test_the_command_settles_the_weights(prepared_copy: Workspace, config: Path) -> None:
    words = ["described", "MobileNetV2", "--workspace", str(prepared_copy.root), "--config", str(config)]
    done = subprocess.run(
        [sys.executable, "-m", "lab_utils.models.shards", *words],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("finished in ")
    assert prepared_copy.weights(*NAMES).is_file()


def test_more_shards_than_images_are_no_harm() -> None:
    assert [shard_rows(2, 5, number) for number in range(1, 6)] == [(0, 0), (0, 0), (0, 1), (1, 1), (1, 2)]
