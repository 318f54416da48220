"""Runs that are killed at random moments, or find the disk full: whatever was finished stays, and the next run ends well.

`make test` tries a few points, `make test-faults` 72: LAB_FAULTS says how many, LAB_FAULTS_SEED which.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
import pandas as pd
import psutil
import pytest

from lab_utils.core.catalogue import catalogue
from lab_utils.evaluation.predictions import probabilities_of, read_predictions
from tests.conftest import PROJECT, command, snakemake

POINTS = int(os.environ.get("LAB_FAULTS", "3"))
SEED = int(os.environ.get("LAB_FAULTS_SEED", "0"))
PARALLEL = ("--cores", "4")  # the undisturbed run had two: what runs beside it changes nothing
WHOLE = 10  # points from which on the campaign is the whole one
SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
GONE_WITHIN = 5.0  # seconds, for Ctrl-C and a polite end; a kernel that lost its parent by SIGKILL may take as long too
STARTING = "planning"  # no stage: a run that has just been started
STAGES = {  # in order, with the seconds that each takes or so
    STARTING: 4,
    "10_download": 5,
    "20_preprocess-described": 5,
    "25_features-described-MobileNetV2": 10,
    "30_train-described-fc_only-0": 8,
    "30_train-described-last_conv-0": 8,
    "30_train-described-last_two_convs-0": 8,
    "45_audit": 14,
    "42_external": 14,
    "40_evaluate": 5,
    "pages": 5,
    "lab_report": 7,
    "render-html": 3,
    "render-pdf": 3,
}
LAST_HALF = ("30_train-described-fc_only-0", "lab_report", "render-html")
# Keys of records that differ from run to run.
CHANGING = {"seconds", "finished", "memory_mb", "uncached_rate", "cpus", "commit"}
TOLERANCE = 1e-3  # of a probability, across numbers of threads
DURATIONS = {  # columns of tables
    name: [key for key, column in table.columns.items() if column.unit == "s"] for name, table in catalogue().items()
}
TIMES = {"times.csv", "time_totals.csv", "audit_times.csv"}


class Point(NamedTuple):
    """One fault: how many seconds into which stage, and which; in each turn every stage has one."""

    turn: int
    stage: str
    delay: float
    number: signal.Signals


def plan(count: int, seed: int, stages: Sequence[str] = tuple(STAGES)) -> list[Point]:
    """The campaign's points, the same for the same seed: every stage in turn, every signal for every stage in turn."""
    chance = random.Random(seed)
    points = []
    for place in range(count):
        turn, at = divmod(place, len(stages))
        delay = round(chance.uniform(0, STAGES[stages[at]]), 1)
        points.append(Point(turn, stages[at], delay, SIGNALS[(at + turn) % len(SIGNALS)]))
    return points


def content(path: Path) -> str:
    """What an artefact says, without times, dates and addresses, as a digest; half of a file is an error or another digest."""
    total = hashlib.sha256()
    if path.suffix == ".keras":
        with (
            zipfile.ZipFile(path) as archive,
            archive.open("model.weights.h5") as member,
            h5py.File(member) as weights,
        ):
            weights.visititems(lambda name, item: total.update(name.encode() + values(item)))
    elif path.suffix == ".json":
        record = json.loads(path.read_text())
        total.update(json.dumps({name: record[name] for name in sorted(set(record) - CHANGING)}).encode())
    elif path.suffix == ".xlsx":
        total.update(pd.read_excel(path).to_csv().encode())
    elif path.suffix == ".csv" and (seconds := DURATIONS.get(path.stem)):
        total.update(pd.read_csv(path).drop(columns=seconds).to_csv().encode())
    else:
        total.update(path.read_bytes())
    return total.hexdigest()


def values(item: h5py.Group | h5py.Dataset) -> bytes:
    """The numbers of a data set of a weights file; none of a group."""
    return np.asarray(item).tobytes() if isinstance(item, h5py.Dataset) else b""


def artefacts(workspace: Path) -> dict[str, str]:
    """Every artefact under its final name, with its content."""
    found = {}
    for path in sorted(workspace.rglob("*")):
        parts = path.relative_to(workspace).parts
        is_artefact = path.suffix in {".csv", ".json", ".npy", ".keras", ".png", ".xlsx"}
        if (
            path.is_file()
            and is_artefact
            and not any(part.startswith(".") for part in parts)
            and path.name not in TIMES
        ):
            found["/".join(parts)] = content(path)
    return found


