"""Versions, machine, time and git commit that a result was made with."""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lab_utils.core.machine import cpus, peak_memory

REFUSALS = {  # in what git says
    "not a git repository": "outside a git repository",
    "dubious ownership": "git does not trust a repository of another user",
}
LIBRARIES = ["tensorflow", "keras", "numpy", "pandas", "pillow", "scikit-learn", "papermill", "snakemake", "lab-utils"]


def provenance() -> dict[str, Any]:
    """Collect the circumstances of a result without importing any of the libraries."""
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": cpus(),
        "memory_mb": peak_memory(),
        "versions": {name: _version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _commit() -> str:
    """The commit's 40 digits, with + where files were edited; else "unknown (the reason)"."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    folder, english = Path(__file__).parent, {**os.environ, "LC_ALL": "C"}
    try:
        done = subprocess.run(command, cwd=folder, env=english, capture_output=True, text=True, check=False, timeout=20)
    except FileNotFoundError:
        return "unknown (git is not installed)"
    except (OSError, subprocess.SubprocessError):
        return "unknown (git does not answer)"
    if done.returncode == 0:
        return done.stdout.strip()
    return f"unknown ({next((why for sign, why in REFUSALS.items() if sign in done.stderr), 'git failed')})"


def _version(library: str) -> str:
    try:
        return metadata.version(library)
    except metadata.PackageNotFoundError:  # the lab itself, in a clone that nobody installed
        return "not installed"
