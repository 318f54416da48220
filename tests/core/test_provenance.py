from pathlib import Path

from lab_utils.core.files import read_json, write_json
from lab_utils.core.provenance import provenance


def test_provenance_can_be_written(tmp_path: Path) -> None:
    record = provenance()
    write_json(tmp_path / "r.json", record)
    assert read_json(tmp_path / "r.json", stage="x") == record
    assert record["versions"]["tensorflow"].startswith("2.21")
    assert record["cpus"] >= 1
