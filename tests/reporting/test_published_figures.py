import pandas as pd

from lab_utils.reporting import figures
from tests.reporting.conftest import ONE, TWO, intervals_in
from tests.reporting.test_score_tables import PUBLISHED


def test_each_difference_is_drawn_with_its_interval_and_supports_are_not() -> None:
    both = pd.concat([PUBLISHED.assign(protocol="p"), PUBLISHED.assign(protocol="q", low=-0.2, high=0.3)])
    shown = figures.published_differences(both, [ONE, TWO])
    (ax,) = shown.figure.axes  # the scenario "two" has no published values
    assert [label.get_text() for label in ax.get_yticklabels()] == ["accuracy", "a b: precision"]
    assert intervals_in(ax) == {(0.01, 0.07), (-0.02, 0.04), (-0.2, 0.3)}
    assert [text.get_text() for text in shown.figure.legends[0].get_texts()] == ["p", "q"]
    assert "S1: title of one, protocol q: +4.0" in shown.alt
    many = pd.concat([PUBLISHED.assign(protocol=f"protocol {number}") for number in range(8)])
    assert figures.published_differences(many, [ONE]).figure.get_figheight() < 8
