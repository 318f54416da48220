"""Versions, machine, time and git commit that a result was made with."""

import platform
import subprocess
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from lab_utils.core.machine import cpus, peak_memory

VERSIONS_OF = (
    "tensorflow",
    "keras",
    "numpy",
    "pandas",
    "pillow",
    "scikit-learn",
    "papermill",
    "snakemake",
    "lab-utils",
)


def provenance() -> dict[str, Any]:
    """Versions, machine, time and git commit, without importing any of the libraries.

    Returns
    -------
    dict
        `finished` (UTC, ISO 8601), `python`, `platform`, `cpus` (cores this process may use), `memory_mb` (the most
        that this process has had resident so far, in MB),
        `versions` (library to version), `commit` (with `+` behind it where files were edited; empty outside git).
    """
    return {
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": cpus(),
        "memory_mb": peak_memory(),
        "versions": {name: metadata.version(name) for name in VERSIONS_OF},
        "commit": _commit(),
    }


def _commit() -> str:
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", *words], cwd=here, capture_output=True, text=True, timeout=20, check=True
        ).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return ""
