"""Outside collections: names, paths, labels that become classes, and images as the networks get them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from lab_utils.core.config import Collection, Experiment, Protocol, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.decode import read_image
from lab_utils.data.external import (
    collection_sources,
    load_collection,
    map_labels,
    obtain_collection,
    replace_collections,
)
from lab_utils.data.labelled import prepare_test_images
from lab_utils.data.manifest import read_images
from lab_utils.data.phantoms import at_second_hospital, class_counts, phantom
from tests.conftest import SHARED, write_classes, write_config

CLASSES = ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia")


def outside(path: str | Path, **labels: str | None) -> Collection:
    return Collection(name="mine", title="mine", path=str(path), labels=labels)


def refusal(collection: Collection, labels: list[str], classes: tuple[str, ...] = CLASSES) -> str:
    with pytest.raises(LabError) as caught:
        map_labels(collection, labels, classes)
    return str(caught.value)


def test_labels_with_the_letters_of_a_class_need_no_entry() -> None:
    labels = ["covid", "VIRAL-pneumonia", "lung opacity", "Normal"]
    assert list(map_labels(outside("x"), labels, CLASSES).values()) == [
        "COVID",
        "Viral Pneumonia",
        "Lung_Opacity",
        "Normal",
    ]
    entries = outside("x", covid=None, Healthy="Normal", Sick="COVID")
    assert map_labels(entries, ["covid", "Healthy", "Sick"], CLASSES) == {
        "covid": None,
        "Healthy": "Normal",
        "Sick": "COVID",
    }
    assert map_labels(outside("x"), ["C+", "C-"], ("C+", "C-")) == {"C+": "C+", "C-": "C-"}
    assert "the label 'c' has no class" in refusal(outside("x"), ["c", "C+"], ("C+", "C-")), "ambiguous"


def test_labels_without_a_class_are_refused_with_both_sides_and_an_entry_to_paste(tmp_path: Path) -> None:
    labels = ["Covid-19", "No: find", "<script>|\u202e\n", "Pneumonia viral", "No finding"]
    message = refusal(outside("other.zip", **{"Covid-19": "COVDI", "covid": "COVID", "No: find": None}), labels)
    for part in (
        "external.mine: other.zip",
        "the label 'Pneumonia viral' has no class: name one, or null to leave its images out",
        "no label 'covid': choose one of Covid-19, No: find",
        "label 'Covid-19': no class 'COVDI': choose one of COVID, Lung_Opacity, Normal, Viral Pneumonia; did you mean 'COVID'?",
        "labels of the collection: Covid-19, No: find, ",
        "classes of the experiment: COVID, Lung_Opacity, Normal, Viral Pneumonia",
    ):
        assert part in message
    block = message.partition("experiment file:\n")[2]
    proposed = dict(zip(labels, ["COVID", None, None, "Viral Pneumonia", "Normal"], strict=True))
    assert yaml.safe_load(block) == {"external": {"mine": {"path": "other.zip", "labels": proposed}}}
    experiment = load_experiment(str(write_config(tmp_path / "lab.yaml", **yaml.safe_load(block))))
    assert map_labels(experiment.collections[-1], labels, CLASSES) == proposed


def test_one_class_is_enough_and_none_is_refused() -> None:
    assert "every label is left out" in refusal(outside("x", a=None, b=None), ["a", "b"])
    assert map_labels(outside("x", a="COVID", b=None), ["a", "b"], CLASSES) == {"a": "COVID", "b": None}


def test_labels_that_yaml_reads_as_values_are_text(tmp_path: Path) -> None:
    path = write_config(
        tmp_path / "lab.yaml", external={"mine": {"path": "x", "labels": {0: "Normal", 1: "COVID", None: None}}}
    )
    labels = load_experiment(str(path)).collections[-1].labels
    assert labels == {"0": "Normal", "1": "COVID", "None": None}


def test_a_collection_becomes_images_of_the_classes(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"images": 12}, size=16)
    names = [f"images-{number}.png" for number in range(1, 13)]
    (root / "images" / names[3]).write_bytes(b"damaged")
    findings = ["Sick"] * 4 + ["None seen"] * 4 + ["Old"] * 4
    table = pd.DataFrame({"image": names, "Dx": findings, "patient": [f"p{n // 2}" for n in range(12)]})
    table.to_csv(root / "labels.csv", index=False)
    entry = Collection(
        name="mine",
        title="mine",
        path=str(root / "labels.csv"),
        labels={"Sick": "COVID", "None seen": "Normal", "Old": None},
        columns={"label": "Dx"},
    )
    assert obtain_collection(entry, lab).classes.keys() == {"None seen", "Old", "Sick"}
    assert (lab.root / "external" / "mine" / "raw" / "dataset.json").is_file()
    assert not lab.raw().exists(), "the experiment's own data set is another"
    data = load_collection(entry, CLASSES, lab)
    assert data.classes == {"COVID": {"images": 4, "masks": 0}, "Normal": {"images": 4, "masks": 0}}
    assert data.listing[["class", "label"]].drop_duplicates().to_numpy().tolist() == [
        ["COVID", "Sick"],
        ["Normal", "None seen"],
    ]
    assert (
        "label left out",
        "Old",
        "",
        "4 images have the label Old, which has no class.",
        "left out",
    ) in data.problems
    manifest, left_out = read_images(data, data.listing)
    assert (len(manifest), left_out["image_id"].tolist(), manifest["group"].nunique()) == (
        7,
        ["images/images-4.png"],
        4,
    )
    protocol = Protocol(name="p", title="p")
    images = prepare_test_images(data, manifest, CLASSES, protocol, 32, lab)
    assert images.images.shape == (7, 32, 32)
    assert images.labels.sum(axis=0).tolist() == [3, 0, 4, 0]
    assert images.rows("test").tolist() == list(range(7))


def test_phantoms_come_from_a_second_hospital(lab: Workspace) -> None:
    obtain_collection(outside("phantom"), lab, phantoms=40)
    data = load_collection(outside("phantom"), CLASSES, lab)
    assert data.synthetic
    assert {name: count["images"] for name, count in data.classes.items()} == class_counts(40)
    rng = np.random.default_rng([0, 2, 1, 2])
    expected = at_second_hospital(phantom(2, rng)[0], rng)
    assert (read_image(data.root / "Normal" / "images" / "Normal-1.png") == expected).all()


def test_a_collection_that_cannot_be_obtained_is_named(tmp_path: Path, lab: Workspace) -> None:
    for function in (lambda entry: collection_sources([entry]), lambda entry: obtain_collection(entry, lab)):
        with pytest.raises(LabError, match=r"external\.mine: .*none\.zip: no such file or folder"):
            function(outside(tmp_path / "none.zip"))
    with pytest.raises(LabError, match="not there yet; run stage 42_external first"):
        load_collection(outside("x"), CLASSES, lab)


def test_sources_follow_the_files(tmp_path: Path) -> None:
    root = write_classes(tmp_path / "data", {"a": 2, "b": 2})
    entries = [outside(root), Collection(name="other", title="o", path="phantom")]
    places, keys = collection_sources(entries)
    assert (places, keys["other"]) == ({"mine": str(root), "other": "phantom"}, "")
    (root / "a" / "a-1.png").unlink()
    assert collection_sources(entries)[1]["mine"] != keys["mine"]


@pytest.fixture
def known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Experiment:
    monkeypatch.chdir(tmp_path)
    entry = {"path": "data/nih.zip", "labels": {"Sick": "COVID"}}
    return load_experiment(str(write_config(tmp_path / "lab.yaml", external={"nih": entry})))


def test_a_path_that_the_experiment_file_has_keeps_its_labels(known: Experiment, tmp_path: Path) -> None:
    chosen = replace_collections(known, [str(tmp_path / "data" / "nih.zip"), "a b/\u4e2d (1).tar.gz", "$(x)/\u202e\n"])
    rows = [(entry.name, entry.path, entry.labels, entry.number) for entry in chosen.collections]
    assert rows == [
        ("nih", str(tmp_path / "data" / "nih.zip"), {"Sick": "COVID"}, 1),
        ("1", "a b/\u4e2d (1).tar.gz", {}, 2),
        ("collection", "$(x)/\u202e\n", {}, 3),
    ]


def test_two_collections_of_one_name_are_refused(known: Experiment) -> None:
    with pytest.raises(LabError, match=r"a/x\.zip and b/x\.tar are both named 'x'; give each a name"):
        replace_collections(known, ["a/x.zip", "b/x.tar"])


def test_phantoms_are_judged_beside_phantoms_only(known: Experiment) -> None:
    assert [entry.path for entry in replace_collections(known, ["phantom"]).collections] == ["phantom"]
    real = known.model_copy(update={"dataset": "x.zip"})
    with pytest.raises(LabError, match=r"phantoms can only be judged beside phantoms, and dataset is 'x\.zip'"):
        replace_collections(real, ["phantom"])


@pytest.mark.real
@pytest.mark.parametrize(
    ("archive", "labels", "counts", "groups"),
    [
        ("external-nih.zip", {"Covid-19": "COVID", "No_findings": "Normal", "Pneumonia": None}, [60, 120], 180),
        ("external-actualmed.zip", {"COVID-19": "COVID", "No finding": "Normal"}, [26, 18], 39),
    ],
)
def test_shared_collections(
    archive: str, labels: dict[str, str | None], counts: list[int], groups: int, lab: Workspace
) -> None:
    path = SHARED / "data" / archive
    if not path.is_file():
        pytest.skip(f"needs {path}")
    entry = outside(path, **labels)
    obtain_collection(entry, lab)
    data = load_collection(entry, CLASSES, lab)
    manifest, left_out = read_images(data, data.listing)
    assert [count["images"] for count in data.classes.values()] == counts
    assert (len(left_out), manifest["group"].nunique()) == (0, groups)
