"""The command line ``python -m lab_utils``: make the report, open it, and predict images."""

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import webbrowser
from collections.abc import Sequence
from pathlib import Path

from lab_utils.core.errors import LabError, choose
from lab_utils.core.machine import available_cores
from lab_utils.core.paths import Workspace, project_root, refuse_another_clone
from lab_utils.pipeline.environment import GIVEN, stage_environment

REPORT = "report/lab_report.html"
WORKSPACE = "folder of the run (default: workspace in the clone)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m lab_utils", description=__doc__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    report = commands.add_parser("report", help="run every stage that is not up to date, and write the report")
    report.add_argument("--dataset", default="", help="phantom, kaggle, or the path of a folder, an archive or a table")
    report.add_argument(
        "--external",
        default=[],
        action="append",
        metavar="PATH",
        help="judge the networks on this outside collection, instead of those of the experiment file (repeatable)",
    )
    report.add_argument("--workspace", default="", help=WORKSPACE)
    report.add_argument("--config", default="", help="experiment file (default: lab.yaml in the clone)")
    report.add_argument("--again", default=[], action="append", metavar="STAGE", help="repeat a stage: a rule's name")
    report.add_argument("--profile", default="default", help="folder in profiles/, such as slurm")
    report.set_defaults(run=make_report)
    view = commands.add_parser("view", help="open the report in the browser")
    view.add_argument("--workspace", default="", help=WORKSPACE)
    view.set_defaults(run=view_report)
    predict = commands.add_parser("predict", help="predict images with a trained network, and write a page and a table")
    predict.add_argument("images", nargs="?", default="", help="path of an image, a folder, an archive or a table")
    predict.add_argument("--run", default="", dest="name", help="such as corrected/fc_only/seed-0 (default: the best)")
    predict.add_argument("--workspace", default="", help=WORKSPACE)
    predict.add_argument("--config", default="", help="experiment file (default: lab.yaml in the clone)")
    predict.set_defaults(run=predict_images)
    shared = commands.add_parser("share", help="pack a trained network with its model card into a zip")
    shared.add_argument("--run", default="", dest="name", help="protocol/scenario/seed-n (default: the best scenario)")
    shared.add_argument("--workspace", default="", help=WORKSPACE)
    shared.add_argument("--config", default="", help="experiment file (default: lab.yaml in the clone)")
    shared.set_defaults(run=share_run)
    given = parser.parse_args(arguments)
    try:
        refuse_another_clone()
        return int(given.run(given))
    except LabError as error:
        print(error, file=sys.stderr)
        return 1


def make_report(given: argparse.Namespace) -> int:
    """Start Snakemake in the environment of the stages, and wait for it."""
    project = project_root()
    workspace = Workspace.open(given.workspace).base
    profiles = [path.name for path in project.glob("profiles/*")]
    workflow = (project / "Snakefile").read_text(encoding="utf-8")
    rules = re.findall(r"^(?:rule|checkpoint) (\w+):", workflow, re.MULTILINE)
    again = [choose("stage", name, rules) for names in given.again for name in names.split()]
    names = {
        "dataset": given.dataset,
        "external": [path for path in given.external if path],
        "config": given.config,
        "workspace": str(workspace),
        "folder": str(Path.cwd()),
    }
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(project / "Snakefile")]
    command += ["--directory", str(workspace), "--profile", "none"]
    command += ["--workflow-profile", str(project / "profiles" / choose("profile", given.profile, profiles))]
    command += ["--cores", str(available_cores())] if given.profile == "default" else []
    command += ["--forcerun", *again] if again else []
    environment = stage_environment(os.environ, workspace) | {GIVEN: json.dumps(names)}
    with subprocess.Popen(command, env=environment) as snakemake:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Snakemake gets it from the terminal, and ends
        signal.signal(signal.SIGTERM, lambda *_: snakemake.terminate())
        status = snakemake.wait()
    if status == 0:
        print(f"Report: {workspace / REPORT} and .pdf", flush=True)
    return status


def view_report(given: argparse.Namespace) -> int:
    """Open the report in the browser."""
    page = Path(given.workspace or project_root() / "workspace").absolute() / REPORT
    if not page.is_file():
        raise LabError(f"{page}: not there yet; run `make report` or `python -m lab_utils report` first")
    webbrowser.open_new_tab(page.as_uri())
    return 0


def predict_images(given: argparse.Namespace) -> int:
    """Execute 50_predict, and say what came out and where it is."""
    from lab_utils.pipeline.predict import predict  # half of the lab, for which the other commands need not wait

    return predict(given.images, run=given.name, workspace=given.workspace, config=given.config)


def share_run(given: argparse.Namespace) -> int:
    """Write the zip of a run, and say where it is and how far the formats agree."""
    from lab_utils.core.config import load_experiment
    from lab_utils.evaluation.runs import chosen_run
    from lab_utils.pipeline.share import share

    workspace, experiment = Workspace.open(given.workspace), load_experiment(given.config)
    run, reason = chosen_run(experiment, workspace, given.name)
    print(f"Run: {run.name}\n{reason}", flush=True)
    is_best = not given.name and len(experiment.chosen_scenarios()) > 1
    shared = share(run, workspace, experiment, is_best=is_best)
    print(f"Zip: {shared.path} ({shared.path.stat().st_size / 1e6:.1f} MB)")
    for model in shared.exported:
        agreement = f"probabilities differ from Keras' by {model.difference:.1g} at most, on {shared.compared} images"
        print(f"{model.title}: {f'left out: {model.problem}' if model.problem else agreement}")
    return 0
