import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from lab_utils.evaluation.calibration import calibration_scores
from lab_utils.evaluation.predictions import predicted_of
from lab_utils.evaluation.temperature import fit_temperature, with_cross_fitted_temperature, with_temperature


def overconfident(temperature: float, count: int = 4000) -> pd.DataFrame:
    """Predictions whose calibrated scores were multiplied by `temperature`."""
    random = np.random.default_rng(0)
    scores = random.normal(0, 2, (count, 3))
    truth = [random.choice(3, p=row) for row in softmax(scores, axis=1)]
    table = pd.DataFrame(
        {"image_id": map(str, range(count)), "group": range(count), "y_true": np.array(list("abc"))[truth]}
    )
    return table.join(pd.DataFrame(softmax(scores * temperature, axis=1), columns=["p_a", "p_b", "p_c"]))


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_of_a_network_is_found_again(temperature: float) -> None:
    table = overconfident(temperature)
    fitted = fit_temperature(table)
    assert fitted == pytest.approx(temperature, rel=0.06)
    after = with_temperature(table, fitted)
    assert np.array_equal(predicted_of(after), predicted_of(table)), "the predicted class stays"
    assert calibration_scores(after)["ece"][0] < 0.03
    assert after[["p_a", "p_b", "p_c"]].sum(axis=1).to_numpy() == pytest.approx(1)


def test_one_changes_nothing_and_a_probability_of_zero_is_no_error() -> None:
    table = overconfident(1.0, 100)
    pd.testing.assert_frame_equal(with_temperature(table, 1.0), table)
    hard = table.assign(p_a=1.0, p_b=0.0, p_c=0.0)
    assert np.isfinite(fit_temperature(hard))
    assert fit_temperature(hard[hard["y_true"] == "a"]) == 1, "no prediction is wrong"


def test_images_are_scaled_by_the_temperature_of_other_groups() -> None:
    table = overconfident(3.0, 400)
    table["group"] = table["group"] // 4
    scaled = with_cross_fitted_temperature(table)
    assert scaled.index.equals(table.index)
    assert scaled["image_id"].equals(table["image_id"])
    odds, odds_before = (np.log(one["p_a"].to_numpy() / one["p_b"].to_numpy()) for one in (scaled, table))
    used = pd.Series(odds / odds_before)
    per_group = used.groupby(table["group"])
    assert per_group.std().max() < 1e-6, "a group has one temperature"
    assert used.round(9).nunique() == 5
    first = table["group"].isin(table["group"][np.isclose(used, used[0])])
    assert used[0] == pytest.approx(1 / fit_temperature(table[~first]))
    one_group = table.assign(group=0)
    assert with_cross_fitted_temperature(one_group).equals(one_group)
