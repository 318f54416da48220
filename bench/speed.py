"""How much faster the lab is than training the plain way, and how near to what the arithmetic allows.

``make bench`` runs it; see bench/README.md. Every measurement is a process of its own, and the plain way and the lab
take turns, so that a busy machine slows both.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import psutil

from lab_utils.core.catalogue import read_table, write_table
from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace, project_root
from lab_utils.core.provenance import provenance
from lab_utils.data.dataset import load_dataset, obtain
from lab_utils.data.manifest import build_manifest
from lab_utils.data.store import ensure_store, open_store

PROTOCOL = "described"
PLAIN_EPOCHS = 2  # timed; the second stands for those that follow


def seconds_of(work: Callable[[], object]) -> float:
    """Wall time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def prepare(dataset: str, lab: Workspace) -> None:
    """Stages 10 and 20: what both ways start from."""
    experiment = load_experiment()
    data, rules = obtain(dataset, lab, phantoms=experiment.phantoms), experiment.protocol(PROTOCOL)
    manifest, _ = build_manifest(data, rules)
    write_table(lab, "manifest", manifest, protocol=PROTOCOL)
    write_json(lab.preprocessing(PROTOCOL), {"store": ensure_store(data, manifest, rules, experiment.image_size, lab)})


def plain_way(lab: Workspace, scenario: str) -> dict[str, float]:
    """Keras' ``fit`` of the whole network on images that tf.data decodes and resizes once and keeps in memory."""
    from lab_utils.models.network import build_network

    from lab_utils.models.backbone import obtain_backbone
    from lab_utils.models.runtime import keras, tf

    experiment, data = load_experiment(), load_dataset(lab)
    plan, size, classes = experiment.scenario(scenario), experiment.image_size, list(data.classes)
    manifest = read_table(lab, "manifest", protocol=PROTOCOL)

    def load(path: Any, label: Any) -> tuple[Any, Any]:
        image = tf.io.decode_png(tf.io.read_file(path), channels=3)
        return tf.cast(tf.image.resize(image, (size, size)), tf.uint8), tf.one_hot(label, len(classes))

    def pipeline(side: str) -> Any:
        own = manifest[manifest["split"] == side]
        paths, codes = [str(data.root / name) for name in own["image_id"]], [classes.index(c) for c in own["class"]]
        images = tf.data.Dataset.from_tensor_slices((paths, codes)).map(load, os.cpu_count()).cache()
        images = images.shuffle(len(own)) if side == "train" else images
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread sleeps 10, 20, 40, ... ms, and an epoch's end waits for it
        return images.batch(plan.batch_size).prefetch(2).with_options(options)

    began = time.perf_counter()
    backbone, _ = obtain_backbone(plan.backbone, size, weights=experiment.weights, synthetic=data.synthetic)
    model = build_network(plan, backbone, len(classes), scaling="unit", seed=0).full
    optimizer = keras.optimizers.Adam(plan.learning_rate)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    build = time.perf_counter() - began
    train, validation = pipeline("train"), pipeline("validation")
    first, *_, later = (
        seconds_of(lambda: model.fit(train, validation_data=validation, epochs=1, verbose=0))
        for _ in range(PLAIN_EPOCHS)
    )
    predict = seconds_of(lambda: model.predict(validation, verbose=0))
    return {"seconds": build + first + (plan.epochs - 1) * later + predict, "first": first, "later": later}


def lab_way(lab: Workspace, *scenarios: str) -> dict[str, float]:
    """Some scenarios from image files to predictions: image store, features and training, nothing kept from before."""
    from lab_utils.models.network import build_network

    from lab_utils.models.backbone import load_backbone
    from lab_utils.models.features import ensure_features, extract
    from lab_utils.models.training import fit

    experiment = load_experiment(run={"scenarios": list(scenarios), "seeds": [0]})
    data, rules = load_dataset(lab), experiment.protocol(PROTOCOL)
    manifest = read_table(lab, "manifest", protocol=PROTOCOL)
    for folder in (lab.images(""), lab.features("")):
        rmtree(folder, ignore_errors=True)
    times = {"store": seconds_of(lambda: ensure_store(data, manifest, rules, experiment.image_size, lab))}
    for plan in experiment.chosen_scenarios():
        if "features" not in times:
            began = time.perf_counter()
            extraction = extract(experiment, rules, plan.backbone, lab)
            times["features"] = time.perf_counter() - began
        began = time.perf_counter()
        backbone = load_backbone(lab, extraction.backbone_key)
        network = build_network(plan, backbone, len(data.classes), scaling=rules.scaling, seed=0)
        (features,) = ensure_features(extraction, backbone, [plan.trainable_convs], lab)
        fit(network, plan, features, manifest, list(data.classes), seed=0)
        times[plan.name] = time.perf_counter() - began
    return {"seconds": sum(times.values()), **times}


