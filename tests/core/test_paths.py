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
    assert lab.relative(lab.manifest("described")) == "protocols/described/manifest.csv"
    assert lab.relative(Path("/elsewhere")) == "/elsewhere"
