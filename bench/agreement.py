"""Do the lab's way and the plain way end at the same accuracy? Five seeds of each, and of half-precision storage.

``make bench-agreement`` runs it. Training the plain way on images takes minutes a run, so Keras' own ``fit`` stands in,
with Keras' own convolutions, on features that TensorFlow computed: the same function of the same weights.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
from lab_utils.models.prefix import Prefix
from speed import PROTOCOL, prepare

from lab_utils.core.catalogue import read_table
from lab_utils.core.config import Scenario, load_experiment
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import progress
from lab_utils.core.provenance import provenance
from lab_utils.data.dataset import load_dataset
from lab_utils.data.store import open_store
from lab_utils.models import network as network_module
from lab_utils.models.backbone import load_backbone, trunk_of
from lab_utils.models.features import Extraction, cuts_of, ensure_features, extract
from lab_utils.models.runtime import keras, tf
from lab_utils.models.training import fit

SEEDS = range(5)


def lab_way(
    lab: Workspace, extraction: Extraction, plan: Scenario, manifest: pd.DataFrame, classes: list[str]
) -> list[float]:
    """Final validation accuracy of each seed."""
    accuracies = []
    for seed in SEEDS:
        backbone = load_backbone(lab, extraction.backbone_key)
        network = network_module.build_network(plan, backbone, len(classes), scaling=extraction.scaling, seed=seed)
        (features,) = ensure_features(extraction, backbone, [plan.trainable_convs], lab)
        history = fit(network, plan, features, manifest, classes, seed=seed).history
        accuracies.append(float(history["val_accuracy"].iloc[-1]))
    return accuracies


def plain_way(
    lab: Workspace, extraction: Extraction, plan: Scenario, manifest: pd.DataFrame, classes: list[str]
) -> list[float]:
    """The same by Keras: TensorFlow's features, Keras' layers, Keras' ``fit``."""
    images, backbone = open_store(lab, extraction.store_key), load_backbone(lab, extraction.backbone_key)
    cuts = cuts_of(backbone, [plan.trainable_convs])
    prefix = Prefix(trunk_of(backbone), cuts, extraction.backbone, extraction.scaling, images.shape[1:])
    features = np.empty((len(images), *prefix.shapes[0]), np.float32)

    def write(start: int, blocks: list[np.ndarray]) -> None:
        features[start : start + len(blocks[0])] = blocks[0]

    prefix.run(images, write, engine="tensorflow")
    labels = np.eye(len(classes), dtype=np.float32)[pd.Categorical(manifest["class"], categories=classes).codes]
    train, validation = ((manifest["split"] == side).to_numpy() for side in ("train", "validation"))
    own, network_module.with_matrix_products = network_module.with_matrix_products, lambda model: model
    accuracies = []
    for seed in SEEDS:
        backbone = load_backbone(lab, extraction.backbone_key)
        model = network_module.build_network(plan, backbone, len(classes), scaling=extraction.scaling, seed=seed).suffix
        optimizer = keras.optimizers.Adam(plan.learning_rate)
        model.compile(optimizer, "categorical_crossentropy", metrics=["accuracy"], jit_compile=False)
        # Given arrays and a global seed, Keras' fit repeats one order of the batches in every epoch; tf.data does not.
        batches = tf.data.Dataset.from_tensor_slices((features[train], labels[train])).shuffle(int(train.sum()))
        history = model.fit(
            batches.batch(plan.batch_size),
            validation_data=(features[validation], labels[validation]),
            epochs=plan.epochs,
            verbose=0,
        ).history
        accuracies.append(float(history["val_accuracy"][-1]))
    network_module.with_matrix_products = own
    return accuracies


def main() -> None:
    """Train every scenario in every way with every seed and write agreement.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--dataset", default="phantom")
    given = parser.parse_args()
    folder: Path = Workspace.open(given.workspace).root / "bench"
    lab, experiment = Workspace.open(str(folder / "run")), load_experiment()
    prepare(given.dataset, lab)
    rules, manifest = experiment.protocol(PROTOCOL), read_table(lab, "manifest", protocol=PROTOCOL)
    extraction = extract(experiment, rules, experiment.chosen_scenarios()[0].backbone, lab)
    half, classes = replace(extraction, storage="float16"), list(load_dataset(lab).classes)
    rows = []
    with progress(total=3 * len(experiment.scenarios), desc="agreement", unit="setting") as bar:
        for plan in experiment.chosen_scenarios():
            for way, train, stored in (
                ("plain", plain_way, extraction),
                ("lab", lab_way, extraction),
                ("lab, float16", lab_way, half),
            ):
                found = train(lab, stored, plan, manifest, classes)
                rows.append({"scenario": plan.name, "way": way, "mean": np.mean(found), "sd": np.std(found, ddof=1)})
                rows[-1] |= {f"seed {seed}": accuracy for seed, accuracy in zip(SEEDS, found, strict=True)}
                bar.update()
    table = pd.DataFrame(rows)
    write_json(folder / "agreement.json", {"runs": rows, "dataset": given.dataset, **provenance()})
    print(table.round(4).to_string(index=False))


if __name__ == "__main__":
    main()
