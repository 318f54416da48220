"""One zip of a trained run: networks, card, citation, checksums, RO-Crate."""

import json
import shutil
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import yaml

from lab_utils import models
from lab_utils.core.catalogue import read_table
from lab_utils.core.config import Experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import atomic_write, reading, sha256
from lab_utils.core.paths import Workspace, project_root
from lab_utils.data.dataset import Dataset, load_dataset
from lab_utils.data.store import open_store
from lab_utils.evaluation.predictions import classes_of
from lab_utils.evaluation.runs import STAGE, Run
from lab_utils.pipeline.crate import describe
from lab_utils.reporting.model_card import is_database, model_card, work_title

COMPARED = 32  # validation images on which the formats are compared, at most
EXAMPLE = "radiograph.png"  # in the examples of the card, where the zip holds no image
BACKBONE = "conference-paper"  # type of the reference that belongs to MobileNetV2


@dataclass(frozen=True)
class SharedRun:
    """The zip of a run, and what a user must know of it."""

    path: Path
    exported: list[Any]  # an `ExportedModel` per format
    compared: int  # validation images on which the formats were compared with Keras


def share(run: Run, workspace: Workspace, experiment: Experiment, *, is_best: bool = False) -> SharedRun:
    """Write ``share/<protocol>-<scenario>-seed-<n>.zip`` in the workspace.

    The times in the zip are those of the run, so that sharing a run twice gives the same bytes. (tf2onnx orders
    constants at random. Of a network other than MobileNetV2, it sometimes simplifies one layer more.)

    `is_best`: see `model_card`.

    Raises
    ------
    LabError
        If a stage has not run, or the workspace has another data set by now.
    """
    dataset, record = load_dataset(workspace), run.record
    if record["dataset"]["fingerprint"] != dataset.fingerprint:
        raise LabError(
            f"{run.name}: trained on data set {record['dataset']['fingerprint'][:16]}, the workspace now has "
            f"{dataset.fingerprint[:16]}; run `make report` first"
        )
    experiment = experiment.model_copy(update={"title": work_title(experiment.title, dataset)})
    manifest = read_table(workspace, "manifest", protocol=run.protocol.name)
    places = np.flatnonzero((manifest["split"] == "validation") & (manifest["kind"] == "image"))
    model = models.load_model(run.folder / "model.keras", stage=STAGE)
    compared = places[np.linspace(0, len(places) - 1, min(COMPARED, len(places))).astype(int)]  # of every class
    exported = models.export_model(model, open_store(workspace, record["store"])[compared])
    target = workspace.base / "share" / f"{run.name.replace('/', '-')}.zip"
    with TemporaryDirectory() as place:
        folder = Path(place)
        _write_network(run, exported, folder)
        config = _config(run, model.input_shape)
        _write_json(folder / "config.json", config)
        _write(folder / "train.ipynb", _without_paths(run.folder / "train.ipynb", workspace))
        examples = _copy_examples(dataset, manifest.iloc[places]["image_id"], folder)
        _write(folder / "CITATION.cff", _citation(run, dataset, experiment))
        example = (examples or [EXAMPLE])[0]
        card = model_card(
            run,
            dataset,
            workspace,
            config,
            exported,
            title=experiment.title,
            compared=len(compared),
            example=example,
            is_best=is_best,
        )
        _write(folder / "README.md", card)
        _write_json(folder / "ro-crate-metadata.json", describe(folder, run, dataset, experiment))
        _write(folder / "SHA256SUMS", "".join(f"{sha256(folder / file)}  {file}\n" for file in files_in(folder)))
        with atomic_write(target) as draft:
            _zip(folder, draft, datetime.fromisoformat(record["finished"]))
    return SharedRun(target, exported, len(compared))


