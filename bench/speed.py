"""How much faster the lab is than training without cached features, and how near to what the arithmetic allows.

``make bench`` runs it; see bench/README.md. Every measurement is a process of its own, and the two ways of training
take turns, so that a busy machine slows both.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
from common import answer, compiled_model, extractor, lab_in, measure, prepare, run_stage, seconds_of

from lab_utils.core.config import load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace, experiment_file
from lab_utils.core.provenance import provenance
from lab_utils.data.store import ensure_store

UNCACHED_EPOCHS = 2  # timed; the second is taken for each that follows


def uncached(folder: str, scenario: str) -> dict[str, float]:
    """Keras' ``fit`` of the whole network on images that tf.data decodes and resizes once and keeps in memory."""
    from lab_utils.models.runtime import keras, tf

    lab = lab_in(folder, scenario)
    plan, size = lab.scenario, lab.experiment.image_size

    def load(path: Any, label: Any) -> tuple[Any, Any]:
        image = tf.io.decode_png(tf.io.read_file(path), channels=3)
        return tf.cast(tf.image.resize(image, (size, size)), tf.uint8), label

    def pipeline(split: str) -> Any:
        rows = lab.data.rows(split)
        paths = [str(lab.dataset.root / name) for name in lab.manifest["image_id"].iloc[rows]]
        images = tf.data.Dataset.from_tensor_slices((paths, lab.data.labels[rows])).map(load, os.cpu_count()).cache()
        images = images.shuffle(len(rows)) if split == "train" else images
        options = tf.data.Options()
        options.autotune.enabled = False  # its thread sleeps 10, 20, 40, ... ms, and an epoch's end waits for it
        return images.batch(plan.batch_size).prefetch(2).with_options(options)

    began = time.perf_counter()
    backbone, _ = lab.obtain_backbone()
    model = compiled_model(lab, backbone)
    optimizer = keras.optimizers.Adam(plan.learning_rate)
    model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    build = time.perf_counter() - began
    train, validation = pipeline("train"), pipeline("validation")
    first, *_, later = (
        seconds_of(lambda: model.fit(train, validation_data=validation, epochs=1, shuffle=False, verbose=0))
        for _ in range(UNCACHED_EPOCHS)
    )
    predict = seconds_of(lambda: model.predict(validation, verbose=0))
    return {"seconds": build + first + (plan.epochs - 1) * later + predict, "first": first, "later": later}


def cached(folder: str, *scenarios: str) -> dict[str, float]:
    """Some scenarios from image files to predictions: image store, features and training, nothing kept from before."""
    from lab_utils.models.features import features_by_depth
    from lab_utils.models.training import fit, predict

    lab = lab_in(folder)
    for place in (lab.workspace.images(""), lab.workspace.features("")):
        rmtree(place, ignore_errors=True)
    size, plans = lab.experiment.image_size, [lab.experiment.scenario(name) for name in scenarios]
    times = {
        "store": seconds_of(lambda: ensure_store(lab.dataset, lab.manifest, lab.protocol, size, lab.workspace)),
        "features": seconds_of(
            lambda: features_by_depth(
                lab.obtain_backbone()[0], lab.scaling_layer(), [plan.trainable_convs for plan in plans], lab.data
            )
        ),
    }
    for plan in plans:
        began = time.perf_counter()
        model = compiled_model(lab_in(folder, plan.name), lab.obtain_backbone()[0])
        fit(model, lab.data, epochs=plan.epochs, batch_size=plan.batch_size)
        predict(model, lab.data)
        times[plan.name] = time.perf_counter() - began
    return {"seconds": sum(times.values()), **times}


