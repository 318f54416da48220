"""Locks that end with the process that holds them, also where a file system has none."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

WITHOUT_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


def acquire_lock(path: Path, *, timeout: float = -1) -> FileLock | None:
    """Lock the file `path` until this process ends; return None if the file system has no locks.

    filelock's own substitute, a file that marks the lock, would outlive a killed run.

    Parameters
    ----------
    timeout : float
        Seconds to wait for another process; negative: as long as it takes.

    Raises
    ------
    filelock.Timeout
        If another process holds the lock for longer.
    """
    lock = FileLock(path, fallback_to_soft=False)
    try:
        lock.acquire(timeout)
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
        return None
    return lock


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold the lock `path`, if the file system has locks."""
    lock = acquire_lock(path)
    try:
        yield
    finally:
        if lock:
            lock.release()
