"""The repository's own promises: pins, README, what is committed."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import nbformat
import pytest
import yaml

from tests.conftest import PROJECT

PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())
LOCK = (PROJECT / "requirements.lock").read_text()
NOTEBOOKS = sorted([*PROJECT.glob("notebooks/*.ipynb"), *PROJECT.glob("report/*.ipynb")])
PINS = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(.*)", LOCK, re.MULTILINE)


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement)[0].lower().replace("_", "-")


def committed() -> list[str]:
    listing = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True, check=False)
    if listing.returncode != 0:
        pytest.skip("not a git checkout")
    return listing.stdout.splitlines()


def test_everything_is_pinned_with_hashes_and_no_index_address() -> None:
    entries = re.split(r"\n(?=[A-Za-z0-9])", LOCK)
    assert len(entries) == len(PINS) > 100
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in LOCK
    assert not re.search(r"^\s*(-i|--index|--extra-index|--find-links|-f)\b", LOCK, re.MULTILINE)


def test_every_dependency_is_in_the_lock() -> None:
    project = PYPROJECT["project"]
    wanted = [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]
    pinned = {name_of(name) for name, _, _ in PINS}
    assert {name_of(requirement) for requirement in wanted} <= pinned


def test_the_lock_covers_every_python_that_the_project_admits() -> None:
    assert PYPROJECT["project"]["requires-python"] == ">=3.11,<3.14"
    tensorflow = [marker for name, _, marker in PINS if name == "tensorflow"]
    assert all("python" not in marker for marker in tensorflow)


def test_conda_gets_the_same_environment() -> None:
    environment = yaml.safe_load((PROJECT / "environment.yml").read_text())
    *packages, pip = environment["dependencies"]
    assert packages == [f"python {PYPROJECT['project']['requires-python']}", "pip"]
    assert pip == {"pip": ["-r requirements.lock"]}


def test_make_lists_its_targets() -> None:
    said = subprocess.run(["make"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    targets = re.findall(r"^([a-z-]+):.*##", (PROJECT / "Makefile").read_text(), re.MULTILINE)
    assert {"report", "test", "lab", "lock", "clean"} <= set(targets)
    for target in targets:
        assert f"make {target} " in said


def test_the_readme_is_short_and_names_every_room() -> None:
    readme = (PROJECT / "README.md").read_text()
    assert len(readme.split()) <= 900
    for room in (PROJECT / "lab_utils").glob("*/__init__.py"):
        assert f"{room.parent.name}/" in readme


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_cells_are_short(notebook: Path) -> None:
    for cell in json.loads(notebook.read_text())["cells"]:
        if cell["cell_type"] == "code" and not "".join(cell["source"]).startswith("%%text"):
            assert len(cell["source"]) <= 15, "".join(cell["source"])


def test_nothing_is_committed_that_does_not_belong() -> None:
    for name in committed():
        path = PROJECT / name
        if path.parent == PROJECT / "docs":
            assert path.suffix in {".png", ".md"}, name
            assert path.stat().st_size < 200_000, name
            continue
        assert path.suffix not in {".png", ".zip", ".h5", ".keras", ".npy", ".xlsx", ".pdf", ".html"}, name
        assert path.stat().st_size < 1_000_000, name
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"(?<![\w.])/(root|home|work)/(?!somebody)\w", text), name


def test_names_given_to_make_are_no_commands(tmp_path: Path) -> None:
    (tmp_path / "python").write_text(f'#!/bin/sh\nfor word in "$@"; do echo "$word"; done > \'{tmp_path}/words\'\n')
    (tmp_path / "python").chmod(0o755)
    workspace, dataset = f"a \"b$HOME' `touch {tmp_path}/ran`", f"x #2; touch {tmp_path}/ran"
    config, again = f"$(touch {tmp_path}/ran) 001", f"train; touch {tmp_path}/ran"
    external, images, run = f"x;touch {tmp_path}/ran", f"-i $(touch {tmp_path}/ran) ' #1", f"`touch {tmp_path}/ran`"
    options = {"workspace": workspace, "dataset": dataset, "external": external, "config": config, "again": again}
    given = {**options, "BIN": tmp_path, "images": images, "run": run}
    for target, expected in (
        ("report", [f"--{name}={value}" for name, value in options.items()]),
        ("predict", [f"--run={run}", f"--workspace={workspace}", f"--config={config}", "--", images]),
    ):
        words = ["make", target, "-o", ".venv/ready", *(f"{name.upper()}={value}" for name, value in given.items())]
        subprocess.run(words, cwd=PROJECT, check=True, capture_output=True)
        assert (tmp_path / "words").read_text().splitlines() == ["-m", "lab_utils", target, *expected]
    assert not (tmp_path / "ran").exists()


def test_make_lab_opens_the_project_with_jupyterlab_s_options() -> None:
    words = ["make", "-n", "lab", "-o", ".venv/ready", "LAB=--port 9999 --no-browser"]
    said = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    root = "--allow-root " if os.getuid() == 0 else ""
    assert said == f'PYTHONPATH="{PROJECT}" .venv/bin/python -m jupyterlab {root}--port 9999 --no-browser\n'


def test_what_jupyterlab_adds_to_a_notebook_is_not_committed(tmp_path: Path) -> None:
    clone = tmp_path / "a clone"
    for words in (["init", "-q", str(clone)], ["-C", str(clone), "config", "user.email", "a@b"]):
        subprocess.run(["git", *words], check=True)
    (clone / ".venv").symlink_to(Path(sys.prefix))
    notebooks = [path.name for path in NOTEBOOKS[3:5]]
    for path in (PROJECT / ".gitattributes", PROJECT / "Makefile", *NOTEBOOKS[3:5]):
        shutil.copy(path, clone)

    def run(*words: str) -> str:
        return subprocess.run(words, cwd=clone, capture_output=True, text=True, check=True).stdout

    run("make", "--eval", "filter: ; $(FILTER)", "filter")
    run("git", "add", ".gitattributes", *notebooks)
    run("git", "-c", "user.name=a", "commit", "-qm", "first")
    for name in notebooks:
        assert json.loads(run("git", "show", f":{name}")) == json.loads((clone / name).read_text())
        content = nbformat.read(clone / name, as_version=4)
        for cell in content.cells:
            if cell.cell_type == "code":
                cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="0 %")], 3
        content.metadata["language_info"].update(version="3.11.7", file_extension=".py")
        nbformat.write(content, clone / name)
    assert run("git", "diff", "--stat") == ""
