import pandas as pd

from lab_utils.audits.tables import join_protocols


def test_tables_of_protocols_are_joined_in_order() -> None:
    tables = {"described": pd.DataFrame({"n": [1, 2]}), "corrected": pd.DataFrame({"n": [3]})}
    joined = join_protocols(tables)
    assert list(joined.columns) == ["protocol", "n"]
    assert joined.to_numpy().tolist() == [["described", 1], ["described", 2], ["corrected", 3]]


def test_no_findings_at_all_are_an_empty_table() -> None:
    none = pd.DataFrame(columns=["check", "class", "image_id", "detail", "action"])
    joined = join_protocols({"described": none, "corrected": none})
    assert list(joined.columns) == ["protocol", *none.columns]
    assert len(joined) == 0
