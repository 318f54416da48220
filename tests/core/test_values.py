from typing import Any

import pytest
from pydantic import TypeAdapter, ValidationError

from lab_utils.core.values import Depth, Entry, Name, Names


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (Name, "nih.v2-1_b", "../nih"),
        (Name, "0", "two words"),
        (Names, ("a", "b"), ("a", "a")),
        (Depth, "all", "some"),
        (Depth, 0, -1),
        (Depth, 3, True),
    ],
)
def test_values_are_checked(kind: Any, right: Any, wrong: Any) -> None:
    assert TypeAdapter(kind).validate_python(right) == right
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(wrong)


def test_the_place_of_an_entry_is_no_setting() -> None:
    assert Entry(name="a", title="A", number=3).model_dump() == {"name": "a", "title": "A"}
