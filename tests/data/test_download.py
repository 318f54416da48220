import os
import shutil
import stat
import zipfile
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, load_dataset, obtain, source_fingerprint
from lab_utils.data.folders import list_strays
from lab_utils.data.kaggle import KAGGLE, PUBLISHED_COUNTS
from lab_utils.data.quality import published_differences
from lab_utils.data.sheets import read_sheet, sheet_key
from tests.conftest import write_classes
from tests.kaggle_server import serving


def pack(folder: Path, archive: Path, *, below: str = "COVID-19_Radiography_Dataset") -> Path:
    """Zip a folder's files, as Kaggle does, below one top folder."""
    with zipfile.ZipFile(archive, "w") as opened:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            opened.write(path, f"{below}/{path.relative_to(folder)}")
    return archive


@pytest.fixture
def archive(phantoms: Path, tmp_path: Path) -> Path:
    return pack(phantoms, tmp_path / "archive.zip")


def test_phantoms_are_made(lab: Workspace) -> None:
    data = obtain("phantom", lab, phantoms=48)
    assert data.synthetic
    assert list(data.classes) == ["COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"]
    assert data.counts().iloc[-1].to_dict() == {"class": "all", "images": 53, "masks": 53}
    assert load_dataset(lab) == data


def test_a_zip_is_unpacked_and_its_sources_are_read(archive: Path, lab: Workspace) -> None:
    data = obtain(str(archive), lab)
    assert (data.kind, data.synthetic) == ("zip", False)
    assert data.root == lab.raw() / "files" / "COVID-19_Radiography_Dataset"
    assert data.classes["Normal"] == {"images": 23, "masks": 23}
    assert data.sources["COVID"] == {"https://example.org/synthetic-phantom": 8}


def test_a_folder_is_used_where_it_lies(phantoms: Path, lab: Workspace) -> None:
    data = obtain(str(phantoms), lab)
    assert data.root == phantoms
    assert not (lab.raw() / "files").exists()


def test_plain_class_folders_of_any_names(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "mine", {"é 中": 5, "-dash": 4, "NA": 3})
    data = obtain(str(root), lab)
    assert data.classes == {
        "-dash": {"images": 4, "masks": 0},
        "NA": {"images": 3, "masks": 0},
        "é 中": {"images": 5, "masks": 0},
    }


