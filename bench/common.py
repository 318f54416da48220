"""What the benchmarks share: a lab without notebooks, seconds, memory, and measurements in processes of their own."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import psutil

from lab_utils.core.config import load_experiment
from lab_utils.core.paths import Workspace, project_root
from lab_utils.data.manifest import build_manifest
from lab_utils.data.quality import collect_findings
from lab_utils.data.store import ensure_store
from lab_utils.lab import Lab

PROTOCOL = "described"


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def lab_in(folder: str | Path, scenario: str = "fc_only") -> Lab:
    """Open a lab that writes into a folder, as the pipeline does."""
    experiment = load_experiment()
    return Lab(
        Workspace.open(str(folder)), experiment, experiment.protocol(PROTOCOL), experiment.scenario(scenario), seed=0
    )


def prepare(dataset: str, folder: str | Path) -> Lab:
    """Run stages 10 and 20 without their notebooks."""
    lab = lab_in(folder)
    data = lab.obtain(dataset)
    manifest, left_out = build_manifest(data, lab.protocol)
    store = ensure_store(data, manifest, lab.protocol, lab.experiment.image_size, lab.workspace)
    lab.save_preprocessing(manifest, collect_findings(data, manifest, left_out, lab.protocol), store)
    return lab


def compiled_model(lab: Lab, backbone: Any, *, seed: int = 0) -> Any:
    """Build and compile the model of the lab's scenario on a backbone, as notebook 30_train does."""
    from lab_utils.models.architecture import build_model

    return build_model(lab.scenario, backbone, lab.scaling_layer(), lab.data.shape, len(lab.classes), seed=seed)


def extractor(lab: Lab, backbone: Any, depths: list[int]) -> Any:
    """The frozen layers of a backbone for some depths of fine-tuning, as `features_by_depth` runs them."""
    from lab_utils.models.backbone import trunk_of
    from lab_utils.models.convolutions import last_convolutions
    from lab_utils.models.cut import graph_of
    from lab_utils.models.engine import FeatureExtractor
    from lab_utils.models.runtime import keras

    graph = graph_of(trunk_of(backbone, lab.scaling_layer(), lab.data.shape))
    trained = [last_convolutions(backbone, depth) for depth in depths]
    places = [graph.cut_place(lambda layer, layers=layers: layer in layers) for layers in trained]
    outputs = [graph.steps[place].output for place in places]
    return FeatureExtractor(keras.Model(graph.input, outputs), lab.images.shape[1:])


def measure(script: str, *words: str) -> tuple[Any, float]:
    """Measure in a process of its own, which calls `answer`: the result, and the process's peak memory (GB)."""
    with TemporaryFile() as errors:
        command = [sys.executable, script, "--measure", *words]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors)
        peak = peak_memory(process)
        if process.returncode:
            errors.seek(0)
            raise SystemExit(errors.read().decode())
        result = json.loads(process.stdout.read())
    print(" ", *words, result, f"{peak:.2f} GB", flush=True)
    return result, peak


def answer(measurement: Callable[..., Any], *words: str) -> None:
    """In the process that `measure` starts: print the result of a measurement, and nothing else."""
    sys.stdout, standard = sys.stderr, sys.stdout
    print(json.dumps(measurement(*words)), file=standard)


def peak_memory(process: subprocess.Popen[bytes]) -> float:
    """Wait for a process; the largest memory (GB) of it and those it started."""
    peak = 0.0
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak = max(peak, sum(member.memory_info().rss for member in family) / 1e9)
        except psutil.Error:
            pass
        time.sleep(0.1)
    return peak


def run_stage(workspace: Path, name: str, **values: object) -> tuple[float, float]:
    """Run a stage's notebook, named by the first word of `name`: seconds, and peak memory (GB) with its kernel."""
    notebook, output = project_root() / "notebooks" / f"{name.split()[0]}.ipynb", workspace / "notebooks"
    given = json.dumps({"workspace": str(workspace), **values})
    words = ["-m", "lab_utils.pipeline.runner", str(notebook), str(output / f"{name}.ipynb"), "-y", given]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = peak_memory(process)
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{name}: failed; see {output}")
    print(f"  {name}: {seconds:.0f} s, {peak:.2f} GB", flush=True)
    return seconds, peak
