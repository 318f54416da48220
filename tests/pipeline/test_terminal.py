import io
import logging
import re
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lab_utils.core.progress import FAILED, LEFT_OUT
from lab_utils.pipeline import terminal
from tests.conftest import SCENARIOS

BARS = "features:  10%|█   | 21/211 [00:02<00:19, 9 image/s]\nfeatures:  62%|███   | 131/211 [00:08<00:05, 9 image/s]\n"


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def record(event: str | None, message: str = "", level: int = logging.INFO, **values: Any) -> logging.LogRecord:
    made = logging.LogRecord("snakemake", level, "", 0, message, None, None)
    made.__dict__.update({"event": event, **values} if event else values)
    return made


def workflow(logs: dict[str, bool]) -> Any:
    """A plan: log file to whether its job is to be run."""
    jobs = [SimpleNamespace(log=[name] if name else [], due=due) for name, due in logs.items()]
    return SimpleNamespace(dag=SimpleNamespace(jobs=jobs, needrun=lambda job: job.due))


def test_a_run_says_one_line_per_stage(finished: tuple[Path, Path]) -> None:
    said = (finished[0].parent / "said.txt").read_text()
    lines = [line for line in said.splitlines() if not line.startswith("  ... ")]  # after a minute without a line
    found = [re.fullmatch(r"  \[(\d+)/13\] (\S+) +\d+ s", line) for line in lines]
    assert all(found), lines
    assert [int(match[1]) for match in found if match] == list(range(1, 14))
    stages = {
        "10_download",
        "20_preprocess-described",
        "25_features-described-MobileNetV2",
        "40_evaluate",
        "42_external",
        "45_audit",
        "lab_report",
    }
    trained = {f"30_train-described-{name}-0" for name in SCENARIOS}
    assert {match[2] for match in found if match} == stages | trained | {"pages", "render-html", "render-pdf"}


def test_what_is_up_to_date_is_said_and_not_counted(tmp_path: Path) -> None:
    out = io.StringIO()
    handler = terminal.Terminal(workflow({"logs/b.log": False, "logs/a.log": False, "logs/c.log": True, "": True}), out)
    handler.emit(record("run_info"))
    handler.emit(record("job_info", jobid=1, log=["logs/c.log"]))
    handler.emit(record("job_finished", job_id=1))
    first, second = out.getvalue().splitlines()
    assert first == "  up to date: a, b"
    assert second.split() == ["[1/1]", "c", "0", "s"]


def test_what_is_left_out_is_said_and_no_longer_counted(tmp_path: Path) -> None:
    log = tmp_path / "20_preprocess-published.log"
    out = io.StringIO()
    jobs = {str(log): True, "logs/25_features.log": True}
    handler = terminal.Terminal(plan := workflow(jobs), out)
    handler.emit(record("job_info", jobid=1, log=[str(log)]))
    log.write_text(f"{LEFT_OUT}class a: 3 images\nfinished in 3 s\n")
    plan.dag.jobs.pop()
    handler.emit(record("job_finished", job_id=1))
    first, second = out.getvalue().splitlines()
    assert first.split()[0] == "[1/1]"
    assert second == "    left out: class a: 3 images"


def test_a_failure_is_told_with_its_reason(tmp_path: Path) -> None:
    log = tmp_path / "30_train.log"
    out = io.StringIO()
    handler = terminal.Terminal(workflow({}), out)
    handler.emit(record("job_info", jobid=1, log=[str(log)]))
    log.write_text(f"{BARS}Traceback ...\n{FAILED}3 s\nno such file: x\n  look there\n\n")
    handler.emit(record("job_error", "Error in rule", logging.ERROR, jobid=1, rule_msg="SLURM status is 'TIMEOUT'"))
    handler.emit(record(None, "Command 'x' returned non-zero exit status 1.", logging.ERROR))
    handler.emit(record(None, "Command 'x' died with <Signals.SIGINT: 2>.", logging.ERROR))
    handler.emit(record("error", "WorkflowError:\nAt least one job did not complete successfully.", logging.ERROR))
    handler.emit(record(None, "The disk is full", logging.ERROR))
    assert out.getvalue() == (
        f"\n30_train failed after 0 s\nSLURM status is 'TIMEOUT'\nno such file: x\n  look there\n  complete log: {log}\n\nThe disk is full\n"
    )


def test_what_an_earlier_run_said_is_no_reason(tmp_path: Path) -> None:
    log = tmp_path / "30_train.log"
    log.write_text(f"{FAILED}3 s\nan old mistake\n")
    out = io.StringIO()
    handler = terminal.Terminal(workflow({}), out)
    handler.emit(record("job_info", jobid=1, log=[str(log)]))
    handler.emit(record("job_error", "Error in rule", logging.ERROR, jobid=1, rule_msg="SLURM status is 'NODE_FAIL'"))
    assert out.getvalue() == (
        "\n30_train failed after 0 s\nSLURM status is 'NODE_FAIL'\n  it printed nothing; it may not have started\n\n"
    )


def test_who_was_killed_has_only_its_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("one\ntwo\nKilled\n")
    assert terminal.reason(log) == f"one\ntwo\nKilled\n  complete log: {log}"
    assert terminal.reason(tmp_path / "none.log") == f"  complete log: {tmp_path / 'none.log'}"


def test_ctrl_c_while_python_starts_is_no_traceback(tmp_path: Path) -> None:
    (log := tmp_path / "x.log").write_text(
        'Traceback (most recent call last):\n  File "<frozen runpy>"\nKeyboardInterrupt\n'
    )
    assert terminal.reason(log) == f"interrupted\n  complete log: {log}"


def test_a_terminal_shows_how_far_the_work_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = tmp_path / "25_features.log"
    screen = Screen()
    handler = terminal.Terminal(workflow({str(log): True}), screen)
    handler.emit(record("run_info"))
    handler.emit(record("job_info", jobid=1, log=[str(log)]))
    log.write_text(BARS)
    deadline = time.monotonic() + 20
    while "25_features" not in screen.getvalue() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert "[0/1] 25_features 62 %, 00:05 left ..." in screen.getvalue()


def test_snakemake_s_own_words_stay_in_its_log() -> None:
    out = io.StringIO()
    handler = terminal.Terminal(workflow({}), out)
    handler.emit(record(None, "Select jobs to execute..."))
    handler.emit(record("shellcmd", "python ..."))
    handler.emit(record(None, "Nothing to be done (all requested files are present and up to date)."))
    assert out.getvalue() == "Nothing to be done: everything is up to date.\n"


def test_snakemake_s_handler_is_replaced_and_no_other() -> None:
    logger = logging.Logger("x")
    theirs, other = logging.StreamHandler(), logging.NullHandler()
    theirs.name = "DefaultStreamHandler"
    logger.addHandler(theirs)
    logger.addHandler(other)
    terminal.take_over(workflow({}), logger, io.StringIO())
    assert [type(handler) for handler in logger.handlers] == [logging.NullHandler, terminal.Terminal]
