from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pandas as pd
import pytest
from huggingface_hub import ModelCard

from lab_utils.core.catalogue import catalogue, write_table
from lab_utils.core.config import Experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.evaluation.runs import Run
from lab_utils.reporting.model_card import data_link, data_name, external_results, limits, model_card

NAMES = {"protocol": "described", "scenario": "last_conv", "seed": 0}
HOSTILE = "<script>alert(1)</script>|\n# x"
CONFIG = {
    "classes": ["a", HOSTILE],
    "input": {"height": 64, "width": 64, "interpolation": "nearest"},
    "scaling_inside_the_network": {"scale": [1.0, 1.0, 1.0], "offset": [-103.9, -116.8, -123.7], "channels": "BGR"},
}
EXPORTED: list[Any] = [
    SimpleNamespace(file="model.tflite", title="LiteRT", content=b"x", difference=2.3e-6, problem=""),
    SimpleNamespace(file="model.onnx", title="ONNX", content=b"", difference=0.0, problem="cannot be converted (why)"),
]


def dataset(kind: str = "folder", classes: tuple[str, ...] = ("a", "b")) -> Any:
    return SimpleNamespace(kind=kind, synthetic=kind == "phantom", classes={name: {"images": 25} for name in classes})


def save(workspace: Workspace, name: str, *rows: dict[str, Any]) -> None:
    """Write a table of which the rows name some cells."""
    write_table(workspace, name, pd.DataFrame(rows, columns=list(catalogue()[name].columns)))


@pytest.fixture
def run(lab: Workspace, experiment: Experiment) -> Run:
    """A run of a network with scores inside, without audits or other collections."""
    run = Run(
        experiment.protocol("described"), experiment.scenario("last_conv"), 0, lab.run("described", "last_conv", 0)
    )
    record = {
        "scenario": run.scenario.model_dump(),
        "protocol": run.protocol.model_dump(),
        "seed": 0,
        "images": {"train": 30, "validation": 20},
        "dataset": {"fingerprint": "0123", "classes": {"a": {"images": 25}, HOSTILE: {"images": 25}}},
        "weights": "imagenet",
        "finished": "2026-11-26T06:35:20+00:00",
        "commit": "2f69",
    }
    write_json(run.folder / "run.json", record)
    scores = {"class": "", "value": 0.85, "low": 0.7, "high": 0.95}
    save(
        lab,
        "intervals",
        {**NAMES, "measure": "accuracy", **scores},
        {**NAMES, "seed": 1, "measure": "accuracy", **scores},
    )
    save(lab, "test_scores", {**NAMES, "measure": "accuracy", **scores, "value": 0.8, "images": 12})
    for name in ("probes", "leaks", "attribution", "findings_by_protocol", "suspects", "audits_left_out"):
        save(lab, name)
    return run


def card_of(run: Run, workspace: Workspace, tmp_path: Path, **changes: Any) -> ModelCard:
    options: dict[str, Any] = {"title": HOSTILE, "compared": 20, "example": "radiograph.png", "is_best": True}
    text = model_card(run, changes.pop("dataset", dataset()), workspace, CONFIG, EXPORTED, **options)
    (tmp_path / "README.md").write_text(text, encoding="utf-8")
    return ModelCard.load(tmp_path / "README.md")


def test_the_card_of_real_data_names_formats_preprocessing_and_terms(run: Run, lab: Workspace, tmp_path: Path) -> None:
    card = card_of(run, lab, tmp_path)
    assert (card.data.license, card.data.license_name) == ("other", "see-section-licence")
    results = {result.dataset_split: result.metric_value for result in card.data.eval_results}
    assert results == {"validation": 0.85, "test": 0.8}
    for text in (
        "There is no ONNX file: the network cannot be converted \\(why\\)",
        "`2e-06` at most, on 20 validation images",
        "exchanges red and blue",
        "offset `-103.9`, `-116.8` and `-123.7` (one number per channel)",
        "64 × 64 pixels with nearest interpolation",
        "| 12 test images | accuracy | 80.0\u00a0% [70.0, 95.0] |",
        "not judged on another collection",
        "this folder holds no image",
        "those of their owner",
        "`keras.applications`",
        'load_img("radiograph.png"',
        "the last convolutional layer and the head",
    ):
        assert text in card.text
    assert "onnxruntime" not in card.text
    assert "<script>" not in card.text
    assert "\n# x" not in card.text


