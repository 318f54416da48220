"""Versions, machine, time and git commit that a result was made with."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lab_utils.core.machine import cpus, peak_memory

LIBRARIES = ["tensorflow", "keras", "numpy", "pandas", "pillow", "scikit-learn", "papermill", "snakemake", "lab-utils"]


def provenance() -> dict[str, Any]:
    """Collect the circumstances of a result without importing any of the libraries.

    Returns
    -------
    dict
        `finished` (UTC, ISO 8601), `python`, `platform`, `cpus` (cores that this process may use), `memory_mb`
        (largest resident memory of this process so far, in MB), `versions` (by library) and `commit` (followed by
        `+` where files were edited; empty outside git).
    """
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": cpus(),
        "memory_mb": peak_memory(),
        "versions": {name: metadata.version(name) for name in LIBRARIES},
        "commit": _commit(),
    }


def _commit() -> str:
    def git(*words: str) -> str:
        folder = Path(__file__).resolve().parent
        done = subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
