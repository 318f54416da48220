# The lab's stages in order. `make report` runs it; `snakemake` does the same in an environment that has the lab installed.
# What a rule depends on, besides files: the values it reads from lab.yaml and the code it runs (both under params),
# so that changing the report, a figure or one scenario reruns only what depends on it.
# Artefacts are `update`: a stage that fails leaves those of the last good run in place. Its executed notebook (a marker
# where there is none) is not: it is gone when the stage starts and back when it has ended, so a failed stage runs again.

import json
import os
import shlex
import signal
import sys


def leave(*_):
    os.write(2, b"\ninterrupted before anything had begun; give the command again\n")
    os._exit(130)


if workflow.is_main_process:
    signal.signal(signal.SIGINT, leave)  # until jobs begin: Snakemake itself would show a traceback

from dataclasses import asdict
from pathlib import Path

from filelock import FileLock, Timeout
from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from lab_utils.data.download import source_fingerprint
from lab_utils.core.errors import LabError
from lab_utils.pipeline.runner import PICTURES, code_digest
from lab_utils.core.paths import Workspace, experiment_file
from lab_utils.core.config import load_experiment
from lab_utils.pipeline.terminal import take_over

PROJECT = Path(workflow.basedir)
ALL = 1024  # threads: all that there are here, or as many as a cluster's profile says

# A cluster's job reads this file again, elsewhere: relative paths keep meaning what they meant to who gave the command.
os.chdir(os.environ.setdefault("LAB_FOLDER", os.getcwd()))


def given_path(name):
    """A path of --config, whose values Snakemake reads as YAML: 0 is a number there, and no is false."""
    value = config.get(name, "")
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise WorkflowError(f"{name}: read as {value!r}, expected a path; write ./ in front of such a name, and no ': ' in it")
    return str(value)


try:
    CONFIG = experiment_file(given_path("config")).resolve()
    experiment = load_experiment(str(CONFIG), **({"dataset": given_path("dataset")} if given_path("dataset") else {}))
    lab = Workspace.open(given_path("workspace") or str(PROJECT / "workspace"))
    DATASET, FINGERPRINT = source_fingerprint(experiment.dataset) if workflow.is_main_process else ("", "")  # for `download`
except LabError as error:
    raise WorkflowError(str(error))

if "KERAS_HOME" in os.environ:
    os.environ["KERAS_HOME"] = os.path.abspath(os.environ["KERAS_HOME"])

if workflow.is_main_process:
    LOCK = FileLock(lab.root / ".lock")  # held until this process ends, however it ends
    try:
        LOCK.acquire(timeout=0)
    except Timeout:
        raise WorkflowError(f"{lab.root}: another run is at work in this workspace; wait for it, or choose another with WORKSPACE=path")
    if not workflow.output_settings.dryrun:
        take_over(workflow, logger, sys.stdout)


workdir: lab.root


onstart:
    signal.signal(signal.SIGINT, signal.default_int_handler)


onsuccess:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is done, and Python would close with a traceback


onerror:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("What is finished is kept: mend the cause and give the command again (with AGAIN=train, say, for a stage that is to")
    print(f"run again though nothing has changed). All that snakemake said: {log[0]}")


def artefact(path):
    """A path of the workspace, as rules name it."""
    return update(lab.relative(path))


def stage(name):
    """The stage's notebook."""
    return PROJECT / ("report" if name == "lab_report" else "notebooks") / f"{name}.ipynb"


def given(**values):
    """A notebook's parameters besides the workspace and the experiment file."""
    return json.dumps(values)


def scenario_of(wildcards):
    return experiment.scenario(wildcards.scenario)


def train_parameters(wildcards):
    scenario = scenario_of(wildcards)
    return given(
        scenario=scenario.name,
        protocol=wildcards.protocol,
        seed=int(wildcards.seed),
        epochs=scenario.epochs,
        batch_size=scenario.batch_size,
        learning_rate=scenario.learning_rate,
    )


def manifest(wildcards):
    return lab.relative(lab.manifest(wildcards.protocol))


