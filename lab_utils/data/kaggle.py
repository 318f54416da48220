"""The COVID-19 Radiography Database on Kaggle: its name, its published counts, its download."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryFile

from lab_utils.core.errors import LabError
from lab_utils.core.progress import progress

KAGGLE = "tawsifurrahman/covid19-radiography-database"
PUBLISHED_COUNTS = {"COVID": 3616, "Lung_Opacity": 6012, "Normal": 10192, "Viral Pneumonia": 1345}  # images


def download_database(folder: Path) -> Path:
    """Download the archive with the `kaggle` command, which resumes.

    Public data need no account. Returns the path of the zip in `folder`. If the command fails, its output is in the
    LabError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [_kaggle_command(), "datasets", "download", KAGGLE, "-p", str(folder), "-q"]
    archive = folder / f"{KAGGLE.split('/')[1]}.zip"
    with TemporaryFile("w+") as output:
        download = subprocess.Popen(command, stdout=output, stderr=output)
        with progress(total=None, desc="download", unit="B") as bar:
            while download.poll() is None:
                time.sleep(0.2)
                bar.update(archive.stat().st_size - bar.n if archive.is_file() else 0)
        output.seek(0)
        message = "\n  ".join(line.strip() for line in output if line.strip())
    if download.returncode != 0 or not archive.is_file():
        raise LabError(
            f"kaggle datasets download {KAGGLE}: {message or 'no message'}\n"
            f"  run again to resume; or download https://www.kaggle.com/datasets/{KAGGLE} in a browser "
            "and give the zip's path as the data set"
        )
    return archive


def _kaggle_command() -> str:
    beside_python = str(Path(sys.executable).parent)  # the environment need not be activated
    command = shutil.which("kaggle", path=os.pathsep.join([beside_python, os.environ.get("PATH", "")]))
    if command is None:
        raise LabError(
            "the `kaggle` command is not installed; pip install kaggle, "
            "or download the zip in a browser and give its path as the data set"
        )
    return command
