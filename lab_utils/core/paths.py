"""The places of a run's artefacts: one method per artefact, one writer per method."""

from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryFile

from lab_utils.core.errors import LabError

EXPERIMENT_FILE = "lab.yaml"
BY_HAND = "by_hand"  # folder of a workspace for results of notebooks that the pipeline did not start
ANOTHER = "choose another folder with WORKSPACE=path"


def project_root() -> Path:
    """The clone of the lab: the nearest one above the working directory, else the one that holds the package.

    JupyterLab starts a notebook in `notebooks/`, papermill in the caller's folder;
    both find the same project.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if _is_project(folder):
            return folder
    raise LabError(f"{here}: no clone of the lab ({EXPERIMENT_FILE} and Snakefile) here or above; work inside one")


def _is_project(folder: Path) -> bool:
    return (folder / EXPERIMENT_FILE).is_file() and (folder / "Snakefile").is_file()


def experiment_file(config: str = "") -> Path:
    """The path of the experiment file: `config` as given, or the project's lab.yaml where it is empty."""
    return Path(config) if config else project_root() / EXPERIMENT_FILE


@dataclass(frozen=True)
class Workspace:
    """The folder of one run of the lab, or a folder over it for what is run by hand.

    With a `fallback`, a path lies below `root` if it exists there, else below `fallback` if it exists there,
    else below `root`. Places named by digests of their content (images, features, backbones) and the
    download always lie in the fallback.

    Parameters
    ----------
    root : Path
        Absolute path; writers make it when they need it.
    fallback : Path, optional
        The workspace below an overlay.
    reads_fallback : bool
        False in `writable`: paths lie below `root`, whatever the fallback holds.
    """

    root: Path
    fallback: Path | None = None
    reads_fallback: bool = True

    @classmethod
    def open(cls, workspace: str = "", *, by_hand: bool = False) -> "Workspace":
        """Open the workspace at `workspace`, or `workspace/` of the project where that is empty.

        Parameters
        ----------
        workspace : str
            A folder; it is made where there is none.
        by_hand : bool
            Whether results go to `by_hand/` inside the workspace, over those of the pipeline.

        Raises
        ------
        LabError
            If the folder cannot be made or written into.
        """
        try:
            root = Path(workspace).expanduser().resolve() if workspace else project_root() / "workspace"
        except RuntimeError as error:  # ~nobody
            raise LabError(f"{workspace}: no such home folder; {ANOTHER}") from error
        if _is_project(root):
            raise LabError(f"{root}: holds the lab itself; {ANOTHER}")
        try:
            root.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=root).close()
        except OSError as error:
            raise LabError(f"{root}: cannot write here ({error.strerror}); {ANOTHER}") from error
        return cls(root / BY_HAND, root) if by_hand else cls(root)

    @property
    def is_by_hand(self) -> bool:
        """Whether this is an overlay for what is run by hand."""
        return self.fallback is not None

    @property
    def base(self) -> Path:
        """The folder of the workspace itself, also where results go to an overlay."""
        return self.fallback or self.root

    @property
    def writable(self) -> "Workspace":
        """The same places for a writer: below `root`, also where only the fallback has the artefact."""
        return replace(self, reads_fallback=False)

    def path(self, name: str | Path, *, last: str = "") -> Path:
        """The place of an artefact.

        Parameters
        ----------
        name : str or Path
            Path inside the workspace.
        last : str
            For a folder: its file that is written last. Without it the folder does not count as existing.
        """
        if self.fallback and self.reads_fallback and not (self.root / name / last).exists():
            below = self.fallback / name
            return below if (below / last).exists() else self.root / name
        return self.root / name

    def relative(self, path: Path) -> str:
        """`path` as records keep it: relative where it is inside the workspace. `path()` is the inverse."""
        for folder in filter(None, (self.root, self.fallback)):
            if path.is_relative_to(folder):
                return path.relative_to(folder).as_posix()
        return str(path)

    def raw(self) -> Path:
        """The data set as obtained, never edited (stage 10)."""
        return self.path("raw", last="dataset.json")

    def dataset(self) -> Path:
        """What the data set is and where its class folders are (stage 10, written last)."""
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
