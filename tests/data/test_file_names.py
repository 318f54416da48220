"""Files named by cells: ends of paths, numbers, several files, and folders that contradict."""

import pytest

from lab_utils.data.file_names import FileNames

FILES = ["set/p1/s1/a.png", "set/p2/s1/a.png", "set/p2/s2/b.jpg", "set/0007.png", "set/Ä c.png"]


@pytest.mark.parametrize(
    ("cell", "paths"),
    [
        ("p1/s1/a.png", FILES[:1]),
        ("/mnt/disk/p1/s1/a.jpg", FILES[:1]),
        ("D:\\study\\P2\\S1\\A.PNG", FILES[1:2]),
        ("https://host.org/p1/s1/a.png?download=1", FILES[:1]),
        ("a.png", FILES[:2]),
        ("b", FILES[2:3]),
        ("p3/s2/b.jpg", []),  # of another patient
        ("p3/s1/a.png", []),
        ("7.0", FILES[3:4]),
        ("A\u0308 c", FILES[4:]),
        ("", []),
        ("8", []),
    ],
)
def test_a_cell_names_files_whose_folders_do_not_contradict(cell: str, paths: list[str]) -> None:
    names = FileNames(FILES, "set")
    assert names.matches(cell) == paths
    assert names.find(cell) == (paths[0] if len(paths) == 1 else "")


def test_case_and_ending_decide_between_files_of_one_name() -> None:
    names = FileNames(["a.jpg", "a.png", "B.png", "b.png"], "")
    assert [names.find(cell) for cell in ("a.png", "A.PNG", "b.png", "B.png")] == ["a.png", "a.png", "b.png", "B.png"]
    assert names.find("a") == ""


def test_folders_of_another_machine_count_only_if_no_name_is_ambiguous() -> None:
    cells = ["D:/old/a.png", "D:/old/b.png"]
    names = FileNames(["new/a.png", "new/b.png"], "")
    assert names.find(cells[0]) == ""
    names.allow_other_folders(cells)
    assert names.find(cells[0]) == "new/a.png"
    for paths in (["new/a.png", "new/x/a.png"], ["old/a.png", "new/b.png"]):
        other = FileNames(paths, "")
        other.allow_other_folders(cells)
        assert other.find(cells[1]) == ""
