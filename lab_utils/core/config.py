"""The experiment as lab.yaml describes it: data set, protocols, scenarios, seeds."""

import reprlib
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, ValidationInfo, field_validator

from lab_utils.core.entries import RULES
from lab_utils.core.entries import Collection as Collection
from lab_utils.core.entries import Protocol as Protocol
from lab_utils.core.entries import Scenario as Scenario
from lab_utils.core.errors import LabError, choose, unknown
from lab_utils.core.paths import experiment_file
from lab_utils.core.values import Depth as Depth
from lab_utils.core.values import Fault as Fault
from lab_utils.core.values import Name, Names, Seed, Settings, distinct
from lab_utils.core.values import Precision as Precision
from lab_utils.core.values import Storage as Storage
from lab_utils.core.values import TableColumn as TableColumn
from lab_utils.core.yaml_files import read_yaml


class Chosen(Settings):
    """The protocols, scenarios and seeds that are run, in the report's order."""

    protocols: Names = ()  # empty: all
    scenarios: Names = ()
    seeds: Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(distinct)]


class Experiment(Settings):
    """All of lab.yaml, checked."""

    title: str  # of the report
    author: str
    dataset: str  # "phantom", "kaggle", or the path of an archive, a folder or a table
    columns: dict[TableColumn, str] = Field(
        {}
    )  # names of columns of a table of labels, where the lab does not know them
    phantoms: Annotated[int, Field(ge=40, le=1_000_000, strict=True)]  # number of images that "phantom" makes
    faults: Annotated[tuple[Fault, ...], AfterValidator(distinct)] = ()  # of the phantoms, for the audits to find
    weights: Literal["auto", "imagenet", "random"]  # auto: ImageNet's; on phantoms random where those cannot be had
    image_size: Annotated[int, Field(ge=32, le=4096, strict=True)]  # side of the square that the network sees
    storage: Storage  # of activations on disk
    precision: Precision = "auto"  # of matrix products in training; auto: bfloat16 where the processor is fast at it
    run: Chosen
    training: dict[str, Any] = Field(default={})  # values of every scenario that has no other
    known_protocols: dict[Name, Protocol] = Field(alias="protocols", min_length=1)
    known_scenarios: dict[Name, Scenario] = Field(alias="scenarios", min_length=1)
    known_collections: dict[Name, Collection] = Field(alias="external", default={})

    @field_validator("known_protocols", "known_scenarios", "known_collections", mode="before")
    @classmethod
    def _complete(cls, entries: Any, info: ValidationInfo) -> Any:
        """Give each entry its name, number and title, and the values that it shares.

        A scenario shares those of `training`, a protocol those of the protocol that it follows.
        """
        if not isinstance(entries, dict):
            return {} if entries is None and info.field_name == "known_collections" else entries
        training = info.data.get("training", {}) if info.field_name == "known_scenarios" else {}
        completed: dict[Any, Any] = {}
        for number, (name, entry) in enumerate(entries.items(), 1):
            if isinstance(entry, dict):
                followed = completed.get(str(entry.get("follows")), {})
                shared = training | {key: followed[key] for key in RULES & set(followed)}
                entry = {"title": name, **shared, **entry, "name": name, "number": number}
            completed[name] = entry
        return completed

    @property
    def protocols(self) -> tuple[str, ...]:
        """Names of the protocols that are run, in the report's order."""
        return self.run.protocols or tuple(self.known_protocols)

    @property
    def scenarios(self) -> tuple[str, ...]:
        """Names of the scenarios that are run, in the report's order."""
        return self.run.scenarios or tuple(self.known_scenarios)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Seeds of the runs: initial weights of the head and order of the batches."""
        return self.run.seeds

    @property
    def collections(self) -> tuple[Collection, ...]:
        """The outside collections that the networks are judged on, in the report's order."""
        return self.collections_beside(is_synthetic=self.dataset == "phantom")

    def collections_beside(self, *, is_synthetic: bool) -> tuple[Collection, ...]:
        """The collections that suit a data set: phantoms of a second hospital belong to phantoms."""
        return tuple(c for c in self.known_collections.values() if is_synthetic or c.path != "phantom")

    def with_external(self, places: Mapping[str, str]) -> "Experiment":
        """The experiment with these collections alone, by name and path.

        Known names keep labels and columns.
        """
        chosen = {}
        for number, (name, path) in enumerate(places.items(), 1):
            known = self.known_collections.get(name, Collection(name=name, title=name, path=path))
            chosen[name] = known.model_copy(update={"path": path, "number": number})
        return self.model_copy(update={"known_collections": chosen})

    def protocol(self, name: str) -> Protocol:
        """The protocol called `name`; raises LabError with the known ones."""
        return self.known_protocols[choose("protocol", name, self.known_protocols)]

    def scenario(self, name: str, **changes: Any) -> Scenario:
        """The scenario called `name`, with other values for some of its fields.

        Raises LabError with the known names, or with the values that are not valid.
        """
        scenario = self.known_scenarios[choose("scenario", name, self.known_scenarios)]
        try:
            return Scenario.model_validate({**dict(scenario), **changes})
        except ValidationError as error:
            raise LabError("; ".join(_problems(error, "scenarios", name))) from None

    def chosen_scenarios(self) -> list[Scenario]:
        """The scenarios that are run, in the report's order."""
        return [self.scenario(name) for name in self.scenarios]

    def convs_of(self, backbone: str) -> list[Depth]:
        """The numbers of trained convolutions of `backbone` in the chosen scenarios, largest first.

        The last one is 0: the audits need the pooled features.
        """
        depths = {s.trainable_convs for s in self.chosen_scenarios() if s.backbone == backbone} | {0}
        return sorted(depths, key=lambda depth: float("-inf") if depth == "all" else -depth)