def extraction_rate(lab: Workspace, engine: str, batch: str = "1") -> dict[str, float]:
    """Images per second through the prefix, all cuts at once; `batch` is TensorFlow's, LiteRT takes one at a time."""
    from lab_utils.models import prefix as prefix_module
    from lab_utils.models.backbone import load_backbone, trunk_of
    from lab_utils.models.features import cuts_of, load_extraction

    extraction = load_extraction(PROTOCOL, "MobileNetV2", lab)
    images, backbone = open_store(lab, extraction.store_key), load_backbone(lab, extraction.backbone_key)
    cuts = cuts_of(backbone, load_experiment().convs_of(extraction.backbone))
    prefix = prefix_module.Prefix(trunk_of(backbone), cuts, extraction.backbone, extraction.scaling, images.shape[1:])
    prefix_module.BATCH = int(batch)
    few, many = (int(batch) * (count // int(batch)) for count in (len(images) // 8, len(images) // 2))

    def run(count: int) -> None:
        prefix.run(images[:count], lambda start, blocks: None, engine=engine)

    run(int(batch))
    return {"rate": (many - few) / (seconds_of(lambda: run(many)) - seconds_of(lambda: run(few)))}


def suffix_step(lab: Workspace, scenario: str) -> dict[str, float]:
    """A training step on features in memory, and the matrix products that it is made of, as sgemm."""
    from lab_utils.models.network import MatrixProduct, build_network

    from lab_utils.models.backbone import load_backbone
    from lab_utils.models.features import ensure_features, load_extraction
    from lab_utils.models.runtime import keras, tf
    from lab_utils.models.training import compiled_steps

    plan = load_experiment().scenario(scenario)
    extraction = load_extraction(PROTOCOL, plan.backbone, lab)
    backbone = load_backbone(lab, extraction.backbone_key)
    network = build_network(plan, backbone, 4, scaling="unit", seed=0)
    (features,) = ensure_features(extraction, backbone, [plan.trainable_convs], lab)
    rows = np.arange(plan.batch_size)
    batch, labels = tf.constant(features.rows(rows)), np.eye(4, dtype=np.float32)[rows % 4]
    steps = compiled_steps(network.suffix, plan.learning_rate)
    positions = int(np.prod(features.shape[1:-1])) if len(features.shape) > 2 else 1
    products = []  # (rows, inner, columns) of the products of a step: forward, gradient of the weights, of the inputs
    layers = [one for one in network.suffix.layers if isinstance(one, MatrixProduct | keras.layers.Dense)]
    for place, layer in enumerate(layers):
        kernel = layer.convolution.kernel if isinstance(layer, MatrixProduct) else layer.kernel
        inner, columns = kernel.shape[-2:]
        count = plan.batch_size * (positions if isinstance(layer, MatrixProduct) else 1)
        products += [(count, inner, columns), (inner, count, columns)]
        products += [(count, columns, inner)] if place else []
    random = np.random.default_rng(0)
    operands = [[random.random(s, np.float32) for s in (shape[:2], shape[1:], shape[::2])] for shape in products]

    def multiply() -> None:
        for left, right, out in operands:
            np.matmul(left, right, out=out)

    def step() -> None:
        np.asarray(steps.train(batch, labels, np.ones(len(rows), np.float32)))

    step()
    times: dict[Callable[[], None], list[float]] = {step: [], multiply: []}
    for work in 4 * list(times):
        time.sleep(0.5)  # OpenBLAS' threads spin for a while after a product, in the way of whatever comes next
        times[work] += [seconds_of(work) for _ in range(10)]
    flops = sum(2 * a * b * c for a, b, c in products)
    ours, sgemm = (median(times[work]) for work in (step, multiply))
    return {"ratio": sgemm / ours, "step_ms": 1e3 * ours, "gflops": flops / ours / 1e9, "sgemm": flops / sgemm / 1e9}


@contextmanager
def watching(process: subprocess.Popen[bytes]) -> Iterator[list[float]]:
    """Keep the largest memory (GB) of a process and those it started in the list's only place."""
    peak = [0.0]
    yield peak
    while process.poll() is None:
        try:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            peak[0] = max(peak[0], sum(one.memory_info().rss for one in family) / 1e9)
        except psutil.Error:
            pass
        time.sleep(0.1)


def peak_memory(lab: Workspace, config: Path, dataset: str) -> dict[str, float]:
    """Peak resident memory (GB) of every stage, run as the notebook that it is, with its kernel."""
    stages: dict[str, dict[str, Any]] = {
        "10_download": {"dataset": dataset},
        "20_preprocess": {},
        "25_features": {},
        **{f"30_train {name}": {"scenario": name, "epochs": 3} for name in load_experiment(str(config)).scenarios},
        "40_evaluate": {},
    }
    return {name: run_stage(lab, config, name, **values)[1] for name, values in stages.items()}


def run_stage(lab: Workspace, config: Path, name: str, **values: object) -> tuple[float, float]:
    """Run a stage's notebook, named by the first word of `name`: seconds, and peak resident memory (GB)."""
    given = json.dumps({"workspace": str(lab.root), "config": str(config), **values})
    notebook = project_root() / "notebooks" / f"{name.split()[0]}.ipynb"
    words = [
        "-m",
        "lab_utils.pipeline.runner",
        str(notebook),
        str(lab.root / "notebooks" / f"{name}.ipynb"),
        "-y",
        given,
    ]
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with watching(process) as peak:
        pass
    seconds = time.perf_counter() - began
    if process.returncode:
        raise SystemExit(f"{name}: failed; see {lab.root / 'notebooks'}")
    print(f"  {name}: {seconds:.0f} s, {peak[0]:.2f} GB", flush=True)
    return seconds, peak[0]


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    "plain": plain_way,
    "lab": lab_way,
    "rate": extraction_rate,
    "suffix": suffix_step,
}


def measure(lab: Workspace, *words: str) -> dict[str, float]:
    """One measurement in a process of its own."""
    command = [sys.executable, __file__, "--workspace", str(lab.root), "--measure", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    print(" ", *words, {name: round(value, 2) for name, value in found.items()}, flush=True)
    return found


def compare(lab: Workspace, experiment: Experiment, rounds: int) -> dict[str, Any]:
    """All comparisons, as medians over rounds in which the two ways take turns."""
    names = list(experiment.scenarios)
    ratios: dict[str, list[float]] = {name: [] for name in ("whole", *names)}
    for _ in range(rounds):
        plain = {}
        for name in names:
            plain[name] = measure(lab, "plain", name)["seconds"]
            ratios[name].append(plain[name] / measure(lab, "lab", name)["seconds"])
        ratios["whole"].append(sum(plain.values()) / measure(lab, "lab", *names)["seconds"])
    rates: dict[str, list[float]] = {"litert": [], "tensorflow 32": [], "tensorflow 64": [], "tensorflow 128": []}
    for _ in range(rounds):
        for way, found in rates.items():
            found.append(measure(lab, "rate", *way.split())["rate"])
    best = max(median(found) for way, found in rates.items() if way.startswith("tensorflow"))
    suffix = {name: [measure(lab, "suffix", name)["ratio"] for _ in range(rounds)] for name in names}
    return {
        "plain_over_lab": {name: round(median(found), 1) for name, found in ratios.items()},
        "extraction_over_tensorflow": round(median(rates["litert"]) / best, 2),
        "suffix_over_sgemm": {name: round(median(found), 2) for name, found in suffix.items()},
    }


def main() -> None:
    """Measure everything and write speed.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, *words = given.measure
        sys.stdout, standard = sys.stderr, sys.stdout
        print(json.dumps(MEASURES[name](Workspace.open(given.workspace), *words)), file=standard)
        return
    folder = Workspace.open(given.workspace).root / "bench"
    lab, experiment = Workspace.open(str(folder / "run")), load_experiment()
    prepare(given.dataset, lab)
    result = compare(lab, experiment, given.rounds)
    peaks = peak_memory(Workspace.open(str(folder / "memory")), project_root() / "lab.yaml", given.dataset)
    result["peak_rss_gb"] = {name: round(peak, 2) for name, peak in peaks.items()}
    write_json(folder / "speed.json", {**result, "rounds": given.rounds, "dataset": given.dataset, **provenance()})
    rows = [(kind, name, value) for kind, values in result.items() for name, value in _items(values)]
    print(pd.DataFrame(rows, columns=["measure", "of", "value"]).to_string(index=False))
    print(f"\n{folder / 'speed.json'}")


def _items(values: Any) -> list[tuple[str, float]]:
    return list(values.items()) if isinstance(values, dict) else [("", values)]


if __name__ == "__main__":
    main()
