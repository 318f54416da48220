import numpy as np
import pandas as pd
import pytest
from scipy.special import softmax

from lab_utils.data.proportions import wilson_interval
from lab_utils.evaluation import calibration


def calibrated(count: int, temperature: float = 1.0, seed: int = 0) -> pd.DataFrame:
    """Predictions of a calibrated network of three classes, at another temperature."""
    random = np.random.default_rng(seed)
    scores = random.normal(0, 3, (count, 3))
    shares = softmax(scores, axis=1)
    truth = (random.random((count, 1)) > shares.cumsum(axis=1)).sum(axis=1)
    table = pd.DataFrame(
        {"image_id": map(str, range(count)), "group": range(count), "y_true": np.array([*"abc"])[truth]}
    )
    return table.join(pd.DataFrame(softmax(scores / temperature, axis=1), columns=["p_a", "p_b", "p_c"]))


def parts(table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    probabilities = table[["p_a", "p_b", "p_c"]].to_numpy()
    return probabilities.max(axis=1), np.array([*"abc"])[probabilities.argmax(axis=1)] == table["y_true"].to_numpy()


def test_bins_have_equal_numbers_of_images_and_equal_confidences_share_one() -> None:
    numbers = calibration.bin_numbers(np.random.default_rng(0).random(150))
    assert np.bincount(numbers).tolist() == [10] * 15
    tied = calibration.bin_numbers(np.array([0.5] * 20 + [1.0] * 130))
    assert len(set(tied[:20])) == len(set(tied[20:])) == 1
    assert tied[0] < tied[-1]


def test_a_reliability_diagram_by_hand() -> None:
    table = calibrated(300)
    confidence, correct = parts(table)
    bins = calibration.reliability(table)
    assert bins["images"].tolist() == [20] * 15
    first = np.argsort(confidence)[:20]
    expected = [confidence[first].min(), confidence[first].max(), 20, confidence[first].mean(), correct[first].mean()]
    assert bins.iloc[0].tolist() == pytest.approx([*expected, *wilson_interval(correct[first], range(20))])
    gaps = (bins["accuracy"] - bins["confidence"]).abs()
    assert calibration.calibration_error(confidence, correct)[0] == pytest.approx(gaps.mean())


def test_a_calibrated_network_shows_an_error_and_its_interval_contains_zero() -> None:
    table = calibrated(600)
    row = calibration.calibration_scores(table).iloc[0]
    assert row["ece_null"] > 0.01
    assert row["ece"] < row["ece_null_high"] < 0.08
    assert calibration.error_bounds(*parts(table), 600)[0] == 0
    wrong = calibrated(600, temperature=0.3, seed=1)
    sure = calibration.calibration_scores(wrong).iloc[0]
    assert sure["ece"] > sure["ece_null_high"]
    assert sure["temperature"] == pytest.approx(1 / 0.3, rel=0.2)
    assert sure["scaled_ece"] < sure["ece"] / 2
    assert sure["scaled_brier"] < sure["brier"] < sure["brier_reference"] == pytest.approx(2 / 3, abs=0.01)
    low, high = calibration.error_bounds(*parts(wrong), 600)
    truth = calibration.calibration_error(*parts(calibrated(100_000, temperature=0.3)))[0]
    assert 0.02 < low < truth < high


def test_the_null_is_the_error_of_networks_that_are_right_as_often_as_they_are_confident() -> None:
    confidence = parts(calibrated(300))[0]
    random = np.random.default_rng(1)
    drawn = [calibration.calibration_error(confidence, random.random(300) < confidence)[0] for _ in range(300)]
    assert calibration.calibrated_errors(confidence, range(300)).mean() == pytest.approx(np.mean(drawn), rel=0.05)


def test_the_null_of_copies_is_that_of_the_images_without_copies() -> None:
    confidence, copied = parts(calibrated(300))[0], np.repeat(np.arange(300), 6)
    once = calibration.calibrated_errors(confidence, range(300))
    copies = calibration.calibrated_errors(confidence[copied], copied)
    assert np.quantile(copies, 0.95) == pytest.approx(np.quantile(once, 0.95), rel=0.05)
    many = [calibrated(100, seed=seed).loc[lambda table: table.index.repeat(6)] for seed in range(10)]
    rows = pd.concat([calibration.calibration_scores(table.reset_index(drop=True)) for table in many])
    assert (rows["ece"] > rows["ece_null_high"]).mean() <= 0.3, "a calibrated network lies above it in 5 % of cases"


def test_brier_score_by_hand() -> None:
    table = pd.DataFrame({"image_id": ["0"], "group": [0], "y_true": ["a"], "p_a": [1.0], "p_b": [0.0], "p_c": [0.0]})
    assert calibration.brier_score(table) == 0
    assert calibration.brier_score(table.assign(y_true="b")) == 2
    assert calibration.brier_score(table.assign(p_a=1 / 3, p_b=1 / 3, p_c=1 / 3)) == pytest.approx(2 / 3)
