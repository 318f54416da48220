"""The places of a run's artefacts: one method per artefact, one writer per method."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

from lab_utils.core.errors import LabError

EXPERIMENT_FILE = "lab.yaml"
INSTALL = "in the clone that you use, run `make lab`, or `pip install -e .` and restart the kernel"
ANOTHER = "choose another folder with WORKSPACE=path (without make: --workspace path)"
PACKAGE = Path(__file__).resolve().parents[1]


def project_root() -> Path:
    """The clone of the lab whose package runs; raises LabError if the package is in no clone."""
    if clone := clone_of_package():
        return clone
    raise LabError(f"{PACKAGE}: not in a clone of the lab ({EXPERIMENT_FILE} and Snakefile); {INSTALL}")


def clone_of_package() -> Path | None:
    """The clone that the running package lies in; None if it was installed somewhere else."""
    return PACKAGE.parent if _is_project(PACKAGE.parent) else None


def refuse_another_clone() -> None:
    """Raise LabError if the working directory is in a clone of the lab that does not run."""
    here = Path.cwd()
    clone = next((folder for folder in (here, *here.parents) if _is_project(folder)), PACKAGE.parent)
    if clone.resolve() != PACKAGE.parent:
        raise LabError(f"{clone}: a clone of the lab, but Python runs the package of {PACKAGE.parent}; {INSTALL}")


def _is_project(folder: Path) -> bool:
    return (folder / EXPERIMENT_FILE).is_file() and (folder / "Snakefile").is_file()


def experiment_file(config: str = "") -> Path:
    """The path of the experiment file: `config`; empty means the project's lab.yaml."""
    return Path(config) if config else project_root() / EXPERIMENT_FILE


@dataclass(frozen=True)
class Workspace:
    """The folder of one run of the lab, with a folder over it for what is run by hand.

    By hand, a path lies below `root` if it exists there, else below `base` if it exists there, else below `root`.
    Places named by digests of their content (images, features, backbones) and the download always lie in `base`.
    """

    base: Path  # absolute
    is_by_hand: bool = False
    reads_base: bool = True  # False in `writable`
    collection: str = ""  # outside collection whose data set `raw` is, see `of_collection`

    @classmethod
    def open(cls, workspace: str = "", *, by_hand: bool = False) -> "Workspace":
        """Open or make the folder `workspace`; empty means `workspace/` of the project.

        Raises LabError if the folder cannot be made or written into.
        """
        try:
            base = Path(workspace or project_root() / "workspace").expanduser().resolve()
            if _is_project(base):
                raise LabError(f"{base}: holds the lab itself; {ANOTHER}")
            base.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=base).close()
        except RuntimeError as error:  # ~nobody
            raise LabError(f"{workspace}: no such home folder; {ANOTHER}") from error
        except OSError as error:
            raise LabError(f"{base}: cannot write here ({error.strerror}); {ANOTHER}") from error
        return cls(base, by_hand)

    @property
    def root(self) -> Path:
        """The folder that results go to; writers make it when they need it."""
        return self.base / "by_hand" if self.is_by_hand else self.base

    @property
    def writable(self) -> "Workspace":
        """The same places for a writer: below `root`, also where only `base` has the artefact."""
        return replace(self, reads_base=False)

    def of_collection(self, name: str) -> "Workspace":
        """The same places, with the data set of an outside collection."""
        return replace(self, collection=name)

    def path(self, name: str | Path, *, last: str = "") -> Path:
        """The place of an artefact, from its path inside the workspace.

        A folder counts as existing if it has its file that is written `last`.
        """
        if self.reads_base and not (self.root / name / last).exists() and (self.base / name / last).exists():
            return self.base / name
        return self.root / name

    def relative(self, path: Path) -> str:
        """Return `path` relative to the workspace if it lies inside; `path()` is the inverse."""
        folder = self.root if path.is_relative_to(self.root) else self.base
        return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else str(path)

    def raw(self) -> Path:
        """The data set as obtained, never edited (stage 10; of an outside collection, stage 42)."""
        return self.path(f"external/{self.collection}/raw" if self.collection else "raw", last="dataset.json")

    def dataset(self) -> Path:
        """What the data set is and where its class folders are (written last)."""
        return self.raw() / "dataset.json"

    def preprocessing(self, protocol: str) -> Path:
        """Record of stage 20, written last."""
        return self.path(f"protocols/{protocol}/preprocessing.json")

    def extraction(self, protocol: str, backbone: str) -> Path:
        """Record of stage 25: which features belong to which cut; written last."""
        return self.path(f"protocols/{protocol}/features-{backbone}.json")

    def run(self, protocol: str, scenario: str, seed: int | str) -> Path:
        """Folder of one training run (stage 30): history, predictions, model, run.json (last)."""
        return self.path(f"runs/{protocol}/{scenario}/seed-{seed}", last="run.json")

    def archive(self) -> Path:
        """Where Kaggle's archive is downloaded to (stage 10)."""
        return self.base / "download"

    def images(self, key: str) -> Path:
        """An image store (stage 20), shared by the protocols that see the same pixels."""
        return self.base / "images" / key

    def backbone(self, key: str) -> Path:
        """A backbone with the weights its features were computed with (stage 25)."""
        return self.base / "backbones" / f"{key}.keras"

    def features(self, key: str) -> Path:
        """Activations of one feature extractor (stage 25), shared by scenarios, protocols and seeds."""
        return self.base / "features" / key
