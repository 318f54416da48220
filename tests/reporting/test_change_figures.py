import pandas as pd

from lab_utils.reporting import figures, tables
from tests.reporting.conftest import ONE, TWO, axis_of, intervals_in
from tests.reporting.test_report_texts import said

CHANGES = pd.DataFrame(
    {
        "from": ["published", "published", "images_60"],
        "to": ["images_60", "images_60", "images_30"],
        "what": ["no masks", "no masks", "a title of thirty per cent"],
        "scenario": ["one", "two", "one"],
        "seeds": 5,
        "images": [600, 600, 300],
        "accuracy_from": [0.90, 0.91, 0.93],
        "accuracy_to": [0.93, 0.92, 0.915],
        "difference": [0.03, 0.01, -0.015],
        "low": [0.01, -0.01, -0.04],
        "high": [0.05, 0.03, 0.01],
    }
)


def test_each_step_of_the_chain_is_a_row_with_its_interval() -> None:
    shown = figures.protocol_changes(CHANGES, [ONE, TWO])
    ax = axis_of(shown)
    names = [label.get_text() for label in ax.get_yticklabels()]
    expected = ["published → images 60: no masks", "images 60 → images 30: a title of thirty per cent"]
    assert [name.replace("\n", " ") for name in names] == expected
    assert intervals_in(ax) == {(0.01, 0.05), (-0.01, 0.03), (-0.04, 0.01)}
    assert "images_60 → images_30: a title of thirty per cent, S1: title of one: −1.5 [−4.0, +1.0]" in shown.alt


def test_each_step_has_the_accuracies_of_both_protocols() -> None:
    shown = tables.protocol_changes(CHANGES, [ONE, TWO])
    last = [str(cell).replace("\N{NO-BREAK SPACE}", " ") for cell in shown.frame.iloc[2]]
    assert last == [
        "images_60 → images_30",
        "a title of thirty per cent",
        "S1",
        "300",
        "93.0 %",
        "91.5 %",
        "−1.5 [−4.0, +1.0]",
    ]
    assert "mean over 5 seeds" in shown.caption


def test_the_report_says_which_changes_an_interval_separates_from_none() -> None:
    names = {"figures": figures, "tables": tables, "scenarios": [ONE, TWO], "protocols": ("published", "images_60")}
    clear = {"bounded_changes": CHANGES, "clear_changes": CHANGES[:1]}
    text = said("**One change at a time.**", changes=CHANGES, **clear, **names)
    assert "1 of 3 intervals excludes 0." in text and "and of the seeds of both protocols" in text
    assert "`published` → `images_60` (no masks), S1: title of one: +3.0 [+1.0, +5.0] percentage points" in text
    names["changes"] = CHANGES[:0]
    assert "a difference between them has no single cause" in said("**One change at a time.**", **names)
    assert not said("**One change at a time.**", **{**names, "protocols": ("published",)})
