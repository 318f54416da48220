from pathlib import Path

import numpy as np
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.files import (
    atomic_write,
    digest,
    read_json,
    reading,
    sampled_sha256,
    verify_checksum,
    write_checksum,
    write_json,
)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "table.csv"
    with atomic_write(path) as draft:
        draft.write_text("old")
    with pytest.raises(ZeroDivisionError), atomic_write(path) as draft:
        draft.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert {file.name for file in path.parent.iterdir()} == {"table.csv", ".table.csv.sha256"}
    verify_checksum(path, stage="40")


def test_a_failed_folder_leaves_the_old_folder(tmp_path: Path) -> None:
    path = tmp_path / "raw"
    for text in ("old", "new"):
        with atomic_write(path) as draft:
            draft.mkdir()
            (draft / "file").write_text(text)
    with pytest.raises(ZeroDivisionError), atomic_write(path) as draft:
        draft.mkdir()
        raise ZeroDivisionError
    assert (path / "file").read_text() == "new"


def test_a_dead_run_s_draft_is_cleared(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    (tmp_path / ".table.partial.csv").write_text("half")
    with atomic_write(path) as draft:
        assert not draft.exists()
        draft.write_text("all")
    assert path.read_text() == "all"


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_a_damaged_record_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(LabError, match=r"run\.json.*run stage 30_train again"):
        read_json(tmp_path / "run.json", stage="30_train")


def test_a_missing_record_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"run\.json: not there yet; run stage 30_train first"):
        read_json(tmp_path / "run.json", stage="30_train")


def test_digest_depends_on_values_and_their_order() -> None:
    assert digest(1, "a") == digest(1, "a")
    assert len({digest(1, "a"), digest("a", 1), digest("1", "a"), digest(1)}) == 4


def test_an_altered_file_of_a_folder_is_refused_with_what_to_delete(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "features") as draft:
        draft.mkdir()
        np.save(draft / "features.npy", np.zeros(3))
        write_checksum(draft / "features.npy")
    path = tmp_path / "features" / "features.npy"
    verify_checksum(path, stage="25")
    np.save(path, np.ones(3))
    with pytest.raises(LabError, match=r"features\.npy: not as stage 25 wrote it; delete .* and run stage 25"):
        verify_checksum(path, stage="25")


def test_an_altered_record_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "r.json", {"kind": "phantom", "loss": [0.1, float("nan")]})
    assert read_json(tmp_path / "r.json", stage="10")["kind"] == "phantom"
    (tmp_path / "r.json").write_text((tmp_path / "r.json").read_text().replace("phantom", "folder"))
    with pytest.raises(LabError, match=r"r\.json: not as stage 10 wrote it; delete .*r\.json and run stage 10 again"):
        read_json(tmp_path / "r.json", stage="10")


def test_a_large_file_is_known_by_samples(tmp_path: Path) -> None:
    path, content = tmp_path / "a.npy", np.random.default_rng(0).integers(0, 255, 10**7).astype(np.uint8)
    content.tofile(path)
    before = sampled_sha256(path)
    assert sampled_sha256(path) == before
    for changed in (content[:-1], content[::-1], np.r_[content[: 10**6], content[10**6 + 3 :], content[:3]]):
        changed.tofile(path)
        assert sampled_sha256(path) != before


def test_any_error_of_a_reader_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "a.npy").write_bytes(b"half")
    with (
        pytest.raises(LabError, match=r"a\.npy: not readable as features \(.+\); delete it and run stage 25 again"),
        reading(tmp_path / "a.npy", "features", stage="25"),
    ):
        np.load(tmp_path / "a.npy", allow_pickle=False)