# Where the experiment file lies is no reason to run anything again, so it goes to the shell and not into `params`.
shell.prefix(f"set -euo pipefail; experiment={shlex.quote(str(CONFIG))}; ")
RUN = (
    f"{shlex.quote(sys.executable)} -m lab_utils.pipeline.runner {{params.notebook:q}} {{output.notebook:q}} -y {{params.given:q}}"
    ' -r workspace . -r config "$experiment" > {log:q} 2>&1'
)
SHARD = (
    f"{shlex.quote(sys.executable)} -m lab_utils.models.shards {{wildcards.protocol}} {{wildcards.backbone}} {{params.number}}"
    ' --workspace . --config "$experiment" > {log:q} 2>&1'
)
RUNS = [lab.run(protocol, scenario.name, seed) for protocol in experiment.protocols for scenario in experiment.chosen_scenarios() for seed in experiment.seeds]
BACKBONES = sorted({scenario.backbone for scenario in experiment.chosen_scenarios()})
TABLES = ("metrics", "reports", "confusion", "times", "intervals", "comparisons", "calibration", "operating_points", "published")
PUBLISHED = (PROJECT / "report" / "published.yaml").read_text()
RESULTS = {name: lab.relative(lab.results(name)) for name in TABLES}
AUDITS = ("findings", "leaks", "matches", "pairs", "shortcuts", "sources", "attribution", "examples", "audit_times")
AUDITED = {name: lab.relative(lab.results(name)) for name in AUDITS}
LOOKED_AT = [run for run in RUNS if run.name == f"seed-{experiment.seeds[0]}"]


def resources(megabytes, minutes):
    """What a cluster is asked for: measured peak memory and some, more at each further attempt (bench/README.md)."""
    return {
        "mem_mb": lambda wildcards, attempt: megabytes * attempt,
        "runtime": lambda wildcards, attempt: minutes * attempt,
    }


def shard_records(wildcards):
    """The shards' own jobs, where there are several: one alone is computed by the stage itself."""
    if experiment.shards == 1:
        return []
    return [lab.relative(lab.shard(wildcards.protocol, wildcards.backbone, number, experiment.shards)) for number in range(1, experiment.shards + 1)]


# On a cluster these run where snakemake does: they are short, or need the network.
localrules:
    download,
    weights,
    evaluate,
    report,
    render,


wildcard_constraints:
    protocol=r"[^/]+",
    scenario=r"[^/]+",
    backbone=r"[^/-]+",
    shards=r"\d+",
    number=r"\d+",
    seed=r"\d+",


# A file that is missing is made again only if it is asked for.
rule all:
    input:
        "report/lab_report.html",
        "report/lab_report.pdf",
        expand("logs/render-{format}.done", format=["html", "pdf"]),
        "report/lab_report.ipynb",
        "notebooks/10_download.ipynb",
        "notebooks/40_evaluate.ipynb",
        "notebooks/45_audit.ipynb",
        expand("notebooks/20_preprocess-{protocol}.ipynb", protocol=experiment.protocols),
        expand("notebooks/25_features-{protocol}-{backbone}.ipynb", protocol=experiment.protocols, backbone=BACKBONES),
        [lab.relative(run / "train.ipynb") for run in RUNS],


rule download:
    output:
        dataset=artefact(lab.dataset()),
        notebook="notebooks/10_download.ipynb",
    params:
        notebook=stage("10_download"),
        given=given(dataset=DATASET, phantoms=experiment.phantoms, faults=" ".join(experiment.faults)),
        fingerprint=FINGERPRINT,
        code=code_digest(stage("10_download"), ignore=PICTURES),
    log:
        "logs/10_download.log",
    shell:
        RUN


rule preprocess:
    input:
        lab.relative(lab.dataset()),  # not `ancient`: Snakemake then overlooks changes further down
    output:
        manifest=artefact(lab.manifest("{protocol}")),
        findings=artefact(lab.findings("{protocol}")),
        record=artefact(lab.preprocessing("{protocol}")),
        notebook="notebooks/20_preprocess-{protocol}.ipynb",
    params:
        notebook=stage("20_preprocess"),
        given=lambda wildcards: given(protocol=wildcards.protocol),
        settings=lambda wildcards: [asdict(experiment.protocol(wildcards.protocol)), experiment.image_size],
        code=code_digest(stage("20_preprocess"), ignore=PICTURES),
    threads: ALL
    resources:
        **resources(1000, 120),
    log:
        "logs/20_preprocess-{protocol}.log",
    shell:
        RUN


# One pass computes the features of all scenarios. A scenario that comes later and needs another cut computes its own when it
# is trained: which scenarios there are is no setting here, so that a new one does not retrain the others.
rule features:
    input:
        manifest,
        shard_records,
    output:
        record=artefact(lab.extraction("{protocol}", "{backbone}")),
        notebook="notebooks/25_features-{protocol}-{backbone}.ipynb",
    params:
        notebook=stage("25_features"),
        given=lambda wildcards: given(protocol=wildcards.protocol, backbone=wildcards.backbone),
        settings=[experiment.weights, experiment.storage],
        code=code_digest(stage("25_features"), ignore=PICTURES),
    threads: ALL
    resources:
        **resources(2000, 240),
    log:
        "logs/25_features-{protocol}-{backbone}.log",
    shell:
        RUN