def test_hidden_and_system_files_are_passed_over(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "mine", {"a": 4, "b": 4})
    for name in (".DS_Store", "a/._a-1.png", "a/Thumbs.db", "__MACOSX/a/a-1.png", ".git/x.png"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("no image")
    assert obtain(str(root), lab).classes == {"a": {"images": 4, "masks": 0}, "b": {"images": 4, "masks": 0}}


def refused(dataset: Path | str, lab: Workspace, message: str, before: Path) -> None:
    """`dataset` is refused with `message`, and the data set obtained before is untouched."""
    kept = obtain(str(before), lab)
    with pytest.raises(LabError, match=message):
        obtain(str(dataset), lab)
    assert load_dataset(lab) == kept
    assert sorted(path.name for path in lab.root.iterdir()) == ["raw"]


def test_a_path_to_nothing(lab: Workspace, phantoms: Path) -> None:
    refused(
        "no/such/thing",
        lab,
        "no/such/thing: no such file or folder; a data set is 'kaggle', 'phantom', or the path",
        phantoms,
    )
    with pytest.raises(LabError, match="no such file or folder"):
        source_fingerprint("no/such/thing")


def test_a_truncated_zip(archive: Path, lab: Workspace, phantoms: Path) -> None:
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    refused(archive, lab, r"archive\.zip: damaged or not a zip .*; download it again", phantoms)


def test_a_zip_with_a_spoilt_member(archive: Path, lab: Workspace, phantoms: Path) -> None:
    data = bytearray(archive.read_bytes())
    at = data.index(b"IDAT") + 40
    data[at : at + 4] = bytes(255 - byte for byte in data[at : at + 4])
    archive.write_bytes(data)
    refused(archive, lab, r"archive\.zip: damaged or not a zip \(Bad CRC-32", phantoms)


def test_a_zip_without_class_folders(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr("top/readme.txt", "hello")
    refused(
        tmp_path / "x.zip",
        lab,
        r"x\.zip: no class folders in it; expected <class>/images/\*\.png .*; found top",
        phantoms,
    )


@pytest.mark.parametrize("name", ["../evil.png", "/tmp/evil.png", "a/../../evil.png", "C:/evil.png", "..\\evil.png"])
def test_a_zip_that_would_write_outside(tmp_path: Path, lab: Workspace, phantoms: Path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr(name, "evil")
    refused(tmp_path / "x.zip", lab, "would be written outside the target folder; nothing was unpacked", phantoms)
    assert not list(tmp_path.rglob("evil.png"))


def test_a_zip_with_a_link(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    link = zipfile.ZipInfo("a/link.png")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as opened:
        opened.writestr(link, "/etc/passwd")
    refused(tmp_path / "x.zip", lab, "is a link; expected files only", phantoms)


def test_an_empty_class(phantom_copy: Path, lab: Workspace, phantoms: Path) -> None:
    for path in (phantom_copy / "Normal" / "images").iterdir():
        path.unlink()
    refused(phantom_copy, lab, "class 'Normal' holds no images .*; fill its folder or remove it", phantoms)


def test_a_single_class(tmp_path: Path, lab: Workspace, phantoms: Path) -> None:
    refused(
        write_classes(tmp_path / "one", {"a": 5}),
        lab,
        r"one class only \(a\); a classifier needs two or more",
        phantoms,
    )


def test_a_folder_that_moved_away(phantom_copy: Path, lab: Workspace) -> None:
    obtain(str(phantom_copy), lab)
    shutil.rmtree(phantom_copy)
    with pytest.raises(LabError, match="was here when stage 10 ran and is gone"):
        load_dataset(lab)


def test_the_fingerprint_follows_the_files(phantom_copy: Path) -> None:
    before = source_fingerprint(str(phantom_copy))
    assert source_fingerprint(str(phantom_copy)) == before
    (phantom_copy / "COVID" / "images" / "COVID-1.png").write_bytes(b"")
    assert source_fingerprint(str(phantom_copy)) != before


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


def test_an_archive_larger_than_the_disk(archive: Path, lab: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(LabError, match="unpacks to .* GB, 0.0 GB are free; make room or choose another WORKSPACE"):
        obtain(str(archive), lab)


def test_a_sheet_gives_each_file_its_source_however_it_spells_the_name(tmp_path: Path) -> None:
    sheet = pd.DataFrame({"FILE NAME": ["NORMAL-1", " Normal-2 ", "normal-3.PNG"], "URL": ["x", "y", "z"]})
    sheet.to_excel(tmp_path / "Normal.metadata.xlsx", index=False)
    found = read_sheet(tmp_path, "Normal")
    assert [found[sheet_key(f"Normal-{n}.png")] for n in (1, 2, 3)] == ["x", "y", "z"]
    assert len(read_sheet(tmp_path, "COVID")) == 0


@pytest.mark.parametrize("columns", [["FILE NAME"], ["URL"], []])
def test_a_sheet_without_its_columns_is_passed_over(
    columns: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({name: ["a"] for name in columns}).to_excel(tmp_path / "a.metadata.xlsx", index=False)
    assert len(read_sheet(tmp_path, "a")) == 0
    assert "a.metadata.xlsx: sources not read" in capsys.readouterr().err


def test_a_sheet_that_unpacks_to_too_much_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pd.DataFrame({"FILE NAME": ["a-1"], "URL": ["x"]}).to_excel(tmp_path / "a.metadata.xlsx", index=False)
    assert len(read_sheet(tmp_path, "a")) == 1
    monkeypatch.setattr("lab_utils.data.sheets.SHEET_BYTES", 1000)
    assert len(read_sheet(tmp_path, "a")) == 0
    assert "a.metadata.xlsx: sources not read (unpacks to" in capsys.readouterr().err


def test_strays_are_images_that_are_not_taken(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 2}, folder="images")
    write_classes(tmp_path, {"a": 1}, folder="masks")
    write_classes(tmp_path, {"a": 1}, folder="old")
    shutil.copy(tmp_path / "a/old/a-1.png", tmp_path / "a" / "b.png")
    assert [path.relative_to(tmp_path).as_posix() for path in list_strays(tmp_path / "a")] == [
        "a/b.png",
        "a/old/a-1.png",
    ]


def test_an_unknown_fault_is_refused(lab: Workspace) -> None:
    with pytest.raises(LabError, match="no fault 'markers'.*did you mean 'marker'"):
        obtain("phantom", lab, phantoms=48, faults=["markers"])  # type: ignore[list-item]


def test_the_listing_is_compared_with_the_published_one(tmp_path: Path) -> None:
    for name, count in PUBLISHED_COUNTS.items():
        (tmp_path / name).mkdir()
        for number in range(1, count + 1):
            (tmp_path / name / f"{name}-{number}.png").touch()
    whole = Dataset("zip", tmp_path, "", {name: {"images": 0, "masks": 0} for name in PUBLISHED_COUNTS})
    assert published_differences(whole) == {}
    (tmp_path / "Normal" / "Normal-77.png").unlink()
    (tmp_path / "Normal" / "Normal-130.png").unlink()
    (tmp_path / "COVID" / "mine.png").touch()
    assert published_differences(whole) == {
        "COVID": "3,617 images, 3,616 published: 1 not published, the first mine.png",
        "Normal": "10,190 images, 10,192 published: 2 missing, the first Normal-77.png",
    }
    assert published_differences(replace(whole, kind="phantom")) == {}


def test_other_classes_are_no_difference_unless_kaggle_sent_them(tmp_path: Path) -> None:
    root = write_classes(tmp_path, {"a": 1, "b": 2})
    own = Dataset("zip", root, "", {"a": {"images": 1, "masks": 0}, "b": {"images": 2, "masks": 0}})
    assert published_differences(own) == {}
    found = published_differences(replace(own, kind="kaggle"))
    assert found["COVID"] == "0 images, 3,616 published: 3,616 missing, the first COVID-1.png"
    assert found["b"] == "2 images, 0 published: 2 not published, the first b-1.png"
