"""The model card of a shared run: a README.md in Hugging Face's form."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lab_utils.core.catalogue import read_table, table_path
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset
from lab_utils.data.kaggle import KAGGLE, PUBLISHED_COUNTS
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.transport import ALL
from lab_utils.reporting.exhibits import notices
from lab_utils.reporting.names import readable
from lab_utils.reporting.style import FEW
from lab_utils.reporting.text import Markdown, render

if TYPE_CHECKING:
    from lab_utils.models.export import ExportedModel

TEMPLATES = Path(__file__).resolve().parents[2] / "report" / "templates" / "model_card"
TASK = "image-classification"
METRICS = {  # measure in the tables: metric of the Hugging Face hub, name in the card
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("f1", "macro F1"),
    "balanced_accuracy": ("balanced_accuracy", "balanced accuracy"),
    "auc": ("roc_auc", "AUC"),
}
PACKAGES = {"model.tflite": "ai-edge-litert", "model.onnx": "onnxruntime"}  # file to the package that runs it


def is_database(dataset: Dataset) -> bool:
    """Whether the data are the COVID-19 Radiography Database, or have its four classes."""
    return not dataset.synthetic and set(dataset.classes) == set(PUBLISHED_COUNTS)


def work_title(title: str, dataset: Dataset) -> str:
    """Return the title of the experiment file; where it is empty, one that suits the data."""
    if title:
        return title
    if dataset.synthetic or is_database(dataset):
        return "Transfer learning for COVID-19 chest X-ray classification"
    names = (
        ", ".join(map(readable, dataset.classes)) if len(dataset.classes) <= FEW else f"{len(dataset.classes)} classes"
    )
    return f"Transfer learning for image classification: {names}"


def data_name(dataset: Dataset) -> str:
    """Name a data set without its place on this machine."""
    if dataset.synthetic:
        return "Phantoms (synthetic radiographs)"
    if not is_database(dataset):
        return f"A private {dataset.kind}"
    is_complete = {name: counts["images"] for name, counts in dataset.classes.items()} == PUBLISHED_COUNTS
    return "COVID-19 Radiography Database" if is_complete else "Images of the COVID-19 Radiography Database"


def data_link(dataset: Dataset) -> str:
    """Return the address of a public data set; empty for others."""
    return f"https://www.kaggle.com/datasets/{KAGGLE}" if is_database(dataset) else ""


def internal_results(run: Run, workspace: Workspace) -> list[dict[str, Any]]:
    """List a run's scores over all classes: measure, split, images, value, low, high.

    They are those of the validation images, and of the test set where the data give one. Raises LabError if stage 40
    has not run.
    """
    inside = run.rows_of(read_table(workspace, "intervals"))
    inside = inside.assign(split="validation", images=run.record["images"]["validation"])
    table = pd.concat([inside, run.rows_of(read_table(workspace, "test_scores")).assign(split="test")])
    return _records(table[table["class"] == ""])


def external_results(run: Run, workspace: Workspace) -> list[dict[str, Any]]:
    """List a run's scores on outside collections, with the collections' titles.

    The list is empty without a collection, or if stage 42 has not run.
    """
    if not table_path(workspace, "external").is_file():
        return []
    titles = read_table(workspace, "external_images").groupby("collection")["title"].first()
    table = run.rows_of(read_table(workspace, "external"))
    return _records(table.assign(title=table["collection"].map(titles).fillna(table["collection"])))


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table[table["measure"].isin(METRICS)].dropna(subset=["value"])
    return [{str(name): value for name, value in row.items()} for row in rows.to_dict("records")]


def _measure(row: dict[str, Any]) -> str:
    """Name a row's measure: "AUC of COVID against the rest, among shared classes"."""
    rest = f" of {readable(row['class'])} against the rest" if row["class"] else ""
    among = f", among {row['among']}" if row.get("among", ALL) != ALL else ""
    return METRICS[row["measure"]][1] + rest + among