rule weights:
    input:
        manifest,
    output:
        record=lab.relative(lab.weights("{protocol}", "{backbone}")),
    params:
        number="",
        settings=[experiment.weights, experiment.storage],
        code=code_digest(PROJECT / "lab_utils" / "models" / "shards.py", ignore=PICTURES),
    log:
        "logs/25_features-{protocol}-{backbone}-weights.log",
    shell:
        SHARD


rule shard:
    input:
        rules.weights.output.record,
    output:
        lab.relative(lab.shard("{protocol}", "{backbone}", "{number}", "{shards}")),
    params:
        number="{number}",
        settings=[experiment.weights, experiment.storage],
        code=code_digest(PROJECT / "lab_utils" / "models" / "shards.py", ignore=PICTURES),
    threads: ALL
    resources:
        **resources(2000, 240),
    log:
        "logs/25_features-{protocol}-{backbone}-{number}of{shards}.log",
    shell:
        SHARD


rule train:
    input:
        manifest,
        features=lambda wildcards: lab.relative(lab.extraction(wildcards.protocol, scenario_of(wildcards).backbone)),
    output:
        history=artefact(lab.run("{protocol}", "{scenario}", "{seed}") / "history.csv"),
        predictions=artefact(lab.run("{protocol}", "{scenario}", "{seed}") / "predictions.csv"),
        model=artefact(lab.run("{protocol}", "{scenario}", "{seed}") / "model.keras"),
        record=artefact(lab.run("{protocol}", "{scenario}", "{seed}") / "run.json"),
        notebook=lab.relative(lab.run("{protocol}", "{scenario}", "{seed}") / "train.ipynb"),
    params:
        notebook=stage("30_train"),
        given=train_parameters,
        settings=lambda wildcards: [asdict(scenario_of(wildcards)), experiment.weights],
        code=code_digest(stage("30_train"), ignore=PICTURES),
    threads: 2
    resources:
        **resources(2000, 480),
    log:
        "logs/30_train-{protocol}-{scenario}-{seed}.log",
    shell:
        RUN


rule evaluate:
    input:
        [lab.relative(run / name) for run in RUNS for name in ("predictions.csv", "run.json")],
    output:
        **{name: update(path) for name, path in RESULTS.items()},
        notebook="notebooks/40_evaluate.ipynb",
    params:
        notebook=stage("40_evaluate"),
        given=given(),
        settings=[asdict(scenario) for scenario in experiment.chosen_scenarios()],
        published=PUBLISHED,
        code=code_digest(stage("40_evaluate")),
    log:
        "logs/40_evaluate.log",
    shell:
        RUN


rule audit:
    input:
        expand(lab.relative(lab.findings("{protocol}")), protocol=experiment.protocols),
        [lab.relative(run / name) for run in LOOKED_AT for name in ("model.keras", "run.json")],
    output:
        **{name: update(path) for name, path in AUDITED.items()},
        notebook="notebooks/45_audit.ipynb",
    params:
        notebook=stage("45_audit"),
        given=given(),
        code=code_digest(stage("45_audit"), ignore=PICTURES),
    threads: ALL
    resources:
        **resources(3000, 240),
    log:
        "logs/45_audit.log",
    shell:
        RUN


rule report:
    input:
        [*RESULTS.values(), *AUDITED.values()],
    output:
        notebook="report/lab_report.ipynb",
    params:
        notebook=stage("lab_report"),
        given=given(),
        settings=[experiment.title, experiment.author, [asdict(scenario) for scenario in experiment.known_scenarios.values()]],
        published=PUBLISHED,
        code=code_digest(stage("lab_report")),
    log:
        "logs/lab_report.log",
    shell:
        RUN


rule render:
    input:
        "report/lab_report.ipynb",
        PROJECT / "lab_utils" / "reporting" / "exporters.py",
        sorted((PROJECT / "report" / "templates" / "lab_report").iterdir()),
    output:
        page=update("report/lab_report.{format}"),
        done=touch("logs/render-{format}.done"),
    wildcard_constraints:
        format="html|pdf",
    log:
        "logs/render-{format}.log",
    shell:
        f"{shlex.quote(sys.executable)} -m nbconvert --to lab-{{wildcards.format}} --output-dir report {{input[0]:q}} > {{log:q}} 2>&1"
