"""Tiny data for the tests: everything here is generated, nothing outside the repository is needed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from papermill import execute_notebook
from PIL import Image

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.paths import Workspace
from lab_utils.data.phantoms import write_phantoms
from lab_utils.pipeline.runner import run_notebook

PROJECT = Path(__file__).resolve().parent.parent
SHARED = PROJECT.parent / "shared"
ARCHIVE = SHARED / "data" / "covid19-radiography-tenth.zip"
WEIGHTS = SHARED / "keras"
SNAKEMAKE = str(Path(sys.executable).parent / "snakemake")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SCENARIOS = ["last_two_convs", "last_conv", "fc_only"]

os.environ.update(MPLBACKEND="agg", PYDEVD_DISABLE_FILE_VALIDATION="1")
os.environ.pop("KERAS_HOME", None)  # the real tests name their own
for name in ("MAKEFLAGS", "MAKELEVEL", "MFLAGS"):  # a make that a test starts is not part of the `make test` above it
    os.environ.pop(name, None)
os.chdir(PROJECT)

Config = Callable[..., Path]


def tiny_settings(**changes: Any) -> dict[str, Any]:
    """lab.yaml made small: 48 phantoms at 64 pixels, 2 epochs; `changes` replace top-level keys or add to mappings."""
    settings = yaml.safe_load((PROJECT / "lab.yaml").read_text())
    settings.update(phantoms=48, image_size=64, weights="random")
    settings["run"].update(protocols=["described"])
    settings["training"].update(epochs=2, batch_size=16, head=[32, 16])
    for key, value in changes.items():
        settings[key] = {**settings[key], **value} if isinstance(value, dict) else value
    return settings


def write_config(path: Path, **changes: Any) -> Path:
    """Write `tiny_settings` to `path`."""
    path.write_text(yaml.safe_dump(tiny_settings(**changes), sort_keys=False))
    return path


def write_classes(root: Path, counts: dict[str, int], *, size: int = 40, folder: str = "") -> Path:
    """Write class folders of grey noise whose brightness tells the classes apart."""
    for place, (name, count) in enumerate(counts.items()):
        target = root / name / folder
        target.mkdir(parents=True, exist_ok=True)
        for number in range(1, count + 1):
            noise = np.random.default_rng([place, number]).integers(0, 60, (size, size))
            Image.fromarray((60 * place + noise).astype(np.uint8)).save(target / f"{name}-{number}.png")
    return root


@pytest.fixture(scope="session", autouse=True)
def signatures(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Signatures of executed notebooks go elsewhere than to the user's database."""
    os.environ["JUPYTER_DATA_DIR"] = str(tmp_path_factory.mktemp("jupyter"))


@pytest.fixture
def lab(tmp_path: Path) -> Workspace:
    """An empty workspace."""
    return Workspace.open(str(tmp_path / "workspace"))


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 48 phantoms in the archive's layout; not to be changed."""
    root = tmp_path_factory.mktemp("phantoms")
    write_phantoms(root, 48)
    return root


@pytest.fixture
def phantom_copy(phantoms: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(phantoms, tmp_path / "phantoms")


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The path of the tiny experiment file."""
    return write_config(tmp_path_factory.mktemp("config") / "tiny.yaml")


@pytest.fixture(scope="session")
def experiment(config: Path) -> Experiment:
    """The tiny experiment."""
    return load_experiment(str(config))


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory, config: Path) -> Workspace:
    """A workspace after stages 10, 20 and 25, run as notebooks; not to be changed."""
    lab = Workspace.open(str(tmp_path_factory.mktemp("prepared")))
    for stage, values in (
        ("10_download", {"phantoms": 48}),
        ("20_preprocess", {"protocol": "described"}),
        ("25_features", {"protocol": "described"}),
    ):
        run_stage(stage, lab, config, **values)
    return lab


@pytest.fixture
def prepared_copy(prepared: Workspace, tmp_path: Path) -> Workspace:
    """The same, to be changed."""
    return Workspace.open(str(shutil.copytree(prepared.root, tmp_path / "prepared")))


def run_stage(stage: str, lab: Workspace, config: Path, **values: Any) -> Path:
    """Run a stage's notebook as the pipeline does; return the executed notebook."""
    output = lab.root / "notebooks" / f"{stage}.ipynb"
    run_notebook(
        PROJECT / "notebooks" / f"{stage}.ipynb", output, {"workspace": str(lab.root), "config": str(config), **values}
    )
    return output


def run_by_hand(stage: str, lab: Workspace, config: Path, **values: Any) -> Path:
    """Run a stage's notebook as a user does, with papermill itself; return the executed notebook."""
    output = lab.root.parent / f"{stage}-by-hand.ipynb"
    execute_notebook(
        PROJECT / "notebooks" / f"{stage}.ipynb",
        output,
        {"workspace": str(lab.root), "config": str(config), **values},
        kernel_name="python3",
        progress_bar=False,
    )
    return output


def files_in(folder: Path) -> dict[Path, bytes]:
    """Every file below a folder, with its bytes."""
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def planned(workspace: Path, config: Path, said: list[str] | None = None) -> set[str]:
    """The log files of the jobs that a run would do: one per job. Lines that are printed go into `said`."""
    done = snakemake(workspace, config, "--dry-run", "--quiet", "host", "progress")
    assert done.returncode == 0, done.stderr
    lines = (done.stdout + done.stderr).splitlines()
    if said is not None:
        said += lines
    return {Path(line.split("log: ")[1].split(" ")[0]).stem for line in lines if line.strip().startswith("log: ")}


def command(workspace: Path, config: Path, *words: str) -> list[str]:
    """The command line of a run."""
    return [SNAKEMAKE, *words, "--config", f"workspace={workspace}", f"config={config}"]


def snakemake(workspace: Path, config: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the lab."""
    return subprocess.run(
        command(workspace, config, *words), cwd=PROJECT, capture_output=True, text=True, check=False, timeout=600
    )


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A finished run of the three scenarios: workspace and experiment file. Who changes them changes them back."""
    folder = tmp_path_factory.mktemp("pipeline")
    config = write_config(folder / "lab.yaml")
    done = snakemake(folder / "workspace", config)
    assert done.returncode == 0, done.stdout + done.stderr
    for name in ("report", "notebooks", "runs", "results"):
        shutil.copytree(folder / "workspace" / name, folder / "kept" / name)
    (folder / "said.txt").write_text(done.stdout)
    return folder / "workspace", config


@pytest.fixture(scope="session")
def report(finished: tuple[Path, Path]) -> Path:
    """The folder of that run's report, as it was when the run had ended."""
    return finished[0].parent / "kept" / "report"


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    executable = next(filter(None, map(shutil.which, BROWSERS)), None)
    if executable is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    with playwright.sync_playwright() as engine:
        chromium = engine.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def opened(browser: Any, page: Path, width: int, theme: str, said: list[str]) -> Any:
    """A page in a tab; what the console says, what asks for attention, and what is asked of the network goes into `said`."""
    tab = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=theme)
    address = page.as_uri()
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    tab.on("request", lambda request: None if request.url.startswith(("data:", address)) else said.append(request.url))
    tab.goto(address)
    return tab
