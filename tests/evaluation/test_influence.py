from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from lab_utils.evaluation import influence
from lab_utils.evaluation.influence import Clusters

RANDOM = np.random.default_rng(0)
POSITIVE = np.arange(60) < 20
TIED = (RANDOM.normal(0, 1, 60) + POSITIVE).round(1)
GUESSED = RANDOM.random(60) < 0.4


def weighted_f1(weights: np.ndarray) -> float:
    return float(metrics.f1_score(POSITIVE, GUESSED, sample_weight=weights))


def weighted_mean(weights: np.ndarray) -> float:
    return float(np.average(TIED[POSITIVE], weights=weights[POSITIVE]))


SCORES: dict[str, tuple[influence.Influence, Callable[[np.ndarray], float]]] = {
    "mean": (influence.mean_of(TIED, POSITIVE), weighted_mean),
    "f1": (influence.f1_of(POSITIVE, GUESSED), weighted_f1),
    "auc": (
        influence.area_under_roc(TIED, POSITIVE, ~POSITIVE),
        lambda weights: float(metrics.roc_auc_score(POSITIVE, TIED, sample_weight=weights)),
    ),
    "average precision": (
        influence.average_precision(TIED, POSITIVE),
        lambda weights: float(metrics.average_precision_score(POSITIVE, TIED, sample_weight=weights)),
    ),
}


@pytest.mark.parametrize("name", SCORES)
def test_an_influence_is_the_derivative_of_scikit_learn_s_score_by_the_weight_of_an_image(name: str) -> None:
    (value, found), score = SCORES[name]
    assert value == pytest.approx(score(np.ones(60)))
    step = 1e-6
    derivatives = [(score(np.ones(60) + step * (np.arange(60) == place)) - value) / step for place in range(60)]
    assert found == pytest.approx(derivatives, abs=1e-6)


def test_the_sensitivity_is_the_largest_at_five_percent_of_false_alarms() -> None:
    scores = np.concatenate([np.linspace(0, 1, 40), [0.99, 0.96, 0.5]])
    positive = np.arange(43) >= 40
    assert influence.sensitivity_at_specificity(scores, positive, 0.95)[0] == pytest.approx(2 / 3), "two may be above"
    false_alarms, sensitivities, _ = metrics.roc_curve(POSITIVE, TIED)
    expected = sensitivities[false_alarms <= 0.05].max()
    assert influence.sensitivity_at_specificity(TIED, POSITIVE, 0.95)[0] == pytest.approx(expected)


def test_variances_count_groups_within_their_class() -> None:
    values, classes = TIED, pd.Series(np.where(POSITIVE, "a", "b"))
    change = influence.mean_of(values)[1]
    alone = Clusters(pd.Series(range(60)), classes).variance(change)
    expected = sum(size * np.var(values[classes == name], ddof=1) for name, size in (("a", 20), ("b", 40))) / 60**2
    assert alone == pytest.approx(expected)
    twice = np.tile(values, 2)
    copies = Clusters(pd.Series(np.tile(np.arange(60), 2)), pd.concat([classes, classes]))
    assert copies.variance(influence.mean_of(twice)[1]) == pytest.approx(alone), "copies are no evidence"
    first, second = influence.mean_of(values)[1], influence.mean_of(-values)[1]
    covariance = Clusters(pd.Series(range(60)), classes).covariance(np.stack([first, second]))
    assert covariance == pytest.approx(alone * np.array([[1, -1], [-1, 1]]))


def test_the_variance_of_an_area_is_that_of_delong() -> None:
    change = influence.area_under_roc(TIED, POSITIVE, ~POSITIVE)[1]
    found = Clusters(pd.Series(range(60)), pd.Series(POSITIVE)).variance(change)
    wins = (TIED[POSITIVE][:, None] > TIED[~POSITIVE]) + (TIED[POSITIVE][:, None] == TIED[~POSITIVE]) / 2
    assert found == pytest.approx(np.var(wins.mean(axis=1), ddof=1) / 20 + np.var(wins.mean(axis=0), ddof=1) / 40)
