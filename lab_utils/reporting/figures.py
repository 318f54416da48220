"""Every figure of the lab, with caption, label and alternative text."""

from collections.abc import Mapping, Sequence

import pandas as pd

from lab_utils.core.config import Scenario
from lab_utils.evaluation.runs import Run
from lab_utils.reporting import plots, style
from lab_utils.reporting.data_figures import *  # noqa: F403  # one name for all figures
from lab_utils.reporting.exhibits import ReportFigure
from lab_utils.reporting.text import interval, percent, seconds


def training_curves(history: pd.DataFrame, scenario: Scenario, compare: Sequence[pd.DataFrame] = ()) -> ReportFigure:
    """Show accuracy and loss over epochs; `compare` are histories that share the axes' limits."""
    figure, axes = style.panels(2, 2.3, columns=2)
    for ax, quantity in zip(axes, plots.QUANTITIES, strict=True):
        plots.curve(ax, history, quantity, style.scenario_marks(scenario), compare)
    seeds = history["epoch"].value_counts().max()
    band = f" (mean of {seeds} seeds; the band covers all of them)" if seeds > 1 else ""
    caption = f"Training curves, {scenario.label}{band}"
    return ReportFigure(figure, caption, f"fig-curves-{scenario.name}", describe_curves(history))


def describe_curves(history: pd.DataFrame) -> str:
    """Return training curves in words."""
    means = history.groupby("epoch", as_index=False).mean(numeric_only=True)
    best, end = means.iloc[means["val_accuracy"].argmax()], means.iloc[-1]
    return (
        f"Two line charts over {len(means)} epochs. Validation accuracy starts at {percent(means['val_accuracy'][0])}, "
        f"is highest in epoch {best['epoch']:.0f} ({percent(best['val_accuracy'])}) and ends at "
        f"{percent(end['val_accuracy'])}, training accuracy at {percent(end['accuracy'])}. "
        f"Validation loss ends at {end['val_loss']:.2f}, training loss at {end['loss']:.2f}."
    )