def stamps(workspace: Path, stages: set[str]) -> dict[Path, int]:
    """When the executed notebooks of finished stages were written: a stage that runs again writes a new one."""
    found = {}
    for path in workspace.rglob("*.ipynb"):
        name = path.stem
        if name == "train":
            protocol, scenario, seed = path.parent.relative_to(workspace / "runs").parts
            name = f"30_train-{protocol}-{scenario}-{seed.removeprefix('seed-')}"
        if name in stages:
            found[path] = path.stat().st_mtime_ns
    return found


def tree(mark: str) -> list[psutil.Process]:
    """Every living process that carries this mark in its environment."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("LAB_TEST") == mark and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def strike(workspace: Path, config: Path, point: Point, said: Path) -> tuple[bool, float]:
    """Start a run, strike at a point; whether that stopped it, and how long its processes then lived on."""
    mark = str(workspace)
    with said.open("w") as words:
        run = subprocess.Popen(
            command(workspace, config, *PARALLEL),
            cwd=PROJECT,
            env={**os.environ, "LAB_TEST": mark},
            stdout=words,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        started = time.time()
        while run.poll() is None and point.stage not in begun(workspace, started):
            time.sleep(0.05)
        with suppress(subprocess.TimeoutExpired):
            run.wait(point.delay)
            assert run.returncode == 0, said.read_text()
            return False, 0.0
        struck = time.monotonic()
        if point.number == signal.SIGINT:
            os.killpg(run.pid, signal.SIGINT)  # what a terminal does
        else:
            for process in tree(mark):
                process.send_signal(point.number)
        run.wait(30)
        while tree(mark) and time.monotonic() < struck + 30:
            time.sleep(0.05)
    return run.returncode != 0, time.monotonic() - struck


def begun(workspace: Path, since: float) -> set[str]:
    """The stages whose logs were begun since."""
    logs = [path for path in (workspace / "logs").glob("*.log") if path.stat().st_mtime > since]
    return {STARTING, *(path.stem for path in logs)}


def before_the_lab(said: str) -> bool:
    """Whether a run was struck while Snakemake itself was starting: what Python says then is not the lab's to choose."""
    return "Snakefile" not in said and "  [" not in said and "give the command again" not in said


def ended(said: str) -> set[str]:
    """The stages that a run said had ended."""
    lines = (line.split() for line in said.splitlines() if line.startswith("  ["))
    return {words[1] for words in lines}


def test_whatever_kills_a_run_the_next_one_ends_well(finished: tuple[Path, Path], tmp_path: Path) -> None:
    undisturbed, config = artefacts(finished[0]), finished[1]
    points = plan(POINTS, SEED, tuple(STAGES) if POINTS >= WHOLE else LAST_HALF)
    workspace, done, chain = tmp_path / "chain-0", set[str](), 0
    if POINTS < WHOLE:  # a run's second half alone: the last training and what follows it
        shutil.copytree(finished[0], workspace)
        shutil.rmtree(workspace / "runs" / "described" / "fc_only")
        done = {"10_download", "20_preprocess-described", "25_features-described-MobileNetV2"}
    while points:
        turn = [own for own in points if own.turn == points[0].turn]
        point = next((own for own in turn if own.stage not in done), points[0])
        before, started = stamps(workspace, done), time.time()
        stopped, lived_on = strike(workspace, config, point, tmp_path / "said.txt")
        said = (tmp_path / "said.txt").read_text()
        now = ended(said)
        print(
            f"{POINTS - len(points) + 1}: {point.number.name} {point.delay} s after {point.stage}, run {chain + 1}; "
            f"at work: {', '.join(sorted(begun(workspace, started) - now - {STARTING})) or 'no stage'}; "
            f"{lived_on:.1f} s to the end"
            if stopped
            else f"run {chain + 1} came to its end",
            flush=True,
        )
        assert lived_on < GONE_WITHIN, f"{point}: processes lived on for {lived_on:.1f} s\n{said}"
        if point.number == signal.SIGINT and stopped and not before_the_lab(said):
            assert "give the command again" in said, said
        assert "Traceback" not in said or before_the_lab(said), said
        assert stamps(workspace, done) == before, f"{point}: a finished stage ran again\n{said}"
        done |= now
        for name, digest in artefacts(workspace).items():
            assert undisturbed.get(name, digest) == digest, f"{point}: {name} is not what an undisturbed run leaves"
        if stopped:
            points.remove(point)
        else:
            compare(workspace, undisturbed)
            chain += 1
            workspace, done = tmp_path / f"chain-{chain}", set()
    before = stamps(workspace, done)
    last = snakemake(workspace, config, *PARALLEL)
    assert last.returncode == 0, last.stdout + last.stderr
    assert stamps(workspace, done) == before
    compare(workspace, undisturbed)


