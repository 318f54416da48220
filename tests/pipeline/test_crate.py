import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rocrate.rocrate import ROCrate

from lab_utils.core.config import Experiment
from lab_utils.pipeline.crate import MADE, describe

RECORD = {
    "dataset": {"fingerprint": "0123"},
    "finished": "2026-11-26T06:35:20+00:00",
    "python": "3.11.7",
    "versions": {"keras": "3.15.1"},
    "commit": "2f69",
}


@pytest.mark.parametrize("synthetic", [True, False])
def test_a_crate_is_the_same_twice_and_links_only_public_data(
    tmp_path: Path, experiment: Experiment, synthetic: bool
) -> None:
    for name in (*MADE, "README.md", "examples/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)
    run: Any = SimpleNamespace(name="corrected/fc_only/seed-0", record=RECORD)
    classes = {name: {"images": 1} for name in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")}
    dataset: Any = SimpleNamespace(kind="phantom" if synthetic else "archive", classes=classes, synthetic=synthetic)
    hostile = experiment.model_copy(update={"title": '<script> "x"\n| \u202e', "author": "A. Author"})
    first, second = (json.dumps(describe(tmp_path, run, dataset, hostile)) for _ in range(2))
    assert first == second
    (tmp_path / "ro-crate-metadata.json").write_text(first)
    crate = ROCrate(tmp_path)
    assert crate.name == f"{hostile.title}: {run.name}"
    assert crate.dereference("#author")["name"] == "A. Author"
    assert crate.datePublished.isoformat() == RECORD["finished"]
    data = crate.dereference("#data")
    assert crate.root_dataset["mentions"]["object"] is data
    assert data["identifier"] == "0123"
    assert bool(data.get("url")) is not synthetic
    assert crate.get("examples/a.png").type == "File"
