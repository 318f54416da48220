"""Cells as values: blanks, numbers, lists, and several labels."""

import pandas as pd
import pytest

from lab_utils.data.label_cells import has_several, label_of, plain


def test_blanks_and_whole_numbers_have_one_spelling() -> None:
    cells = pd.Series(["no\u00a0finding", " no  finding", "1.0", "-1.00", "1.5", "NaN"])
    assert plain(cells).tolist() == ["no finding", "no finding", "1", "-1", "1.5", ""]


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("['normal']", "normal"),
        ('["a","b"]', "a|b"),
        ("['a' 'b']", "a|b"),
        ("['a', 'a']", "a"),
        ("['Pneumonia, viral']", "Pneumonia, viral"),
        ("[]", ""),
        ("[a, b]", "a|b"),
        ("a [b]", "a [b]"),
    ],
)
def test_a_list_of_one_is_its_element(cell: str, label: str) -> None:
    assert label_of(cell) == label


@pytest.mark.parametrize(
    ("labels", "several"),
    [
        (["a|b", "c"], 1),
        (["a; b", "c"], 1),
        (["a, b", "b"], 1),
        (["a/b", "A"], 1),
        (["a + b", "a"], 1),
        (["a, b", "b, a"], 2),
        (["a b", "a", "b"], 1),
        (["a b", "a", "c"], 0),
        (["a, b", "c"], 0),
        (["a+", "a"], 0),
        (["No finding", "COVID-19"], 0),
    ],
)
def test_several_labels_in_a_cell(labels: list[str], several: int) -> None:
    assert has_several(pd.Series(labels)).sum() == several
