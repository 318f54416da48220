import numpy as np
import pandas as pd
import pytest
from scipy.stats import ttest_rel
from statsmodels.stats.multitest import multipletests

from lab_utils.evaluation.comparisons import COLUMNS, Correct, accuracy_difference, compare_scenarios, comparisons
from lab_utils.evaluation.influence import Clusters
from tests.evaluation.test_judged import judged, table_of


def alone(images: int) -> Clusters:
    """Images of one class, each a group of its own."""
    return Clusters(pd.Series(range(images)), pd.Series(["a"] * images))


def correct(accuracy: float, runs: int = 5, images: int = 400, seed: int = 0) -> Correct:
    return np.random.default_rng(seed).random((runs, images)) < accuracy


def test_scenarios_of_a_protocol_are_compared_and_the_worse_one_is_not_better() -> None:
    def guesses(name: str, seed: int) -> list[str]:
        right = correct({"one": 0.95, "two": 0.6, "three": 0.95}[name], 1, 400, seed + 10 * len(name))[0]
        return list(np.where(right, "a", "b"))

    runs = [
        judged(table_of(["a"] * 400, guesses(name, seed)), name, seed)
        for name in ("one", "two", "three")
        for seed in range(5)
    ]
    table = comparisons([*runs, judged(table_of(["a"] * 400, ["a"] * 400), "four")])
    assert table.columns.tolist() == ["protocol", *COLUMNS]
    assert table[["first", "second"]].to_numpy().tolist() == [["one", "two"], ["one", "three"], ["two", "three"]]
    assert table["better"].tolist() == ["one", "", "three"]
    assert (table["low"] < table["difference"]).all()
    assert (table["difference"] < table["high"]).all()
    assert 0.3 < table["difference"][0] < 0.4
    assert (table["detectable"] < 0.1).all()
    few = comparisons([run for run in runs if run.run.seed < 4])
    assert (few["p"][0] < 0.05, few["better"][0]) == (True, ""), "four runs are too few for a claim"
    assert comparisons([run for run in runs if run.run.seed == 0]).empty, "one run knows nothing of seeds"


def test_p_values_are_corrected_by_holm_s_method_over_pairs_of_scenarios() -> None:
    of_scenario = {
        name: correct(value, seed=n) for n, (name, value) in enumerate({"x": 0.9, "y": 0.87, "z": 0.83}.items())
    }
    table = compare_scenarios(of_scenario, alone(400))
    pairs = [("x", "y"), ("x", "z"), ("y", "z")]
    plain = [accuracy_difference(of_scenario[a], of_scenario[b], alone(400)).p_value for a, b in pairs]
    assert table["p"].tolist() == pytest.approx(multipletests(plain, method="holm")[1])
    assert table["p"].max() > min(plain)


def test_one_run_of_each_is_a_paired_t_test_on_groups() -> None:
    first, second = correct(0.9, 1, seed=1), correct(0.8, 1, seed=2)
    expected = ttest_rel(first[0].astype(float), second[0].astype(float))
    assert accuracy_difference(first, second, alone(400)).p_value == pytest.approx(expected.pvalue)
    twice = Clusters(pd.Series([*range(400), *range(400)]), pd.Series(["a"] * 800))
    copied = accuracy_difference(np.hstack([first, first]), np.hstack([second, second]), twice)
    assert copied.p_value == pytest.approx(expected.pvalue), "copies are no further evidence"


def test_the_interval_holds_the_spread_of_seeds() -> None:
    images = np.arange(400)
    of_one = np.array([images >= 40 * seed for seed in range(5)])
    of_two = np.array([images >= 80 for _ in range(5)])
    low, high = accuracy_difference(of_one, of_two, alone(400)).interval
    assert low < -0.15
    assert high > 0.15


def test_a_network_against_itself_is_not_better_and_its_interval_has_a_width() -> None:
    same = correct(0.9)
    (row,) = compare_scenarios({"one": same, "two": same.copy()}, alone(400)).to_dict("records")
    assert (row["difference"], row["p"], row["better"]) == (0, 1, "")
    assert row["low"] < 0 < row["high"]


@pytest.mark.parametrize(("groups", "is_judged"), [(9, False), (10, True)])
def test_fewer_than_ten_groups_have_no_interval_and_no_test(groups: int, is_judged: bool) -> None:
    clusters = Clusters(pd.Series(np.arange(400) % groups), pd.Series(["a"] * 400))
    table = compare_scenarios({"one": correct(0.9), "two": correct(0.2, seed=1)}, clusters)
    assert table[["low", "high", "p", "detectable"]].notna().all(axis=None) == is_judged
    assert table["better"][0] == ("one" if is_judged else "")
