"""The download from Kaggle, against a local server that imitates it."""

import os
import shutil
from pathlib import Path

import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.kaggle import KAGGLE
from tests.kaggle_server import serving


def test_kaggle_is_downloaded_and_resumed(
    archive: Path, lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(archive.read_bytes(), cut=archive.stat().st_size // 2) as server:
        for name, value in server.settings(tmp_path).items():
            monkeypatch.setenv(name, value)
        data = obtain("kaggle", lab)
    assert server.ranges
    assert data.kind == "kaggle"
    assert data.classes["COVID"] == {"images": 8, "masks": 8}
    assert (lab.archive() / f"{KAGGLE.split('/')[1]}.zip").read_bytes() == archive.read_bytes()


@pytest.mark.parametrize("status", [401, 403, 404, 429, 500])
def test_what_kaggle_says_is_passed_on(
    lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    with serving(b"", status=status) as server:
        for name, value in server.settings(tmp_path).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(
            LabError, match=rf"(?s)(refused with {status}|Authenti).*run again to resume; or download https"
        ):
            obtain("kaggle", lab)
    assert not lab.raw().exists()


def test_a_slow_download_shows_its_progress(
    archive: Path, lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(archive.read_bytes(), pause=0.5) as server:
        for name, value in server.settings(tmp_path).items():
            monkeypatch.setenv(name, value)
        assert obtain("kaggle", lab).kind == "kaggle"
    assert "download: " in capfd.readouterr().out


@pytest.mark.parametrize("body", [b"<html>sign in</html>" * 20, b""])
def test_what_is_no_archive_is_not_kept_for_the_next_run(
    body: bytes, archive: Path, lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(body) as server:
        for name, value in server.settings(tmp_path).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(LabError, match="damaged or not a zip|run again"):
            obtain("kaggle", lab)
        assert not lab.raw().exists()
        server.archive = archive.read_bytes()
        assert obtain("kaggle", lab).classes["COVID"]["images"] == 8


@pytest.mark.skipif("LAB_FAULTS" not in os.environ, reason="the command tries for a minute: make test-faults")
def test_an_archive_shorter_than_announced_is_not_taken_for_whole(
    archive: Path, lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(archive.read_bytes()[:-1000], more=1000) as server:
        for name, value in server.settings(tmp_path).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(LabError, match="damaged or not a zip|run again"):
            obtain("kaggle", lab)
    assert not lab.raw().exists()


def test_a_token_reaches_no_message_and_no_record(
    archive: Path, lab: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    token = "KGAT_0123456789abcdef"
    monkeypatch.setenv("KAGGLE_USERNAME", "someone")
    monkeypatch.setenv("KAGGLE_KEY", token)
    for status in (200, 403):
        with serving(archive.read_bytes(), status=status) as server:
            for name, value in server.settings(tmp_path).items():
                monkeypatch.setenv(name, value)
            try:
                obtain("kaggle", lab)
            except LabError as error:
                assert token not in str(error)
        shutil.rmtree(lab.archive())
    said = capfd.readouterr()
    assert token not in said.out + said.err
    assert token not in lab.dataset().read_text()


def test_without_the_kaggle_command(lab: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(LabError, match="`kaggle` command is not installed"):
        obtain("kaggle", lab)
