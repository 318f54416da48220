from typing import Any

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from lab_utils.audits import confounding, probes
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


def test_p_values_are_corrected_by_holm_s_method_over_the_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "REFITS", 49)
    random = np.random.default_rng(5)
    manifest = manifest_of(["a", "b"] * 100).assign(source=random.choice(["x", "y"], 200))
    noise = random.normal(size=(200, 4)).astype(np.float32)
    plain: list[float] = []

    def corrected(p: pd.Series, method: str) -> Any:
        plain.extend(p)
        return multipletests(p, method=method)

    monkeypatch.setattr(confounding, "multipletests", corrected)
    table = source_scores(noise, manifest)
    assert len(table) == len(plain) == 4
    assert table["p"].tolist() == pytest.approx(multipletests(plain, method="holm")[1])
    assert table["p"].sum() > sum(plain)
