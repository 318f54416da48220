import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from lab_utils.core.config import load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import load_dataset
from lab_utils.evaluation.runs import finished_runs
from lab_utils.reporting import checklist as checklists
from lab_utils.reporting.checklist import (
    Item,
    checklist,
    checklist_table,
    read_items,
    run_facts,
    verdict,
    verdict_counts,
)
from tests.conftest import PROJECT

MET, NOT_MET, NOT_KNOWN = checklists.VERDICTS


def test_a_verdict_follows_from_the_tables() -> None:
    item = Item(
        item="No copies.",
        sources={"REFORMS": "6b"},
        place="Audits",
        known="leaks | length > 0",
        met="leaks.copied.sum() == 0",
        evidence="{{ leaks.copied.sum() | count }}\N{NO-BREAK SPACE}%\n copies",
    )
    leaks = pd.DataFrame({"copied": [1200]})
    assert verdict(item, {"leaks": leaks}) == (NOT_MET, "1,200\N{NO-BREAK SPACE}% copies")
    assert verdict(item, {"leaks": leaks * 0}) == (MET, "0\N{NO-BREAK SPACE}% copies")
    assert verdict(item, {"leaks": leaks[:0]}) == (NOT_KNOWN, "0\N{NO-BREAK SPACE}% copies")
    for change in ({"met": "absent > 1"}, {"met": "leaks.absent"}, {"known": "1 +"}, {"evidence": "{{ absent }}"}):
        with pytest.raises(LabError, match=r"No copies.*correct its rule or its evidence"):
            verdict(item.model_copy(update=change), {"leaks": leaks})


def test_every_item_is_complete_and_names_a_heading_of_the_report() -> None:
    guidelines, items = read_items()
    cells = json.loads((PROJECT / "report" / "lab_report.ipynb").read_text())["cells"]
    lines = [
        line.strip()
        for cell in cells
        if cell["cell_type"] == "markdown" or "%%text\n" in cell["source"]
        for line in cell["source"]
    ]
    headings = {line.lstrip("#").strip().split(":")[0] for line in lines if line.startswith("#")}
    assert {item.place for item in items} <= headings
    assert {name for item in items for name in item.sources} == set(guidelines)
    assert len({item.item for item in items}) == len(items)
    assert all(item.item.endswith(".") and item.evidence and item.met not in ("true", "") for item in items)


@pytest.mark.parametrize("change", [{"sources": {"OTHER": "1"}}, {"rule": "x"}])
def test_an_unknown_guideline_or_key_is_an_error(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    entry = {"item": "x.", "sources": {"CLAIM": "1"}, "place": "x", "met": "true", "evidence": "x", **change}
    monkeypatch.setattr(checklists, "read_yaml", lambda path: {"guidelines": {"CLAIM": "x"}, "items": [entry]})
    with pytest.raises(LabError, match=r"(?s)checklist.yaml.*(OTHER: expected one of CLAIM|rule)"):
        read_items.__wrapped__()


def test_evidence_says_why_a_difference_or_a_map_is_missing() -> None:
    def judged(start: str, **facts: Any) -> tuple[str, str]:
        (item,) = (item for item in read_items()[1] if item.item.startswith(start))
        return verdict(item, {"claim_seeds": 5, **facts})

    def detected(scenarios: int, seeds: int, detectable: float) -> tuple[str, str]:
        metrics = pd.DataFrame({"scenario": range(scenarios)})
        rows = pd.DataFrame({"seeds": [seeds], "detectable": [detectable]})[: int(scenarios > 1 and seeds > 1)]
        return judged("The number of images", metrics=metrics, comparisons=rows)

    few = "No scenario is called better from fewer than 5 seeds."
    assert detected(1, 5, 0.02) == (NOT_KNOWN, "With one scenario, there is no difference to show.")
    assert detected(2, 1, 0.02) == detected(2, 4, 0.02) == (NOT_MET, few)
    assert detected(2, 5, float("nan")) == (NOT_MET, "The validation images form too few groups for a test.")
    verdict_of_five, evidence = detected(2, 5, 0.02)
    assert verdict_of_five == MET
    assert evidence.startswith("A true difference of 2.0 percentage points is detected")
    left_out = pd.DataFrame(
        {"audit": ["Grad-CAM, S1: one", "linear models"], "reason": ["no feature map", "few images"]}
    )
    manifest, none = pd.DataFrame({"mask": ["a.png"]}), pd.DataFrame()
    shown = judged("Methods of interpretation", manifest=manifest, attribution=none, audits_left_out=left_out)
    assert shown == (NOT_MET, "Left out: no feature map.")


def test_the_items_judge_a_run_by_its_tables(finished: tuple[Path, Path]) -> None:
    workspace, experiment = Workspace(finished[0]), load_experiment(str(finished[1]))
    dataset, run = load_dataset(workspace), finished_runs(experiment, workspace)[0]
    rows = checklist(run, experiment, dataset, workspace)
    shown = checklist_table(rows, "described").to_html()
    assert sum(verdict_counts(rows).values()) == len(rows) == len(read_items()[1]) == shown.count("<tr>") - 1
    facts = run_facts(run, experiment, dataset, workspace)

    def judged(start: str, **changes: Any) -> str:
        (item,) = (item for item in read_items()[1] if item.item.startswith(start))
        return verdict(item, {**facts, **changes})[0]

    def changed(name: str, **columns: Any) -> dict[str, Any]:
        return {name: facts[name].assign(**columns)}

    assert judged("No image has a copy", **changed("leaks", copied=1)) == NOT_MET
    assert judged("No image has a copy", **changed("leaks", copied=0)) == MET
    assert judged("All images of a patient") == NOT_KNOWN
    assert judged("All images of a patient", **changed("leaks", same_patient=2)) == NOT_MET
    with_patients = changed("manifest", patient="p") | changed("leaks", same_patient=0)
    assert judged("All images of a patient", **with_patients) == MET
    assert judged("Every score", **changed("intervals", low=float("nan"))) == NOT_MET
    assert judged("The evaluated images", **changed("curves", final_accuracy=2)) == NOT_MET
    assert judged("Differences between models") == NOT_MET
    assert judged("Borders of images", **changed("probes", above_null=True)) == NOT_MET
    only_lungs = facts["probes"]["input"].isin(["full", "histogram", "thumbnail_8x8", "lungs_only", "mask_only"])
    assert judged("Borders of images", **changed("probes", above_null=only_lungs, auc_high=0.6)) == MET
    assert judged("Borders of images", **changed("probes", above_null=False, auc_high=0.8)) == NOT_KNOWN
    assert judged("Borders of images", probes=facts["probes"][:0]) == NOT_KNOWN
    assert judged("Age and sex") == NOT_KNOWN
    assert judged("Age and sex", **changed("manifest", age=50, sex="F")) == MET
    assert judged("Age and sex", **changed("manifest", age=50)) == NOT_MET
    assert judged("The networks are tested", external=facts["external"][:0]) == NOT_MET
    for commit, expected in {"0123": MET, "0123+": NOT_MET, "unknown (no git)": NOT_KNOWN}.items():
        assert judged("The code of this run", record={**facts["record"], "commit": commit}) == expected
