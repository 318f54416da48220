"""The report's sentences that depend on the numbers. Nothing is claimed here that the tables do not say."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.metrics import SUMMARY
from lab_utils.evaluation.uncertainty import CLAIM_SEEDS
from lab_utils.reporting.display import verbatim
from lab_utils.reporting.figures import readable

INPUTS = {
    "histogram": "nine statistics of the grey levels",
    "thumbnail_8x8": "a thumbnail of 8 x 8 pixels",
    "border": "the border alone",
}  # of the shortcut audit: without a look at the lungs, or too coarse a one for a reader of radiographs


def percent(fraction: float) -> str:
    """0.8714 as '87.1 %'."""
    return f"{100 * fraction:.1f} %"


def with_interval(row: pd.Series) -> str:
    """A row of intervals (value, low, high) as '86.1 % [84.0, 88.1]'."""
    return f"{percent(row['value'])} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"


def comparison(metrics: pd.DataFrame, comparisons: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """How the scenarios rank, and which may be called better than which.

    Parameters
    ----------
    metrics : DataFrame
        Columns scenario, seed, accuracy, macro_f1, images, of one protocol.
    comparisons : DataFrame
        As of `lab_utils.evaluation.uncertainty.comparisons`, of the same protocol.
    """
    titles = {s.name: f"*{verbatim(s.title)}*" for s in scenarios}
    means = (
        metrics.groupby("scenario")[["accuracy", "macro_f1"]]
        .mean()
        .sort_values("accuracy", ascending=False, kind="stable")
    )
    ranking = "; ".join(
        f"{titles[name]} {percent(accuracy)} (macro F1 {percent(macro_f1)})"
        for name, accuracy, macro_f1 in means.itertuples()
    )
    found = f"By mean accuracy on {int(metrics['images'].iloc[0]):,} validation images: {ranking}."
    if len(means) == 1:
        return f"{found} There is nothing to compare it with."
    return f"{found} {_verdict(comparisons, titles)}"


def _verdict(comparisons: pd.DataFrame, titles: Mapping[str, str]) -> str:
    seeds = int(comparisons["seeds"].min())
    if seeds == 1:
        return "**One seed: no comparison is claimed**, for another seed moves each of these numbers too."
    claims = []
    for row in comparisons[comparisons["better"] != ""].to_dict("records"):
        worse = row["second"] if row["better"] == row["first"] else row["first"]
        low, high = sorted(100 * abs(row[name]) for name in ("low", "high"))
        claims.append(
            f"{titles[row['better']]} is better than {titles[worse]}, by {100 * abs(row['difference']):.1f} points "
            f"[{low:.1f}, {high:.1f}]"
        )
    if claims:
        return f"Over {seeds} seeds and all images, **{'; '.join(claims)}**. Nothing else is claimed."
    why = (
        f"{seeds} seeds are few for that, {CLAIM_SEEDS} are asked for"
        if seeds < CLAIM_SEEDS
        else f"over {seeds} seeds no difference has both an interval without 0 and McNemar's test beyond its null"
    )
    return f"**No scenario is called better than another**: {why}."


def in_short(metrics: pd.DataFrame, times: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """The report in a sentence or two: accuracies, and what they took.

    Parameters
    ----------
    metrics, times : DataFrame
        As of `lab_utils.evaluation.metrics.scores` and `lab_utils.evaluation.metrics.times`, of one protocol.
    """
    means = metrics.groupby("scenario")["accuracy"].mean()
    found = [f"{verbatim(s.title)} {percent(means[s.name])}" for s in scenarios if s.name in means]
    whole, plain = _totals(times)
    return (
        f"**In short**, accuracy on {int(metrics['images'].iloc[0]):,} validation images: {'; '.join(found)}. "
        f"Naming the commonest class would reach {percent(metrics['majority'].iloc[0])}. All of it took "
        f"{whole:,.0f} s of computing features and training; the plain way would have taken about {plain:,.0f} s."
    )


def _totals(times: pd.DataFrame) -> tuple[float, float]:
    """Seconds of all runs with the pass over the images that they share, and what the plain way would take for them."""
    return times["extraction"].max() + times["training"].sum(), times["plain"].sum()


def describe_curves(history: pd.DataFrame) -> str:
    """Accuracy and loss curves in words, for those who do not see them."""
    best, end = history.iloc[history["val_accuracy"].argmax()], history.iloc[-1]
    return (
        f"Two line charts over {len(history)} epochs. Validation accuracy starts at "
        f"{percent(history['val_accuracy'].iloc[0])}, is highest in epoch {best['epoch']:.0f} "
        f"({percent(best['val_accuracy'])}) and ends at {percent(end['val_accuracy'])}, training accuracy "
        f"at {percent(end['accuracy'])}. Validation loss ends at {end['val_loss']:.2f}, training loss "
        f"at {end['loss']:.2f}."
    )


def describe_errors(confusions: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """Confusion matrices in words: the commonest error of every scenario.

    Parameters
    ----------
    confusions : DataFrame
        Columns scenario, y_true, y_pred, images.
    """
    sentences = []
    for scenario in scenarios:
        own = confusions[confusions["scenario"] == scenario.name]
        errors = own[own["y_true"] != own["y_pred"]]
        if not len(own):
            continue
        if not errors["images"].sum():
            sentences.append(f"{scenario.title}: none of {own['images'].sum():,} images is classified wrongly.")
            continue
        worst = errors.iloc[errors["images"].argmax()]
        sentences.append(
            f"{scenario.title}: {errors['images'].sum():,} of {own['images'].sum():,} images are classified wrongly, "
            f"most often {readable(worst['y_true'])} as {readable(worst['y_pred'])} ({worst['images']:,})."
        )
    return " ".join(sentences)


def by_class(report: pd.DataFrame, scenario: Scenario) -> str:
    """The easiest and the hardest class of one classification report."""
    classes = report[~report["class"].isin(SUMMARY)].sort_values("f1", kind="stable")
    low, high = classes.iloc[0], classes.iloc[-1]
    return (
        f"**{verbatim(scenario.title)}**: highest F1 for {verbatim(readable(high['class']))} ({high['f1']:.2f}), "
        f"lowest for {verbatim(readable(low['class']))} ({low['f1']:.2f}: precision {low['precision']:.2f}, "
        f"recall {low['recall']:.2f}, {int(low['support']):,} images)."
    )


def duration(times: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """What training took, with the shared extraction and the plain way beside it; plain text, not markdown.

    Parameters
    ----------
    times : DataFrame
        Columns scenario, extraction, training, plain, as of `lab_utils.evaluation.metrics.times`, of one protocol.
    """
    titles = {s.name: s.title for s in scenarios}
    means = times.groupby("scenario")["training"].mean().sort_values()
    fastest, slowest = means.iloc[[0, -1]]
    whole, plain = _totals(times)
    trained = (
        f"Training took {fastest:.0f} s"
        if len(means) == 1
        else f"{titles[means.index[0]]!r} trained fastest, in {fastest:.0f} s; {titles[means.index[-1]]!r} took "
        f"longest, {slowest:.0f} s"
    )
    return (
        f"{trained}. Before that, what is frozen was computed once in {times['extraction'].max():.0f} s. In all, "
        f"{whole:.0f} s; the plain way would have taken about {plain:,.0f} s, {plain / whole:.1f} times as long."
    )


def stability(histories: Mapping[str, pd.DataFrame], scenarios: Sequence[Scenario], last: int = 10) -> list[str]:
    """Oscillation and overfitting, one sentence per scenario.

    Parameters
    ----------
    histories : mapping
        Scenario name to its history table.
    last : int
        Over how many final epochs the oscillation is measured.
    """
    sentences = []
    for scenario in scenarios:
        if scenario.name not in histories:
            continue
        tail = histories[scenario.name].tail(last)
        spread = 100 * (tail["val_accuracy"].max() - tail["val_accuracy"].min())
        end = tail.iloc[-1]
        gap = 100 * (end["accuracy"] - end["val_accuracy"])
        direction = "above" if gap >= 0 else "below"
        sentences.append(
            f"**{verbatim(scenario.title)}**: over the last {len(tail)} epochs the validation accuracy ranged over "
            f"{spread:.1f} points; "
            f"at the end training accuracy was {abs(gap):.1f} points {direction} it."
        )
    return sentences


def majority(manifest: pd.DataFrame) -> float:
    """Accuracy of naming the commonest class for every validation image."""
    return float(manifest.loc[manifest["split"] == "validation", "class"].value_counts(normalize=True).iloc[0])


def survival(table: pd.DataFrame, majority: float) -> str:
    """How much of the score survives without lungs, in a sentence; parameters as of `shortcuts`."""
    own = {str(row["input"]): row.rename({"accuracy": "value"}) for _, row in table.iterrows()}
    full, border = own["full"], own["border"]
    if "lungs_erased" not in own:
        return (
            "How much of the score survives without lungs is not known, for too few images have a lung mask; "
            f"a linear model on the border alone reaches {with_interval(border)}, on the whole image "
            f"{with_interval(full)}."
        )
    erased = own["lungs_erased"]
    gained, kept = full["value"] - majority, erased["value"] - majority
    is_sure = full["low"] > majority
    share = (
        f": {min(max(0.0, kept / gained), 1.0):.0%} of what it adds to the commonest class survives" if is_sure else ""
    )
    return (
        f"Without lungs, a linear model reaches {with_interval(erased)} where the whole image gives "
        f"{with_interval(full)} and the commonest class {percent(majority)}{share}."
    )


def shortcuts(table: pd.DataFrame, majority: float) -> str:
    """What else than the lungs tells the classes apart.

    Parameters
    ----------
    table : DataFrame
        As of `lab_utils.audits.probes.shortcuts`, of one protocol.
    majority : float
        Accuracy of naming the commonest class.
    """
    own = {str(row["input"]): row.rename({"accuracy": "value"}) for _, row in table.iterrows()}
    found = [survival(table, majority)]
    if "lungs_only" in own:
        found.append(f"The lungs alone give {with_interval(own['lungs_only'])}.")
    told = [f"{INPUTS[name]} ({with_interval(own[name])})" for name in INPUTS if own[name]["low"] > majority]
    found.append(
        f"A few numbers, or the border, are better than the commonest class: {'; '.join(told)}."
        if told
        else "Neither grey levels, nor a thumbnail, nor the border is surely better than the commonest class."
    )
    shuffled = own["permuted_labels"]
    found.append(
        f"With its training labels shuffled the model reaches {with_interval(shuffled)}: "
        + ("chance, as it must be." if shuffled["low"] <= majority else "MORE THAN CHANCE, so that something is wrong.")
    )
    return " ".join(found)


def audit_cost(audit_times: pd.DataFrame, protocols: int, times: pd.DataFrame) -> str:
    """What the audits took, beside features and training.

    Parameters
    ----------
    audit_times : DataFrame
        Columns part, seconds, over all protocols.
    times : DataFrame
        As of `lab_utils.evaluation.metrics.times`, of one protocol and seed.
    """
    seconds, (whole, _) = audit_times["seconds"].sum() / protocols, _totals(times)
    parts = "; ".join(f"{row['part']} {row['seconds'] / protocols:.0f} s" for _, row in audit_times.iterrows())
    return (
        f"The audits took {seconds:.0f} s for each protocol ({parts}), {seconds / whole:.0%} of the {whole:.0f} s of "
        "computing features and training."
    )


def findings_by_check(findings: pd.DataFrame) -> pd.DataFrame:
    """Findings as a table to read: columns Check, Findings (how many), Classes (how many of each), Action."""
    rows = []
    for (check, action), own in findings.groupby(["check", "action"], sort=True):
        counts = own.loc[own["class"] != "", "class"].value_counts(sort=False)
        classes = "; ".join(f"{readable(str(name))} {count:,}" for name, count in counts.items())
        rows.append((check, len(own), classes, action))
    return pd.DataFrame(rows, columns=["Check", "Findings", "Classes", "Action"])


def attribution(table: pd.DataFrame, scenarios: Sequence[Scenario]) -> str:
    """How much of each network's attribution lies in the lungs, between floor and ceiling; plain text, not markdown.

    Parameters
    ----------
    table : DataFrame
        As of `lab_utils.audits.attribution.shares` under scenario, of one protocol and seed.
    """
    overall = table[table["class"] == ""].set_index("scenario")
    titles = {s.name: s.title for s in scenarios}
    lines = [
        f"{titles[str(name)]!r} {with_interval(row.rename({'share': 'value'}))}" for name, row in overall.iterrows()
    ]
    area, ceiling = overall[["area", "ceiling"]].mean()
    return (
        f"Of the attribution, this much lies in the lungs: {'; '.join(lines)}. The lungs are {percent(area)} of the "
        f"image, which attribution spread evenly would reach; a linear model on lungs alone reaches {percent(ceiling)}."
    )


def describe_shares(table: pd.DataFrame) -> str:
    """Shares of attribution by class and outcome, in words."""
    return "; ".join(
        f"{readable(row['class'])}, {row['outcome']}: {percent(row['share'])} of the attribution of "
        f"{row['images']:,} images, "
        f"lungs {percent(row['area'])}, ceiling {percent(row['ceiling'])}"
        for _, row in table[table["class"] != ""].iterrows()
    )


def describe_pairs(pairs: pd.DataFrame) -> str:
    """Which pairs of images are shown, as of `lab_utils.data.duplicates.matches`."""
    return "; ".join(f"{row['first']} and {row['second']}, {row['distance']} bits apart" for _, row in pairs.iterrows())


def describe_examples(examples: pd.DataFrame) -> str:
    """Which images a panel of Grad-CAM shows, in words."""
    images = examples.drop_duplicates("image_id")
    return "Heat maps over radiographs. " + "; ".join(
        f"{readable(row['class'])} taken for {readable(row['predicted'])} ({row['confidence']:.0%} sure)"
        for _, row in images.iterrows()
    )


def conclusion(metrics: pd.DataFrame, backbone: str, weights: str, *, synthetic: bool) -> str:
    """What was reached, against what a constant answer reaches."""
    best, majority = metrics["accuracy"].max(), metrics["majority"].iloc[0]
    network = (
        f"{backbone} pretrained on ImageNet"
        if weights == "imagenet"
        else f"an untrained {backbone} (random features, BatchNorm calibrated on training images)"
    )
    data = "synthetic phantoms" if synthetic else "images"
    text = (
        f"On these {data}, {network} reaches an accuracy of up to {percent(best)}; "
        f"naming the commonest class for every image gives {percent(majority)}"
        f"{'' if best > majority else ', which no scenario surpasses'}. "
    )
    if synthetic:
        return text + "That shows that the lab works, and nothing about disease."
    return (
        f"{text}Training and validation images come from one collection: how the model does on patients of another "
        "hospital is not measured here."
    )


def reproduction(published: pd.DataFrame, numbers: Mapping[str, str]) -> pd.DataFrame:
    """The write-up's numbers beside a run's as a table to read: a row per scenario and class, "published / here".

    Parameters
    ----------
    published : DataFrame
        As of `lab_utils.evaluation.published.published_beside_runs`, of one protocol and seed.
    numbers : mapping
        Scenario name to what the report calls it.

    Returns
    -------
    DataFrame
        Columns Scenario, Class, Precision, Recall, F1-score, Support; accuracy and macro F1 as rows of their own. A
        star stands behind a published value outside the interval.
    """

    def cell(row: pd.Series) -> str:
        digits = ",.0f" if row["measure"] == "support" else ".2f"
        star = "*" if row["inside"] is False else ""
        return f"{row['published']:{digits}} / {row['here']:{digits}}{star}"

    columns = {"precision": "Precision", "recall": "Recall", "f1": "F1-score", "support": "Support"}
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for _, row in published.iterrows():
        summary = {"accuracy": "Accuracy", "macro_f1": "Macro F1"}.get(row["measure"])
        place = rows.setdefault((numbers[row["scenario"]], summary or readable(row["class"])), {})
        place[columns.get(row["measure"], "F1-score")] = cell(row)
    named = [{"Scenario": scenario, "Class": name, **cells} for (scenario, name), cells in rows.items()]
    return pd.DataFrame(named, columns=["Scenario", "Class", *columns.values()])
