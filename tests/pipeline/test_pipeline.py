"""The whole lab through Snakemake, on tiny data."""

import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from lab_utils.audits.masking import MASKS
from lab_utils.core.catalogue import read_table
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.evaluation.predictions import read_predictions
from tests.conftest import (
    PROJECT,
    SCENARIOS,
    SNAKEMAKE,
    files_in,
    opened,
    planned,
    snakemake,
    tiny_settings,
    write_classes,
    write_config,
)


def change(config: Path, **changes: Any) -> None:
    write_config(config, **changes)


def test_each_protocol_and_backbone_is_one_job_of_features(tmp_path: Path) -> None:
    config = write_config(
        tmp_path / "lab.yaml",
        run={"protocols": ["described", "corrected"], "scenarios": ["fc_only", "other"]},
        scenarios={"other": {"trainable_convs": 1, "backbone": "MobileNet"}},
    )
    jobs = planned(tmp_path / "workspace", config)
    assert {job for job in jobs if job.startswith("25")} == {
        f"25_features-{protocol}-{backbone}"
        for protocol in ("described", "corrected")
        for backbone in ("MobileNet", "MobileNetV2")
    }


def test_everything_is_there(finished: tuple[Path, Path]) -> None:
    lab = Workspace(finished[0])
    for name in SCENARIOS:
        folder = lab.run("described", name, 0)
        assert sorted(path.name for path in folder.iterdir() if not path.name.startswith(".")) == [
            "history.csv",
            "model.keras",
            "predictions.csv",
            "predictions_test.csv",
            "run.json",
            "train.ipynb",
        ]
        record = read_json(folder / "run.json", stage="30")
        assert record["seed"] == 0
        assert record["weights"] == "random"
        predictions = read_predictions(folder / "predictions.csv")
        assert len(predictions) == record["images"]["validation"] == 16
    metrics = read_table(lab, "metrics")
    assert metrics["scenario"].tolist() == SCENARIOS
    assert metrics["accuracy"].between(0, 1).all()
    probes = read_table(lab, "probes")
    assert probes["input"].drop_duplicates().tolist() == [
        "full_all_images",
        "full",
        "histogram",
        "thumbnail_8x8",
        *MASKS,
    ]
    assert probes["p"].between(0, 1).all()
    assert read_table(lab, "network_inputs")["input"].drop_duplicates().tolist() == ["full", *MASKS]
    attribution = read_table(lab, "attribution")
    assert attribution["share"].between(0, 1).all()
    assert not (attribution["low"] > attribution["high"]).any()
    assert attribution.loc[attribution["class"] == "", "scenario"].tolist() == SCENARIOS
    assert not list(lab.root.rglob("*.partial*"))
    assert not list(lab.root.rglob("*.failed.ipynb"))


def test_a_second_run_finds_nothing_to_do(finished: tuple[Path, Path]) -> None:
    began = time.monotonic()
    done = snakemake(*finished)
    assert done.returncode == 0
    assert done.stdout == "Nothing to be done: everything is up to date.\n"
    assert len(done.stderr.splitlines()) == 1, "more than the profile's name"
    assert time.monotonic() - began < 60


def test_a_change_reruns_what_depends_on_it_and_no_more(finished: tuple[Path, Path]) -> None:
    workspace, config = finished
    assert planned(workspace, config) == set()
    after_training = {"40_evaluate", "42_external", "45_audit", "lab_report", "pages", "render-html", "render-pdf"}
    try:
        change(config, scenarios={"fc_only": {"title": "head only", "trainable_convs": 0, "epochs": 3}})
        assert planned(workspace, config) == {"30_train-described-fc_only-0"} | after_training
        change(config, scenarios={"fc_only": {"title": "another name", "trainable_convs": 0}})
        assert planned(workspace, config) == {"40_evaluate", "lab_report", "pages", "render-html", "render-pdf"}
        change(config, title="Another title")
        assert planned(workspace, config) == after_training - {"40_evaluate", "42_external", "45_audit", "pages"}
        change(config, run={"protocols": ["described"], "scenarios": SCENARIOS, "seeds": [0, 1]})
        assert planned(workspace, config) == {f"30_train-described-{name}-1" for name in SCENARIOS} | (
            after_training - {"45_audit"}
        )
        change(config, external={"second_hospital": {"title": "another title", "path": "phantom"}})
        assert planned(workspace, config) == {"42_external", "lab_report", "pages", "render-html", "render-pdf"}
        change(config, image_size=96)
        assert {"20_preprocess-described", "25_features-described-MobileNetV2"} < planned(workspace, config)
        assert "10_download" not in planned(workspace, config)
    finally:
        change(config)
    assert planned(workspace, config) == set()