def training_overview(histories: Mapping[str, pd.DataFrame], scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the validation accuracy of every scenario on one scale, from histories by scenario."""
    chosen = [scenario for scenario in scenarios if scenario.name in histories]
    figure, axes = style.panels(len(chosen), 2.1)
    for ax, scenario in zip(axes, chosen, strict=True):
        others = [history for name, history in histories.items() if name != scenario.name]
        plots.validation_curve(ax, histories[scenario.name], style.scenario_marks(scenario), others)
        ax.set_title(style.short(scenario.label, 28), fontsize=9, **style.TIGHT)
    style.label_outer(axes)
    ends = [f"{s.label} ends at {percent(histories[s.name]['val_accuracy'].iloc[-1])}" for s in chosen]
    alt = f"Line charts of validation accuracy over epochs. {'; '.join(ends)}."
    caption = "Validation accuracy of every scenario on one scale, the other scenarios in grey"
    return ReportFigure(figure, caption, "fig-overview", alt)


def compared_curves(histories: Mapping[str, pd.DataFrame]) -> ReportFigure:
    """Show validation accuracy and loss of several trainings, from histories by printed name."""
    figure, axes = style.panels(2, 3.2, columns=2)
    for ax, quantity in zip(axes, plots.QUANTITIES, strict=True):
        plots.compared_curves(ax, histories, quantity)
    handles, names = axes[0].get_legend_handles_labels()
    for ax in axes:
        ax.legend().remove()
    figure.legend(handles, names, loc="outside lower center")
    said = [f"{name}: {describe_curves(history)}" for name, history in histories.items()]
    return ReportFigure(figure, "Validation accuracy and loss of several trainings", "fig-compared", " ".join(said))


def confusion_matrices(confusion: pd.DataFrame, runs: Sequence[Run]) -> ReportFigure:
    """Show the confusion matrix of every run, in words as well."""
    figure, axes = style.panels(len(runs), 2.4)
    is_named = len({(run.protocol.name, run.seed) for run in runs}) > 1
    said = []
    for ax, run in zip(axes, runs, strict=True):
        counts = run.rows_of(confusion)
        detail = f" ({run.protocol.name}, seed {run.seed})" if is_named else ""
        plots.confusion_matrix(ax, counts, style.short(f"{run.scenario.label}{detail}", 30))
        said.append(f"{run.scenario.label}{detail}: {describe_errors(counts)}")
    style.label_outer(axes)
    caption = "Confusion matrices: images by true and predicted class, shaded by their share of the true class"
    return ReportFigure(figure, caption, "fig-confusion", " ".join(said))


def describe_errors(counts: pd.DataFrame) -> str:
    """Return the errors of one confusion matrix in words."""
    errors = counts[counts["y_true"] != counts["y_pred"]]
    total = f"{counts['images'].sum():,} images"
    if not errors["images"].sum():
        return f"none of {total} is classified wrongly."
    worst = errors.iloc[errors["images"].argmax()]
    return (
        f"{errors['images'].sum():,} of {total} are classified wrongly, "
        f"most often {style.readable(worst['y_true'])} as {style.readable(worst['y_pred'])} ({worst['images']:,})."
    )


def score_intervals(intervals: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show accuracy and macro F1 of every run of one protocol with their intervals."""
    chosen = [scenario for scenario in scenarios if scenario.name in set(intervals["scenario"])]
    figure, axes = style.panels(2, 0.6 + 0.5 * len(chosen), columns=2, sharey=True)
    for ax, (measure, name) in zip(axes, {"accuracy": "accuracy", "macro_f1": "macro F1"}.items(), strict=True):
        rows = intervals[intervals["measure"] == measure]
        plots.scenario_intervals(ax, rows, chosen)
        ax.set_xlabel(f"{name} (%)")
    accuracies = intervals[intervals["measure"] == "accuracy"]
    labels = {scenario.name: scenario.label for scenario in chosen}
    said = [f"{labels[row['scenario']]}, seed {row['seed']}: {interval(row)}" for row in accuracies.to_dict("records")]
    caption = (
        "Accuracy and macro F1 of every run with 95 % confidence intervals "
        "(cluster bootstrap over near-duplicate groups)"
    )
    return ReportFigure(figure, caption, "fig-intervals", f"Accuracy with interval. {'; '.join(said)}.")


def reliability(calibration: pd.DataFrame, metrics: pd.DataFrame, runs: Sequence[Run]) -> ReportFigure:
    """Show accuracy against confidence of every run, with calibration error and Brier score."""
    figure, axes = style.panels(len(runs), 2.3)
    said = []
    for ax, run in zip(axes, runs, strict=True):
        error, brier = run.rows_of(metrics).iloc[0][["ece", "brier"]]
        plots.reliability(ax, run.rows_of(calibration), style.scenario_marks(run.scenario))
        ax.set_title(style.short(run.scenario.label, 28), fontsize=9, **style.TIGHT)
        ax.text(0.02, 0.99, f"ECE {error:.3f}\nBrier {brier:.3f}", va="top", fontsize=8, transform=ax.transAxes)
        said.append(f"{run.scenario.label}: expected calibration error {error:.3f}, Brier score {brier:.3f}")
    style.label_outer(axes)
    caption = (
        "Reliability diagrams: accuracy against confidence, larger dots for more images; "
        "expected calibration error (ECE) and Brier score"
    )
    return ReportFigure(figure, caption, "fig-reliability", f"Accuracy against confidence. {'; '.join(said)}.")


def class_curves(
    predictions: Mapping[str, pd.DataFrame], points: pd.DataFrame, scenarios: Sequence[Scenario], kind: str = "roc"
) -> ReportFigure:
    """Show the one-vs-rest curves of every class.

    Parameters
    ----------
    predictions : mapping
        Scenario to the predictions of one run.
    points : DataFrame
        The table operating_points, of the same runs.
    kind : {"roc", "precision_recall"}
    """
    classes, chosen = list(dict.fromkeys(points["class"])), [s for s in scenarios if s.name in predictions]
    columns = min(4, len(classes))
    figure, axes = style.panels(len(classes), style.WIDTH / columns + 0.7, columns=columns)
    for ax, name in zip(axes, classes, strict=True):
        plots.class_curve(ax, predictions, name, chosen, kind)
    style.label_outer(axes, columns=columns)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2)
    caption, column, label = {
        "roc": ("One-vs-rest ROC curves; dotted, a specificity of 95 %", "auc", "fig-roc"),
        "precision_recall": ("Precision and recall of each class, one-vs-rest", "average_precision", "fig-pr"),
    }[kind]
    smallest = points.groupby("class", sort=False)[column].min()
    said = "; ".join(f"{style.readable(str(name))} {area:.3f}" for name, area in smallest.items())
    alt = f"A chart per class. Smallest area under the curve over the scenarios: {said}."
    return ReportFigure(figure, caption, label, alt)


