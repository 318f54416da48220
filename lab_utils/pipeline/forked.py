"""Run a Python module in a fork of the warm process; where there is none, in this process.

``python -m lab_utils.pipeline.forked MODULE ARGUMENT ...`` does what ``python -m MODULE ARGUMENT ...`` does, without
the seconds that imports take. The warm process is `lab_utils.pipeline.fork_server`. This module imports little, because
it is started for every notebook and every kernel.
"""

import json
import os
import runpy
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

ADDRESS = "LAB_FORK_SERVER"  # environment variable: name of the server's socket
KILLED = 128 + signal.SIGKILL  # exit status of a fork that did not live to report its own, as shells have it


def main(words: Sequence[str]) -> int:
    """Run the module that the words name, and return its exit status."""
    if link := connection():
        return follow(link, words)
    sys.argv = list(words)
    runpy.run_module(words[0], run_name="__main__", alter_sys=True)
    return 0


def connection() -> socket.socket | None:
    """Connect to the server; None where there is none, or none yet."""
    name = os.environ.get(ADDRESS)
    if not name:
        return None
    link = socket.socket(socket.AF_UNIX)
    try:
        link.connect(f"\0{name}")
    except OSError:  # still importing, or ended
        return None
    return link


def follow(link: socket.socket, words: Sequence[str]) -> int:
    """Have a module run in a fork, pass on signals, and return the fork's exit status.

    The fork has this process's environment, folder and standard streams, and it ends when this process does.
    """
    socket.send_fds(link, [b"."], [0, 1, 2])
    link.sendall(json.dumps([list(words), dict(os.environ), str(Path.cwd())]).encode() + b"\n")
    answers = link.makefile("rb")
    pid = int(answers.readline() or 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: os.kill(pid, number))
    return int(answers.readline() or KILLED)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
