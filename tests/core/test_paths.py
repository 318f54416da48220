import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace, project_root
from tests.conftest import PROJECT


@contextmanager
def _nobody() -> Iterator[None]:
    """Root may write anywhere; be somebody else for a while."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_folder_without_write_permission_is_refused() -> None:
    with TemporaryDirectory() as name:
        Path(name).chmod(0o555)
        with (
            _nobody(),
            pytest.raises(LabError, match=rf"{name}: cannot write here \(Permission denied\).*WORKSPACE=path"),
        ):
            Workspace.open(name)
        with _nobody(), pytest.raises(LabError, match=r"cannot write here \(Permission denied\)"):
            Workspace.open(f"{name}/below")
        assert list(Path(name).iterdir()) == []


def test_a_file_in_the_way_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(LabError, match=r"file: cannot write here \(File exists\)"):
        Workspace.open(str(tmp_path / "file"))


def test_the_project_is_found_from_below(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(PROJECT / "notebooks")
    assert project_root() == PROJECT


def test_the_project_is_found_from_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "lab.yaml").write_text("title: an experiment of one's own")
    monkeypatch.chdir(tmp_path)
    assert project_root() == PROJECT


def test_paths_in_records_are_relative_where_they_can_be(tmp_path: Path) -> None:
    lab = Workspace(tmp_path)
    assert lab.relative(lab.preprocessing("described")) == "protocols/described/preprocessing.json"
    assert lab.relative(Path("/elsewhere")) == "/elsewhere"


def test_an_overlay_reads_what_lies_below_and_writes_above(tmp_path: Path) -> None:
    batch, by_hand = Workspace.open(str(tmp_path)), Workspace.open(str(tmp_path), by_hand=True)
    assert (batch.is_by_hand, by_hand.is_by_hand) == (False, True)
    assert by_hand.root == tmp_path / "by_hand"
    assert by_hand.base == batch.base == batch.root == tmp_path
    record = by_hand.preprocessing("described")
    assert record == by_hand.root / "protocols" / "described" / "preprocessing.json"
    batch.preprocessing("described").parent.mkdir(parents=True)
    batch.preprocessing("described").write_text("")
    assert by_hand.preprocessing("described") == batch.preprocessing("described")
    assert by_hand.writable.preprocessing("described") == record
    assert batch.writable.preprocessing("described") == batch.preprocessing("described")
    record.parent.mkdir(parents=True)
    record.write_text("")
    assert by_hand.preprocessing("described") == record


def test_an_unfinished_run_by_hand_hides_no_finished_one(tmp_path: Path) -> None:
    batch, by_hand = Workspace.open(str(tmp_path)), Workspace.open(str(tmp_path), by_hand=True)
    finished, unfinished = batch.run("described", "fc_only", 0), by_hand.writable.run("described", "fc_only", 0)
    for folder in (finished, unfinished):
        folder.mkdir(parents=True)
    (finished / "run.json").write_text("{}")
    assert by_hand.run("described", "fc_only", 0) == finished
    (unfinished / "run.json").write_text("{}")
    assert by_hand.run("described", "fc_only", 0) == unfinished


@pytest.mark.parametrize("by_hand", [False, True])
def test_places_named_by_their_content_are_shared(tmp_path: Path, by_hand: bool) -> None:
    lab = Workspace.open(str(tmp_path), by_hand=by_hand)
    for place in (lab.images("k"), lab.writable.features("k"), lab.backbone("k"), lab.archive()):
        assert place.is_relative_to(tmp_path)
        assert not place.is_relative_to(tmp_path / "by_hand")


def test_an_overlay_s_relative_paths_come_back(tmp_path: Path) -> None:
    batch, by_hand = Workspace.open(str(tmp_path)), Workspace.open(str(tmp_path), by_hand=True)
    (tmp_path / "raw" / "files").mkdir(parents=True)
    assert by_hand.relative(by_hand.root / "raw" / "files") == batch.relative(tmp_path / "raw" / "files") == "raw/files"
    assert by_hand.path("raw/files") == tmp_path / "raw" / "files"
    assert by_hand.path("/elsewhere") == Path("/elsewhere")


def test_a_collection_has_its_own_raw_data_and_shares_everything_else(tmp_path: Path) -> None:
    place = Workspace.open(str(tmp_path))
    outside = place.of_collection("nih")
    assert outside.dataset() == tmp_path / "external" / "nih" / "raw" / "dataset.json"
    assert (outside.images("k"), outside.archive()) == (place.images("k"), place.archive())
    by_hand = Workspace.open(str(tmp_path), by_hand=True).of_collection("nih")
    assert by_hand.writable.raw() == tmp_path / "by_hand" / "external" / "nih" / "raw"
