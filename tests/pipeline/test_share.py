"""A shared run: the zip is complete, says what the tables say, and works without the lab."""

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
import yaml
from huggingface_hub import ModelCard
from packaging.requirements import Requirement
from rocrate.rocrate import ROCrate

from lab_utils.core.catalogue import read_table
from lab_utils.core.config import load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.data.decode import read_image, resize
from lab_utils.evaluation.predictions import probabilities_of, read_predictions
from lab_utils.evaluation.runs import finished_runs
from lab_utils.models.export import AGREEMENT, predict_litert, predict_onnx
from lab_utils.pipeline.share import share
from tests.conftest import PROJECT

RUN = "described/fc_only/seed-0"
COMMAND = [sys.executable, "-m", "lab_utils", "share", "--run", RUN]


@pytest.fixture(scope="module")
def said(finished: tuple[Path, Path]) -> Iterator[str]:
    """What the command printed; the workspace has the zip as long as these tests run."""
    workspace, config = finished
    words = [*COMMAND, "--workspace", str(workspace), "--config", str(config)]
    done = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    yield done.stdout
    shutil.rmtree(workspace / "share")


@pytest.fixture(scope="module")
def package(said: str, finished: tuple[Path, Path]) -> Path:
    """The zip."""
    return finished[0] / "share" / "described-fc_only-seed-0.zip"


