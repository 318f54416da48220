import numpy as np
import pytest

from lab_utils.audits.confounding import source_scores
from lab_utils.audits.tables import AuditError
from tests.audits.test_probes import manifest_of


def test_sources_are_predicted_where_there_are_sheets() -> None:
    random = np.random.default_rng(2)
    labels = ["a"] * 150 + ["b"] * 150
    manifest = manifest_of(labels)
    with pytest.raises(AuditError, match="no source has 20 images or more and lies on both sides of the split"):
        source_scores(np.zeros((300, 2), np.float32), manifest)
    with pytest.raises(AuditError, match="only one source has 20 images"):
        source_scores(np.zeros((300, 2), np.float32), manifest.assign(source="x"))
    place = random.integers(0, 2, 300)
    manifest["source"] = np.where(np.array(labels) == "a", np.array(["x", "y"], object)[place], "z")
    values = np.column_stack([place, random.normal(size=300)]).astype(np.float32)
    table = source_scores(values, manifest).set_index(["question", "among"])
    assert table["accuracy"]["class from the source", ""] == 1
    assert table["accuracy"]["source from the image", "a"] == 1
    assert (table["p"] < 0.01).all()
    assert ("source from the image", "b") not in table.index
    assert table["choices"]["source from the image", ""] == 3
    manifest.loc[0, "source"] = "small"
    assert len(source_scores(values, manifest)) == len(table), "a source of one image takes no question away"
    hidden = source_scores(random.normal(size=(300, 4)).astype(np.float32), manifest).set_index(["question", "among"])
    assert hidden["p"]["source from the image", "a"] > 0.05