def files_in(folder: Path) -> list[str]:
    """List the files below a folder, as sorted paths with slashes."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8", newline="\n")


def _write_network(run: Run, exported: list[Any], folder: Path) -> None:
    """Write the network in every format, with its record and its predictions."""
    for one in exported:
        if one.content:
            (folder / one.file).write_bytes(one.content)
    for file in ("model.keras", "predictions.csv", "run.json"):
        with reading(run.folder / file, "a file of the run", stage=STAGE):
            shutil.copyfile(run.folder / file, folder / file)


def _write_json(path: Path, record: dict[str, Any]) -> None:
    _write(path, json.dumps(record, indent=2, ensure_ascii=False) + "\n")


def _config(run: Run, shape: tuple[int, ...]) -> dict[str, Any]:
    """Describe input and output of the network in numbers."""
    protocol, backbone = run.record["protocol"], run.record["scenario"]["backbone"]
    return {
        "run": run.name,
        "classes": classes_of(run.predictions()),
        "input": {
            "height": shape[1],
            "width": shape[2],
            "channels": "RGB",
            "type": "float32",
            "range": [0, 255],
            "interpolation": protocol["interpolation"],
            "keeps_aspect_ratio": False,
        },
        "scaling_inside_the_network": models.pixel_scaling(backbone, protocol["scaling"]),
        "output": "probabilities, in the order of the classes",
    }


def _without_paths(notebook: Path, workspace: Workspace) -> str:
    """Read an executed notebook; names without their folders replace the paths of this machine."""
    with reading(notebook, "a notebook", stage=STAGE):
        text = notebook.read_text(encoding="utf-8")
        execution = json.loads(text)["metadata"].get("papermill", {})
    given = [execution.get("input_path", ""), execution.get("parameters", {}).get("config", "")]
    shown = {path: path.name for path in (*map(Path, given), workspace.base, project_root()) if path.is_absolute()}
    with suppress(RuntimeError):  # nobody's home
        shown[Path.home()] = "~"
    for path in sorted((path for path in shown if len(path.parts) > 1), key=lambda path: -len(str(path))):
        text = text.replace(json.dumps(str(path), ensure_ascii=False)[1:-1], shown[path])
    return text


def _copy_examples(dataset: Dataset, image_ids: Any, folder: Path) -> list[str]:
    """Copy the first and the last validation image if the data are phantoms.

    Return their paths in the zip.
    """
    if not dataset.synthetic:
        return []
    (folder / "examples").mkdir()
    return [_copied(dataset.root / image_ids.iloc[place], folder) for place in (0, -1)]


def _copied(image: Path, folder: Path) -> str:
    shutil.copyfile(image, folder / "examples" / image.name)
    return f"examples/{image.name}"


def _citation(run: Run, dataset: Dataset, experiment: Experiment) -> str:
    """Write the citation of the network.

    It refers to the lab and, for the database, to its papers.
    """
    lab = yaml.safe_load((project_root() / "CITATION.cff").read_text(encoding="utf-8"))
    network = run.record["scenario"]["backbone"]
    kept = [
        reference
        for reference in lab["references"]
        if (reference["type"] not in ("data", "article") or is_database(dataset))
        and (reference["type"] != BACKBONE or network in reference["title"])
    ]
    citation = {
        "cff-version": lab["cff-version"],
        "message": "If you use this network, please cite it, the lab that trained it, and the papers of the data set.",
        "title": f"{experiment.title}: {run.name}",
        "type": "software",
        "authors": [{"name": experiment.author}] if experiment.author else lab["authors"],
        "date-released": run.record["finished"][:10],
        "references": [{key: lab[key] for key in ("type", "title", "version", "license", "authors")}, *kept],
    }
    separate = json.loads(json.dumps(citation))  # YAML would refer to authors that are listed before
    return str(yaml.safe_dump(separate, sort_keys=False, allow_unicode=True, width=120))


def _zip(folder: Path, target: Path, time: datetime) -> None:
    """Pack the files of a folder in the order of their names, with one time and one mode."""
    with zipfile.ZipFile(target, "w") as archive:
        for file in files_in(folder):
            entry = zipfile.ZipInfo(file, time.timetuple()[:6])
            entry.compress_type, entry.external_attr, entry.create_system = zipfile.ZIP_DEFLATED, 0o644 << 16, 3
            archive.writestr(entry, (folder / file).read_bytes())
