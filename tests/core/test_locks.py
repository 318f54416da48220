import errno
import fcntl
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from lab_utils.core.locks import acquire_lock, locked


def test_a_lock_has_one_holder(tmp_path: Path) -> None:
    held = acquire_lock(tmp_path / "lock")
    with pytest.raises(Timeout):
        acquire_lock(tmp_path / "lock", timeout=0)
    assert held
    held.release()
    for _ in range(2):
        with locked(tmp_path / "lock"), pytest.raises(Timeout):
            acquire_lock(tmp_path / "lock", timeout=0)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(number, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        assert acquire_lock(tmp_path / "lock", timeout=0) is None
        with locked(tmp_path / "lock"):
            pass


def test_another_error_is_not_taken_for_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="exists|directory"):
        (tmp_path / "file").touch()
        acquire_lock(tmp_path / "file" / "lock")
