"""Do training on cached features and training without them end at the same accuracy? Five seeds of each.

Cached training is also run with other number formats: of features on disk, and of matrix products.

``make bench-agreement`` runs it. Training on images takes minutes a run, so Keras' own ``fit`` with Keras' own layers
stands in for it, on features that TensorFlow computed: the same function of the same weights.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
from common import compiled_model, extractor, lab_in, prepare

from lab_utils.core.config import load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.core.provenance import provenance
from lab_utils.lab import Lab
from lab_utils.models.cut import graph_of
from lab_utils.models.runtime import keras, tf
from lab_utils.models.training import fit

SEEDS = range(5)


def cached(lab: Lab, seeds: Sequence[int], *, storage: str = "float32", precision: str = "float32") -> list[float]:
    """Final validation accuracy of each seed, trained by the lab."""
    data, plan, accuracies = replace(lab.data, storage=storage, precision=precision), lab.scenario, []
    for seed in seeds:
        backbone, _ = lab.obtain_backbone()
        model = compiled_model(lab, backbone, seed=seed)
        history = fit(model, data, epochs=plan.epochs, batch_size=plan.batch_size, seed=seed)
        accuracies.append(float(history["val_accuracy"].iloc[-1]))
    return accuracies


def uncached(lab: Lab, seeds: Sequence[int]) -> list[float]:
    """The same by Keras alone: TensorFlow's features, Keras' layers, Keras' ``fit``."""
    data, plan, accuracies = lab.data, lab.scenario, []
    backbone, _ = lab.obtain_backbone()
    frozen = extractor(lab, backbone, [plan.trainable_convs])
    features = np.empty((len(data), *frozen.shapes[0]), np.float32)

    def write(start: int, blocks: Sequence[np.ndarray]) -> None:
        features[start : start + len(blocks[0])] = blocks[0]

    frozen.run(data.images, write, engine="tensorflow")
    train, validation = data.rows("train"), data.rows("validation")
    for seed in seeds:
        backbone, _ = lab.obtain_backbone()
        graph = graph_of(compiled_model(lab, backbone, seed=seed))
        part = graph.part(graph.cut_place(), len(graph.steps) - 1)
        optimizer = keras.optimizers.Adam(plan.learning_rate)
        part.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        # Given arrays and a global seed, Keras' fit repeats one order of the batches in every epoch; tf.data does not.
        pairs = tf.data.Dataset.from_tensor_slices((features[train], data.labels[train])).shuffle(len(train))
        history = part.fit(
            pairs.batch(plan.batch_size),
            validation_data=(features[validation], data.labels[validation]),
            epochs=plan.epochs,
            shuffle=False,
            verbose=0,
        ).history
        accuracies.append(float(history["val_accuracy"][-1]))
    return accuracies


WAYS: dict[str, Callable[[Lab, Sequence[int]], list[float]]] = {
    "uncached": uncached,
    "cached": cached,
    "cached, float16 on disk": partial(cached, storage="float16"),
    "cached, bfloat16 products": partial(cached, precision="bfloat16"),
}


def main() -> None:
    """Train every scenario in every way with every seed and write agreement.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--dataset", default="phantom")
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=WAYS)
    given = parser.parse_args()
    folder = Workspace.open(given.workspace).root / "bench"
    prepare(given.dataset, folder / "run")
    scenarios, rows = load_experiment().scenarios, []
    with progress(total=len(given.ways) * len(scenarios), desc="agreement", unit="setting") as bar:
        for name in scenarios:
            for way in given.ways:
                accuracies = WAYS[way](lab_in(folder / "run", name), SEEDS)
                rows.append({"scenario": name, "way": way, "mean": np.mean(accuracies)})
                rows[-1] |= {"sd": np.std(accuracies, ddof=1)} | {
                    f"seed {s}": a for s, a in zip(SEEDS, accuracies, strict=True)
                }
                bar.update()
    write_json(folder / "agreement.json", {"runs": rows, "dataset": given.dataset, **provenance()})
    print(pd.DataFrame(rows).round(4).to_string(index=False))


if __name__ == "__main__":
    main()
