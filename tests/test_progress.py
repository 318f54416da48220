import pytest

from lab_utils.errors import LabError
from lab_utils.progress import FAILED, say_how_it_ends


def test_the_end_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert say_how_it_ends(lambda: None) == 0
    assert capsys.readouterr().out == "finished in 0 s\n"


@pytest.mark.parametrize(
    ("error", "why"), [(LabError("no such file: x"), "no such file: x"), (KeyboardInterrupt(), "interrupted")]
)
def test_what_stopped_it_is_told_last(error: BaseException, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise error

    assert say_how_it_ends(work) == 1
    assert capsys.readouterr().out == f"{FAILED}0 s\n{why}\n\n"


def test_a_mistake_in_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        say_how_it_ends(lambda: 1 / 0)
