import pytest

from lab_utils.core.errors import LabError
from lab_utils.core.progress import FAILED, Stopwatch, report_outcome


def test_the_end_is_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert report_outcome(lambda: None) == 0
    assert capsys.readouterr().out == "finished in 0 s\n"


@pytest.mark.parametrize(
    ("error", "why"), [(LabError("no such file: x"), "no such file: x"), (KeyboardInterrupt(), "interrupted")]
)
def test_what_stopped_it_is_told_last(error: BaseException, why: str, capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise error

    assert report_outcome(work) == 1
    assert capsys.readouterr().out == f"{FAILED}0 s\n{why}\n\n"


def test_a_mistake_in_the_program_is_not_hidden() -> None:
    with pytest.raises(ZeroDivisionError):
        report_outcome(lambda: 1 / 0)


def test_a_stopwatch_gives_each_part_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([10.0, 11.5, 15.0])
    monkeypatch.setattr("lab_utils.core.progress.time.perf_counter", lambda: next(times))
    watch = Stopwatch()
    watch.lap("a")
    watch.lap("b")
    assert watch.laps == {"a": 1.5, "b": 3.5}
