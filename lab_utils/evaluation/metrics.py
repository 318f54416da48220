"""Scores of one run; `lab_utils.core.catalogue` says what each column means."""

import numpy as np
import pandas as pd
from sklearn import metrics

from lab_utils.data.proportions import majority_accuracy
from lab_utils.evaluation.predictions import classes_of, predicted_of, probabilities_of

MEASURES = ["precision", "recall", "f1"]
SUMMARY = ("accuracy", "macro avg", "weighted avg")  # the last rows of a classification report
TAIL = 10  # last epochs over which the oscillation of the validation accuracy is measured


def classification_report(predictions: pd.DataFrame) -> pd.DataFrame:
    """Scores of each class, then accuracy and averages: table reports of one run.

    Classes without images have no scores, and the macro average leaves them out. scikit-learn counts them as zero.

    Parameters
    ----------
    predictions : DataFrame
        See `lab_utils.evaluation.predictions.predictions_table`; so in all functions here.
    """
    classes = classes_of(predictions)
    numbers = [str(number) for number in range(len(classes))]  # a class may have the name of a summary row
    report = metrics.classification_report(
        predictions["y_true"],
        predicted_of(predictions),
        labels=classes,
        target_names=numbers,
        output_dict=True,
        zero_division=0,
    )
    table = pd.DataFrame(report).T.rename(columns={"f1-score": "f1"})
    table.loc["accuracy", ["precision", "recall", "support"]] = [np.nan, np.nan, len(predictions)]
    absent = [number for number in numbers if not table.loc[number, "support"]]
    if absent:
        table.loc[absent, MEASURES] = np.nan
        table.loc["macro avg", MEASURES] = table.loc[numbers, MEASURES].mean()
    table.insert(0, "class", [*classes, *SUMMARY])
    return table.reset_index(drop=True).astype({"support": int})


def scores(predictions: pd.DataFrame) -> pd.DataFrame:
    """One row of scores: table metrics of one run."""
    accuracy, macro_f1, weighted_f1 = classification_report(predictions)["f1"].iloc[-len(SUMMARY) :]
    row = {
        "images": len(predictions),
        "accuracy": accuracy,
        "macro_f1": macro_f1,
        "weighted_f1": weighted_f1,
        "majority": majority_accuracy(predictions["y_true"]),
        "confidence": probabilities_of(predictions).max(axis=1).mean(),
    }
    return pd.DataFrame([row])


def confusion(predictions: pd.DataFrame) -> pd.DataFrame:
    """Numbers of images for every pair of true and predicted class: table confusion of one run."""
    classes = classes_of(predictions)
    counts = metrics.confusion_matrix(predictions["y_true"], predicted_of(predictions), labels=classes)
    pairs = pd.MultiIndex.from_product([classes, classes], names=["y_true", "y_pred"])
    return pairs.to_frame(index=False).assign(images=counts.ravel())


def extremes(predictions: pd.DataFrame) -> pd.DataFrame:
    """The classes with the lowest and the highest score: table extremes of one run."""
    report = classification_report(predictions).iloc[: -len(SUMMARY)].dropna()
    rows = []
    for measure in MEASURES:
        ordered = report.sort_values(measure, kind="stable")[["class", measure]]
        rows.append((measure, *ordered.iloc[0], *ordered.iloc[-1]))
    return pd.DataFrame(rows, columns=["measure", "lowest_class", "lowest", "highest_class", "highest"])


def curve_summary(history: pd.DataFrame) -> pd.DataFrame:
    """One row on best epoch, oscillation and overfitting: table curves of one run.

    Parameters
    ----------
    history : DataFrame
        The table history of the run.
    """
    validation, last = history["val_accuracy"], history.iloc[-1]
    best, tail = history.iloc[validation.argmax()], validation.tail(TAIL)
    row = {
        "epochs": len(history),
        "first_accuracy": validation.iloc[0],
        "best_epoch": int(best["epoch"]),
        "best_accuracy": validation.max(),
        "final_accuracy": last["val_accuracy"],
        "final_loss": last["val_loss"],
        "final_train_accuracy": last["accuracy"],
        "final_train_loss": last["loss"],
        "tail": len(tail),
        "accuracy_range": tail.max() - tail.min(),
        "gap": last["accuracy"] - last["val_accuracy"],
    }
    return pd.DataFrame([row])
