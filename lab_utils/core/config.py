"""The experiment as lab.yaml describes it: data set, protocols, scenarios, seeds. Names become values here."""

import re
import reprlib
from dataclasses import asdict, fields, is_dataclass
from typing import Annotated, Any, Literal, cast

import yaml
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator
from pydantic.dataclasses import dataclass

from lab_utils.core.errors import LabError, choose
from lab_utils.core.paths import experiment_file

STRICT = ConfigDict(extra="forbid")
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
Positive = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Count = Annotated[int, Field(ge=0, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Width = Annotated[int, Field(gt=0, le=65_536, strict=True)]
Storage = Literal["float32", "float16"]
Fault = Literal["duplicates", "marker", "source"]


@dataclass(frozen=True, config=STRICT)
class Protocol:
    """How images become a training set and a validation set.

    Parameters
    ----------
    name : str
    title : str
        For tables and figures.
    masks : bool
        Whether the lung masks count as images of their class (an accident of the write-up's loader).
    interpolation : {"bilinear", "nearest"}
        Of the resize; Keras' own default is nearest.
    scaling : {"unit", "backbone"}
        Pixel values / 255, or what the backbone was pretrained with.
    split : {"stratified", "grouped", "listing"}
        Random within each class; the same with near-duplicates kept on one side; or the first
        part of each class in file order, as Keras' ``validation_split`` cuts it.
    val_fraction : float
        Share of the validation set, in (0, 1).
    split_seed : int
        Of the random splits; one split serves all scenarios and seeds, so that they are comparable.
    """

    name: str
    title: str
    masks: bool = False
    interpolation: Literal["bilinear", "nearest"] = "bilinear"
    scaling: Literal["unit", "backbone"] = "unit"
    split: Literal["stratified", "grouped", "listing"] = "stratified"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    split_seed: Seed = 0


@dataclass(frozen=True, config=STRICT)
class Scenario:
    """Which part of the network is trained, and how.

    Parameters
    ----------
    name : str
    title : str
        For tables and figures.
    trainable_convs : int
        How many of the backbone's last convolutional layers are trained; 0: the head alone.
    backbone : str
        A model of ``keras.applications``.
    head : tuple of int
        Widths of the dense layers between pooling and softmax.
    epochs : int
        Passes over the training images.
    batch_size : int
        Images per step.
    learning_rate : float
        Of Adam.
    """

    name: str
    title: str
    trainable_convs: Count
    backbone: str = "MobileNetV2"
    head: tuple[Width, ...] = (1024, 512)
    epochs: Positive = 20
    batch_size: Positive = 64
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3


@dataclass(frozen=True, config=STRICT)
class Experiment:
    """All of lab.yaml, checked.

    Parameters
    ----------
    dataset : str
        "phantom", "kaggle", or the path of a zip or a folder.
    phantoms : int
        How many images "phantom" makes.
    weights : {"auto", "imagenet", "random"}
        "auto": ImageNet's; on phantoms, an untrained backbone where those cannot be had.
    image_size : int
        Side of the square the network sees, in pixels.
    storage : {"float32", "float16"}
        How activations are kept on disk; arithmetic is float32 either way.
    shards : int
        Pieces that features are computed in; on a cluster, one job each.
    seeds : tuple of int
        One run per scenario and seed: initial weights of the head and order of the batches.
    protocols, scenarios : tuple of str
        Names of those to run, in the report's order.
    known_protocols, known_scenarios : dict
        All that lab.yaml defines, by name.
    title, author : str
        Of the report.
    faults : tuple of {"duplicates", "marker", "source"}
        What is wrong with the phantoms, for the audits to find.
    """

    title: str
    author: str
    dataset: str
    phantoms: Annotated[int, Field(ge=40, le=1_000_000, strict=True)]
    weights: Literal["auto", "imagenet", "random"]
    image_size: Annotated[int, Field(ge=32, le=4096, strict=True)]
    storage: Storage
    shards: Positive
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1)]
    protocols: Annotated[tuple[str, ...], Field(min_length=1)]
    scenarios: Annotated[tuple[str, ...], Field(min_length=1)]
    known_protocols: dict[str, Protocol]
    known_scenarios: dict[str, Scenario]
    faults: tuple[Fault, ...] = ()

    @field_validator("seeds", "protocols", "scenarios", "faults")
    @classmethod
    def _distinct(cls, values: tuple[Any, ...]) -> tuple[Any, ...]:
        if len(set(values)) < len(values):
            raise ValueError(f"names something twice: {', '.join(map(str, values))}")
        return values

    def protocol(self, name: str) -> Protocol:
        """The protocol called `name`; raises LabError with the known ones."""
        return self.known_protocols[choose("protocol", name, self.known_protocols)]

    def scenario(self, name: str, **changes: Any) -> Scenario:
        """The scenario called `name`, with other values for some of its fields.

        Raises
        ------
        LabError
            If there is none of this name (lists the known ones), or a value is not valid.
        """
        scenario = self.known_scenarios[choose("scenario", name, self.known_scenarios)]
        problems: list[str] = []
        changed = _build(Scenario, {**asdict(scenario), **changes}, name, problems)
        if problems:
            raise LabError("; ".join(problems))
        return cast(Scenario, changed)

    def chosen_scenarios(self) -> list[Scenario]:
        """The scenarios to run, in the report's order."""
        return [self.scenario(name) for name in self.scenarios]

    def convs_of(self, backbone: str) -> list[int]:
        """The depths of fine-tuning that the chosen scenarios need of `backbone`, deepest first."""
        return sorted({s.trainable_convs for s in self.chosen_scenarios() if s.backbone == backbone}, reverse=True)


