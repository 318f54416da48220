"""Outside collections: images of another origin, with labels mapped to classes."""

import difflib
import re
from collections import Counter
from collections.abc import Collection as Names
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import yaml

from lab_utils.core.config import Collection, Experiment
from lab_utils.core.errors import LabError, unknown
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, class_counts, load_dataset, obtain, source_fingerprint
from lab_utils.data.names import NAMES, is_healthy, letters_of
from lab_utils.data.phantoms import SECOND_HOSPITAL


def replace_collections(experiment: Experiment, paths: Iterable[str]) -> Experiment:
    """Return the experiment with the collections at these paths alone.

    A path that the experiment file has under `external` is that entry, with its labels. Any other is named by its file
    or folder.

    Raises
    ------
    LabError
        If two paths lead to one name, or a path is "phantom" and the data set is not.
    """
    known = experiment.known_collections.values()
    places: dict[str, str] = {}
    for path in paths:
        if path == "phantom" and experiment.dataset != "phantom":
            raise LabError(
                f"external: phantoms can only be judged beside phantoms, and dataset is {experiment.dataset!r}"
            )
        names = [entry.name for entry in known if _absolute(entry.path) == _absolute(path)] or [_name_of(path)]
        for name in names:
            if name in places:
                raise LabError(
                    f"external: {places[name]} and {path} are both named {name!r}; give each a name in the experiment "
                    "file, under `external`"
                )
            places[name] = path
    return experiment.with_external(places)


def with_absolute_paths(experiment: Experiment) -> Experiment:
    """Return the experiment with collections whose paths do not depend on the working directory."""
    entries = experiment.known_collections.values()
    names = ("phantom", "kaggle")
    return experiment.with_external({e.name: e.path if e.path in names else _absolute(e.path) for e in entries})


def _absolute(path: str) -> str:
    with suppress(RuntimeError):  # of a home folder that does not exist
        return str(Path(path).expanduser().resolve())
    return path


def _name_of(path: str) -> str:
    """Make the name of a file or folder, without its ending, a name of the experiment file."""
    stem = re.sub(r"(\.tar)?\.[A-Za-z0-9]{1,7}$", "", Path(_absolute(path)).name)
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", stem).strip("._-")[:60] or "collection"


def collection_sources(collections: Iterable[Collection]) -> tuple[dict[str, str], dict[str, str]]:
    """Return two mappings of collections: name to absolute path, and name to digest.

    A digest changes when the files do.

    A missing path is a LabError that names the collection.
    """
    sources = {}
    for collection in collections:
        try:
            sources[collection.name] = source_fingerprint(collection.path)
        except LabError as error:
            raise LabError(f"external.{collection.name}: {error}") from error
    return {name: path for name, (path, _) in sources.items()}, {name: key for name, (_, key) in sources.items()}


def obtain_collection(collection: Collection, workspace: Workspace, *, phantoms: int = 240) -> Dataset:
    """Bring a collection into the workspace and record it with its labels, see `obtain`.

    It lies in `external/<name>/raw`.

    "phantom" makes `phantoms` images of a second hospital.
    """
    place = workspace.of_collection(collection.name)
    try:
        return obtain(collection.path, place, phantoms=phantoms, columns=collection.columns, hospital=SECOND_HOSPITAL)
    except LabError as error:
        raise LabError(f"external.{collection.name}: {error}") from error


def load_collection(collection: Collection, classes: Sequence[str], workspace: Workspace) -> Dataset:
    """Load a collection that `obtain_collection` recorded, with its labels mapped to classes.

    Returns
    -------
    Dataset
        Its listing has the images whose label maps to a class, in order of class. `class` is a class of the
        experiment, and the additional column `label` is the collection's own label. Problems count what is left out.

    Raises
    ------
    LabError
        If a label has no class, or every label is left out, see `map_labels`.
    """
    dataset = load_dataset(workspace.of_collection(collection.name))
    class_of = map_labels(collection, dataset.classes, classes)
    images = dataset.listing[dataset.listing["kind"] == "image"]
    images = images.assign(label=images["class"], **{"class": images["class"].map(class_of)})
    unmapped = images.loc[images["class"].isna(), "label"].value_counts()
    problems = [
        ("label left out", str(label), "", f"{count:,} images have the label {label}, which has no class.", "left out")
        for label, count in unmapped.items()
    ]
    listing = images.dropna(subset="class").sort_values("class", kind="stable", ignore_index=True)
    return replace(dataset, classes=class_counts(listing), listing=listing, problems=[*dataset.problems, *problems])


def map_labels(collection: Collection, labels: Names[str], classes: Sequence[str]) -> dict[str, str | None]:
    """Map each label of a collection to a class of the experiment, or to None: left out.

    A label without an entry in `collection.labels` maps to the class of the same name; case, blanks and signs do not
    count if only one class has these letters.

    Raises
    ------
    LabError
        If a label has no class, an entry names no label or no class, or every label is left out. It lists both sides,
        with a block for the experiment file that proposes the nearest classes.
    """
    counts = Counter(map(letters_of, classes))
    same_letters = {key: name for name in classes if counts[key := letters_of(name)] == 1 and key}
    automatic = {label: label if label in classes else same_letters.get(letters_of(label)) for label in labels}
    class_of = {label: collection.labels.get(label, automatic[label]) for label in labels}
    problems = [
        f"the label {label!r} has no class: name one, or null to leave its images out"
        for label in labels
        if label not in collection.labels and automatic[label] is None
    ]
    problems += [unknown("label", label, labels) for label in collection.labels if label not in labels]
    problems += [
        f"label {label!r}: {unknown('class', name, classes)}"
        for label, name in collection.labels.items()
        if name is not None and name not in classes
    ]
    if not problems and all(name is None for name in class_of.values()):
        problems = ["every label is left out; name a class for one"]
    if problems:
        raise LabError(
            "\n  ".join([f"external.{collection.name}: {collection.path}", *problems, _sides(labels, classes)])
            + _proposal(collection, class_of, classes)
        )
    return class_of


def _sides(labels: Names[str], classes: Sequence[str]) -> str:
    return f"labels of the collection: {', '.join(labels)}\n  classes of the experiment: {', '.join(classes)}"


def _proposal(collection: Collection, class_of: dict[str, str | None], classes: Sequence[str]) -> str:
    """Write an entry of the experiment file that has every label.

    The nearest class is proposed where one is lacking.
    """
    letters = {letters_of(name): name for name in classes}
    healthy = [name for name in classes if is_healthy(name)]
    letters |= dict.fromkeys(NAMES["healthy"], healthy[0]) if len(healthy) == 1 else {}
    nearest = {}
    for label, name in class_of.items():
        is_decided = name in classes or (label in collection.labels and name is None)
        close = difflib.get_close_matches(letters_of(name or label), letters, n=1, cutoff=0.5)
        nearest[label] = name if is_decided else letters[close[0]] if close else None
    entry = collection.model_dump(include={"path", "columns"}, exclude_defaults=True) | {"labels": nearest}
    block = yaml.safe_dump({"external": {collection.name: entry}}, sort_keys=False, allow_unicode=True)
    return f"\n  check each line of this proposal, and put it into the experiment file:\n{block.rstrip()}"
