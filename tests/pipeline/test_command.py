"""The command line without make: what it starts, and what it needs."""

import json
import subprocess
import sys
import time
from argparse import Namespace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab_utils.pipeline import command
from tests.conftest import PROJECT

POSIX_ONLY = ("fcntl", "grp", "pwd", "resource", "termios", "pty", "tty")


class Started:
    """In the place of Snakemake: keeps what it was started with."""

    words: list[str]
    environment: dict[str, str]
    status = 0

    def __init__(self, words: list[str], env: dict[str, str]) -> None:
        Started.words, Started.environment = words, env

    def __enter__(self) -> "Started":
        return self

    def __exit__(self, *_: object) -> None: ...

    def wait(self) -> int:
        return Started.status


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> type[Started]:
    monkeypatch.setattr(subprocess, "Popen", Started)
    monkeypatch.setattr(command.signal, "signal", lambda *_: None)
    monkeypatch.setattr(command, "available_cores", lambda: 2)
    return Started


def test_help_needs_nothing_of_posix_and_no_second() -> None:
    blocked = f"import sys\nsys.modules.update(dict.fromkeys({POSIX_ONLY!r}))\n"
    script = f"{blocked}from lab_utils.pipeline.command import main\nmain(['report', '--help'])"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 3, "0.1 s on a machine with nothing else to do"
    for option in ("--dataset", "--external", "--workspace", "--config", "--again", "--profile"):
        assert option in done.stdout


def test_help_imports_none_of_the_large_packages() -> None:
    script = "import sys, lab_utils.pipeline.command\nprint(*{name.split('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert not {"numpy", "pandas", "snakemake", "yaml", "IPython", "pydantic"} & set(done.stdout.split())


def test_an_interpreter_without_the_packages_says_so() -> None:
    words = [sys.executable, "-S", "-m", "lab_utils", "report"]  # without site-packages
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"{sys.executable} lacks the packages of the lab: in the clone, run `make`, or `pip install -e .`\n"
    )


def test_the_module_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "lab_utils"], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage: python -m lab_utils" in done.stderr


@pytest.mark.parametrize("name", ["scan #2", "001", "null", "{a: b}", "-x", "a\nb", "$(x)"])
def test_a_report_starts_snakemake_with_names_as_typed(
    started: type[Started], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    words = [f"--{option}={name}" for option in ("dataset", "external", "workspace", "config")]
    assert command.main(["report", *words, "--external=", f"--external=b{name}"]) == 0
    given = json.loads(started.environment["LAB_GIVEN"])
    places = {"workspace": str(tmp_path / name), "folder": str(tmp_path)}
    assert given == {"dataset": name, "external": [name, f"b{name}"], "config": name, **places}
    assert (tmp_path / name).is_dir()
    assert "SNAKEMAKE_PROFILE" not in started.environment
    assert started.environment["PYTHONPATH"] == str(PROJECT)
    words = started.words
    assert words[:3] == [sys.executable, "-m", "snakemake"]
    assert words[words.index("--profile") + 1] == "none"
    assert words[words.index("--workflow-profile") + 1] == str(PROJECT / "profiles" / "default")
    assert words[words.index("--cores") + 1] == "2"
    assert f"Report: {tmp_path / name}/report/lab_report.html" in capsys.readouterr().out


def test_a_stage_can_be_repeated(started: type[Started], tmp_path: Path, capsys: Any) -> None:
    words = ["report", f"--workspace={tmp_path}", "--again", "train audit", "--again=render"]
    assert command.main(words) == 0
    assert started.words[-4:] == ["--forcerun", "train", "audit", "render"]
    assert command.main(["report", f"--workspace={tmp_path}", "--again=trian; touch x"]) == 1
    assert "no stage 'trian;': choose one of all, download, preprocess" in capsys.readouterr().err
    started.status = 3
    assert command.main(["report", f"--workspace={tmp_path}", "--again="]) == 3
    assert "--forcerun" not in started.words
    assert "Report" not in capsys.readouterr().out
    started.status = 0


def test_a_cluster_has_its_own_cores(started: type[Started], tmp_path: Path, capsys: Any) -> None:
    assert command.main(["report", f"--workspace={tmp_path}", "--profile=slurm"]) == 0
    assert "--cores" not in started.words
    assert command.main(["report", f"--workspace={tmp_path}", "--profile=slrum"]) == 1
    assert "no profile 'slrum'" in capsys.readouterr().err


def test_what_cannot_be_done_is_one_message(started: type[Started], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "file").touch()
    assert command.main(["report", f"--workspace={tmp_path / 'file'}"]) == 1
    assert "cannot write here (File exists); choose another folder" in capsys.readouterr().err
    assert command.main(["view", f"--workspace={tmp_path}"]) == 1
    assert "lab_report.html: not there yet; run `make report`" in capsys.readouterr().err


def test_the_report_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pages: list[str] = []
    monkeypatch.setattr(command.webbrowser, "open_new_tab", pages.append)
    (tmp_path / "a b" / "report").mkdir(parents=True)
    (tmp_path / "a b" / "report" / "lab_report.html").touch()
    monkeypatch.chdir(tmp_path)
    assert command.main(["view", "--workspace", "a b"]) == 0
    assert pages == [f"{tmp_path.as_uri()}/a%20b/report/lab_report.html"]


def test_the_package_of_another_clone_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    for name in ("lab.yaml", "Snakefile"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    assert command.main(["report", "--workspace", str(tmp_path / "w")]) == 1
    assert f"{tmp_path}: a clone of the lab, but Python runs the package of {PROJECT}" in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_make_starts_the_same_command() -> None:
    said = subprocess.run(
        ["make", "-n", "report", "view", "-o", ".venv/ready"], cwd=PROJECT, capture_output=True, text=True, check=True
    ).stdout
    for name in ("report", "view"):
        assert f'PYTHONPATH="{PROJECT}" .venv/bin/python -m lab_utils {name} --workspace="$LAB_WORKSPACE"' in said


def test_a_network_that_was_chosen_by_its_accuracy_is_shared_as_such(
    monkeypatch: pytest.MonkeyPatch, config: Path, tmp_path: Path
) -> None:
    shared: list[bool] = []
    monkeypatch.setattr("lab_utils.evaluation.runs.chosen_run", lambda *_: (SimpleNamespace(name="x"), "why"))

    def share(*_: Any, is_best: bool) -> SimpleNamespace:
        shared.append(is_best)
        return SimpleNamespace(path=config, exported=[], compared=1)

    monkeypatch.setattr("lab_utils.pipeline.share.share", share)
    for name in ("", "fc_only"):
        given = Namespace(workspace=str(tmp_path), config=str(config), name=name)
        assert command.share_run(given) == 0
    assert shared == [True, False]
