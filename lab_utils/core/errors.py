"""The one kind of error a user is meant to read: where, expected, found, what to do."""

import difflib
from collections.abc import Iterable


class LabError(Exception):
    """A mistake in the input or the order of stages, in words for the person at the keyboard."""


def choose(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`.

    Parameters
    ----------
    kind : str
        What is being chosen, for the message: "scenario", "parameter of 30_train.ipynb".
    name : str
        The name given.
    choices : iterable of str
        The names that exist.

    Raises
    ------
    LabError
        With all choices, and the nearest one where a spelling is close.
    """
    known = list(choices)
    if name in known:
        return name
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    raise LabError(f"no {kind} {name!r}: choose one of {', '.join(known)}{hint}")