def compare(workspace: Path, undisturbed: dict[str, str]) -> None:
    """Nothing is missing, nothing differs, and nothing unfinished is left."""
    found = artefacts(workspace)
    assert set(found) == set(undisturbed)
    assert [name for name in found if found[name] != undisturbed[name]] == []
    assert not [path for path in workspace.rglob("*") if ".partial" in path.name or ".running" in path.name]
    assert (workspace / "report" / "lab_report.pdf").is_file()
    shutil.rmtree(workspace)


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """A file system of its own: a folder, and a function that gives it another size (MB)."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def sized(megabytes: float, *options: str) -> bool:
        words = [
            "mount",
            "-t",
            "tmpfs",
            "-o",
            ",".join([*options, f"size={int(megabytes * 1024)}k"]),
            "tmpfs",
            str(folder),
        ]
        return subprocess.run(words, capture_output=True, check=False).returncode == 0

    if not sized(1):
        pytest.skip("a small file system cannot be mounted here (needs root)")
    yield folder, lambda megabytes: sized(megabytes, "remount")
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.skipif(POINTS < WHOLE, reason="a run for each size of the disk: make test-faults")
def test_a_full_disk_is_a_message_and_room_is_all_it_takes(finished: tuple[Path, Path], small_disk: Any) -> None:
    folder, resize = small_disk
    undisturbed, config = artefacts(finished[0]), finished[1]
    need = sum(path.stat().st_size for path in finished[0].rglob("*") if path.is_file()) / 2**20
    chance = random.Random(SEED)
    sizes = sorted(chance.uniform(0.02, 0.9) * need for _ in range(max(1, POINTS // 10)))
    for size in sizes:
        assert resize(size)
        run = snakemake(folder / "workspace", config)
        said = run.stdout + run.stderr
        print(f"a disk of {size:.1f} MB of {need:.1f}: {[line for line in said.splitlines() if 'space' in line][:1]}")
        assert run.returncode != 0
        assert "No space left" in said or "are free" in said, said
        assert "Traceback" not in said, said
        for name, digest in artefacts(folder / "workspace").items():
            assert undisturbed.get(name, digest) == digest, f"{size} MB: {name}"
    assert resize(3 * need)
    run = snakemake(folder / "workspace", config)
    assert run.returncode == 0, run.stdout + run.stderr
    compare(folder / "workspace", undisturbed)


@pytest.mark.skipif(POINTS < WHOLE, reason="a run more: make test-faults")
def test_on_one_core_the_numbers_are_the_same_within_rounding(finished: tuple[Path, Path], tmp_path: Path) -> None:
    run = snakemake(tmp_path / "workspace", finished[1], "--cores", "1")
    assert run.returncode == 0, run.stdout + run.stderr
    for path in finished[0].glob("runs/*/*/*/predictions.csv"):
        tables = [
            read_predictions(root / path.relative_to(finished[0])) for root in (finished[0], tmp_path / "workspace")
        ]
        difference = np.abs(np.subtract(*map(probabilities_of, tables))).max()
        print(
            f"{path.parent.parent.name}: largest difference of a probability between one core and all {difference:.1g}"
        )
        assert difference < TOLERANCE


def test_the_campaign_is_the_same_for_the_same_seed() -> None:
    assert plan(60, 7) == plan(60, 7) != plan(60, 8)
    for points, stages in ((plan(3, 0, LAST_HALF), LAST_HALF), (plan(len(STAGES) * 3, 0), STAGES)):
        assert {point.stage for point in points} == set(stages)
        assert {point.number for point in points} == set(SIGNALS)
    assert len({(point.stage, point.number) for point in plan(len(STAGES) * 3, 0)}) == len(STAGES) * 3
