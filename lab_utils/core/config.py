"""The experiment as lab.yaml describes it: data set, protocols, scenarios, seeds. Names become values here."""

import re
import reprlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from lab_utils.core.errors import LabError, choose, unknown
from lab_utils.core.paths import experiment_file


def _name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}", name):
        raise ValueError("a name is up to 60 letters, digits, '_', '-' and '.', because it names a folder")
    return name


def _distinct(values: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(set(values)) < len(values):
        raise ValueError(f"lists something twice: {', '.join(map(str, values))}")
    return values


Name = Annotated[str, AfterValidator(_name)]
Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_distinct)]
Positive = Annotated[int, Field(gt=0, le=1_000_000, strict=True)]
Seed = Annotated[int, Field(ge=0, lt=2**32, strict=True)]
Width = Annotated[int, Field(gt=0, le=65_536, strict=True)]
Storage = Literal["float32", "float16"]
Fault = Literal["duplicates", "marker", "source"]


class Settings(BaseModel):
    """Values that are checked, cannot be changed, and allow no unknown key."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Protocol(Settings):
    """How images become a training set and a validation set."""

    name: str
    title: str  # for tables and figures
    masks: bool = False  # whether lung masks count as images of their class (an accident of the write-up's loader)
    interpolation: Literal["bilinear", "nearest"] = "bilinear"  # of the resize; Keras' default is nearest
    scaling: Literal["unit", "backbone"] = "unit"  # pixel values / 255, or as the backbone was pretrained
    # Random within each class; the same with near-duplicates kept on one side; Keras `validation_split` order.
    split: Literal["stratified", "grouped", "listing"] = "stratified"
    val_fraction: Annotated[float, Field(gt=0, lt=1)] = 0.3
    split_seed: Seed = 0  # one split serves all scenarios and seeds, so that they are comparable


class Scenario(Settings):
    """Which part of the network is trained, and how."""

    name: str
    title: str  # for tables and figures
    number: int = Field(default=1, exclude=True)  # place in lab.yaml; not dumped: a new scenario retrains no other
    trainable_convs: Annotated[int, Field(ge=0, strict=True)]  # last convolutional layers that are trained
    backbone: str = "MobileNetV2"  # a model of keras.applications
    head: tuple[Width, ...] = (1024, 512)  # widths of the dense layers between pooling and softmax
    epochs: Positive = 20  # passes over the training images
    batch_size: Positive = 64  # images per step
    learning_rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1e-3
    optimizer: Literal["adam", "adamw", "sgd", "rmsprop", "nadam", "adagrad", "lion"] = "adam"
    class_weight: Literal["none", "balanced"] = "none"  # balanced: in inverse proportion to the class's images

    @property
    def label(self) -> str:
        """Number and title, such as "S1: last two convolutions + head"."""
        return f"S{self.number}: {self.title}"


class Chosen(Settings):
    """The protocols, scenarios and seeds that are run, in the report's order."""

    protocols: Names
    scenarios: Names
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_distinct)]


