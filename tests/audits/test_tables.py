import pandas as pd

from lab_utils.audits.tables import by_protocol, finding_counts


def test_findings_are_counted_by_check_and_class() -> None:
    findings = pd.DataFrame(
        [("b", "x_y", "kept"), ("b", "z", "kept"), ("b", "z", "kept"), ("a", "", "reported")],
        columns=["check", "class", "action"],
    )
    assert finding_counts(findings)[["check", "class", "findings", "action"]].to_numpy().tolist() == [
        ["a", "", 1, "reported"],
        ["b", "x_y", 1, "kept"],
        ["b", "z", 2, "kept"],
    ]


def test_tables_of_protocols_are_joined_in_order() -> None:
    tables = {"described": pd.DataFrame({"n": [1, 2]}), "corrected": pd.DataFrame({"n": [3]})}
    joined = by_protocol(tables)
    assert list(joined.columns) == ["protocol", "n"]
    assert joined.to_numpy().tolist() == [["described", 1], ["described", 2], ["corrected", 3]]


def test_no_findings_at_all_are_an_empty_table() -> None:
    none = pd.DataFrame(columns=["check", "class", "image_id", "detail", "action"])
    joined = by_protocol({"described": finding_counts(none), "corrected": finding_counts(none)})
    assert list(joined.columns) == ["protocol", "check", "action", "class", "findings"]
    assert len(joined) == 0