@pytest.fixture(scope="module")
def folder(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a user unpacks; not to be changed."""
    folder = tmp_path_factory.mktemp("unpacked")
    with zipfile.ZipFile(package) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def blocks(folder: Path) -> list[str]:
    """The code of the card: for Keras, LiteRT and ONNX."""
    card = (folder / "README.md").read_text(encoding="utf-8")
    return re.findall(r"^```python\n(.*?)^```", card, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def expected(finished: tuple[Path, Path], folder: Path) -> np.ndarray:
    """The recorded probabilities of the example's image."""
    (name,) = set(re.findall(r'"examples/([^"]+)"', (folder / "README.md").read_text(encoding="utf-8")))
    table = read_predictions(finished[0] / "runs" / RUN / "predictions.csv")
    (row,) = np.flatnonzero(table["image_id"].str.endswith(f"/{name}"))
    return probabilities_of(table)[row]


def test_the_command_says_which_run_where_and_how_far_the_formats_agree(said: str, package: Path) -> None:
    run, reason, place, litert, onnx = said.splitlines()
    assert (run, reason) == (f"Run: {RUN}", f"{RUN} was asked for.")
    assert place == f"Zip: {package} ({package.stat().st_size / 1e6:.1f} MB)"
    for line, title in ((litert, "LiteRT"), (onnx, "ONNX")):
        (difference,) = re.findall(
            rf"^{title}: probabilities differ from Keras' by (\S+) at most, on \d+ images$", line
        )
        assert float(difference) <= AGREEMENT


def test_the_zip_has_every_file_with_its_checksum_and_names_no_place_of_this_machine(
    finished: tuple[Path, Path], package: Path, folder: Path
) -> None:
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    examples = {name for name in files if name.startswith("examples/")}
    formats = {"model.keras", "model.tflite", "model.onnx"}
    texts = {"README.md", "CITATION.cff", "config.json", "ro-crate-metadata.json", "SHA256SUMS"}
    assert files - examples == formats | texts | {"predictions.csv", "run.json", "train.ipynb"}
    assert len(examples) == 2
    sums = dict(line.split("  ")[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    assert sums == {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in files - {"SHA256SUMS"}}
    places = [str(path).encode() for path in (finished[0], finished[1], PROJECT, Path.home())]
    for name in files:
        content = (folder / name).read_bytes()
        if name == "model.keras":
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                content = b"".join(map(archive.read, archive.namelist()))
        assert not [place for place in places if len(place) > 1 and place + b"/" in content], name
        assert str(finished[1]).encode() not in content, name


def test_a_run_that_is_shared_again_gives_the_same_bytes(finished: tuple[Path, Path], package: Path) -> None:
    workspace, experiment = Workspace(finished[0]), load_experiment(str(finished[1]))
    (run,) = (run for run in finished_runs(experiment, workspace) if run.name == RUN)
    before = package.read_bytes()
    assert share(run, workspace, experiment).path == package
    assert package.read_bytes() == before


def test_a_run_of_another_data_set_is_refused(finished: tuple[Path, Path], tmp_path: Path) -> None:
    experiment = load_experiment(str(finished[1]))
    workspace = Workspace.open(str(shutil.copytree(finished[0] / "runs", tmp_path / "w" / "runs").parent))
    (run,) = (run for run in finished_runs(experiment, workspace) if run.name == RUN)
    shutil.copytree(finished[0] / "raw", tmp_path / "w" / "raw")
    record = read_json(workspace.dataset(), stage="10_download")
    write_json(workspace.dataset(), {**record, "fingerprint": "another"})
    with pytest.raises(LabError, match=f"{RUN}: trained on data set .*, the workspace now has another; run `make repo"):
        share(run, workspace, experiment)


def test_the_card_gives_the_results_of_the_tables(finished: tuple[Path, Path], folder: Path) -> None:
    card, workspace = ModelCard.load(folder / "README.md"), Workspace(finished[0])
    assert (card.data.library_name, card.data.license, card.data.model_name) == ("keras", "mit", RUN)
    given = {(result.dataset_type, result.metric_name): result.metric_value for result in card.data.eval_results}
    names = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "macro_f1": "macro F1"}
    inside = read_table(workspace, "intervals").query("scenario == 'fc_only' and `class` == ''")
    values = {("phantom", names[row.measure]): row.value for row in inside.itertuples() if row.measure in names}
    outside = read_table(workspace, "external").query("scenario == 'fc_only' and `class` == ''")
    assert len(outside), "the default run judges the networks elsewhere"
    for row in outside[outside["measure"].isin(["accuracy", "balanced_accuracy"])].itertuples():
        among = "" if row.among == "all classes" else f", among {row.among}"
        values[(row.collection, row.measure.replace("_", " ") + among)] = row.value
    assert {key: value for key, value in given.items() if "AUC" not in key[1]} == values
    assert sum(name.startswith("AUC of ") for _, name in given) == 4
    for value in values.values():
        assert f"| {100 * value:.1f}\u00a0%" in card.text
    for heading in ("Intended use", "Preprocessing", "Training data", "Results", "Limits", "How to cite", "Licence"):
        assert f"\n## {heading}\n" in card.text
    assert "Not a medical device" in card.text


def test_the_configuration_prepares_an_image_as_the_lab_does(finished: tuple[Path, Path], folder: Path) -> None:
    """The steps of the card, without the lab's functions, give the lab's pixels."""
    from PIL import Image

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    size, interpolation = config["input"]["height"], config["input"]["interpolation"]
    for example in (folder / "examples").iterdir():
        image = Image.open(example).convert("RGB").resize((size, size), Image.Resampling[interpolation.upper()])
        pixels = resize(read_image(example), size, interpolation)
        np.testing.assert_array_equal(np.asarray(image), np.repeat(pixels[..., None], 3, axis=-1))


def test_litert_and_onnx_give_the_recorded_probabilities(finished: tuple[Path, Path], folder: Path) -> None:
    table = read_predictions(folder / "predictions.csv").iloc[:5]
    root = read_json(finished[0] / "raw" / "dataset.json", stage="10")["root"]
    images = np.stack([resize(read_image(finished[0] / root / name), 64, "bilinear") for name in table["image_id"]])
    inputs = np.repeat(images[..., None], 3, axis=-1).astype(np.float32)
    for predict, file in ((predict_litert, "model.tflite"), (predict_onnx, "model.onnx")):
        for count in (1, 5):
            values = predict((folder / file).read_bytes(), inputs[:count])
            assert np.abs(values - probabilities_of(table)[:count]).max() < AGREEMENT


def test_the_crate_names_data_notebook_results_and_versions(finished: tuple[Path, Path], folder: Path) -> None:
    crate, record = ROCrate(folder), read_json(folder / "run.json", stage="30")
    assert crate.root_dataset["conformsTo"].id.startswith("https://w3id.org/ro/wfrun/process/")
    assert {part.id for part in crate.data_entities} == {
        path.relative_to(folder).as_posix().replace(" ", "%20") for path in folder.rglob("*") if path.is_file()
    } - {"ro-crate-metadata.json", "SHA256SUMS"}
    (action,) = crate.get_by_type("CreateAction")
    assert {file.id for file in action["result"]} == {"model.keras", "predictions.csv", "run.json", "train.ipynb"}
    assert action["endTime"] == record["finished"]
    assert action["object"]["identifier"] == record["dataset"]["fingerprint"]
    libraries = {entry["name"]: entry["softwareVersion"] for entry in action["instrument"]["softwareRequirements"]}
    assert libraries == {"python": record["python"], **record["versions"]}
    citation = yaml.safe_load((folder / "CITATION.cff").read_text(encoding="utf-8"))
    types = [reference["type"] for reference in citation["references"]]
    assert types == ["software", "report", "conference-paper"], "the phantoms have no papers"
    assert RUN in citation["title"]


def installed(name: str, into: dict[str, metadata.Distribution]) -> dict[str, metadata.Distribution]:
    """A distribution and all that it requires, by name."""
    if (key := re.sub(r"[-_.]+", "-", name).lower()) not in into:
        into[key] = metadata.distribution(name)
        for line in into[key].requires or []:
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                installed(requirement.name, into)
    return into


def environment_with(names: list[str], place: Path) -> Path:
    """Make a virtual environment of some installed distributions and what they require; return its Python."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    (packages,) = place.glob("lib/python*/site-packages")
    found: dict[str, metadata.Distribution] = {}
    for name in names:
        installed(name, found)
    for distribution in found.values():
        root = Path(str(distribution.locate_file("")))
        for part in {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}:
            if not (packages / part).exists():
                (packages / part).symlink_to(root / part)
    return place / "bin" / "python"


def test_an_environment_with_keras_alone_reproduces_a_prediction(
    folder: Path, blocks: list[str], expected: np.ndarray, tmp_path: Path
) -> None:
    python = environment_with(["keras", "tensorflow", "pillow"], tmp_path / "environment")
    home = {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}
    checked = "import importlib.util as i; print([n for n in ('pandas', 'lab_utils', 'onnxruntime') if i.find_spec(n)])"
    assert subprocess.check_output([python, "-c", checked], env=home, cwd=tmp_path, text=True) == "[]\n"
    copy = shutil.copytree(folder, tmp_path / "anywhere")
    done = subprocess.run([python, "-c", blocks[0]], cwd=copy, env=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    printed = [line.split(" ", 1) for line in done.stdout.splitlines()]
    assert [name for _, name in printed] == json.loads((folder / "config.json").read_text())["classes"]
    assert np.abs(np.array([float(value) for value, _ in printed]) - expected).max() < AGREEMENT


def test_the_examples_for_litert_and_onnx_give_the_same(
    folder: Path,
    blocks: list[str],
    expected: np.ndarray,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(folder)
    for block in blocks[1:]:
        exec(compile(block, "README.md", "exec"), {})
        values = [float(value) for value in capsys.readouterr().out.strip("[] \n").split()]
        assert np.abs(np.array(values) - expected).max() < AGREEMENT
    assert len(blocks) == 3
