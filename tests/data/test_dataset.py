"""The data set: every kind of input, its record, its fingerprint."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset, obtain, source_fingerprint
from tests.conftest import write_classes
from tests.data.conftest import pack, refused, write_tree
from tests.dicom import write_dicom


def test_phantoms_are_made(lab: Workspace) -> None:
    data = obtain("phantom", lab, phantoms=48)
    assert data.synthetic
    assert list(data.classes) == ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
    assert data.counts().iloc[-1].to_dict() == {"class": "all", "images": 53, "masks": 53}
    assert load_dataset(lab) == data


def test_a_zip_is_unpacked_and_its_sources_are_read(archive: Path, lab: Workspace) -> None:
    data = obtain(str(archive), lab)
    assert (data.kind, data.synthetic) == ("archive", False)
    assert data.root == lab.raw() / "files" / "COVID-19_Radiography_Dataset"
    assert data.classes["Normal"] == {"images": 23, "masks": 23}
    assert data.sources["COVID"] == {"https://example.org/synthetic-phantom": 8}


def test_a_folder_is_used_where_it_lies(phantoms: Path, lab: Workspace) -> None:
    data = obtain(str(phantoms), lab)
    assert data.root == phantoms
    assert not (lab.raw() / "files").exists()


@pytest.mark.parametrize(("identity", "known"), [("7", True), ("ANONYMOUS", False)])
def test_patients_are_known_from_dicom_files(identity: str, known: bool, tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "data", {"a": 2, "b": 2})
    for place in ("a/x", "b/y.dcm"):
        (root / place).write_bytes(write_dicom(np.zeros((4, 4), np.uint8), PatientID=identity))
    assert obtain(str(root), lab).patients_known == known


def test_a_path_to_nothing(lab: Workspace, phantoms: Path) -> None:
    refused(
        "no/such/thing",
        lab,
        "no/such/thing: no such file or folder; a data set is 'kaggle', 'phantom', or the path",
        phantoms,
    )
    with pytest.raises(LabError, match="no such file or folder"):
        source_fingerprint("no/such/thing")


def test_a_folder_that_moved_away(phantom_copy: Path, lab: Workspace) -> None:
    obtain(str(phantom_copy), lab)
    shutil.rmtree(phantom_copy)
    with pytest.raises(LabError, match="were here when stage 10 ran and are gone"):
        load_dataset(lab)


def test_the_fingerprint_follows_the_files(phantom_copy: Path) -> None:
    before = source_fingerprint(str(phantom_copy))
    assert source_fingerprint(str(phantom_copy)) == before
    (phantom_copy / "COVID" / "images" / "COVID-1.png").write_bytes(b"")
    assert source_fingerprint(str(phantom_copy)) != before


def test_an_unknown_fault_is_refused(lab: Workspace) -> None:
    with pytest.raises(LabError, match="no fault 'markers'.*did you mean 'marker'"):
        obtain("phantom", lab, phantoms=48, faults=["markers"])  # type: ignore[list-item]


def test_faults_are_refused_where_no_phantoms_are_made(phantoms: Path, lab: Workspace) -> None:
    with pytest.raises(LabError, match="faults .marker. are planted in phantoms only"):
        obtain(str(phantoms), lab, faults=["marker"])


def test_a_folder_and_a_table_inside_an_archive(tmp_path: Path, lab: Workspace) -> None:
    root = write_tree(tmp_path / "d", "one/a/x*2.png", "one/b/y*2.png", "two/c/x*2.png", "two/d/y*2.png")
    (root / "two" / "t.csv").write_text("image,label\nx1.png,e\nx2.png,e\ny1.png,f\n")
    archive = pack(root, tmp_path / "archive.zip", below="top")
    found = {inner: obtain(f"{archive}/{inner}", lab) for inner in ("top/one", "top/two/t.csv")}
    assert [list(data.classes) for data in found.values()] == [["a", "b"], ["e", "f"]]
    assert len({data.fingerprint for data in found.values()}) == 2
    assert source_fingerprint(f"{archive}/top/one") != source_fingerprint(f"{archive}/top/two")
    with pytest.raises(LabError, match=r"the archive has no 'top/three'.*\n.*\n.*top/"):
        obtain(f"{archive}/top/three", lab)
