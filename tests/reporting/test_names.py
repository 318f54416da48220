import pytest

from lab_utils.reporting.names import END, ISOLATE, isolated, readable, short


@pytest.mark.parametrize(
    ("name", "width", "lines", "expected"),
    [
        ("Lung_Opacity", 20, 2, "Lung Opacity"),
        ("Bacterial pneumonia of the left lower lobe", 20, 3, "Bacterial pneumonia\nof the left lower lobe"),
        ("x" * 60, 10, 2, "xxxxxxxxx\n…xxxxxxxx"),
        ("肺" * 40, 20, 1, "肺肺肺肺肺…肺肺肺肺"),
        ("e\u0301" * 40, 10, 1, "e\u0301" * 5 + "…" + "e\u0301" * 4),
        ("", 10, 2, ""),
        ("i" * 40, 30, 1, "i" * 40),  # narrow letters are narrow
    ],
)
def test_names_are_broken_and_cut_by_their_printed_width(name: str, width: int, lines: int, expected: str) -> None:
    assert short(name, width, lines) == expected


def test_names_that_differ_at_their_end_stay_apart() -> None:
    names = [f"Bacterial pneumonia of the lower lobe of the {side} lung" for side in ("left", "right")]
    cut = [short(name, 12) for name in names]
    assert cut[0] != cut[1]
    assert all("…" in name and len(name.split("\n")) == 2 for name in cut)


def test_what_is_one_character_to_a_reader_is_not_divided() -> None:
    worker = "\N{WOMAN}\N{ZERO WIDTH JOINER}\N{STAFF OF AESCULAPIUS}\N{VARIATION SELECTOR-16}"
    assert set(short(worker * 40, 10).replace("\n", "").split("…")) <= {worker * count for count in range(10)}


def test_no_name_turns_the_text_around_it() -> None:
    assert readable("a\u202eb\u2066c\n d\ud800") == "a b c  d "
    assert isolated("صورة") == f"{ISOLATE}صورة{END}"
    assert isolated(f"صورة{END}\u202e") == f"{ISOLATE}صورة {END}"
    assert isolated("COVID") == "COVID"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"a 1; {ISOLATE}صورة{END} 2", f"a 1; {ISOLATE}صورة{END} 2"),  # a list of names stays as it is
        (f"صورة {ISOLATE}صورة{END}", f"{ISOLATE}صورة {ISOLATE}صورة{END}{END}"),
        (f"{ISOLATE}a{END}{END}b", " a b"),
        (f"{ISOLATE}a\u202e{END}", " a "),
        (f"{ISOLATE}{ISOLATE}a{END}", " a "),
    ],
)
def test_only_whole_pairs_of_isolates_are_kept(text: str, expected: str) -> None:
    assert isolated(text) == expected
