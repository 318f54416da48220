"""A warm process, which is forked for each notebook and each kernel.

It has imported what stages share. TensorFlow is imported, but its devices are not started: a fork of a process whose
devices have started hangs. Only Linux has what this needs. Elsewhere, on a cluster and until the imports are done,
modules run in ordinary processes.
"""

import ctypes
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import struct
import subprocess
import sys
import traceback
from contextlib import suppress
from threading import Thread

from lab_utils.core.machine import cpus
from lab_utils.pipeline.environment import KERNEL, replace_environment
from lab_utils.pipeline.forked import ADDRESS

SHARED = (
    *("papermill", "nbformat.sign", "ipykernel.kernelapp", "nbconvert.nbconvertapp", "typst", "bs4"),
    *("matplotlib.pyplot", "seaborn", "openpyxl", "imagehash", "sklearn.decomposition"),
    *("scipy.optimize", "scipy.sparse.csgraph", "scipy.stats", "statsmodels.stats.multitest"),
    *("tensorflow", "keras", "ai_edge_litert.interpreter"),
    *("lab_utils.reporting.exporters", "lab_utils.reporting.figures"),  # the rooms that import no TensorFlow
)
PR_SET_PDEATHSIG = 1  # of prctl(2)


def start_server() -> None:
    """Start the server, which ends with this process; child processes find it by `ADDRESS`."""
    if sys.platform == "linux":
        os.environ[ADDRESS] = f"lab-{os.urandom(16).hex()}"
        command = [sys.executable, "-m", __name__, str(os.getpid())]
        null = subprocess.DEVNULL
        variables = {**os.environ, **KERNEL}  # matplotlib reads its backend when it is imported
        subprocess.Popen(command, env=variables, stdin=null, stdout=null, stderr=null, start_new_session=True)


def serve(parent: int) -> None:
    """Import what stages share, then fork for every request until the parent ends."""
    end_with(parent)
    for name in SHARED:
        with suppress(ImportError):  # LiteRT, say, is optional
            importlib.import_module(name)
    gc.freeze()  # or each fork would look for garbage among the imports: 0.3 s a time
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # no zombies
    listener, server = socket.socket(socket.AF_UNIX), os.getpid()
    listener.bind(f"\0{os.environ[ADDRESS]}")
    listener.listen()
    while True:
        link, _ = listener.accept()
        with link:
            if is_own(link) and os.fork() == 0:
                listener.close()
                end_with(server)
                os._exit(run(link))


def is_own(link: socket.socket) -> bool:
    """Whether the same user is at the other end: every user of the machine can see the address."""
    credentials = struct.Struct("3i")
    _, user, _ = credentials.unpack(link.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, credentials.size))
    return bool(user == os.getuid())


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this call
        os._exit(1)


def run(link: socket.socket) -> int:
    """Run the requested module as ``python -m`` does, and send its exit status."""
    from numpy import random
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    os.setsid()  # what ends it also ends what it starts
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a run in the background ignores it
    _, streams, _, _ = socket.recv_fds(link, 1, 3)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
        os.close(stream)
    words, environment, folder = json.loads(link.makefile("rb").readline())
    link.sendall(b"%d\n" % os.getpid())
    Thread(target=_end_with_requester, args=[link], daemon=True).start()
    replace_environment(environment)
    os.chdir(folder)
    threadpool_limits(cpus())  # libraries read OMP_NUM_THREADS when they are loaded
    random.seed()  # noqa: NPY002  # or `numpy.random.rand` gives the same numbers in every fork
    sys.argv = words
    status = _status_of(words[0])
    with suppress(OSError, ValueError):  # a closed stream, a full disk
        sys.stdout.flush()
    link.sendall(b"%d\n" % status)
    return status


def _status_of(module: str) -> int:
    """Run a module as the main one; return the exit status that its process would have."""
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    except KeyboardInterrupt:
        return 128 + signal.SIGINT
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _end_with_requester(link: socket.socket) -> None:
    """Wait until who asked for this fork ends, and end this process and what it started."""
    link.recv(1)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    serve(int(sys.argv[1]))
