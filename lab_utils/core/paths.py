"""Where everything of a run lives: one method per artefact, one writer per method."""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile

from lab_utils.core.errors import LabError

EXPERIMENT_FILE = "lab.yaml"


def project_root() -> Path:
    """The clone of the lab: the nearest one above the working directory, else the one that the package lies in.

    A notebook opened in JupyterLab works in `notebooks/`, papermill where it was called;
    both find the same project.
    """
    here = Path.cwd()
    for folder in (here, *here.parents, Path(__file__).resolve().parents[2]):
        if (folder / EXPERIMENT_FILE).is_file() and (folder / "Snakefile").is_file():
            return folder
    raise LabError(f"{here}: no clone of the lab ({EXPERIMENT_FILE} and Snakefile) here or above; work inside one")


def experiment_file(config: str = "") -> Path:
    """The path of the experiment file: `config` as given, or the project's lab.yaml where it is empty."""
    return Path(config) if config else project_root() / EXPERIMENT_FILE


@dataclass(frozen=True)
class Workspace:
    """The folder of one run of the lab.

    Parameters
    ----------
    root : Path
        Absolute path; made on demand by whoever writes.
    """

    root: Path

    @classmethod
    def open(cls, workspace: str = "") -> "Workspace":
        """The workspace at `workspace`, or `workspace/` of the project where that is empty.

        Raises
        ------
        LabError
            If the folder cannot be made or written into.
        """
        try:
            root = Path(workspace).expanduser().resolve() if workspace else project_root() / "workspace"
        except RuntimeError as error:  # ~nobody
            raise LabError(f"{workspace}: no such home folder; choose another folder with WORKSPACE=path") from error
        if (root / EXPERIMENT_FILE).is_file() and (root / "Snakefile").is_file():
            raise LabError(f"{root}: holds the lab itself; choose another folder with WORKSPACE=path")
        try:
            root.mkdir(parents=True, exist_ok=True)
            TemporaryFile(dir=root).close()
        except OSError as error:
            raise LabError(
                f"{root}: cannot write here ({error.strerror}); choose another folder with WORKSPACE=path"
            ) from error
        return cls(root)

    def raw(self) -> Path:
        """The data set as obtained, never edited (stage 10)."""
        return self.root / "raw"

    def dataset(self) -> Path:
        """What the data set is and where its class folders are (stage 10, written last)."""
        return self.raw() / "dataset.json"

    def archive(self) -> Path:
        """Where Kaggle's archive is downloaded to (stage 10)."""
        return self.root / "download"

    def manifest(self, protocol: str) -> Path:
        """One row per image, in the order of the image store (stage 20)."""
        return self.root / "protocols" / protocol / "manifest.csv"

    def findings(self, protocol: str) -> Path:
        """What is odd about the data and what was done about it (stage 20)."""
        return self.root / "protocols" / protocol / "findings.csv"

    def preprocessing(self, protocol: str) -> Path:
        """Record of stage 20, written last."""
        return self.root / "protocols" / protocol / "preprocessing.json"

    def images(self, key: str) -> Path:
        """An image store (stage 20), shared by the protocols that see the same pixels."""
        return self.root / "images" / key

    def weights(self, protocol: str, backbone: str) -> Path:
        """Record of the backbone's weights for the jobs that compute shards of its features (stage 25)."""
        return self.root / "protocols" / protocol / f"weights-{backbone}.json"

    def shard(self, protocol: str, backbone: str, number: int, shards: int) -> Path:
        """Record of a shard of the features that a job of its own has computed (stage 25)."""
        return self.root / "protocols" / protocol / "shards" / f"{backbone}-{number}of{shards}.json"

    def extraction(self, protocol: str, backbone: str) -> Path:
        """Record of stage 25: which features belong to which cut; written last."""
        return self.root / "protocols" / protocol / f"features-{backbone}.json"

    def backbone(self, key: str) -> Path:
        """A backbone with the weights its features were computed with (stage 25)."""
        return self.root / "backbones" / f"{key}.keras"

    def features(self, key: str) -> Path:
        """Activations of one frozen prefix (stage 25), a folder per shard; shared by scenarios, protocols and seeds."""
        return self.root / "features" / key

    def run(self, protocol: str, scenario: str, seed: int) -> Path:
        """Folder of one training run (stage 30): history, predictions, model, run.json (last)."""
        return self.root / "runs" / protocol / scenario / f"seed-{seed}"

    def results(self, table: str) -> Path:
        """A table of stage 40."""
        return self.root / "results" / f"{table}.csv"

    def relative(self, path: Path) -> str:
        """`path` as written into records: relative where it is inside the workspace."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else str(path)