def features_rate(folder: str, engine: str, batch: str = "1") -> dict[str, float]:
    """Images per second through all frozen layers; `batch` is TensorFlow's, LiteRT takes one image at a time."""
    from lab_utils.models import engine as engines

    lab, engines.BATCH = lab_in(folder), int(batch)
    frozen = extractor(lab, lab.obtain_backbone()[0], lab.experiment.convs_of(lab.scenario.backbone))
    few, many = (int(batch) * (count // int(batch)) for count in (len(lab.data) // 8, len(lab.data) // 2))

    def run(count: int) -> None:
        frozen.run(lab.images[:count], lambda start, blocks: None, engine=engine)

    run(int(batch))
    return {"rate": (many - few) / (seconds_of(lambda: run(many)) - seconds_of(lambda: run(few)))}


def training_step(folder: str, scenario: str) -> dict[str, float]:
    """A training step of Keras on features in memory, and the matrix products that it is made of, as sgemm.

    sgemm is float32 also where the step's products are bfloat16, so that the ratio can be larger than 1.
    """
    from lab_utils.models.matrix_product import MatrixProduct
    from lab_utils.models.runtime import keras, tf
    from lab_utils.models.training import TrainablePart

    lab = lab_in(folder, scenario)
    size, rows = lab.scenario.batch_size, np.arange(lab.scenario.batch_size)
    part = TrainablePart.of(compiled_model(lab, lab.obtain_backbone()[0]), lab.data)
    optimizer = keras.optimizers.Adam(lab.scenario.learning_rate)
    part.model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
    part.model.make_train_function()
    batches = iter(tf.data.Dataset.from_tensors((part.inputs[rows], lab.data.labels[rows])).repeat())
    products = []  # (rows, inner, columns) of the products of a step: forward, gradient of the weights, of the inputs
    layers = [layer for layer in part.model.layers if isinstance(layer, MatrixProduct | keras.layers.Dense)]
    for place, layer in enumerate(layers):
        inner, columns = (layer.layer if isinstance(layer, MatrixProduct) else layer).kernel.shape[-2:]
        count = size * int(np.prod(layer.output.shape[1:-1]))  # positions: 1 behind pooling
        products += [(count, inner, columns), (inner, count, columns)]
        products += [(count, columns, inner)] if place else []
    random = np.random.default_rng(0)
    operands = [[random.random(s, np.float32) for s in (shape[:2], shape[1:], shape[::2])] for shape in products]

    def multiply() -> None:
        for left, right, out in operands:
            np.matmul(left, right, out=out)

    def step() -> None:
        keras.tree.map_structure(np.asarray, part.model.train_function(batches))

    step()
    times: dict[Callable[[], None], list[float]] = {step: [], multiply: []}
    for work in 4 * list(times):
        time.sleep(0.5)  # OpenBLAS' threads spin for a while after a product and would slow what comes next
        times[work] += [seconds_of(work) for _ in range(10)]
    flops = sum(2 * a * b * c for a, b, c in products)
    lab_step, sgemm = (median(times[work]) for work in (step, multiply))
    rates = {"gflops": flops / lab_step / 1e9, "sgemm_gflops": flops / sgemm / 1e9}
    return {"ratio": sgemm / lab_step, "step_ms": 1e3 * lab_step, **rates}


MEASURES: dict[str, Callable[..., dict[str, float]]] = {
    function.__name__: function for function in (uncached, cached, features_rate, training_step)
}


def compare(folder: str, scenarios: tuple[str, ...], rounds: int) -> dict[str, dict[str, float]]:
    """All comparisons, as medians over rounds in which the two ways take turns."""

    def value(key: str, name: str, *words: str) -> float:
        return float(measure(__file__, name, folder, *words)[0][key])

    ratios: dict[str, list[float]] = {name: [] for name in (*scenarios, "all")}
    for _ in range(rounds):
        seconds = {}
        for name in scenarios:
            seconds[name] = value("seconds", "uncached", name)
            ratios[name].append(seconds[name] / value("seconds", "cached", name))
        ratios["all"].append(sum(seconds.values()) / value("seconds", "cached", *scenarios))
    rates: dict[str, list[float]] = {"litert": [], "tensorflow 32": [], "tensorflow 64": [], "tensorflow 128": []}
    for _ in range(rounds):
        for way in rates:
            rates[way].append(value("rate", "features_rate", *way.split()))
    steps = {name: [value("ratio", "training_step", name) for _ in range(rounds)] for name in scenarios}
    tables = {"uncached / cached": ratios, "images/s": rates, "sgemm / training step": steps}
    return {kind: {name: round(median(v), 2) for name, v in table.items()} for kind, table in tables.items()}


def stage_memory(workspace: Path, dataset: str) -> dict[str, float]:
    """Peak memory (GB) of every stage under one protocol, run as a notebook, with its kernel."""
    experiment, config = load_experiment(), workspace / "one_protocol.yaml"
    run = {"protocols": experiment.protocols[:1], "scenarios": experiment.scenarios, "seeds": experiment.seeds[:1]}
    workspace.mkdir(parents=True, exist_ok=True)
    config.write_text(json.dumps({"base": str(experiment_file()), "run": run}), encoding="utf-8")
    stages: dict[str, dict[str, Any]] = {
        "10_download": {"dataset": dataset},
        "20_preprocess": {},
        "25_features": {},
        **{f"30_train {name}": {"scenario": name, "epochs": 3} for name in experiment.scenarios},
        "40_evaluate": {},
    }
    return {
        name: round(run_stage(workspace, name, config=str(config), **values)[1], 2) for name, values in stages.items()
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
        answer(MEASURES[name], *words)
        return
    folder = Workspace.open(given.workspace).root / "bench"
    prepare(given.dataset, folder / "run")
    result = compare(str(folder / "run"), load_experiment().scenarios, given.rounds)
    result["peak memory (GB)"] = stage_memory(folder / "memory", given.dataset)
    write_json(folder / "speed.json", {**result, "rounds": given.rounds, "dataset": given.dataset, **provenance()})
    rows = [(kind, name, value) for kind, values in result.items() for name, value in values.items()]
    print(pd.DataFrame(rows, columns=["measure", "of", "value"]).to_string(index=False))


if __name__ == "__main__":
    main()
