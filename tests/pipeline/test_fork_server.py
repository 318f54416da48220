"""A warm process that is forked for notebooks and kernels."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from lab_utils.pipeline import fork_server
from lab_utils.pipeline.fork_server import is_own, start_server
from lab_utils.pipeline.forked import ADDRESS, KILLED, connection

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has what the server needs")
FORKED = [sys.executable, "-m", "lab_utils.pipeline.forked"]
# `python -m task STATEMENT`, where the server finds it: in the folder in which it was started.
TASK = "import sys\nif __name__ == '__main__':\n    exec(sys.argv[1])\n"
REPORT = "import os, sys; print(os.getppid(), os.getcwd(), os.environ['LAB_TRIED'], len(sys.argv), flush=True)"
SLEEP = (
    "import os, subprocess, time; print(os.getpid(), subprocess.Popen(['sleep', '60']).pid, flush=True); time.sleep(60)"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[psutil.Process]:
    """A server that has done its imports."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("server")
        (folder / "task.py").write_text(TASK)
        patch.chdir(folder)
        patch.setenv(ADDRESS, "")
        patch.setenv("LAB_TRIED", "before")
        patch.setenv("KERAS_BACKEND", "tensorflow")
        start_server()
        (process,) = [one for one in psutil.Process().children() if "lab_utils.pipeline.fork_server" in one.cmdline()]
        deadline = time.monotonic() + 120
        while (link := connection()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert link, "the server does not answer"
        link.close()
        yield process
        with suppress(psutil.NoSuchProcess):  # a test killed it
            process.kill()
        process.wait()


def forked(statement: str, **options: object) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*FORKED, "task", statement], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )  # type: ignore[call-overload,no-any-return]


def gone(pids: list[int]) -> bool:
    """Whether processes end within seconds."""
    return not psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5)[1]


def test_a_fork_has_the_streams_variables_and_folder_of_who_asked(server: psutil.Process, tmp_path: Path) -> None:
    run = forked(REPORT, cwd=tmp_path, env={**os.environ, "LAB_TRIED": "now"})
    said, problems = run.communicate(timeout=30)
    assert said.split() == [str(server.pid), str(tmp_path), "now", "2"], problems
    assert run.returncode == 0


@pytest.mark.parametrize(
    ("statement", "status", "said"),
    [
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no room')", 1, "no room"),
        ("1 / 0", 1, "ZeroDivisionError"),
        ("raise KeyboardInterrupt", 128 + signal.SIGINT, ""),
        ("import os; os.kill(os.getpid(), 9)", KILLED, ""),
    ],
)
def test_the_exit_status_is_that_of_the_fork(server: psutil.Process, statement: str, status: int, said: str) -> None:
    run = forked(statement)
    assert said in run.communicate(timeout=30)[1]
    assert run.returncode == status


def test_an_interrupt_reaches_the_fork(server: psutil.Process) -> None:
    run = forked(f"try:\n    {SLEEP}\nexcept KeyboardInterrupt:\n    sys.exit(7)")
    assert run.stdout
    pids = [int(word) for word in run.stdout.readline().split()]
    run.send_signal(signal.SIGINT)
    assert run.wait(30) == 7
    os.kill(pids[1], signal.SIGKILL)


def test_a_fork_and_what_it_started_end_with_who_asked(server: psutil.Process) -> None:
    run = forked(SLEEP)
    assert run.stdout
    pids = [int(word) for word in run.stdout.readline().split()]
    run.kill()
    run.wait()
    assert gone(pids)


def test_forks_draw_different_numbers_and_compute_with_the_granted_threads(server: psutil.Process) -> None:
    statement = """
from lab_utils.models.runtime import tf
import numpy, threadpoolctl
print(numpy.random.rand(), float(tf.reduce_sum(tf.ones((300, 300)) @ tf.ones((300, 300)))))
print(tf.config.threading.get_intra_op_parallelism_threads(), {one["num_threads"] for one in threadpoolctl.threadpool_info()})
"""
    runs = [forked(statement, env={**os.environ, "OMP_NUM_THREADS": "1"}) for _ in range(2)]
    said = [run.communicate(timeout=60) for run in runs]
    (first, second), (threads, others) = ([lines.splitlines()[row] for lines, _ in said] for row in (0, 1))
    assert first != second
    assert first.split()[1] == second.split()[1] == str(300.0**3)
    assert threads == others == "1 {1}"


def test_forks_end_with_the_server(server: psutil.Process) -> None:
    run = forked(SLEEP)
    assert run.stdout
    fork, sleeper = (int(word) for word in run.stdout.readline().split())
    server.kill()
    assert run.wait(30) == KILLED
    assert gone([fork])
    os.kill(sleeper, signal.SIGKILL)
    assert connection() is None


def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert is_own(ours)
        monkeypatch.setattr(fork_server.os, "getuid", lambda: os.geteuid() + 1)
        assert not is_own(ours)


def test_there_is_no_server_but_on_linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork_server.sys, "platform", "darwin")
    monkeypatch.delenv(ADDRESS, raising=False)
    start_server()
    assert ADDRESS not in os.environ
