import pytest

from lab_utils.evaluation import calibration
from tests.evaluation.test_uncertainty import predictions


def test_reliability_and_its_error_by_hand() -> None:
    table = predictions(["a", "a", "a", "b"], ["a", "a", "b", "b"], sure=0.7)
    (bin_,) = calibration.reliability(table).to_dict("records")
    assert bin_ == pytest.approx(
        {"bin_low": 10 / 15, "bin_high": 11 / 15, "images": 4, "confidence": 0.7, "accuracy": 0.75}
    )
    assert calibration.calibration_error(calibration.reliability(table)) == pytest.approx(0.05)
    perfect = predictions(["a", "b"], ["a", "b"])
    assert calibration.calibration_error(calibration.reliability(perfect)) == 0


def test_brier_score_by_hand() -> None:
    assert calibration.brier_score(predictions(["a", "b"], ["a", "b"])) == 0
    assert calibration.brier_score(predictions(["a", "b"], ["b", "a"])) == 2
    assert calibration.brier_score(predictions(["a"], ["a"], sure=1 / 3)) == pytest.approx(2 / 3)
