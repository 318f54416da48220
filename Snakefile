# The stages of the lab in order. `make report` runs it; so does `snakemake` in an environment that has the lab installed.
# A rule depends on files, on values of the experiment file and on the code that it runs (both are `params`). A change of
# the report, a figure or a scenario therefore reruns only what depends on it.
# Artefacts are `update`: a stage that fails leaves those of the last good run in place. Its executed notebook (a marker
# where there is none) is not. It is deleted when the stage starts and written when the stage ends, so a failed stage
# runs again.

import json
import os
import shlex
import signal
import sys


def leave(*_):
    os.write(2, b"\ninterrupted before any stage started; give the command again\n")
    os._exit(130)


if workflow.is_main_process:
    signal.signal(signal.SIGINT, leave)  # until jobs start: Snakemake would show a traceback

from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.logging import logger

from lab_utils.core.catalogue import tables_of
from lab_utils.core.errors import LabError
from lab_utils.core.files import digest
from lab_utils.core.plan import applied_protocols, left_out, planned_protocols
from lab_utils.data.dataset import source_fingerprint
from lab_utils.data.external import collection_sources
from lab_utils.pipeline.code_digest import stage_digest
from lab_utils.pipeline.environment import GIVEN, replace_environment, stage_environment
from lab_utils.pipeline.fork_server import start_server
from lab_utils.pipeline.planning import discard_altered, lock, open_setup
from lab_utils.pipeline.terminal import take_over

PROJECT = Path(workflow.basedir)
PUBLISHED = (PROJECT / "report" / "published.yaml").read_text()
CHECKLIST = (PROJECT / "report" / "checklist.yaml").read_text()
DATASET = FINGERPRINT = ""  # jobs of a cluster do not plan


@cache
def outside_sources():
    """Return the paths of the outside collections, and what changes when their files do."""
    return collection_sources(experiment.collections)


try:
    handed_on = not workflow.is_main_process and GIVEN in os.environ  # names as typed, which `config` no longer has
    config_file, experiment, workspace = open_setup({} if handed_on else config, sys.argv)
    replace_environment(stage_environment(os.environ, workspace.root))
    if workflow.is_main_process:
        DATASET, FINGERPRINT = source_fingerprint(experiment.dataset)
        outside_sources()
        LOCK = lock(workspace)
        for name in discard_altered(workspace):
            print(f"  {name}: altered since its stage wrote it, so the stage runs again")
        for name, reason in left_out(experiment, workspace).items():
            print(f"  protocol {name} is left out: {reason}")
        if not workflow.output_settings.dryrun:
            take_over(workflow, logger, sys.stdout)
except LabError as error:
    raise WorkflowError(str(error))


os.chdir(workspace.root)  # where the option --directory makes Snakemake ignore the next line


workdir: workspace.root


onstart:
    if workflow.local_exec:
        start_server()
    signal.signal(signal.SIGINT, signal.default_int_handler)


onsuccess:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # every stage is done, and Python would close with a traceback


onerror:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    print("Finished stages are kept. Correct the cause and give the command again. AGAIN=train (say) repeats a stage although")
    print(f"nothing has changed. Snakemake's log: {log[0]}")


def place(path):
    """Name a path of the workspace as rules do."""
    return workspace.relative(path)


def tables(stage):
    """Return the tables that a stage writes, by name; their paths have Snakemake's wildcards."""
    return {name: update(table.path) for name, table in tables_of(stage).items()}


def params_of(name, parameters=lambda wildcards: {}, settings=lambda wildcards: []):
    """Return what a stage depends on besides files; `parameters` and `settings` get the rule's wildcards."""
    notebook = f"{'report' if name == 'lab_report' else 'notebooks'}/{name}.ipynb"
    return {
        "notebook": notebook,
        "parameters": lambda wildcards: json.dumps(parameters(wildcards)),
        "settings": settings,
        "tables": [[name, *((column, value.kind) for column, value in table.columns.items())] for name, table in tables_of(name).items()],
        "code": stage_digest(PROJECT / notebook),
    }


