"""What a run says on the terminal: a line per stage, and what is under way; the rest is in Snakemake's log."""

import logging
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

from lab_utils.core.progress import FAILED

BAR = re.compile(r"(\d+)%\|[^|]*\|.*?<([\d:?]+)")  # of tqdm: how far, and what is left
# Beginnings and ends of what Snakemake adds to a failure that has been told already.
NOISE = re.compile(
    r"returned non-zero exit status \d+\.$|died with <Signals\.\w+: \d+>\.$"
    r"|^Exiting because a job|^Restored previous|^Cannot restore .*: no backup|^WorkflowError:\s+At least one"
)
SILENT = "  it said nothing; it may not have started"
AT_ONCE = 3  # jobs whose progress is shown
SECONDS_BETWEEN = 60.0  # lines about work under way, where there is no terminal to rewrite one


@dataclass(frozen=True)
class Job:
    """A job under way.

    Parameters
    ----------
    log : Path
        Its stem names the job.
    stamp : int
        Of the log that an earlier run left: until it changes, nothing in it is this job's.
    began : float
        `time.monotonic` then.
    """

    log: Path
    stamp: int
    began: float = field(default_factory=time.monotonic)

    @property
    def has_spoken(self) -> bool:
        """Whether the log is this job's."""
        return stamp(self.log) != self.stamp

    def progress(self) -> str:
        """Name and, if the log ends in a progress bar, how far: "25_features 62 %, 00:12 left"."""
        *_, last = (tail(self.log).strip().splitlines() if self.has_spoken else []) or [""]
        bar = BAR.search(last)
        return f"{self.log.stem} {bar[1]} %, {bar[2]} left" if bar else self.log.stem

    def seconds(self) -> float:
        """Since it began."""
        return time.monotonic() - self.began


class Terminal(logging.Handler):
    """Takes the place of Snakemake's own handler.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
    out : file
        Where lines go; on a terminal the last one is rewritten every second while work is under way.
    """

    def __init__(self, workflow: Any, out: TextIO) -> None:
        super().__init__()
        self._workflow, self._out, self._is_terminal = workflow, out, out.isatty()
        self._running: dict[int, Job] = {}
        self._done = self._total = 0
        self._lock, self._last_line = Lock(), time.monotonic()
        Thread(target=self._watch, daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Say what a record means, if it means anything to the user."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._plan()
        elif event == LogEvent.JOB_INFO and record.log:  # type: ignore[attr-defined]
            self._running[record.jobid] = Job(Path(record.log[0]), stamp(Path(record.log[0])))  # type: ignore[attr-defined]
        elif event == LogEvent.JOB_FINISHED and record.job_id in self._running:  # type: ignore[attr-defined]
            job = self._running.pop(record.job_id)  # type: ignore[attr-defined]
            self._done += 1
            self._say(f"  [{self._done}/{self._total}] {job.log.stem:<50} {job.seconds():6.0f} s")
        elif event == LogEvent.JOB_ERROR and record.jobid in self._running:  # type: ignore[attr-defined]
            job = self._running.pop(record.jobid)  # type: ignore[attr-defined]
            also = f"{record.rule_msg}\n" if record.rule_msg else ""  # type: ignore[attr-defined]  # of a cluster, say
            why = reason(job.log) if job.has_spoken else SILENT
            self._say(f"\n{job.log.stem} failed after {job.seconds():.0f} s\n{also}{why}\n")
        elif event in (None, LogEvent.ERROR) and record.levelno >= logging.WARNING:
            if not NOISE.search(record.getMessage().strip()):
                self._say(record.getMessage())
        elif record.msg and str(record.msg).startswith("Nothing to be done"):
            self._say("Nothing to be done: everything is up to date.")

    def _plan(self) -> None:
        """What is to be done, and what is there already."""
        dag = self._workflow.dag
        stages = [job for job in dag.jobs if job.log]
        self._total = sum(dag.needrun(job) for job in stages)
        kept = sorted(Path(job.log[0]).stem for job in stages if not dag.needrun(job))
        if kept:
            self._say(f"  up to date: {', '.join(kept)}")

    def _say(self, text: str) -> None:
        with self._lock:
            self._out.write(f"\r\x1b[K{text}\n" if self._is_terminal else f"{text}\n")
            self._out.flush()
            self._last_line = time.monotonic()

    def _watch(self) -> None:
        """Show what is under way: every second on a terminal, elsewhere after a minute without a word."""
        while True:
            time.sleep(1)
            is_due = self._is_terminal or time.monotonic() - self._last_line > SECONDS_BETWEEN
            jobs = list(self._running.values()) if is_due else []
            if not jobs:
                continue
            more = [f"{len(jobs) - AT_ONCE} more"] if len(jobs) > AT_ONCE else []
            under_way = "; ".join([job.progress() for job in jobs[:AT_ONCE]] + more)
            if self._is_terminal:
                with self._lock:
                    line = f"  [{self._done}/{self._total}] {under_way} ..."
                    self._out.write(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}")
                    self._out.flush()
            else:
                self._say(f"  ... {under_way}")


def take_over(workflow: Any, logger: logging.Logger, out: TextIO) -> None:
    """Put a `Terminal` where Snakemake's handler of the terminal was."""
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler":
            logger.removeHandler(handler)
            logger.addHandler(Terminal(workflow, out))


def reason(log: Path) -> str:
    """Why a job failed: what it said last, or the last lines of its log if it could not say anything."""
    said = tail(log)
    _, found, why = said.rpartition(FAILED)
    last = why.strip().splitlines()[1:] if found else said.strip().splitlines()[-5:]
    return "\n".join([*last, f"  all it said: {log.absolute()}"])


def stamp(log: Path) -> int:
    """When a log was last written (ns); 0 if there is none."""
    return log.stat().st_mtime_ns if log.is_file() else 0


def tail(log: Path, size: int = 20_000) -> str:
    """The end of a log file; empty if there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