def training_times(times: pd.DataFrame, scenarios: Sequence[Scenario]) -> ReportFigure:
    """Show the times of each scenario of one protocol, with and without cached features."""
    chosen = [scenario for scenario in scenarios if scenario.name in set(times["scenario"])]
    figure, ax = style.single(0.9 + 0.55 * len(chosen))
    plots.training_times(ax, times, chosen)
    means = times.groupby("scenario")[["training", "uncached"]].mean()
    said = "; ".join(
        f"{scenario.label}: {seconds(means.training[scenario.name])}, "
        f"without cached features about {seconds(means.uncached[scenario.name])}"
        for scenario in chosen
    )
    alt = f"Bar chart of training times. {said}. Features took {seconds(times['features'].max())} once."
    caption = "Training time across scenarios: features computed once, training, and training without cached features"
    return ReportFigure(figure, caption, "fig-times", alt)


def probe_accuracies(probes: pd.DataFrame) -> ReportFigure:
    """Show the accuracy of a linear model as image content is removed: table probes."""
    protocols = list(dict.fromkeys(probes["protocol"]))
    marks = style.neutral_marks(protocols)
    figure, ax = style.single(0.9 + (0.22 + 0.06 * len(protocols)) * probes["input"].nunique())
    rows = probes.assign(row=probes["input"].map(style.readable))
    plots.score_intervals(ax, rows, row="row", series="protocol", value="accuracy", marks=marks)
    for name, majority in probes.groupby("protocol")["majority"].first().items():
        ax.axvline(majority, color=marks[str(name)]["color"], linestyle="--", linewidth=1)
    if len(protocols) > 1:
        figure.legend(handles=style.legend_of(marks), loc="outside lower center", ncols=3)
    first = probes[probes["protocol"] == protocols[0]]
    said = "; ".join(f"{style.readable(row['input'])} {interval(row, 'accuracy')}" for row in first.to_dict("records"))
    alt = f"Accuracies, protocol {protocols[0]}: {said}; majority-class baseline {percent(first['majority'].iloc[0])}."
    caption = (
        "Accuracy of one linear model as image content is removed, with 95 % confidence intervals; "
        "dashed, the majority-class baseline"
    )
    return ReportFigure(figure, caption, "fig-probes", alt)


def attribution_shares(attribution: pd.DataFrame, scenario: Scenario) -> ReportFigure:
    """Show the share of attribution inside the lungs by class and outcome.

    Parameters
    ----------
    attribution : DataFrame
        The table of this name, of one run.
    """
    rows = attribution[attribution["class"] != ""]
    classes, marks = list(dict.fromkeys(rows["class"])), style.neutral_marks(["correct", "wrong"])
    figure, ax = style.single(1.0 + 0.5 * len(classes))
    plots.score_intervals(ax, rows, row="class", series="outcome", value="share", marks=marks)
    references = {"area": "share of the image that the lungs cover", "lungs_only": "lungs-only reference"}
    for outcome, dodge in (("correct", -0.25), ("wrong", 0.25)):
        of_outcome = rows[rows["outcome"] == outcome].set_index("class").reindex(classes)
        plots.reference_marks(ax, of_outcome, references, dodge)
    ax.set_xlabel("share of Grad-CAM attribution inside the lungs (%)")
    handles = [*style.legend_of(marks), *ax.get_lines()[-2:]]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    said = [
        f"{style.readable(row['class'])}, {row['outcome']}: {percent(row['share'])} ({row['images']:,} images; "
        f"the lungs cover {percent(row['area'])}, lungs-only reference {percent(row['lungs_only'])})"
        for row in rows.to_dict("records")
    ]
    caption = (
        f"Share of Grad-CAM attribution inside the lungs by class and outcome, {scenario.label}, "
        "with 95 % confidence intervals"
    )
    return ReportFigure(figure, caption, "fig-attribution", f"Shares of attribution. {'; '.join(said)}.")
