from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.files import (
    atomic_write,
    digest,
    read_csv,
    read_json,
    sampled_sha256,
    verify_checksum,
    write_csv,
    write_json,
)
from lab_utils.core.provenance import provenance


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


def test_tables_come_back_as_they_were(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {
            "class": ["NA", "None", "é 中", 'a "b", c'],
            "p": np.array([1 / 3, 0, 1, 1e-8], np.float32),
            "note": ["", "x", "", ""],
        }
    )
    write_csv(tmp_path / "t.csv", table)
    back = read_csv(tmp_path / "t.csv", stage="40")
    assert back["class"].tolist() == table["class"].tolist()
    assert back["note"].tolist() == table["note"].tolist()
    assert (back["p"].astype(np.float32) == table["p"]).all()


def test_empty_number_cells_are_nan_and_empty_columns_are_text(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n1.5,\n,\n")
    back = read_csv(tmp_path / "t.csv", stage="40")
    assert np.isnan(back["a"][1])
    assert back["b"].tolist() == ["", ""]


@pytest.mark.parametrize("text", ["{", "[1]", '"x"'])
def test_a_damaged_record_says_what_to_do(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(LabError, match=r"run\.json.*run stage 30_train again"):
        read_json(tmp_path / "run.json", stage="30_train")


def test_a_missing_record_or_table_names_its_stage(tmp_path: Path) -> None:
    with pytest.raises(LabError, match=r"run\.json: not there yet; run stage 30_train first"):
        read_json(tmp_path / "run.json", stage="30_train")
    with pytest.raises(LabError, match=r"t\.csv: not there yet; run stage 40_evaluate first"):
        read_csv(tmp_path / "t.csv", stage="40_evaluate")


def test_digest_depends_on_values_and_their_order() -> None:
    assert digest(1, "a") == digest(1, "a")
    assert len({digest(1, "a"), digest("a", 1), digest("1", "a"), digest(1)}) == 4


def test_provenance_can_be_written(tmp_path: Path) -> None:
    record = provenance()
    write_json(tmp_path / "r.json", record)
    assert read_json(tmp_path / "r.json", stage="x") == record
    assert record["versions"]["tensorflow"].startswith("2.21")


def test_a_class_called_by_a_number_stays_text(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({"class": ["0", "001"], "images": [3, 4]}))
    table = read_csv(tmp_path / "t.csv", stage="20")
    assert table["class"].tolist() == ["0", "001"]
    assert table["images"].tolist() == [3, 4]


def test_what_was_edited_is_refused(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", pd.DataFrame({"class": ["a", "b"], "accuracy": [0.5, 0.25]}))
    (tmp_path / "t.csv").write_text((tmp_path / "t.csv").read_text().replace("0.25", "0.99"))
    with pytest.raises(LabError, match=r"t\.csv: not as stage 40 wrote it; delete .*t\.csv and run stage 40 again"):
        read_csv(tmp_path / "t.csv", stage="40")
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


def test_any_text_comes_back_from_a_table(tmp_path: Path) -> None:
    names = ["a\rb", "a\nb", 'a"b', "a,b", "\r", "", "NA", "1"]
    write_csv(tmp_path / "t.csv", pd.DataFrame({"image_id": names, "class": names[::-1]}))
    table = read_csv(tmp_path / "t.csv", stage="20")
    assert list(table["image_id"]) == names
    assert list(table["class"]) == names[::-1]