def test_what_follows_a_stage_that_ran_again_runs_again(finished: tuple[Path, Path], tmp_path: Path) -> None:
    """Stage 20 with another image size writes the same manifest."""
    workspace = shutil.copytree(finished[0], tmp_path / "workspace")
    config = write_config(tmp_path / "lab.yaml", image_size=48)
    done = snakemake(workspace, config, "notebooks/20_preprocess-described.ipynb")
    assert done.returncode == 0, done.stdout + done.stderr
    jobs = planned(workspace, config)
    assert {"25_features-described-MobileNetV2", "30_train-described-fc_only-0", "45_audit", "lab_report"} < jobs
    assert not {"10_download", "20_preprocess-described"} & jobs


def test_a_profile_of_the_user_hides_no_change(
    finished: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace, config = finished
    (tmp_path / "config.yaml").write_text("rerun-triggers: mtime\n")
    monkeypatch.setenv("SNAKEMAKE_PROFILE", str(tmp_path))
    try:
        change(config, title="Another title")
        assert "lab_report" in planned(workspace, config)
    finally:
        change(config)


def test_another_clone_and_another_interpreter_rerun_nothing(finished: tuple[Path, Path], tmp_path: Path) -> None:
    """A copied clone with a copied environment: its own package plans, in which a change counts."""
    workspace, config = finished
    clone = tmp_path / "copied clone"
    for name in ("lab_utils", "notebooks", "report", "profiles", "docs"):
        shutil.copytree(PROJECT / name, clone / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Snakefile", "lab.yaml"):
        shutil.copy(PROJECT / name, clone)
    (clone / ".venv").symlink_to(sys.prefix)

    def plan() -> str:
        words = [str(clone / ".venv" / "bin" / "python"), "-m", "snakemake", "--dry-run", "--quiet", "host", "progress"]
        names = ["--config", f"workspace={workspace}", f"config={config}"]
        done = subprocess.run([*words, *names], cwd=clone, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    assert "Nothing to be done" in plan()
    module = clone / "lab_utils" / "models" / "training.py"
    module.write_text(module.read_text() + "\nCHANGED = 1\n")
    assert "30_train-described-fc_only-0" in plan()


def stamps(lab: Workspace, names: list[str]) -> dict[str, int]:
    return {name: (lab.run("described", name, 0) / "run.json").stat().st_mtime_ns for name in names}


def test_another_file_of_the_same_experiment_reruns_nothing(finished: tuple[Path, Path], tmp_path: Path) -> None:
    assert planned(finished[0], write_config(tmp_path / "copy.yaml")) == set()


def test_a_fourth_scenario_takes_lines_in_the_yaml_alone(finished: tuple[Path, Path]) -> None:
    workspace, config = finished
    lab = Workspace(workspace)
    before = stamps(lab, SCENARIOS)
    settings = tiny_settings()
    settings["scenarios"]["last_three_convs"] = {"title": "Train last three conv layers", "trainable_convs": 3}
    settings["run"]["scenarios"] = [*SCENARIOS, "last_three_convs"]
    config.write_text(yaml.safe_dump(settings, sort_keys=False))
    try:
        done = snakemake(workspace, config, "notebooks/40_evaluate.ipynb")
        assert done.returncode == 0, done.stdout + done.stderr
        assert stamps(lab, SCENARIOS) == before
        record = read_json(lab.run("described", "last_three_convs", 0) / "run.json", stage="30")
        assert record["cut"] == "block_15_add"
        metrics = read_table(lab, "metrics")
        assert metrics["scenario"].tolist() == [*SCENARIOS, "last_three_convs"]
    finally:
        change(config)


SCRIPT = "<img src=x onerror=alert(1)>"


def hosted_command(**values: str) -> list[str]:
    """The command that README gives for a hosted notebook, with other values of its options."""
    (line,) = re.findall(r"^!python (-m lab_utils .*)$", (PROJECT / "README.md").read_text(), re.MULTILINE)
    words = shlex.split(line)
    given = dict(zip(words[3::2], words[4::2], strict=True))
    assert {"--dataset", "--workspace"} == set(given)
    options = {**given, **{f"--{name}": value for name, value in values.items()}}
    return [sys.executable, *words[:3], *(word for option in options.items() for word in option)]


@pytest.fixture(scope="module")
def mine(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """A finished run on images of a user's own, whose names are odd and whose sheet, title and author mean harm.

    As in a hosted notebook: README's command without make, a read-only input folder, no home folder.
    """
    folder = tmp_path_factory.mktemp("mine")
    root = write_classes(folder / "images", {SCRIPT: 24, "001": 20, "中文": 16}, size=50)
    (root / "001" / "001-1.png").rename(root / "001" / f"{SCRIPT}.png")
    files = [path.name for path in (root / "001").iterdir()]
    urls = ["javascript:alert(1)", f'x"{SCRIPT}'] * 10
    pd.DataFrame({"FILE NAME": files, "URL": urls}).to_excel(root / "001.metadata.xlsx", index=False)
    config = write_config(
        folder / "mine.yaml",
        dataset=str(root),
        title=f"A title {SCRIPT} <script>alert(1)</script>",
        author="[me](javascript:alert(1))",
        run={"protocols": ["published", "corrected"], "scenarios": ["other"], "seeds": [3, 4]},
        protocols={"published": {"split": "listing", "val_fraction": 0.01}},  # no image of the smallest class
        scenarios={"other": {"title": f"Head {SCRIPT}", "trainable_convs": 1, "backbone": "MobileNet"}},
    )
    before = files_in(root)
    for path in (*root.rglob("*"), root):
        path.chmod(0o555 if path.is_dir() else 0o444)
    words = hosted_command(dataset=str(root), workspace="work space #2", config=str(config))
    environment = {**os.environ, "HOME": str(folder / "none"), "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"Report: {folder / 'work space #2' / 'report' / 'lab_report.html'}" in done.stdout
    assert files_in(root) == before
    assert {path.name for path in folder.iterdir()} == {"images", "mine.yaml", "work space #2"}
    (folder / "said.txt").write_text(done.stdout)
    return Workspace(folder / "work space #2")


def test_a_protocol_that_cannot_be_applied_is_left_out_and_the_report_goes_on(mine: Workspace) -> None:
    said = (mine.root.parent / "said.txt").read_text()
    assert re.search(r"20_preprocess-published .*\n    left out: class .* falls? into validation.*val_fraction", said)
    assert re.search(r"\[(\d+)/\1\] \S+ +\d+ s\nReport: .*\n$", said), "the last stage counts what remained"
    assert [path.name for path in (mine.root / "runs").iterdir()] == ["corrected"]
    assert set(read_table(mine, "metrics")["protocol"]) == {"corrected"}
    again = snakemake(mine.root, mine.root.parent / "mine.yaml")
    first, last = again.stdout.splitlines()
    assert first.startswith("  protocol published is left out: class ")
    assert last == "Nothing to be done: everything is up to date."


def test_other_classes_another_backbone_and_two_seeds_take_the_yaml_alone(mine: Workspace) -> None:
    for seed in (3, 4):
        predictions = read_predictions(mine.run("corrected", "other", seed) / "predictions.csv")
        assert list(predictions.columns[3:]) == ["p_001", f"p_{SCRIPT}", "p_中文"]
    page = (mine.root / "report" / "lab_report.html").read_text()
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "The images were obtained from a folder" in page
    inputs = read_table(mine, "probes")["input"]
    assert set(inputs) == {"full_all_images", "full", "histogram", "thumbnail_8x8", "border"}, "there are no masks"


def test_no_name_runs_a_script(mine: Workspace, browser: Any, tmp_path: Path) -> None:
    """Neither in the report nor in the executed notebooks, as nbconvert's own template shows them."""
    from nbconvert import HTMLExporter

    pages = [mine.root / "report" / name for name in ("lab_report.html", "errors.html")]
    for notebook in (*mine.root.glob("notebooks/*.ipynb"), *mine.root.glob("runs/*/*/*/train.ipynb")):
        body, _ = HTMLExporter(template_name="basic").from_filename(str(notebook))
        pages.append(tmp_path / f"{notebook.parent.name}-{notebook.stem}.html")
        pages[-1].write_text(f"<!DOCTYPE html><meta charset='utf-8'><title>.</title>{body}")
    assert len(pages) == 11
    scripts = {
        "lab_report.html": [(PROJECT / "report" / "templates" / "lab_report" / "article.js").read_text().strip()]
    }
    for page in pages:
        said: list[str] = []
        tab = opened(browser, page, 1280, "light", said)
        assert tab.locator("img[onerror], [src='x'], a[href^='javascript:']").count() == 0, page
        assert [script.strip() for script in tab.locator("script").all_text_contents()] == scripts.get(page.name, []), (
            page
        )
        tab.close()
        assert said == [], page


def test_a_second_run_in_the_same_workspace_is_refused(finished: tuple[Path, Path]) -> None:
    from filelock import FileLock

    with FileLock(finished[0] / ".lock"):
        done = snakemake(*finished)
    assert done.returncode != 0
    assert "another run is at work in this workspace; wait for it, or choose another" in done.stdout + done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dataset": "no/such/zip"}, "no/such/zip: no such file or folder"),
        ({"run": {"scenarios": ["fc_onyl"]}}, "did you mean 'fc_only'"),
        ({"phantons": 3}, "did you mean 'phantoms'"),
    ],
)
def test_mistakes_in_the_yaml_end_in_one_message(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    done = snakemake(tmp_path / "workspace", write_config(tmp_path / "lab.yaml", **changes))
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert message in said
    assert "Traceback" not in said


@pytest.mark.parametrize("given", ["dataset=scan #2", "config=001"])
def test_what_yaml_reads_otherwise_is_named_as_typed(given: str, tmp_path: Path) -> None:
    words = [SNAKEMAKE, "-n", "--config", f"workspace={tmp_path}", given]
    run = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert run.returncode != 0
    assert f"{given.split('=')[1]}: no such" in run.stdout + run.stderr


def test_a_stage_that_failed_is_not_taken_for_done(finished: tuple[Path, Path]) -> None:
    workspace, config = finished
    whole = {path: path.read_bytes() for path in workspace.glob("features/*/features.npy")}
    assert whole
    before = {path: path.read_bytes() for path in (workspace / "runs" / "described" / "fc_only").rglob("*.csv")}
    try:
        change(config, scenarios={"fc_only": {"title": "head only", "trainable_convs": 0, "epochs": 3}})
        for path, data in whole.items():
            path.write_bytes(data[:-1])
        done = snakemake(workspace, config)
        assert done.returncode != 0, done.stdout
        assert "30_train-described-fc_only-0 failed" in done.stdout
        assert "delete" in done.stdout
        assert "and run stage 25_features again" in done.stdout
        for path, data in whole.items():
            path.write_bytes(data)
        assert {path: path.read_bytes() for path in before} == before
        assert "30_train-described-fc_only-0" in planned(workspace, config)
    finally:
        for path, data in whole.items():
            path.write_bytes(data)
        change(config)
    done = snakemake(workspace, config, "runs/described/fc_only/seed-0/train.ipynb")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "30_train-described-fc_only-0" not in planned(workspace, config)


def test_a_failing_stage_leaves_earlier_results(finished: tuple[Path, Path], tmp_path: Path) -> None:
    workspace, config = finished
    before = {path: path.read_bytes() for path in (workspace / "results").iterdir()}
    raw = (workspace / "raw" / "dataset.json").read_bytes()
    try:
        change(config, dataset=str(write_classes(tmp_path / "one", {"alone": 5})))
        done = snakemake(workspace, config)
        assert done.returncode != 0
        assert "one class only (alone)" in done.stdout
        assert "Traceback" not in done.stdout
        assert {path: path.read_bytes() for path in (workspace / "results").iterdir()} == before
        assert (workspace / "raw" / "dataset.json").read_bytes() == raw
    finally:
        change(config)
    assert "10_download" in planned(workspace, config)
