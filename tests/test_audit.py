from dataclasses import replace
from pathlib import Path

import pandas as pd

from lab_utils.audit import COLUMNS, PUBLISHED_COUNTS, audit, published_counts
from lab_utils.download import Dataset, obtain
from lab_utils.manifest import build_manifest
from lab_utils.paths import Workspace
from lab_utils.scenarios import Protocol
from tests.conftest import write_classes

PROTOCOL = Protocol("described", "described")


def findings_of(root: Path, lab: Workspace) -> pd.DataFrame:
    data = obtain(str(root), lab)
    return audit(data, *build_manifest(data, PROTOCOL))


def test_nothing_odd_gives_an_empty_table(tmp_path: Path, lab: Workspace) -> None:
    findings = findings_of(write_classes(tmp_path / "d", {"a": 10, "b": 10}), lab)
    assert list(findings.columns) == COLUMNS
    assert len(findings) == 0


def test_exact_duplicates_name_their_original_and_the_class_it_has(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 10, "b": 10})
    original = (root / "a" / "a-1.png").read_bytes()
    (root / "a" / "a-2.png").write_bytes(original)
    (root / "b" / "b-3.png").write_bytes(original)
    findings = findings_of(root, lab)
    assert findings["image_id"].tolist() == ["a/a-2.png", "b/b-3.png"]
    assert findings["detail"].str.startswith("same pixels as a/a-1.png").all()
    assert findings["detail"].str.contains("of another class (a)", regex=False).tolist() == [False, True]


def test_counts_are_compared_for_the_published_classes_only() -> None:
    counts = {name: {"images": count, "masks": count} for name, count in PUBLISHED_COUNTS.items()}
    whole = Dataset("zip", Path(), "", counts)
    assert published_counts(whole) == []
    fewer = replace(whole, classes={**counts, "Normal": {"images": 10_191, "masks": 0}})
    assert published_counts(fewer) == [("count differs", "Normal", "", "10,191 images, 10,192 published", "reported")]
    assert published_counts(replace(fewer, kind="phantom")) == []
    assert (
        published_counts(Dataset("zip", Path(), "", {"a": {"images": 1, "masks": 0}, "b": {"images": 1, "masks": 0}}))
        == []
    )
