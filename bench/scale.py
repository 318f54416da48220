"""How time and memory grow with the number of images, on generated ones: the cost must be linear, the memory bounded.

``make bench-scale`` runs it, up to the size of the whole database.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from common import answer, measure

from lab_utils.core.config import load_experiment
from lab_utils.core.files import atomic_write, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.data.arrays import ArrayWriter
from lab_utils.data.labelled import LabelledImages

SIZES = (500, 1000, 2000, 21_165)
SCENARIO = "last_two_convs"  # the one with the largest features
SIDE = 224
CLASSES = tuple("abcd")


def generated(folder: Path, count: int) -> LabelledImages:
    """Images of noise in a file, which is written unless it exists, with classes and a split."""
    path, shape = folder / "images.npy", (count, SIDE, SIDE)
    if not path.is_file():
        with atomic_write(path) as draft, ArrayWriter(draft, shape, np.dtype(np.uint8)) as writer:
            for start in range(0, count, 256):
                random = np.random.default_rng(start)
                writer.write(start, random.integers(0, 256, (min(256, count - start), SIDE, SIDE), np.uint8))
    place = np.arange(count)
    split = np.where(place % 10 < 3, "validation", "train")
    manifest = pd.DataFrame({"class": np.array(CLASSES)[place // 10 % len(CLASSES)], "split": split})
    return LabelledImages(np.load(path, mmap_mode="r"), manifest, CLASSES, "generated", folder / "features")


def features(folder: str, count: str) -> float:
    """Seconds of the pass that computes all features; the images are generated first."""
    from lab_utils.models.backbone import scaling_layer
    from lab_utils.models.features import features_by_depth
    from lab_utils.models.pretrained import frozen_backbone

    data, experiment = generated(Path(folder), int(count)), load_experiment()
    name = experiment.scenario(SCENARIO).backbone
    scaling = scaling_layer(name, "unit")
    backbone, _ = frozen_backbone(name, data, scaling, weights="random", synthetic=True)
    backbone.save(Path(folder) / "backbone.keras")
    return next(iter(features_by_depth(backbone, scaling, experiment.convs_of(name), data).values())).seconds


def epoch(folder: str, count: str) -> float:
    """Seconds of the second epoch on the features."""
    from lab_utils.models.architecture import build_model
    from lab_utils.models.backbone import scaling_layer
    from lab_utils.models.runtime import keras
    from lab_utils.models.training import fit

    data, plan = generated(Path(folder), int(count)), load_experiment().scenario(SCENARIO)
    backbone = keras.saving.load_model(Path(folder) / "backbone.keras", compile=False)
    model = build_model(plan, backbone, scaling_layer(plan.backbone, "unit"), data.shape, len(CLASSES))
    return float(fit(model, data, epochs=2, batch_size=plan.batch_size)["seconds"].iloc[-1])


STAGES: dict[str, Callable[..., float]] = {"features": features, "epoch": epoch}


def main() -> None:
    """Measure every size and write scale.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--sizes", nargs="+", type=int, default=SIZES)
    parser.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        name, *words = given.measure
        answer(STAGES[name], *words)
        return
    bench, rows = Workspace.open(given.workspace).root / "bench", []
    bench.mkdir(exist_ok=True)
    for count in given.sizes:
        row: dict[str, Any] = {"images": count}
        with TemporaryDirectory(dir=bench) as folder:
            for stage in STAGES:
                row[stage], row[f"{stage} (GB)"] = measure(__file__, stage, folder, str(count))
                row[f"{stage} per 1,000"] = 1000 * row[stage] / count
        rows.append(row)
    write_json(bench / "scale.json", {"sizes": rows, "scenario": SCENARIO, **provenance()})
    print(pd.DataFrame(rows).round(2).to_string(index=False))


if __name__ == "__main__":
    main()
