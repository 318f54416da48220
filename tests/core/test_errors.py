import pytest

from lab_utils.core.errors import LabError, choose


def test_known_name_is_returned() -> None:
    assert choose("scenario", "fc_only", ["fc_only", "last_conv"]) == "fc_only"


def test_unknown_name_lists_the_choices_and_the_nearest() -> None:
    with pytest.raises(
        LabError, match=r"no scenario 'fc_onyl': choose one of fc_only, last_conv; did you mean 'fc_only'"
    ):
        choose("scenario", "fc_onyl", ["fc_only", "last_conv"])


def test_nothing_is_guessed_where_nothing_is_near() -> None:
    with pytest.raises(LabError, match=r"choose one of a, b$"):
        choose("thing", "zzzz", ["a", "b"])
