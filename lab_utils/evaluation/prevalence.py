"""Predictive values of a class where it is rarer than in the data."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

from lab_utils.data.names import is_healthy
from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation.predictions import classes_of, predicted_of

PREVALENCES = (0.01, 0.05, 0.20)
DISEASE = "COVID"  # the class that is judged, where there is one; else the first that is not healthy
COLUMNS = ["class", "prevalence", "sensitivity", "specificity", "ppv", "ppv_low", "ppv_high", "npv", "npv_low"]
COLUMNS += ["npv_high"]

ShareInterval = tuple[float, float, float]  # value, low, high


def predictive_values(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictive values of a class at some prevalences: table prevalence of one run.

    A predictive value follows from the prevalence and a ratio of shares: sensitivity over the share of false alarms, or
    the share of misses over specificity. Its interval comes from that of the ratio. The table has no rows if the class,
    or the rest, has no images.
    """
    classes, true = classes_of(predictions), predictions["y_true"].to_numpy()
    name = judged_class(classes)
    is_class, alarm = true == name, predicted_of(predictions) == name
    if is_class.all() or not is_class.any():
        return pd.DataFrame(columns=COLUMNS)
    groups = predictions["group"].to_numpy()
    hit, false_alarm = _share(alarm[is_class], groups[is_class]), _share(alarm[~is_class], groups[~is_class])
    miss, rejection = _complement(hit), _complement(false_alarm)
    positive, negative = ratio_bounds(hit, false_alarm), ratio_bounds(rejection, miss)
    rows = []
    for prevalence in PREVALENCES:
        odds = prevalence / (1 - prevalence)
        values = [_probability(odds * ratio) for ratio in (_ratio(hit, false_alarm), *positive)]
        values += [_probability(ratio / odds) for ratio in (_ratio(rejection, miss), *negative)]
        rows.append((name, prevalence, hit[0], rejection[0], *values))
    return pd.DataFrame(rows, columns=COLUMNS)


def judged_class(classes: Sequence[str]) -> str:
    """Choose the class whose predictive values are given; the first if all names mean healthy."""
    diseases = [name for name in classes if not is_healthy(name)]
    return DISEASE if DISEASE in classes else (diseases or classes)[0]


def ratio_bounds(first: ShareInterval, second: ShareInterval) -> tuple[float, float]:
    """Bound the ratio of two independent shares, from their intervals.

    Donner and Zou, Stat. Methods Med. Res. 21 (2012): MOVER-R. It also holds where the second share is 0.
    """
    (a, a_low, a_high), (b, b_low, b_high) = first, second
    low = (a * b - np.sqrt((a * b) ** 2 - a_low * b_high * (2 * a - a_low) * (2 * b - b_high))) / (
        b_high * (2 * b - b_high)
    )
    if b_low <= 0:
        return float(low), np.inf
    high = (a * b + np.sqrt((a * b) ** 2 - a_high * b_low * (2 * a - a_high) * (2 * b - b_low))) / (
        b_low * (2 * b - b_low)
    )
    return float(low), float(high)


def _share(hits: np.ndarray, groups: np.ndarray) -> ShareInterval:
    return float(hits.mean()), *wilson_interval(hits, groups)


def _complement(share: ShareInterval) -> ShareInterval:
    value, low, high = share
    return 1 - value, 1 - high, 1 - low


def _ratio(first: ShareInterval, second: ShareInterval) -> float:
    """Return the ratio of two values: infinite over 0, and missing for 0 over 0."""
    if second[0] > 0:
        return first[0] / second[0]
    return np.inf if first[0] > 0 else np.nan


def _probability(odds: float) -> float:
    return 1.0 if np.isinf(odds) else odds / (1 + odds)
