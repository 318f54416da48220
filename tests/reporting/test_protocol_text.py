from types import SimpleNamespace
from typing import Any

import pytest

from lab_utils.core.config import load_experiment
from lab_utils.reporting.protocol_text import protocol_in_words, split_in_words

NOTHING_GIVEN: Any = SimpleNamespace(given={})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "described",
            "images alone; bilinear interpolation; pixel values divided by 255; divided at random within each class, "
            "30% for validation",
        ),
        (
            "published",
            "images and lung masks; nearest-neighbour interpolation; pixel values divided by 255; divided by file order "
            "(Keras validation_split), the first part of each class for validation, 30% for validation",
        ),
    ],
)
def test_a_protocol_says_what_it_does(name: str, words: str) -> None:
    assert protocol_in_words(load_experiment().protocol(name), NOTHING_GIVEN, has_patients=False) == words.replace(
        "%", "\N{NO-BREAK SPACE}%"
    )


def test_images_of_one_patient_are_named_only_where_patients_are_known() -> None:
    corrected = load_experiment().protocol("corrected")
    for known, named in ((False, ""), (True, " and images of one patient")):
        rule = split_in_words(corrected, NOTHING_GIVEN, has_patients=known)
        assert rule == f"at random within each class, with near-duplicates{named} on one side"


def test_a_given_split_is_called_that() -> None:
    given = load_experiment().protocol("given")
    whole: Any = SimpleNamespace(given={"train": 7, "validation": 3})
    assert split_in_words(given, whole, has_patients=False) == "as the data give them"
    assert "images for validation drawn from the training" in split_in_words(given, NOTHING_GIVEN, has_patients=False)
    assert "% for validation" not in protocol_in_words(given, whole, has_patients=False)
