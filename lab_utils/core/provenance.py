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
    """Collect the circumstances of a result without importing any of the libraries."""
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
    """The commit's 40 digits, followed by + where files were edited; empty outside git."""
    command = ["git", "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty=+"]
    try:
        return subprocess.check_output(
            command, cwd=Path(__file__).parent, stderr=subprocess.DEVNULL, text=True, timeout=20
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return ""
