from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lab_utils.core.catalogue import (
    catalogue,
    catalogue_markdown,
    read_table,
    read_table_file,
    table_path,
    tables_of,
    write_table,
    write_table_file,
)
from lab_utils.core.errors import LabError
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from tests.conftest import PROJECT

TEXTS = ["a\rb", "a\nb", 'a"b', "a,b", "\r", "", "NA", "None", "1", "001", "é 中", 'a "b", c']
FINDINGS = pd.DataFrame(
    {
        "check": "copy",
        "class": TEXTS,
        "image_id": TEXTS[::-1],
        "detail": ["", "x"] * (len(TEXTS) // 2),
        "action": "",
    }
)
EMPTY = {"text": "", "integer": 0, "number": np.nan, "boolean": True}
SHARE = {"protocol": "described", "scenario": "fc_only", "share": 1 / 3}
ATTRIBUTION = pd.DataFrame(
    [{**{name: EMPTY[column.kind] for name, column in catalogue()["attribution"].columns.items()}, **SHARE}]
)
PREDICTIONS = pd.DataFrame({"image_id": ["1"], "group": [0], "y_true": ["2"], "p_2": [1.0], "p_<x>": [0.0]})


def test_the_page_in_docs_is_the_catalogue() -> None:
    assert (PROJECT / "docs" / "tables.md").read_text(encoding="utf-8") == catalogue_markdown()


def test_every_table_has_a_stage_and_a_place_of_its_own() -> None:
    stages = {path.stem for path in (PROJECT / "notebooks").glob("*.ipynb")}
    tables = catalogue()
    assert {table.stage for table in tables.values()} <= stages
    assert len({table.path for table in tables.values()}) == len(tables)
    assert {"manifest", "findings"} == set(tables_of("20_preprocess"))
    assert list(tables["metrics"].columns)[:4] == ["protocol", "scenario", "seed", "images"]


def test_any_text_comes_back(lab: Workspace) -> None:
    write_table(lab, "findings", FINDINGS, protocol="described")
    assert table_path(lab, "findings", protocol="described") == lab.root / "protocols" / "described" / "findings.csv"
    pd.testing.assert_frame_equal(read_table(lab, "findings", protocol="described"), FINDINGS.astype(object))


def test_kinds_come_from_the_catalogue(lab: Workspace) -> None:
    write_table(lab, "attribution", ATTRIBUTION)
    back = read_table(lab, "attribution")
    assert back["class"].tolist() == [""]
    assert (back["seed"].dtype, back["low"].dtype) == (np.int64, np.float64)
    assert np.isnan(back["low"][0])
    assert np.float32(back["share"][0]) == np.float32(1 / 3)


def test_an_empty_table_keeps_its_columns_and_kinds(lab: Workspace) -> None:
    write_table(lab, "attribution", ATTRIBUTION.iloc[:0])
    back = read_table(lab, "attribution")
    assert list(back) == list(ATTRIBUTION)
    assert (len(back), back["images"].dtype, back["class"].dtype) == (0, np.int64, object)


def test_booleans_may_be_missing(tmp_path: Path) -> None:
    rows = [
        {**dict.fromkeys(catalogue()["published"].columns, 1), "differs": differs} for differs in (True, False, None)
    ]
    for count, dtype in ((2, "bool"), (3, "boolean")):
        write_table_file(tmp_path / "t.csv", "published", pd.DataFrame(rows[:count]))
        back = read_table_file(tmp_path / "t.csv", "published")["differs"]
        assert back.dtype == dtype
        assert back[:2].tolist() == [True, False]


def test_a_table_has_a_column_for_each_class(tmp_path: Path) -> None:
    write_table_file(tmp_path / "p.csv", "predictions", PREDICTIONS)
    back = read_table_file(tmp_path / "p.csv", "predictions")
    assert back.to_dict("list") == PREDICTIONS.to_dict("list")


def test_a_probability_comes_back_as_the_same_float32(tmp_path: Path) -> None:
    values = np.array([1 / 3, 0, 1, 1e-8], np.float32)
    frame = pd.DataFrame({"image_id": list("abcd"), "group": range(4), "y_true": "a", "p_a": values})
    write_table_file(tmp_path / "p.csv", "predictions", frame)
    assert (read_table_file(tmp_path / "p.csv", "predictions")["p_a"].astype(np.float32) == values).all()


def test_a_table_without_rows_changes_no_number_of_those_it_is_joined_to(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image_id": ["a"], "group": [0], "y_true": ["a"], "p_a": [1 / 3]})
    joined = pd.concat([frame, pd.DataFrame(columns=frame.columns)], ignore_index=True)
    assert joined["p_a"].dtype == object
    write_table_file(tmp_path / "p.csv", "predictions", joined)
    assert (tmp_path / "p.csv").read_text().splitlines()[1] == "a,0,a,0.333333333"


def test_columns_are_written_in_the_catalogue_s_order(tmp_path: Path) -> None:
    write_table_file(tmp_path / "p.csv", "predictions", PREDICTIONS[["p_2", "y_true", "p_<x>", "group", "image_id"]])
    assert (tmp_path / "p.csv").read_text().splitlines()[0] == "image_id,group,y_true,p_2,p_<x>"


def test_other_columns_are_refused_when_written_and_when_read(tmp_path: Path) -> None:
    other = FINDINGS.rename(columns={"detail": "details"})
    with pytest.raises(LabError, match="table findings: missing columns: detail; unknown columns: details; .*yaml"):
        write_table_file(tmp_path / "f.csv", "findings", other)
    other.to_csv(tmp_path / "f.csv", index=False)
    with pytest.raises(LabError, match="f.csv: .*missing columns: detail; .* run stage 20_preprocess again"):
        read_table_file(tmp_path / "f.csv", "findings")


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"check,class,image_id,detail,action\n1,2,3,4,5,6,7\n"])
def test_a_damaged_table_says_what_to_do(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "f.csv").write_bytes(content)
    with pytest.raises(LabError, match="f.csv: not readable as table findings .* run stage 20_preprocess again"):
        read_table_file(tmp_path / "f.csv", "findings")