class Experiment(Settings):
    """All of lab.yaml, checked."""

    title: str  # of the report
    author: str
    dataset: str  # "phantom", "kaggle", or the path of a zip or a folder
    phantoms: Annotated[int, Field(ge=40, le=1_000_000, strict=True)]  # number of images that "phantom" makes
    faults: Annotated[tuple[Fault, ...], AfterValidator(_distinct)] = ()  # of the phantoms, for the audits to find
    weights: Literal["auto", "imagenet", "random"]  # auto: ImageNet's; on phantoms random where those cannot be had
    image_size: Annotated[int, Field(ge=32, le=4096, strict=True)]  # side of the square that the network sees
    storage: Storage  # of activations on disk; arithmetic is float32 either way
    run: Chosen
    training: dict[str, Any] = {}  # values of every scenario that has no other
    known_protocols: dict[Name, Protocol] = Field(alias="protocols")
    known_scenarios: dict[Name, Scenario] = Field(alias="scenarios")

    @model_validator(mode="before")
    @classmethod
    def _fill(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Give each entry its name, each scenario what `training` says, and `run` all names by default."""
        values = {"protocols": {}, "scenarios": {}, "run": {}, **values}
        training = values.get("training")
        for kind in ("protocols", "scenarios"):
            if not isinstance(values[kind], dict):
                continue
            defaults = training if kind == "scenarios" and isinstance(training, dict) else {}
            values[kind] = {
                name: {"title": name, **defaults, **entry, "name": name} if isinstance(entry, dict) else entry
                for name, entry in values[kind].items()
            }
            if isinstance(values["run"], dict):
                values["run"] = {kind: list(values[kind]), **values["run"]}
        return values

    @field_validator("known_scenarios")
    @classmethod
    def _number(cls, scenarios: dict[str, Scenario]) -> dict[str, Scenario]:
        return {
            name: scenario.model_copy(update={"number": number})
            for number, (name, scenario) in enumerate(scenarios.items(), 1)
        }

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that are run, in the report's order."""
        return self.run.protocols

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios that are run, in the report's order."""
        return self.run.scenarios

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs: initial weights of the head and order of the batches."""
        return self.run.seeds

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
        try:
            return Scenario.model_validate({**scenario.model_dump(), "number": scenario.number, **changes})
        except ValidationError as error:
            raise LabError("; ".join(_problems(error, (name,), Scenario))) from None

    def chosen_scenarios(self) -> list[Scenario]:
        """The scenarios that are run, in the report's order."""
        return [self.scenario(name) for name in self.scenarios]

    def convs_of(self, backbone: str) -> list[int]:
        """The numbers of trained convolutions that the chosen scenarios need of `backbone`, largest first."""
        return sorted({s.trainable_convs for s in self.chosen_scenarios() if s.backbone == backbone}, reverse=True)


def load_experiment(config: str = "", **overrides: Any) -> Experiment:
    """Read and check an experiment file.

    Parameters
    ----------
    config : str
        Path of a YAML file in the form of lab.yaml; empty: the project's.
    **overrides
        Top-level keys that replace the file's, such as ``dataset="kaggle"``.

    Raises
    ------
    LabError
        With all mistakes at once, each with its place and the nearest valid name.
    """
    path = experiment_file(config)
    try:
        experiment = Experiment.model_validate({**read_yaml(path), **overrides})
        known: dict[str, Collection[str]] = {"protocol": experiment.known_protocols}
        known["scenario"] = experiment.known_scenarios
        problems = [
            f"run.{kind}s: {unknown(kind, name, names)}"
            for kind, names in known.items()
            for name in getattr(experiment, f"{kind}s")
            if name not in names
        ]
    except ValidationError as error:
        problems = _problems(error, (), Experiment)
    if problems:
        raise LabError("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]))
    return experiment


def _problems(error: ValidationError, place: Sequence[str], model: type[Settings]) -> list[str]:
    """The mistakes of a pydantic error in words, each with its place below `place`."""
    parts: dict[str, type[Settings]] = {"run": Chosen, "protocols": Protocol, "scenarios": Scenario}
    problems = []
    for mistake in error.errors():
        *above, last = steps = [str(step) for step in mistake["loc"] if step != "[key]"]
        fields = (parts.get(above[0], model) if above else model).model_fields
        keys = [field.alias or key for key, field in fields.items() if key not in ("name", "number")]
        if mistake["type"] == "extra_forbidden":
            problems.append(f"{'.'.join([*place, *above]) or 'top level'}: {unknown('key', last, keys)}")
            continue
        expected = mistake["msg"].removeprefix("Value error, ")
        if mistake["type"] in ("dict_type", "model_type"):
            expected = "expected keys and values"
        found = "" if mistake["type"] == "missing" else f", found {reprlib.repr(mistake['input'])}"
        problems.append(f"{'.'.join([*place, *steps])}: {expected}{found}")
    return problems


class _Loader(yaml.SafeLoader):
    """YAML without the trap that the first of two equal keys is ignored in silence."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        mapping = super().construct_mapping(node, deep)
        if len(mapping) < len(node.value) and not any(key.tag.endswith(":merge") for key, _ in node.value):
            names = [key.value for key, _ in node.value]
            twice = next((name for name in names if names.count(name) > 1), names[-1])  # 1 and true are equal too
            raise yaml.constructor.ConstructorError(None, None, f"{twice!r} appears twice", node.start_mark)
        return mapping


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML file of keys and values; raises LabError where it is missing, damaged, or has a key twice."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise LabError(f"{path}: no such experiment file; copy lab.yaml and edit it") from None
    except IsADirectoryError:
        raise LabError(f"{path}: is a folder; expected an experiment file, such as lab.yaml") from None
    except UnicodeDecodeError as error:
        raise LabError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except (yaml.YAMLError, RecursionError) as error:
        raise LabError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(content, dict):
        raise LabError(f"{path}: expected keys and values as in lab.yaml, found {type(content).__name__}")
    return content
