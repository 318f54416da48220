"""The lab on a real SLURM cluster, of one machine: ``make test-slurm``."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from tests.conftest import PROJECT, SCENARIOS, command, snakemake, write_config
from tests.slurm_cluster import cluster, obstacles

pytestmark = [
    pytest.mark.slurm,
    pytest.mark.skipif(bool(obstacles()), reason=obstacles()),
]
THREADS = ("--set-threads", "preprocess=1", "features=1", "train=1", "external=1", "audit=1")
# One core a job, for the machine is small; and no second attempt, so that a job that is killed is missed.
OPTIONS = [
    "--workflow-profile=profiles/slurm",
    "--retries=0",
    "--latency-wait=10",
    *THREADS,
    "--slurm-status-command=squeue",  # there is no accounting to ask
    "--slurm-init-seconds-before-status-checks=2",
    "--seconds-between-status-checks=2",
]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with cluster(tmp_path_factory.mktemp("cluster")):
        yield


def running() -> dict[str, str]:
    """Jobs at work: number to the rule and its wildcards."""
    words = ["squeue", "--noheader", "--states=RUNNING", "--array", "--Format=JobArrayID:40,Comment:200"]
    done = subprocess.run(words, capture_output=True, text=True, check=True)
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines())


def wait_for(what: Callable[[], Any], process: subprocess.Popen[str], seconds: float = 240) -> Any:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited in vain: {process.communicate()[0] if process.poll() is not None else 'time is up'}")


def finished(lab: Workspace) -> dict[str, int]:
    """The features and runs that are complete, and when they were written."""
    files = [*lab.features("").rglob("features.json"), *(lab.root / "runs").rglob("run.json")]
    return {lab.relative(path): path.stat().st_mtime_ns for path in files}


def test_the_lab_on_a_cluster(slurm: None, tmp_path: Path) -> None:
    config = write_config(tmp_path / "lab.yaml", training={"epochs": 40})
    lab = Workspace.open(str(tmp_path / "cluster"))
    words = command(Path(os.path.relpath(lab.root, PROJECT)), Path(os.path.relpath(config, PROJECT)), *OPTIONS)
    process = subprocess.Popen(words, cwd=PROJECT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def training() -> str | None:
        begun = any("Executing Cell" in path.read_text() for path in (lab.root / "logs").glob("30_train*.log"))
        return next((job for job, comment in running().items() if "train" in comment and begun), None)

    job = wait_for(training, process)
    subprocess.run(["scancel", "--signal=KILL", "--full", job], check=True)
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0, said
    runs = {name: lab.run("described", name, 0) / "run.json" for name in SCENARIOS}
    lost = [name for name, path in runs.items() if not path.is_file()]
    assert len(lost) == 1, said
    before = finished(lab)
    assert len([name for name in before if name.startswith("features")]) == len(SCENARIOS)

    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    after = finished(lab)
    assert {name: after[name] for name in before} == before
    new = set(after) - set(before)
    assert new - {name for name in new if name.startswith("features")} == {lab.relative(runs[lost[0]])}
    assert (lab.root / "report" / "lab_report.pdf").is_file()

    here = Workspace.open(str(tmp_path / "here"))
    alone = snakemake(here.root, config, *THREADS)  # other numbers of threads round otherwise
    assert alone.returncode == 0, alone.stdout + alone.stderr
    for name in SCENARIOS:
        ours, theirs = (pd.read_csv(where.run("described", name, 0) / "predictions.csv") for where in (here, lab))
        assert list(ours["image_id"]) == list(theirs["image_id"])
        columns = [column for column in ours if column.startswith("p_")]
        assert (ours[columns] - theirs[columns]).abs().to_numpy().max() <= 1e-6
        record = read_json(lab.run("described", name, 0) / "run.json", stage="30")
        assert record["seconds"]["shared"] == len(SCENARIOS)
