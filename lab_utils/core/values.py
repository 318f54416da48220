"""Types of an experiment file's values: names, numbers, and strict settings."""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        raise ValueError("a name is up to 60 letters, digits, '_', '-' and '.', because it names a folder")
    return name


def distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the values if no two are equal; raise ValueError with all of them otherwise."""
    if len(set(values)) < len(values):
        raise ValueError(f"lists something twice: {', '.join(map(str, values))}")
    return values


def _depth(value: Any) -> Any:
    if value != "all" and (type(value) is not int or value < 0):
        raise ValueError("expected a number of convolutional layers (0 or more), or all")
    return value


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(distinct)]
Positive = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Width = Annotated[int, Field(gt=0, le=65_536, strict=True)]
Depth = Annotated[int | Literal["all"], BeforeValidator(_depth)]  # of fine-tuning
Storage = Literal["float32", "float16"]
Precision = Literal["auto", "float32", "bfloat16"]
Fault = Literal["duplicates", "marker", "source", "labels"]
TableColumn = Literal["image", "label", "patient", "split", "source", "mask", "age", "sex"]


class Settings(BaseModel):
    """Values that are checked, cannot be changed, and allow no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(Settings):
    """One of the protocols or scenarios of an experiment file."""

    name: str
    title: str  # for tables and figures
    number: int = Field(default=1, exclude=True)  # place in lab.yaml; not dumped: a new entry reruns no other