def test_a_word_among_numbers_is_refused(tmp_path: Path) -> None:
    ATTRIBUTION.assign(share="half").to_csv(tmp_path / "a.csv", index=False)
    with pytest.raises(LabError, match="a.csv: not readable as table attribution .* run stage 45_audit again"):
        read_table_file(tmp_path / "a.csv", "attribution")


def test_an_altered_table_is_refused(lab: Workspace) -> None:
    write_table(lab, "attribution", ATTRIBUTION)
    path = table_path(lab, "attribution")
    path.write_text(path.read_text().replace("0.3333", "0.9999"))
    with pytest.raises(LabError, match=r"not as stage 45_audit wrote it; delete .* and run stage 45_audit again"):
        read_table(lab, "attribution")


def test_a_missing_table_names_its_stage_and_an_unknown_one_the_nearest(lab: Workspace) -> None:
    with pytest.raises(LabError, match=r"metrics.csv: not there yet; run stage 40_evaluate first"):
        read_table(lab, "metrics")
    with pytest.raises(LabError, match="no table 'metric'.*did you mean 'metrics'"):
        read_table(lab, "metric")


def test_tables_by_hand_lie_over_the_pipeline_s(tmp_path: Path) -> None:
    batch, by_hand = Workspace.open(str(tmp_path)), Workspace.open(str(tmp_path), by_hand=True)
    write_table(batch, "attribution", ATTRIBUTION)
    assert len(read_table(by_hand, "attribution")) == 1
    write_table(by_hand, "attribution", ATTRIBUTION.iloc[:0])
    assert len(read_table(by_hand, "attribution")) == 0
    assert len(read_table(batch, "attribution")) == 1


def test_an_unfinished_stage_by_hand_hides_no_table(tmp_path: Path) -> None:
    batch, by_hand = Workspace.open(str(tmp_path)), Workspace.open(str(tmp_path), by_hand=True)
    write_table(batch, "findings", FINDINGS, protocol="described")
    write_json(batch.preprocessing("described"), {})
    write_table(by_hand, "findings", FINDINGS.iloc[:2], protocol="described")
    assert len(read_table(by_hand, "findings", protocol="described")) == len(FINDINGS)
    write_json(by_hand.writable.preprocessing("described"), {})
    assert len(read_table(by_hand, "findings", protocol="described")) == 2
