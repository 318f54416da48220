"""Modules run in an ordinary process where there is no warm one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from lab_utils.pipeline.forked import ADDRESS


@pytest.mark.parametrize("address", ["", "lab-that-nobody-listens-to"])
def test_without_a_server_a_module_runs_as_with_python_m(address: str, tmp_path: Path) -> None:
    (tmp_path / "task.py").write_text("import os, sys; print(os.getppid(), __name__, sys.argv[1:]); sys.exit(3)")
    command = [sys.executable, "-m", "lab_utils.pipeline.forked", "task", "--seed", "0"]
    variables = {**os.environ, ADDRESS: address}
    run = subprocess.run(command, cwd=tmp_path, env=variables, capture_output=True, text=True, check=False)
    assert run.stdout.strip() == f"{os.getpid()} __main__ ['--seed', '0']", run.stderr
    assert run.returncode == 3


def test_the_module_imports_little() -> None:
    """It is started for every notebook and kernel."""
    heavy = "sorted({'yaml', 'numpy', 'pydantic', 'papermill', 'subprocess'} & set(sys.modules))"
    command = [sys.executable, "-c", f"import sys, lab_utils.pipeline.forked; print({heavy})"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "[]"
