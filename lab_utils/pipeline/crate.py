"""RO-Crate: a shared run described for programs, in the profile of a process run."""

from datetime import datetime
from pathlib import Path
from typing import Any

from lab_utils.core.config import Experiment
from lab_utils.data.dataset import Dataset
from lab_utils.evaluation.runs import Run
from lab_utils.reporting.model_card import data_link, data_name

PROFILE = "https://w3id.org/ro/wfrun/process/0.5"  # Process Run Crate
MADE = {  # what the training wrote: file to its description
    "model.keras": "trained network for Keras",
    "predictions.csv": "probabilities of the validation images",
    "run.json": "settings, versions and times of the training",
    "train.ipynb": "executed notebook of the training",
}
DESCRIPTIONS = MADE | {
    "README.md": "model card",
    "CITATION.cff": "citation",
    "config.json": "classes and preprocessing",
    "model.onnx": "the same network for ONNX",
    "model.tflite": "the same network for LiteRT",
}


def describe(folder: Path, run: Run, dataset: Dataset, experiment: Experiment) -> dict[str, Any]:
    """Describe the files of a folder as results of a training: ro-crate-metadata.json.

    The training is an action that a notebook of the lab did on a data set, which is named by its SHA-256 and its
    address. Sources: RO-Crate 1.1, https://www.researchobject.org/ro-crate/; Leo et al., PLOS ONE 19(9), 2024.
    """
    from rocrate.model import ContextEntity, SoftwareApplication  # type: ignore[import-untyped]
    from rocrate.rocrate import ROCrate  # type: ignore[import-untyped]

    record, crate = run.record, ROCrate(version="1.1")  # the version that the profile extends
    crate.name, crate.description = f"{experiment.title}: {run.name}", "A trained network with its description."
    crate.datePublished = datetime.fromisoformat(record["finished"])
    crate.license = {"@id": "README.md"}  # its section Licence

    def add(place: str, kind: str, **properties: Any) -> Any:
        return crate.add(ContextEntity(crate, place, {"@type": kind, **properties}))

    files = {
        path: crate.add_file(folder / path, path, properties={"name": DESCRIPTIONS.get(path, path)})
        for path in sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    }
    crate.root_dataset["conformsTo"] = add(PROFILE, "CreativeWork", name="Process Run Crate", version="0.5")
    author = add("#author", "Person", name=experiment.author or "the authors of this project")
    crate.root_dataset["author"] = author
    properties = {"identifier": record["dataset"]["fingerprint"], "url": data_link(dataset)}
    data = add(
        "#data", "Dataset", name=data_name(dataset), **{key: value for key, value in properties.items() if value}
    )
    versions = {"python": record["python"], **record["versions"]}
    libraries = [
        crate.add(SoftwareApplication(crate, f"#{name}", {"name": name, "softwareVersion": version}))
        for name, version in versions.items()
    ]
    lab = {"name": "notebooks/30_train.ipynb of the lab", "softwareVersion": record["commit"]}
    notebook = crate.add(SoftwareApplication(crate, "#30_train", {**lab, "softwareRequirements": libraries}))
    made = [files[name] for name in MADE]
    action = {"name": f"training of {run.name}", "endTime": record["finished"], "agent": author}
    training = crate.add_action(notebook, identifier="#training", object=data, result=made, properties=action)
    crate.root_dataset["mentions"] = training
    return dict(crate.metadata.generate())
