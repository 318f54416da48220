"""The one kind of error that a user reads: where, what was expected, what was found, what to do."""

import difflib
from collections.abc import Iterable


class LabError(Exception):
    """A mistake in the input or in the order of stages, in words for the user."""


def choose(kind: str, name: str, choices: Iterable[str]) -> str:
    """Return `name` if it is one of `choices`.

    Parameters
    ----------
    kind : str
        What is chosen, for the message: "scenario", "parameter of 30_train.ipynb".
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
    if name not in known:
        raise LabError(unknown(kind, name, known))
    return name


def unknown(kind: str, name: str, choices: Iterable[str]) -> str:
    """The message that `name` is none of `choices`, with the nearest one where a spelling is close."""
    known = list(choices)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {kind} {name!r}: choose one of {', '.join(known)}{hint}"
