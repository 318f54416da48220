"""The report's checklist: items of three reporting guidelines, judged by a run's tables.

`report/checklist.yaml` holds the items. The verdict of an item follows from two Jinja expressions over tables and
settings of the run: whether the run can know it, and whether it is met.
"""

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined, TemplateError, meta

from lab_utils.core.catalogue import catalogue, read_table
from lab_utils.core.config import Experiment
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace
from lab_utils.core.values import Settings
from lab_utils.core.yaml_files import read_yaml
from lab_utils.data.dataset import Dataset
from lab_utils.evaluation.comparisons import CLAIM_SEEDS
from lab_utils.evaluation.runs import Run
from lab_utils.reporting.exhibits import NBSP, ReportTable, unbroken
from lab_utils.reporting.model_card import is_database
from lab_utils.reporting.names import readable
from lab_utils.reporting.text import count, interval, number, percent, points

FILE = Path(__file__).resolve().parents[2] / "report" / "checklist.yaml"
VERDICTS = ("met", "not met", "not knowable here")


class Item(Settings):
    """What a guideline asks for, and how a run answers."""

    item: str  # a sentence in our own words, with a full stop
    sources: dict[str, str]  # guideline to number of the item in it
    place: str  # heading in the report
    known: str = "true"  # Jinja expression: whether this run can know the answer
    met: str  # Jinja expression
    evidence: str  # Jinja template: a sentence about this run

    @property
    def source(self) -> str:
        """The numbers in the guidelines: "CLAIM 7; REFORMS 3a"."""
        return "; ".join(f"{name}{NBSP}{number}" for name, number in self.sources.items())


@cache
def read_items() -> tuple[dict[str, str], tuple[Item, ...]]:
    """Read the guidelines (name to publication) and the items of report/checklist.yaml.

    Raises
    ------
    LabError
        If an item names an unknown guideline, or has a key that `Item` does not know.
    """
    content = read_yaml(FILE)
    try:
        items = tuple(Item(**entry) for entry in content["items"])
    except ValueError as error:
        raise LabError(f"{FILE}: {error}") from error
    if unknown := {name for item in items for name in item.sources} - set(content["guidelines"]):
        raise LabError(f"{FILE}: {', '.join(sorted(unknown))}: expected one of {', '.join(content['guidelines'])}")
    return content["guidelines"], items


@cache
def _environment() -> Environment:
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    shown = (count, interval, number, percent, points, readable)
    environment.filters |= {filter_.__name__: filter_ for filter_ in shown}
    return environment


def run_facts(run: Run, experiment: Experiment, dataset: Dataset, workspace: Workspace) -> dict[str, Any]:
    """Collect what the items name: settings of a run, and the tables of its protocol by name.

    Raises LabError if stage 40 or 45 has not run.
    """
    protocol = run.protocol
    facts = {
        "record": run.record,
        "protocol": protocol,
        "experiment": experiment,
        "dataset": dataset,
        "is_database": is_database(dataset),
        "claim_seeds": CLAIM_SEEDS,
    }
    texts = [text for item in read_items()[1] for text in (item.evidence, f"{{{{ ({item.known}), ({item.met}) }}}}")]
    named = set().union(*(meta.find_undeclared_variables(_environment().parse(text)) for text in texts))
    for name in sorted(named & set(catalogue())):
        table = read_table(workspace, name, protocol=protocol.name)
        facts[name] = table[table["protocol"] == protocol.name] if "protocol" in table else table
    return facts


def verdict(item: Item, facts: dict[str, Any]) -> tuple[str, str]:
    """Judge one item: the verdict, one of `VERDICTS`, and the evidence.

    Raises
    ------
    LabError
        If an expression names what `facts` lacks, or is no valid Jinja.
    """
    environment = _environment()
    try:
        is_known, is_met = (
            bool(environment.compile_expression(rule, undefined_to_none=False)(**facts))
            for rule in (item.known, f"({item.known}) and ({item.met})")
        )
        evidence = environment.from_string(item.evidence).render(facts)
    except (TemplateError, TypeError, ValueError, LookupError, AttributeError) as error:
        raise LabError(f"{FILE}: {item.item!r}: {error}; correct its rule or its evidence") from error
    evidence = unbroken(re.sub("[ \n]+", " ", evidence).strip())
    return VERDICTS[2] if not is_known else VERDICTS[not is_met], evidence


def checklist(run: Run, experiment: Experiment, dataset: Dataset, workspace: Workspace) -> pd.DataFrame:
    """Judge every item for a protocol: columns item, source, verdict, evidence, place.

    The items of CLAIM 2024 (Tejani et al., Radiology: Artificial Intelligence 2024), TRIPOD+AI (Collins et al., BMJ
    2024) and REFORMS (Kapoor et al., Science Advances 2024) that apply to this lab are in report/checklist.yaml.
    """
    facts = run_facts(run, experiment, dataset, workspace)
    rows = [(item.item, item.source, *verdict(item, facts), item.place) for item in read_items()[1]]
    return pd.DataFrame(rows, columns=["item", "source", "verdict", "evidence", "place"])


def verdict_counts(rows: pd.DataFrame) -> dict[str, int]:
    """Count the verdicts of a checklist, each of `VERDICTS` with its number."""
    counts = Counter(rows["verdict"])
    return {name: counts[name] for name in VERDICTS}


def checklist_table(rows: pd.DataFrame, protocol: str) -> ReportTable:
    """Tabulate a checklist: what is not met comes first."""
    order = [*VERDICTS[1:], VERDICTS[0]]
    rows = rows.sort_values("verdict", key=lambda verdicts: verdicts.map(order.index), kind="stable")
    cells = [
        (f"{row['item']} ({row['source']})", row["verdict"], f"{row['place']}: {row['evidence']}")
        for row in rows.to_dict("records")
    ]
    caption = f"Items of reporting guidelines, with their numbers there, protocol {protocol}"
    return ReportTable(
        pd.DataFrame(cells, columns=["Item", "Verdict", "Section and evidence"]), caption, "tbl-checklist"
    )