def settings_of(model):
    """Return the values of a protocol or scenario; its title computes nothing."""
    return model.model_dump(exclude={"title"})


def scenario_of(wildcards):
    return experiment.scenario(wildcards.scenario)


def threads_beside(jobs):
    """Return the threads of a rule of which so many jobs can run at a time; a cluster's profile has its own."""
    return lambda wildcards: max(1, (workflow.resource_settings.cores or 1) // jobs)


def resources_of(megabytes, minutes):
    """Return what a job requests on a cluster: measured peak memory and a margin, more at each further attempt."""
    return {
        "mem_mb": lambda wildcards, attempt: megabytes * attempt,
        "runtime": lambda wildcards, attempt: minutes * attempt,
    }


# No path of this machine is a reason to run a stage again, so these go to the shell, and not into `params` or commands.
PATHS = {"python": sys.executable, "project": PROJECT, "experiment": config_file}
shell.prefix(f"set -euo pipefail; {' '.join(f'{name}={shlex.quote(str(path))}' for name, path in PATHS.items())}; ")
RUN = (
    '"$python" -m lab_utils.pipeline.forked lab_utils.pipeline.runner "$project"/{params.notebook:q} {output.notebook:q}'
    ' -y {params.parameters:q} -r workspace . -r config "$experiment" --artefacts {output:q} > {log:q} 2>&1'
)
# Where there are outside collections, audit and external run side by side. The audit takes longer: it has the cores of
# the other one when that ends. On a cluster it has those of its job.
JUDGING = 2 if experiment.collections else 1
ALL_CORES = workflow.resource_settings.cores if workflow.is_main_process else "$OMP_NUM_THREADS"
STAGE_NOTEBOOKS = [f"notebooks/{stage}.ipynb" for stage in ("10_download", "40_evaluate", "42_external", "45_audit")]
GLOSSARY = PROJECT / "docs" / "glossary.md"
RENDERERS = [*(PROJECT / "lab_utils" / "reporting" / name for name in ("exporters.py", "fonts.py", "pages.py")), *sorted((PROJECT / "report" / "templates" / "lab_report").iterdir())]
CARDS = [PROJECT / "lab_utils" / "reporting" / name for name in ("cards.py", "error_page.py")]
CARDS += sorted((PROJECT / "report" / "templates" / "lab_cards").iterdir())
SCENARIOS = experiment.chosen_scenarios()
LABELS = [scenario.label for scenario in experiment.known_scenarios.values()]
CHANGES = [[protocol.name, protocol.follows, protocol.change] for protocol in experiment.known_protocols.values()]
BACKBONES = sorted({scenario.backbone for scenario in SCENARIOS})
MANIFEST = tables_of("20_preprocess")["manifest"].path
FINDINGS = tables_of("20_preprocess")["findings"].path
FEATURES = place(workspace.extraction("{protocol}", "{backbone}"))
RUN_FOLDER = place(workspace.run("{protocol}", "{scenario}", "{seed}"))


# Stages 10 and 20 are checkpoints: when they end, Snakemake asks these functions again, which read what they recorded.
# The data may give splits, which adds a protocol, or admit no split of a protocol, which is then left out.
# After a checkpoint, Snakemake compares the contents of inputs. What follows it therefore reads its executed notebook,
# which is new each time: the manifest may be the same, although the images have another size.
def of_protocols(pattern, protocols=applied_protocols, **values):
    """Name a file of every protocol that is applied, or planned."""
    return lambda wildcards: expand(pattern, protocol=protocols(experiment, workspace), **values)


def files_of_runs(*names, seeds=experiment.seeds):
    """Name files of every run of the protocols that are applied, in the report's order."""
    return of_protocols(f"{RUN_FOLDER}/{{name}}", scenario=[scenario.name for scenario in SCENARIOS], seed=seeds, name=names)


SPLITS = of_protocols(place(workspace.preprocessing("{protocol}")), planned_protocols)


# On a cluster these rules run where snakemake runs: they are short, or need the network.
localrules:
    download,
    evaluate,
    report,
    pages,
    render,


wildcard_constraints:
    protocol=r"[^/]+",
    scenario=r"[^/]+",
    backbone=r"[^/-]+",
    seed=r"\d+",


# Snakemake makes a missing file again only if a rule asks for it.
rule all:
    input:
        "report/lab_report.html",
        "report/lab_report.pdf",
        "report/errors.html",
        expand("logs/render-{format}.done", format=["html", "pdf"]),
        "logs/pages.done",
        "report/lab_report.ipynb",
        STAGE_NOTEBOOKS,
        of_protocols("notebooks/20_preprocess-{protocol}.ipynb", planned_protocols),
        of_protocols("notebooks/25_features-{protocol}-{backbone}.ipynb", backbone=BACKBONES),
        files_of_runs("train.ipynb"),


checkpoint download:
    output:
        **tables("10_download"),
        dataset=update(place(workspace.dataset())),
        notebook="notebooks/10_download.ipynb",
    params:
        **params_of(
            "10_download",
            lambda wildcards: {"dataset": DATASET, "phantoms": experiment.phantoms, "faults": " ".join(experiment.faults)},
            lambda wildcards: [FINGERPRINT, experiment.columns],
        ),
    threads: threads_beside(1)
    log:
        "logs/10_download.log",
    shell:
        RUN


checkpoint preprocess:
    input:
        place(workspace.dataset()),  # not `ancient`: Snakemake then overlooks changes further down
        "notebooks/10_download.ipynb",
    output:
        **tables("20_preprocess"),
        record=update(place(workspace.preprocessing("{protocol}"))),
        notebook="notebooks/20_preprocess-{protocol}.ipynb",
    params:
        **params_of(
            "20_preprocess",
            lambda wildcards: {"protocol": wildcards.protocol},
            lambda wildcards: [settings_of(experiment.protocol(wildcards.protocol)), experiment.image_size],
        ),
    threads: threads_beside(len(experiment.protocols))
    resources:
        **resources_of(1000, 120),
    log:
        "logs/20_preprocess-{protocol}.log",
    shell:
        RUN


# One pass computes the features of all scenarios. A scenario that is added later and needs another cut computes its
# features when it is trained. The list of scenarios is no setting here, so that a new one does not retrain the others.
rule features:
    input:
        MANIFEST,
        "notebooks/20_preprocess-{protocol}.ipynb",
    output:
        record=update(FEATURES),
        notebook="notebooks/25_features-{protocol}-{backbone}.ipynb",
    params:
        **params_of(
            "25_features",
            lambda wildcards: {"protocol": wildcards.protocol, "backbone": wildcards.backbone},
            lambda wildcards: [experiment.weights, experiment.storage],
        ),
    threads: threads_beside(len(experiment.protocols) * len(BACKBONES))
    resources:
        **resources_of(2000, 240),
    log:
        "logs/25_features-{protocol}-{backbone}.log",
    shell:
        RUN


rule train:
    input:
        MANIFEST,
        features=lambda wildcards: FEATURES.format(protocol=wildcards.protocol, backbone=scenario_of(wildcards).backbone),
    output:
        **tables("30_train"),
        model=update(f"{RUN_FOLDER}/model.keras"),
        record=update(f"{RUN_FOLDER}/run.json"),
        notebook=f"{RUN_FOLDER}/train.ipynb",
    params:
        **params_of(
            "30_train",
            lambda wildcards: {"protocol": wildcards.protocol, "scenario": wildcards.scenario, "seed": int(wildcards.seed)},
            lambda wildcards: [settings_of(scenario_of(wildcards)), experiment.weights, experiment.precision],
        ),
    threads: threads_beside(len(experiment.protocols) * len(SCENARIOS) * len(experiment.seeds))
    resources:
        **resources_of(2000, 480),
    log:
        "logs/30_train-{protocol}-{scenario}-{seed}.log",
    shell:
        RUN


rule evaluate:
    input:
        SPLITS,
        files_of_runs("history.csv", "predictions.csv", "predictions_test.csv", "run.json"),
    output:
        **tables("40_evaluate"),
        notebook="notebooks/40_evaluate.ipynb",
    params:
        **params_of("40_evaluate", settings=lambda wildcards: [LABELS, *map(settings_of, SCENARIOS), PUBLISHED, CHANGES]),
    log:
        "logs/40_evaluate.log",
    shell:
        RUN


rule external:
    input:
        SPLITS,
        of_protocols(MANIFEST),
        files_of_runs("model.keras", "predictions.csv", "run.json"),
    output:
        **tables("42_external"),
        notebook="notebooks/42_external.ipynb",
    params:
        **params_of(
            "42_external",
            lambda wildcards: {"external": outside_sources()[0]},
            lambda wildcards: [outside_sources()[1], [one.model_dump(exclude={"path"}) for one in experiment.collections]],
        ),
    threads: threads_beside(JUDGING)
    priority: 1
    resources:
        **resources_of(3000, 240),
    log:
        "logs/42_external.log",
    shell:
        RUN


rule audit:
    input:
        SPLITS,
        of_protocols(FINDINGS),
        files_of_runs("model.keras", "run.json", "predictions.csv", seeds=experiment.seeds[:1]),
    output:
        **tables("45_audit"),
        errors=update("report/errors.html"),
        notebook="notebooks/45_audit.ipynb",
    params:
        **params_of("45_audit"),
        page=digest([path.read_text(encoding="utf-8") for path in CARDS]),
    threads: threads_beside(JUDGING)
    priority: 2  # the longest stage starts first
    resources:
        **resources_of(3000, 240),
    log:
        "logs/45_audit.log",
    shell:
        "export OMP_NUM_THREADS={ALL_CORES}; " + RUN


rule report:
    input:
        SPLITS,
        [table.path for stage in ("40_evaluate", "42_external", "45_audit") for table in tables_of(stage).values()],
    output:
        notebook="report/lab_report.ipynb",
    params:
        **params_of(
            "lab_report",
            settings=lambda wildcards: [experiment.title, experiment.author, LABELS, PUBLISHED, CHECKLIST],
        ),
    log:
        "logs/lab_report.log",
    shell:
        RUN


rule pages:
    input:
        STAGE_NOTEBOOKS,
        of_protocols("notebooks/20_preprocess-{protocol}.ipynb"),
        of_protocols("notebooks/25_features-{protocol}-{backbone}.ipynb", backbone=BACKBONES),
        files_of_runs("train.ipynb"),
    output:
        done=touch("logs/pages.done"),
    params:
        code=digest([path.read_text(encoding="utf-8") for path in [*RENDERERS, GLOSSARY]]),
    log:
        "logs/pages.log",
    shell:
        '"$python" -m lab_utils.pipeline.forked lab_utils.reporting.pages {input:q} > {log:q} 2>&1'


rule render:
    input:
        rules.report.output.notebook,
    output:
        page=update("report/lab_report.{format}"),
        done=touch("logs/render-{format}.done"),
    wildcard_constraints:
        format="html|pdf",
    params:
        exporter=lambda wildcards: f"lab_utils.reporting.exporters.Lab{wildcards.format.upper()}Exporter",
        code=digest([path.read_text(encoding="utf-8") for path in RENDERERS]),
    log:
        "logs/render-{format}.log",
    shell:
        '"$python" -m lab_utils.pipeline.forked nbconvert --to {params.exporter} --output-dir report {input[0]:q}'
        ' > {log:q} 2>&1'
