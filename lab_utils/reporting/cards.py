"""Model card and data card, filled from a run."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from lab_utils.core.config import Protocol, Scenario
from lab_utils.data.dataset import Dataset
from lab_utils.reporting.discussion import percent, with_interval
from lab_utils.reporting.figures import readable

COLUMNS = ["Aspect", "Content"]
WITHOUT_LUNGS = {"border": "the border alone", "lungs_erased": "images without lungs"}
SOURCES = 8  # of a class that are named, the largest


def model_card(
    records: Sequence[Mapping[str, Any]],
    protocol: Protocol,
    scenarios: Sequence[Scenario],
    intervals: pd.DataFrame,
    metrics: pd.DataFrame,
    times: pd.DataFrame,
    shortcomings: Sequence[str],
) -> pd.DataFrame:
    """The trained networks as a model card (Mitchell et al., FAT* 2019, arXiv 1810.03993).

    Parameters
    ----------
    records : sequence of mapping
        run.json of every run of the protocol and the first seed.
    protocol : Protocol
    scenarios : sequence of Scenario
        Those that were run.
    intervals, metrics, times : DataFrame
        As of stage 40, of one protocol; the first seed is shown.
    shortcomings : sequence of str
        Plain sentences, as of `shortcomings`.

    Returns
    -------
    DataFrame
        Columns Aspect, Content.
    """
    seed, record = metrics["seed"].iloc[0], records[0]
    scored = []
    for scenario in scenarios:
        own = intervals[(intervals["scenario"] == scenario.name) & (intervals["seed"] == seed)].set_index("measure")
        accuracy, macro_f1 = (with_interval(own.loc[name]) for name in ("accuracy", "macro_f1"))
        recalls = own.loc[["recall"]].sort_values("value")
        low, high = map(percent, recalls["value"].iloc[[0, -1]])
        worst, best = map(readable, recalls["class"].iloc[[0, -1]])
        scored.append(
            f"{scenario.title}: accuracy {accuracy}, macro F1 {macro_f1}, sensitivity from "
            f"{low} ({worst}) to {high} ({best})"
        )
    weights = "pretrained on ImageNet" if record["weights"] == "imagenet" else "untrained (random features)"
    images = record["images"]
    networks = [
        f"{one['backbone']} with a head of {' and '.join(map(str, one['head'])) or 'no'} hidden units"
        for one in (record["scenario"] for record in records)
    ]
    versions = ", ".join(f"{name} {record['versions'][name]}" for name in ("tensorflow", "keras", "lab-utils"))
    rows = {
        "Model": f"{'; '.join(dict.fromkeys(networks))}; {weights}; "
        f"scenarios of fine-tuning: {len(scenarios)}; model.keras in each run's folder takes images in [0, 255]",
        "Intended use": "Teaching and research on transfer learning and its evaluation.",
        "Not for": "Diagnosis, triage or any decision about a patient; images of other sources than the data card's.",
        "Training data": f"{images.get('train', 0):,} images"
        f"{' and lung masks' if protocol.masks else ''}, protocol {protocol.name}; see the data card",
        "Evaluation data": f"{images.get('validation', 0):,} images of the same collection; no other hospital's",
        "Metrics": "; ".join(scored),
        "Calibration": f"expected calibration error {metrics['ece'].min():.3f} to {metrics['ece'].max():.3f}",
        "Shortcomings": " ".join(shortcomings) or "None found by the audits, which do not look for all there are.",
        "Versions": f"Python {record['python']}, {versions}, commit {record['commit'][:12] or 'unknown'}",
        "Weights": "SHA-256 of the backbone "
        + ", ".join(dict.fromkeys(record["weights_sha256"][:32] for record in records)),
        "Time and memory": f"features {times['extraction'].max():.0f} s once, training "
        f"{times['training'].min():.0f} to {times['training'].max():.0f} s; "
        f"at most {max(record['memory_mb'] for record in records) / 1000:.1f} GB for one training; "
        f"{record['cpus']} cores, {record['platform']}",
    }
    return pd.DataFrame(rows.items(), columns=COLUMNS)


def data_card(
    dataset: Dataset, manifest: pd.DataFrame, protocol: Protocol, findings: pd.DataFrame, split: str
) -> pd.DataFrame:
    """The data set as a data card (Pushkarna et al., FAccT 2022, arXiv 2204.01075).

    Parameters
    ----------
    dataset : Dataset
    manifest : DataFrame
        Of one protocol.
    protocol : Protocol
    findings : DataFrame
        Columns check, class, of the same protocol.
    split : str
        The rule of the split, in words.

    Returns
    -------
    DataFrame
        Columns Aspect, Content.
    """
    images = manifest[manifest["kind"] == "image"]
    origin = {
        "phantom": "Drawn by a program in the layout of the COVID-19 Radiography Database; no patients",
        "kaggle": "COVID-19 Radiography Database (Chowdhury et al. 2020; Rahman et al. 2021), from Kaggle",
        "zip": "A zip given by the user",
        "folder": "A folder given by the user",
    }[dataset.kind]
    classes = "; ".join(
        f"{readable(name)} {count['images']:,} ({count['masks']:,} masks)" for name, count in dataset.classes.items()
    )
    sources = "; ".join(
        f"{readable(name)}: {', '.join(f'{url} ({count:,})' for url, count in list(urls.items())[:SOURCES])}"
        f"{' and others' if len(urls) > SOURCES else ''}"
        for name, urls in dataset.sources.items()
    )
    sizes = (images["width"].astype(str) + " x " + images["height"].astype(str)).value_counts()
    sides = manifest["split"].value_counts()
    found = "; ".join(f"{check}: {count:,}" for check, count in findings["check"].value_counts().items())
    terms = {
        "phantom": "none: they may be used for anything",
        "kaggle": "those of the original authors; see the data set's page before any use beyond study",
    }
    rows = {
        "Origin": origin,
        "Classes": classes,
        "Sources": sources or "not known: there are no metadata sheets",
        "Images": f"{sizes.index[0]} pixels ({sizes.iloc[0] / len(images):.0%} of them), "
        f"{images['grey'].mean():.0%} without colour",
        "Labels": "the name of the folder that an image lies in; not checked by a radiologist here",
        "Split": f"{sides['train']:,} for training, {sides['validation']:,} for validation: {split}",
        "Patients": "not identified: two images of one patient may be on both sides of the split",
        "Findings": found or "none",
        "Terms": terms.get(dataset.kind, "those of whoever made it"),
        "Fingerprint": f"SHA-256 {dataset.fingerprint[:32]}",
    }
    return pd.DataFrame(rows.items(), columns=COLUMNS)


def shortcomings(
    shortcuts: pd.DataFrame, majority: float, attribution: str, leaks: pd.DataFrame, findings: pd.DataFrame
) -> list[str]:
    """What the audits found against the networks, a plain sentence each.

    Parameters
    ----------
    shortcuts : DataFrame
        As of `lab_utils.audits.probes.shortcuts`.
    majority : float
        Accuracy of the commonest class.
    attribution : str
        As of `lab_utils.reporting.discussion.attribution`; empty where not measured.
    leaks, findings : DataFrame
        All of one protocol.
    """
    reached = shortcuts.set_index("input").rename(columns={"accuracy": "value"})
    found = [
        f"A linear model on {what} reaches {with_interval(row)}, better than the commonest class."
        for name, row in reached.iterrows()
        if (what := WITHOUT_LUNGS.get(str(name))) and row["low"] > majority
    ]
    if attribution:
        found.append(attribution)
    leak = leaks.iloc[0]
    if leak["copied"]:
        copied, count = (f"{leak[name]:,.0f}" for name in ("copied", "validation"))
        found.append(f"{copied} of {count} validation images have a copy in the training set.")
    if (findings["check"] == "mask as image").any():
        found.append("Lung masks count as images.")
    if (findings["check"] == "unshared source").any():
        names = ", ".join(map(readable, findings.loc[findings["check"] == "unshared source", "class"]))
        found.append(f"No other class shares a source with {names}: the hospital gives the class away.")
    return found
