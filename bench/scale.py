"""How time and memory grow with the number of images, on generated ones: the cost must be linear, the memory bounded.

``make bench-scale`` runs it, up to the size of the whole database.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from speed import watching

from lab_utils.core.catalogue import read_table, write_table
from lab_utils.core.config import load_experiment
from lab_utils.core.files import atomic_write, read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.data.arrays import ArrayWriter

SIZES = (500, 1000, 2000, 21_165)
SCENARIO = "last_two_convs"  # the one with the largest features
SIDE = 224
NAME = "generated"  # of the protocol and of the image store


def generate(lab: Workspace, count: int) -> pd.DataFrame:
    """An image store of noise and a manifest for it."""
    path, shape = lab.images(NAME) / "images.npy", (count, SIDE, SIDE)
    with atomic_write(path) as draft, ArrayWriter(draft, shape, np.dtype(np.uint8)) as writer:
        for start in range(0, count, 256):
            random = np.random.default_rng(start)
            writer.write(start, random.integers(0, 256, (min(256, count - start), SIDE, SIDE), np.uint8))
    place = np.arange(count)
    side = np.where(place % 10 < 3, "validation", "train")
    return pd.DataFrame({"class": np.array(list("abcd"))[place // 10 % 4], "split": side})


def features(lab: Workspace, count: int) -> float:
    """Seconds of the extraction; the images are generated first."""
    from lab_utils.data.store import open_store
    from lab_utils.models.backbone import CALIBRATION_IMAGES, calibrate, obtain_backbone, save_backbone, weights_sha256
    from lab_utils.models.features import Extraction, ensure_features, scaled

    experiment = load_experiment()
    plan = experiment.scenario(SCENARIO)
    write_table(lab, "manifest", generate(lab, count), protocol=NAME)
    backbone, weights = obtain_backbone(plan.backbone, SIDE, weights="random", synthetic=True)
    calibrate(backbone, scaled(open_store(lab, NAME)[:CALIBRATION_IMAGES], plan.backbone, "unit"))
    key = save_backbone(backbone, lab)
    made_of = (plan.backbone, weights, weights_sha256(backbone), key, NAME, "unit", SIDE, experiment.storage)
    extraction = Extraction(*made_of)
    write_json(lab.extraction(NAME, plan.backbone), vars(extraction))
    convs = experiment.convs_of(plan.backbone)
    return ensure_features(extraction, backbone, convs, lab)[0].seconds


def epoch(lab: Workspace, count: int) -> float:
    """Seconds of the second epoch on the features."""
    from lab_utils.models.network import build_network

    from lab_utils.models.backbone import load_backbone
    from lab_utils.models.features import Extraction, ensure_features
    from lab_utils.models.training import fit

    plan = load_experiment().scenario(SCENARIO, epochs=2)
    extraction = Extraction(**read_json(lab.extraction(NAME, plan.backbone), stage="features"))
    backbone, manifest = load_backbone(lab, extraction.backbone_key), read_table(lab, "manifest", protocol=NAME)
    network = build_network(plan, backbone, 4, scaling="unit", seed=0)
    (own,) = ensure_features(extraction, backbone, [plan.trainable_convs], lab)
    result = fit(network, plan, own, manifest, list("abcd"), seed=0)
    return float(result.history["seconds"].iloc[-1])


STAGES: dict[str, Callable[[Workspace, int], float]] = {"features": features, "epoch": epoch}


def measure(folder: str, count: int, stage: str) -> dict[str, float]:
    """Seconds and peak memory (GB) of a stage, in a process of its own."""
    words = [sys.executable, __file__, "--one", folder, str(count), stage]
    process = subprocess.Popen(words, stdout=subprocess.PIPE)
    with watching(process) as peak:
        pass
    answer = process.stdout.read() if process.stdout else b""
    if process.returncode:
        raise SystemExit(f"{' '.join(words)}: failed")
    return {stage: json.loads(answer.splitlines()[-1]), f"{stage}_peak_rss_gb": round(peak[0], 2)}


def main() -> None:
    """Measure every size and write scale.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        folder, count, stage = given.one
        sys.stdout, standard = sys.stderr, sys.stdout
        print(json.dumps(STAGES[stage](Workspace.open(folder), int(count))), file=standard)
        return
    bench, rows = Workspace.open(given.workspace).root / "bench", []
    bench.mkdir(exist_ok=True)
    for count in SIZES:
        with TemporaryDirectory(dir=bench) as folder:
            found = [measure(folder, count, stage) for stage in STAGES]
        rows.append({"images": count} | found[0] | found[1])
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for stage in STAGES:
        table[f"{stage}_per_1000"] = 1000 * table[stage] / table["images"]
    write_json(bench / "scale.json", {"sizes": table.to_dict("records"), "scenario": SCENARIO, **provenance()})
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
