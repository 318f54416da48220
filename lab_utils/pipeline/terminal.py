"""What a run prints: a line per stage, and the progress of running stages.

This replaces Snakemake's handler. A logger plugin would be a package of its own, and sees no plan: it could not say
what is up to date.
"""

import logging
import re
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock, Thread
from typing import Any, TextIO

from snakemake_interface_logger_plugins.common import LogEvent

from lab_utils.core.progress import FAILED, LEFT_OUT

BAR = re.compile(r"(\d+)%\|[^|]*\|.*?<([\d:?]+)")  # of tqdm: percentage, and time left
# Beginnings and ends of what Snakemake adds to a failure that has been reported already.
NOISE = re.compile(
    r"returned non-zero exit status \d+\.$|died with <Signals\.\w+: \d+>\.$"
    r"|^Exiting because a job|^Restored previous|^Cannot restore .*: no backup|^WorkflowError:\s+At least one"
)
SILENT = "  it printed nothing; it may not have started"
SHOWN_JOBS = 3  # running jobs whose progress is shown
SECONDS_BETWEEN = 60.0  # between lines on running jobs, where no terminal allows to rewrite a line


@dataclass(frozen=True)
class Job:
    """A running job."""

    log: Path  # its stem names the job
    stamp: int  # time of the log that an earlier run left; until it changes, nothing in the log is this job's
    start: float = field(default_factory=time.monotonic)

    def has_output(self) -> bool:
        """Return whether the log is this job's."""
        return stamp(self.log) != self.stamp

    def progress(self) -> str:
        """Return the name and the state of the progress bar: "25_features 62 %, 00:12 left"."""
        last_line = (tail(self.log).strip().splitlines() or [""])[-1] if self.has_output() else ""
        bar = BAR.search(last_line)
        return f"{self.log.stem} {bar[1]} %, {bar[2]} left" if bar else self.log.stem

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.monotonic() - self.start


class Terminal(logging.Handler):
    """A handler in the place of Snakemake's.

    Parameters
    ----------
    workflow : snakemake.workflow.Workflow
    out : file
        Where lines go; on a terminal the last line shows running jobs and is rewritten every second.
    """

    def __init__(self, workflow: Any, out: TextIO) -> None:
        super().__init__()
        self._workflow, self._out, self._is_terminal = workflow, out, out.isatty()
        self._running: dict[int, Job] = {}
        self._done: set[str] = set()  # logs of finished jobs
        self._lock, self._last_line = Lock(), time.monotonic()
        Thread(target=self._watch, daemon=True).start()

    def emit(self, record: Any) -> None:
        """Print what a record means, if it means anything to the user."""
        event = getattr(record, "event", None)
        if event == LogEvent.RUN_INFO:
            self._print_plan()
        elif event == LogEvent.JOB_INFO and record.log:
            log = Path(record.log[0])
            self._running[record.jobid] = Job(log, stamp(log))
        elif event == LogEvent.JOB_FINISHED and record.job_id in self._running:
            job = self._running.pop(record.job_id)
            self._done.add(str(job.log))
            self._print(f"  {self._count()} {job.log.stem:<50} {job.seconds():6.0f} s")
            if LEFT_OUT in (text := tail(job.log)):
                self._print(f"    left out: {text.rpartition(LEFT_OUT)[2].strip().rpartition(chr(10))[0]}")
        elif event == LogEvent.JOB_ERROR and record.jobid in self._running:
            job = self._running.pop(record.jobid)
            cluster = f"{record.rule_msg}\n" if record.rule_msg else ""
            why = reason(job.log) if job.has_output() else SILENT
            self._print(f"\n{job.log.stem} failed after {job.seconds():.0f} s\n{cluster}{why}\n")
        elif event in (None, LogEvent.ERROR) and record.levelno >= logging.WARNING:
            if not NOISE.search(record.getMessage().strip()):
                self._print(record.getMessage())
        elif str(record.msg).startswith("Nothing to be done"):
            self._print("Nothing to be done: everything is up to date.")

    def _print_plan(self) -> None:
        dag = self._workflow.dag
        stages = [job for job in dag.jobs if job.log]
        kept = sorted(Path(job.log[0]).stem for job in stages if not dag.needrun(job))
        if kept:
            self._print(f"  up to date: {', '.join(kept)}")

    def _count(self) -> str:
        """Return the finished jobs and all, which change when a protocol is left out: "[2/11]"."""
        dag = self._workflow.dag
        waiting = sum(bool(dag.needrun(job)) for job in dag.jobs if job.log and job.log[0] not in self._done)
        return f"[{len(self._done)}/{len(self._done) + waiting}]"

    def _print(self, text: str, end: str = "\n") -> None:
        with self._lock:
            self._out.write(("\r\x1b[K" if self._is_terminal else "") + text + end)
            self._out.flush()
            self._last_line = time.monotonic()

    def _watch(self) -> None:
        """Show running jobs: every second on a terminal, elsewhere after a minute without a line."""
        while True:
            time.sleep(1)
            jobs = list(self._running.values())
            if not jobs or not (self._is_terminal or time.monotonic() - self._last_line > SECONDS_BETWEEN):
                continue
            more = [f"{len(jobs) - SHOWN_JOBS} more"] if len(jobs) > SHOWN_JOBS else []
            running = "; ".join([job.progress() for job in jobs[:SHOWN_JOBS]] + more)
            if self._is_terminal:
                line = f"  {self._count()} {running} ..."
                self._print(line[: shutil.get_terminal_size().columns - 1], end="")
            else:
                self._print(f"  ... {running}")


def take_over(workflow: Any, logger: logging.Logger, out: TextIO) -> None:
    """Replace Snakemake's handler of the terminal by a `Terminal`."""
    for handler in list(logger.handlers):
        if handler.name == "DefaultStreamHandler":
            logger.removeHandler(handler)
            logger.addHandler(Terminal(workflow, out))


def reason(log: Path) -> str:
    """Return why a job failed: its last message, or the last lines of a log without one."""
    text = tail(log)
    _, marker, message = text.rpartition(FAILED)
    lines = message.strip().splitlines()[1:] if marker else text.strip().splitlines()[-5:]
    if not marker and lines and lines[-1] == "KeyboardInterrupt":  # Ctrl-C while Python itself was starting
        lines = ["interrupted"]
    return "\n".join([*lines, f"  complete log: {log.absolute()}"])


def stamp(log: Path) -> int:
    """Return when a log was last written (ns); 0 without a log."""
    return log.stat().st_mtime_ns if log.is_file() else 0


def tail(log: Path, size: int = 20_000) -> str:
    """Return the end of a log file; empty without a log."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - size))
            return file.read().decode(errors="replace")
    except OSError:
        return ""
