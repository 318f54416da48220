from pathlib import Path

from lab_utils.core.yaml_files import read_yaml


def test_a_merged_key_may_be_replaced(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("base: &base {epochs: 1, head: [8]}\nmine: {<<: *base, epochs: 2}\n")
    assert read_yaml(tmp_path / "a.yaml")["mine"] == {"epochs": 2, "head": [8]}
