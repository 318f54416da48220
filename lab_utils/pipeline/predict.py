"""The command ``predict``: execute 50_predict, and say what came out and where it is."""

import logging

from lab_utils.core.catalogue import read_table_file
from lab_utils.core.config import load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.paths import Workspace, project_root
from lab_utils.core.progress import report_outcome
from lab_utils.data.dataset import existing_path
from lab_utils.data.unlabelled import IMAGES
from lab_utils.evaluation.runs import chosen_run
from lab_utils.pipeline.runner import run_notebook
from lab_utils.reporting.exhibits import NOT_A_DEVICE
from lab_utils.reporting.prediction_page import CSV, PAGE, TABLE, prediction_folder, summary

NOTEBOOK = "50_predict.ipynb"


class ProgressBars(logging.Handler):
    """Prints the progress bars among all that the cells of a notebook print."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the last state of a bar."""
        text = record.getMessage().strip()
        if "%|" in text:
            print(text.split("\r")[-1], flush=True)


def predict(images: str, *, run: str = "", workspace: str = "", config: str = "") -> int:
    """Predict images, print run, outcome and places, and return the exit status.

    Parameters
    ----------
    images : str
        Path of an image, a folder, an archive or a table; empty: images of the test or validation set.
    run : str
        See `choose_run`.
    """
    return report_outcome(lambda: _predict(images, run, workspace, config))


def _predict(images: str, name: str, workspace: str, config: str) -> None:
    place = Workspace.open(workspace)
    run, reason = chosen_run(load_experiment(config), place, name)
    try:
        images.encode()
    except UnicodeEncodeError as error:  # a notebook is UTF-8
        raise LabError(f"{images!r}: expected a name in UTF-8; rename it") from error
    if images:
        existing_path(images, IMAGES)  # says what is wrong before a kernel starts
    print(f"Run: {run.name}\n{reason}\n{NOT_A_DEVICE}", flush=True)
    folder = prediction_folder(place, images)
    logger = logging.getLogger("papermill")
    logger.setLevel(logging.INFO)
    logger.addHandler(ProgressBars())
    values = {"images": images, "run": name, "workspace": str(place.base), "config": config}
    run_notebook(project_root() / "notebooks" / NOTEBOOK, folder / NOTEBOOK, values)
    print(summary(run.name, read_table_file(folder / CSV, TABLE)))
    print(f"Page: {folder / PAGE}\nTable: {folder / CSV}\n{NOT_A_DEVICE}", flush=True)
