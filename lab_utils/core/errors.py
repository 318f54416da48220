"""The error that a user reads: where, what was expected, what was found, what to do."""

import difflib
from collections.abc import Collection


class LabError(Exception):
    """A mistake in the input or in the order of stages, in words for the user."""


def choose(kind: str, name: str, choices: Collection[str]) -> str:
    """Return `name` if it is one of `choices`, else raise LabError with what `unknown` says."""
    if name not in choices:
        raise LabError(unknown(kind, name, choices))
    return name


def unknown(kind: str, name: str, choices: Collection[str]) -> str:
    """Say that no `kind` ("scenario") has this name, with all choices and the nearest."""
    close = difflib.get_close_matches(name, choices, n=1)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no {kind} {name!r}: choose one of {', '.join(choices)}{hint}"
