"""The environment of the stages: what other tools' settings and strange machines cannot change."""

import json
import os
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from lab_utils.pipeline import environment
from lab_utils.pipeline.environment import kernel_environment, stage_environment
from lab_utils.pipeline.runner import run_notebook
from tests.conftest import PROJECT

LEAKS = {
    "SNAKEMAKE_PROFILE": "mine",
    "SNAKEMAKE_OUTPUT_CACHE": "x",
    "PAPERMILL_X": "x",
    "JUPYTER_CONFIG_DIR": "x",
    "JUPYTER_CONFIG_PATH": "x",
    "IPYTHONDIR": "x",
    "PYTHONPATH": "x",
    "PYTHONSTARTUP": "x",
    "PYTHONWARNINGS": "error",
    "PYTHONSAFEPATH": "1",
    "MATPLOTLIBRC": "x",
    "KERAS_BACKEND": "jax",
    "MPLBACKEND": "TkAgg",
}


def test_settings_of_other_tools_do_not_leak_in(tmp_path: Path) -> None:
    given = {**LEAKS, "PATH": "p", "HOME": str(tmp_path), "PYTHONHASHSEED": "3", "KERAS_HOME": "k", "LANG": "C"}
    stated = stage_environment(given, tmp_path / "workspace")
    assert {name: stated[name] for name in ("PATH", "HOME", "PYTHONHASHSEED", "KERAS_HOME", "LANG")} == {
        name: given[name] for name in ("PATH", "HOME", "PYTHONHASHSEED", "KERAS_HOME", "LANG")
    }
    assert {name: stated.get(name) for name in LEAKS} == {
        **dict.fromkeys(LEAKS),
        "PYTHONPATH": str(PROJECT),
        "KERAS_BACKEND": "tensorflow",
        "MPLBACKEND": "agg",
    }
    assert not (tmp_path / "workspace").exists()


def test_configuration_files_of_jupyter_are_not_read(tmp_path: Path) -> None:
    script = "from jupyter_core.paths import jupyter_config_path\nprint(*jupyter_config_path(), sep='\\n')"
    given = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "JUPYTER_CONFIG_DIR": str(tmp_path)}
    stated = stage_environment(given, tmp_path)
    done = subprocess.run([sys.executable, "-c", script], env=stated, capture_output=True, text=True, check=True)
    (folder,) = done.stdout.splitlines()
    assert not Path(folder).is_relative_to(tmp_path)
    assert not Path(folder).is_relative_to(sys.prefix)


@pytest.mark.parametrize("home", ["missing", "read-only", "", "file"])
def test_without_a_home_folder_the_workspace_has_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, home: str
) -> None:
    (tmp_path / "read-only" / ".keras").mkdir(parents=True)
    (tmp_path / "file").touch()
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path / "read-only")
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "missing")
    given = {"HOME": str(tmp_path / home) if home else "", "XDG_CACHE_HOME": "/nowhere"}
    stated = stage_environment(given, tmp_path / "workspace")
    private = str(tmp_path / "workspace" / ".home")
    assert stated["HOME"] == stated["XDG_CACHE_HOME"] == private
    assert Path(private).is_dir()
    assert stated.get("KERAS_HOME") == (str(tmp_path / "read-only" / ".keras") if home == "read-only" else None)


def test_an_unknown_user_has_a_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def unknown() -> str:
        raise KeyError("uid not found: 4711")

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(environment.getpass, "getuser", unknown)
    monkeypatch.setattr(Path, "home", nowhere)
    stated = stage_environment({}, tmp_path)
    assert (stated["LOGNAME"], stated["HOME"]) == ("lab", str(tmp_path / ".home"))


def test_a_kernel_has_folders_of_its_own_and_they_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNAKEMAKE_PROFILE", "mine")
    before = dict(os.environ)
    with kernel_environment() as folder:
        assert os.environ["IPYTHONDIR"] == os.environ["JUPYTER_RUNTIME_DIR"] == str(folder)
        assert os.environ["LAB_BATCH"] == "1"
        assert "SNAKEMAKE_PROFILE" not in os.environ
    assert dict(os.environ) == before
    assert not folder.exists()


def test_a_stage_runs_this_interpreter_with_settings_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever kernel is called python3, and whatever the user's profile of IPython, backend and PYTHONPATH say."""
    kernel = tmp_path / "jupyter" / "kernels" / "python3"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(
        json.dumps({"argv": ["/no/such/python", "{connection_file}"], "language": "python", "display_name": "old"})
    )
    startup = tmp_path / "ipython" / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "0.py").write_text("raise SystemExit")
    (tmp_path / "lab_utils.py").write_text("raise SystemExit")
    for name, value in {
        "JUPYTER_PATH": tmp_path / "jupyter",
        "IPYTHONDIR": tmp_path / "ipython",
        "PYTHONPATH": tmp_path,
        "MPLBACKEND": "no_such_backend",
    }.items():
        monkeypatch.setenv(name, str(value))
    code = "import os, sys, lab_utils, matplotlib\n(sys.executable, lab_utils.__path__[0], matplotlib.get_backend())"
    cells = [nbformat.v4.new_code_cell("seed: int = 0  # any", metadata={"tags": ["parameters"]})]
    notebook = nbformat.v4.new_notebook(cells=[*cells, nbformat.v4.new_code_cell(code)])
    nbformat.write(notebook, tmp_path / "n.ipynb")
    run_notebook(tmp_path / "n.ipynb", tmp_path / "o.ipynb", {})
    shown = nbformat.read(tmp_path / "o.ipynb", 4).cells[-1].outputs[0].data["text/plain"]
    assert sys.executable in shown
    assert str(PROJECT / "lab_utils") in shown
    assert "inline" in shown


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="needs root to be somebody else")
def test_a_stranger_without_a_home_can_plan(tmp_path: Path) -> None:
    """As in a container: a user whom the system does not know, in a clone that is somebody else's."""
    tmp_path.chmod(0o777)
    for folder in tmp_path.parents:
        if folder.stat().st_uid == os.getuid() and folder.name.startswith(("pytest-", "popen-")):
            folder.chmod(0o755)
    script = (
        "import getpass, os, pwd\nfrom pathlib import Path\nfrom lab_utils.core.provenance import provenance\n"
        "from lab_utils.pipeline.environment import stage_environment\n"
        "provenance()\nos.setgid(54321)\nos.setuid(54321)\n"  # whoever this Python may be hidden from afterwards
        "for name in ('HOME', 'USER', 'LOGNAME', 'LNAME', 'USERNAME'): os.environ.pop(name, None)\n"
        "print(provenance()['commit'])\n"
        f"stated = stage_environment(os.environ, Path({str(tmp_path)!r}))\nprint(stated['HOME'], stated['LOGNAME'])"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    commit, home = done.stdout.splitlines()
    assert commit in ("unknown (git does not trust a repository of another user)", "unknown (outside a git repository)")
    assert home == f"{tmp_path / '.home'} lab"