def limits(run: Run, workspace: Workspace, *, is_best: bool = False) -> list[str]:
    """Say in Markdown what the audits measured of a run and its protocol.

    `is_best`: see `model_card`. Without audits, it is a LabError.
    """
    names = ("probes", "leaks", "attribution", "findings_by_protocol", "suspects", "audits_left_out")
    tables = {name: read_table(workspace, name) for name in names}
    tables = {name: table[table["protocol"] == run.protocol.name] for name, table in tables.items()}
    whole = run.rows_of(tables["attribution"])
    values = {
        "probes": tables["probes"].query("among == ''").set_index("input").to_dict("index"),
        "leaks": tables["leaks"].to_dict("records"),
        "attribution": whole[(whole["class"] == "") & (whole["outcome"] == "")].to_dict("records"),
        "findings": tables["findings_by_protocol"].groupby("check")["class"].unique().to_dict(),
        "suspects": int(tables["suspects"]["claimed"].sum()),
        "left_out": tables["audits_left_out"].to_dict("records"),
        "is_best": is_best,
    }
    return [line for line in _fill("limits.md.j2", values).splitlines() if line.strip()]


def _fill(name: str, values: dict[str, Any]) -> str:
    return render((TEMPLATES / name).read_text(encoding="utf-8"), values)


def _metadata(run: Run, dataset: Dataset, internal: list[dict[str, Any]], external: list[dict[str, Any]]) -> str:
    """Return the YAML header: what the network is, and its results."""
    from huggingface_hub import EvalResult, ModelCardData  # takes half a second to import

    name = data_name(dataset)
    kind = "phantom" if dataset.synthetic else KAGGLE if is_database(dataset) else dataset.kind
    places = [(kind, name, row["split"], row) for row in internal]
    places += [(row["collection"], str(row["title"]), "test", row) for row in external]
    is_free = dataset.synthetic and run.record["weights"] == "random"
    card = ModelCardData(
        language="en",
        library_name="keras",
        pipeline_tag=TASK,
        tags=["transfer-learning", "chest-radiography", "teaching"],
        model_name=run.name,
        eval_results=[
            EvalResult(
                task_type=TASK,
                dataset_type=kind,
                dataset_name=name,
                dataset_split=split,
                metric_type=METRICS[row["measure"]][0],
                metric_name=_measure(row),
                metric_value=row["value"],
            )
            for kind, name, split, row in places
        ],
        license="mit" if is_free else "other",
        license_name=None if is_free else "see-section-licence",
    )
    return f"---\n{card.to_yaml()}\n---\n\n"


def model_card(
    run: Run,
    dataset: Dataset,
    workspace: Workspace,
    config: dict[str, Any],
    exported: Sequence["ExportedModel"],
    *,
    title: str,
    compared: int,
    example: str,
    is_best: bool = False,
) -> str:
    """Write the card of a run: a YAML header, and Markdown.

    Parameters
    ----------
    config : dict
        Classes and preprocessing, as config.json has them.
    exported : sequence of ExportedModel
        The other formats, compared with Keras on `compared` images.
    title : str
        Title of the experiment.
    example : str
        Path of the image in the examples.
    is_best : bool
        Whether the scenario was chosen among several by its validation accuracy.

    Raises
    ------
    LabError
        If stages 40 or 45 have not run.
    """
    internal, external = internal_results(run, workspace), external_results(run, workspace)
    for row in [*internal, *external]:
        row["name"] = _measure(row)
    for row in external:
        row["inside"] = {"value": row["internal"], "low": row["internal_low"], "high": row["internal_high"]}
    said = notices(synthetic=dataset.synthetic, weights=run.record["weights"])[:-1]  # the card begins with the last
    values = {
        "title": title,
        "record": run.record,
        "notices": [Markdown(line) for line in said],
        "config": config,
        "exported": exported,
        "compared": compared,
        "packages": PACKAGES,
        "example": Markdown(example),
        "data": {"name": Markdown(data_name(dataset)), "link": Markdown(data_link(dataset))},
        "synthetic": dataset.synthetic,
        "internal": internal,
        "external": external,
        "limits": [Markdown(line) for line in limits(run, workspace, is_best=is_best)],
    }
    return _metadata(run, dataset, internal, external) + _fill("README.md.j2", values) + "\n"
