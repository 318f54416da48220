"""A SLURM cluster of one machine, on loopback, for as long as a test needs it."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from getpass import getuser
from pathlib import Path

import psutil

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scancel", "sinfo")
SLOTS = 4  # jobs side by side, whatever the machine has
SYSTEM = Path("/etc/slurm/slurm.conf")  # where SLURM's programs look: Snakemake's plugin hides SLURM_CONF from its jobs

MARK = "# written by tests/slurm_cluster.py, for as long as its cluster runs\n"

CONFIGURATION = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={node}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
SlurmdParameters=config_overrides
ReturnToService=2
MinJobAge=600
NodeName={host} NodeAddr=127.0.0.1 CPUs={slots} RealMemory={memory} State=UNKNOWN
PartitionName=lab Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def obstacles() -> str:
    """Why no cluster can be started here; empty: it can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)}; `make test-slurm` installs them on Debian"
    if SYSTEM.exists() and not SYSTEM.read_text().startswith(MARK):
        return f"{SYSTEM} is there: this machine belongs to a cluster"
    return "" if os.access(SYSTEM.parent, os.W_OK) else f"cannot write {SYSTEM}: run as root"


def _program(name: str) -> str | None:
    return shutil.which(name, path=os.environ["PATH"] + ":/usr/sbin:/sbin")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Start munged, slurmctld and slurmd, with all their files below `folder`; stop them in the end."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o600)
    SYSTEM.write_text(
        MARK
        + CONFIGURATION.format(
            host=socket.gethostname().split(".")[0],
            controller=_free_port(),
            node=_free_port(),
            user=getuser(),
            folder=folder,
            slots=SLOTS,
            memory=psutil.virtual_memory().total // 2**20,
        )
    )
    munge = [
        f"--{name}={folder}/munge.{name.split('-')[0]}" for name in ("socket", "pid-file", "log-file", "seed-file")
    ]
    commands = [
        ["munged", "--foreground", "--force", f"--key-file={key}", *munge],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D"],
    ]
    with ExitStack() as stack, (folder / "daemons.log").open("wb") as log:
        stack.callback(SYSTEM.unlink)
        for name, *options in commands:
            daemon = subprocess.Popen([_program(name) or name, *options], stdout=log, stderr=log)
            stack.callback(_stop, daemon)
        _wait_until_idle(folder)
        stack.callback(subprocess.run, ["scancel", f"--user={getuser()}"], check=False)
        yield


def _wait_until_idle(folder: Path) -> None:
    deadline = time.monotonic() + 60
    state = subprocess.CompletedProcess([], 1, "", "")
    while time.monotonic() < deadline:
        state = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, check=False)
        if state.stdout.strip() == "idle":
            return
        time.sleep(0.5)
    logs = "\n".join(path.read_text(errors="replace")[-2000:] for path in sorted(folder.glob("*.log")))
    raise RuntimeError(f"the cluster does not come up: {state.stdout}{state.stderr}\n{logs}")


def _stop(daemon: subprocess.Popen[bytes]) -> None:
    daemon.terminate()
    try:
        daemon.wait(10)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()