def test_limits_and_results_elsewhere_are_those_of_the_tables(run: Run, lab: Workspace, tmp_path: Path) -> None:
    bounds = {"low": 0.4, "high": 0.6, "internal": 0.9, "internal_low": 0.8, "internal_high": 0.95}
    row = {"collection": "other", **NAMES, "among": "all classes", "class": "", "other": "", "images": 33, **bounds}
    save(
        lab,
        "external",
        {**row, "measure": "accuracy", "value": 0.48},
        {**row, "measure": "accuracy", "among": "shared classes", "value": 0.53},
        {**row, "measure": "auc", "class": HOSTILE, "value": 0.63},
        {**row, "measure": "pair_auc", "class": "a", "other": HOSTILE, "value": 0.7},
        {**row, "measure": "accuracy", "value": 0.99, "scenario": "fc_only"},
    )
    save(
        lab,
        "external_images",
        {"collection": "other", "title": HOSTILE, "images": 33, "unreadable": 0, "copies": 0, "judged": 33},
    )
    probes = {"protocol": "described", "input": "border", "auc": 0.884, "auc_low": 0.8, "auc_high": 0.9}
    save(lab, "probes", {**probes, "above_null": True}, {**probes, "among": "a / b", "auc": 0.6})
    save(
        lab,
        "leaks",
        {"protocol": "described", "validation": 20, "copied": 7},
        {"protocol": "corrected", "validation": 20, "copied": 9},
    )
    save(lab, "audits_left_out", {"protocol": "described", "audit": "attribution", "reason": HOSTILE})
    suspect = {"protocol": "described", "image_id": "a/1.png", "rank": 1}
    save(lab, "suspects", *({**suspect, "claimed": claimed} for claimed in (True, True, False)))
    card = card_of(run, lab, tmp_path)
    results = {(r.dataset_type, r.metric_type, r.metric_name): r.metric_value for r in card.data.eval_results}
    assert results[("other", "accuracy", "accuracy")] == 0.48
    assert results[("other", "accuracy", "accuracy, among shared classes")] == 0.53
    assert 0.63 in results.values()
    assert not {0.7, 0.99} & set(results.values())
    assert "| 33 | accuracy | 48.0\u00a0% [40.0, 60.0] | 90.0\u00a0% [80.0, 95.0] |" in card.text
    lines = limits(run, lab, is_best=True)
    (chosen,) = set(lines) - set(limits(run, lab))
    assert chosen.startswith("The scenario was chosen by its mean validation accuracy")
    assert chosen in card.text
    assert [line for line in lines if "copy" in line] == ["7 of 20 validation images have a copy in the training set."]
    assert lines[0].startswith("A linear model on the border alone reaches a macro AUC of 0.884 [0.800, 0.900]")
    assert lines[0].endswith("which is above that of permuted labels.")
    assert [line for line in lines if line.startswith("2 labels of training and validation images are suspect")]
    assert len(lines) == 5
    assert "<script>" not in card.text.replace("\\<script\\>", "")


def test_missing_tables_are_named_or_left_out(run: Run, lab: Workspace) -> None:
    assert external_results(run, lab) == []
    (lab.root / "results" / "probes.csv").unlink()
    with pytest.raises(LabError, match="45_audit"):
        limits(run, lab)


def test_data_are_named_without_their_place() -> None:
    four = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")
    assert data_name(dataset("phantom", four)).startswith("Phantoms")
    assert data_link(dataset("phantom", four)) == ""
    assert data_name(dataset("archive", four)) == "Images of the COVID-19 Radiography Database"
    assert "kaggle.com" in data_link(dataset("archive", four))
    assert (data_name(dataset()), data_link(dataset())) == ("A private folder", "")
