"""The parameters of a notebook: which exist, of which types, and in which ranges."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from IPython.core.getipython import get_ipython

from lab_utils.core.errors import LabError, choose
from lab_utils.core.paths import refuse_another_clone
from lab_utils.pipeline.environment import BATCH

EMPTY: dict[str, Any] = {
    "str": "",
    "int": 0,
    "float": 0.0,
    "bool": False,
    "dict[str, str]": {},
}  # means: as the experiment file says
MEANINGS = {
    "str": "text",
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "dict[str, str]": "names and texts",
}
RANGES = {"seed": (0, 2**32 - 1), "phantoms": (40, 1_000_000)}  # what the experiment file does not check again


def parameter_types(notebook: Path) -> dict[str, str]:
    """Return a notebook's parameters, each with the name of its type.

    Raises
    ------
    LabError
        If the file is no notebook, or has no cell tagged 'parameters'.
    """
    import nbformat

    try:
        cells = nbformat.read(notebook, as_version=4).cells
    except (OSError, ValueError) as error:
        raise LabError(f"{notebook}: expected a notebook ({error})") from error
    tagged = [cell for cell in cells if "parameters" in cell.metadata.get("tags", [])]
    if len(tagged) != 1:
        raise LabError(f"{notebook}: expected one cell tagged 'parameters', found {len(tagged)}")
    return _types_in(tagged[0].source)


def check_values(values: Mapping[str, Any], types: Mapping[str, str], notebook: str) -> None:
    """Raise LabError if a value has no parameter, is not of its type, or is out of its range."""
    for name, value in values.items():
        kind = types[choose(f"parameter of {notebook}", name, types)]
        if kind in EMPTY and not _is_of_type(value, kind):
            hint = f"; with papermill, `-r {name} {value}` gives text" if kind == "str" else ""
            raise LabError(f"parameter {name} of {notebook}: expected {MEANINGS[kind]}, found {value!r}{hint}")
        least, most = RANGES.get(name, (0, 0))
        if name in RANGES and value and not least <= value <= most:
            raise LabError(f"parameter {name} of {notebook}: expected {least:,} to {most:,}, found {value}")


def check_by_hand() -> None:
    """Refuse wrong parameters and another clone's package in a notebook that runs by hand.

    The first cell that ran has the parameters. Papermill writes the values it was given into a cell behind it, and only
    logs unknown names.
    """
    shell = get_ipython()
    if shell is None or BATCH in os.environ:
        return
    refuse_another_clone()
    first, second = [*shell.user_ns["In"][1:3], "", ""][:2]
    types = _types_in(first)
    if second.startswith("# Parameters"):
        check_values({name: shell.user_ns[name] for name in _types_in(second)}, types, "this notebook")
    check_values({name: shell.user_ns[name] for name in types if name in shell.user_ns}, types, "this notebook")


def _types_in(source: str) -> dict[str, str]:
    from nbformat.v4 import new_code_cell
    from papermill.translators import PythonTranslator

    return {item.name: item.inferred_type_name for item in PythonTranslator.inspect(new_code_cell(source))}


def _is_of_type(value: Any, kind: str) -> bool:
    if isinstance(value, bool) or kind == "bool":
        return isinstance(value, bool) and kind == "bool"
    if kind == "dict[str, str]":
        return isinstance(value, dict) and all(isinstance(text, str) for item in value.items() for text in item)
    return isinstance(value, {"str": str, "int": int, "float": int | float}[kind])