def load_experiment(config: str = "", **overrides: Any) -> Experiment:
    """Read and check the experiment file `config`; empty means the project's lab.yaml.

    A file with the key `base` replaces top-level keys of another one. `overrides` replace those of both, such as
    ``dataset="kaggle"``. Raises LabError with all mistakes at once, each with its place and the nearest valid name.
    """
    path = experiment_file(config)
    values = read_yaml(path)
    base = read_yaml(path.parent / str(values.pop("base"))) if "base" in values else {}
    try:
        experiment = Experiment.model_validate({**base, **values, **overrides})
    except ValidationError as error:
        problems = _problems(error)
    else:
        problems = [
            f"run.{kind}s: {unknown(kind, name, list(known))}"
            for kind, names, known in (
                ("protocol", experiment.protocols, experiment.known_protocols),
                ("scenario", experiment.scenarios, experiment.known_scenarios),
            )
            for name in names
            if name not in known
        ] + _contradictions(experiment)
    if problems:
        raise LabError("\n  ".join([f"{path}: {len(problems)} problem(s)", *problems]))
    return experiment


def _contradictions(experiment: Experiment) -> list[str]:
    """List values that are valid each and wrong together."""
    problems = []
    if experiment.faults and experiment.dataset != "phantom":
        problems.append(f"faults: are planted in phantoms only, and dataset is {experiment.dataset!r}; remove them")
    if experiment.columns and experiment.dataset in ("phantom", "kaggle"):
        problems.append(f"columns: are those of a table, and dataset is {experiment.dataset!r}; remove them")
    if experiment.columns.get("image") and experiment.columns.get("image") == experiment.columns.get("label"):
        problems.append(f"columns: image and label are both {experiment.columns['image']!r}; name one column each")
    for name, protocol in experiment.known_protocols.items():
        if protocol.masks and protocol.split in ("grouped", "given"):
            problems.append(
                f"protocols.{name}: masks: true puts masks into other sets than their images, and split: "
                f"{protocol.split} keeps copies together; choose masks: false, or split: stratified or listing"
            )
        if protocol.follows not in ("", *list(experiment.known_protocols)[: protocol.number - 1]):
            problems.append(
                f"protocols.{name}.follows: expected a protocol that is listed above {name}, found "
                f"{protocol.follows!r}; move it there, or remove follows"
            )
    for kind, names in (
        ("protocols", list(experiment.known_protocols)),
        ("scenarios", list(experiment.known_scenarios)),
        ("external", list(experiment.known_collections)),
    ):
        first: dict[str, str] = {}
        for name in names:
            if (other := first.setdefault(name.casefold(), name)) != name:
                problems.append(f"{kind}: {other} and {name} differ in case only, and name one folder on some disks")
    return problems


def _problems(error: ValidationError, *place: str) -> list[str]:
    """The mistakes of a pydantic error in words, each with its place below `place`."""
    sections: dict[str, type[Settings]] = {
        "run": Chosen,
        "protocols": Protocol,
        "scenarios": Scenario,
        "external": Collection,
    }
    problems = []
    for mistake in error.errors():
        steps = [*place, *(str(step) for step in mistake["loc"] if step != "[key]")]
        found = f", found {reprlib.repr(mistake['input'])}"
        if mistake["type"] == "extra_forbidden":
            fields = sections.get(steps[0], Experiment).model_fields
            keys = [field.alias or key for key, field in fields.items() if key not in ("name", "number")]
            key = steps.pop()
            problem = unknown("key", key, keys)
        elif mistake["type"] in ("dict_type", "model_type"):
            problem = f"expected keys and values{found}"
        else:
            problem = mistake["msg"].removeprefix("Value error, ") + ("" if mistake["type"] == "missing" else found)
        problems.append(f"{'.'.join(steps) or 'top level'}: {problem}")
    return problems