class _Loader(yaml.SafeLoader):
    """YAML without the trap that of two equal keys the first is passed over in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep)
        if len(found) < len(node.value) and not any(key.tag.endswith(":merge") for key, _ in node.value):
            names = [key.value for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), names[-1])  # 1 and true are equal too
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} stands twice", node.start_mark)
        return found


def load_experiment(config: str = "", **overrides: Any) -> Experiment:
    """Read and check an experiment file.

    Parameters
    ----------
    config : str
        Path of a YAML file in the form of lab.yaml; empty: the project's own.
    **overrides
        Top-level keys that replace the file's, such as ``dataset="kaggle"``.

    Raises
    ------
    LabError
        With all mistakes at once, each with its place and the nearest valid name.
    """
    path = experiment_file(config)
    try:
        text = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise LabError(f"{path}: no such experiment file; copy lab.yaml and edit it") from None
    except IsADirectoryError:
        raise LabError(f"{path}: is a folder; expected an experiment file, such as lab.yaml") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise LabError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(text, dict):
        raise LabError(f"{path}: expected keys and values as in lab.yaml, found {type(text).__name__}")
    values = {**text, **overrides}
    problems: list[str] = []
    training = _mapping(values.pop("training", {}), "training", problems)
    protocols = _named(Protocol, values.pop("protocols", {}), "protocols", {}, problems)
    scenarios = _named(Scenario, values.pop("scenarios", {}), "scenarios", training, problems)
    run = _mapping(values.pop("run", {}), "run", problems)
    run = {"protocols": list(protocols), "scenarios": list(scenarios), **run}
    problems += _unknown(run, {"protocols", "scenarios", "seeds"}, "run")
    experiment = _build(
        Experiment, {**values, **run, "known_protocols": protocols, "known_scenarios": scenarios}, "", problems
    )
    if isinstance(experiment, Experiment):
        for kind, names, known in (
            ("protocol", experiment.protocols, protocols),
            ("scenario", experiment.scenarios, scenarios),
        ):
            problems += [f"run.{kind}s: {_message(kind, name, known)}" for name in names if name not in known]
    if problems or not isinstance(experiment, Experiment):
        raise LabError("\n  ".join([f"{path}: {len(problems)} thing(s) to mend", *problems]))
    return experiment


def _message(kind: str, name: str, known: dict[str, Any]) -> str:
    try:
        return choose(kind, name, known)
    except LabError as error:
        return str(error)


def _mapping(value: Any, place: str, problems: list[str]) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    problems.append(f"{place}: expected keys and values, found {reprlib.repr(value)}")
    return {}


def _named(kind: type, entries: Any, place: str, defaults: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    """Build one `kind` per entry; the entry's key is its name."""
    built: dict[str, Any] = {}
    for name, entry in _mapping(entries, place, problems).items():
        where = f"{place}.{name}"
        if not isinstance(name, str) or not NAME.fullmatch(name):
            problems.append(f"{where}: a name is up to 60 letters, digits, '_', '-' and '.', for it becomes a folder's")
            continue
        value = _build(
            kind, {"title": name, **defaults, **_mapping(entry, where, problems), "name": name}, where, problems
        )
        built[name] = value
    return built


def _build(kind: type, values: dict[str, Any], place: str, problems: list[str]) -> Any:
    """`kind` from `values`, or None with every mistake appended to `problems`."""
    known = {field.name for field in fields(kind)} if is_dataclass(kind) else set()
    extra = _unknown(values, known, place)
    problems += extra
    try:
        return TypeAdapter(kind).validate_python({k: v for k, v in values.items() if k in known})
    except ValidationError as error:
        for mistake in error.errors():
            at = ".".join(str(part) for part in mistake["loc"])
            if not at.startswith("known_"):
                found = reprlib.repr(mistake["input"])
                problems.append(f"{place + '.' if place else ''}{at}: {mistake['msg']}, found {found}")
        return None


def _unknown(values: dict[str, Any], known: set[str], place: str) -> list[str]:
    choices = dict.fromkeys(sorted(known - {"name", "known_protocols", "known_scenarios"}))
    return [f"{place or 'top level'}: {_message('key', str(key), choices)}" for key in values if key not in known]
