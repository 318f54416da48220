"""How time and memory grow with the number of images, on generated ones: the cost must be linear, the memory bounded.

``make bench-scale`` runs it, up to the size of the whole database.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from speed import watching

from lab_utils.images import ArrayWriter
from lab_utils.paths import Workspace
from lab_utils.records import provenance, whole, write_json
from lab_utils.scenarios import load_experiment

SIZES = (500, 1000, 2000, 21_165)
SCENARIO = "last_two_convs"  # the one with the largest features
SIDE = 224


def generate(lab: Workspace, count: int) -> pd.DataFrame:
    """An image store of noise and a manifest for it."""
    path, shape = lab.images("generated") / "images.npy", (count, SIDE, SIDE)
    with whole(path) as draft, ArrayWriter(draft, shape, np.dtype(np.uint8)) as writer:
        for start in range(0, count, 256):
            random = np.random.default_rng(start)
            writer.write(start, random.integers(0, 256, (min(256, count - start), SIDE, SIDE), np.uint8))
    place = np.arange(count)
    side = np.where(place % 10 < 3, "validation", "train")
    return pd.DataFrame({"class": np.array(list("abcd"))[place // 10 % 4], "split": side})


def one_size(folder: Path, count: int) -> dict[str, float]:
    """Seconds of the extraction and of a later epoch at one number of images."""
    from lab_utils.backbone import CALIBRATION_IMAGES, calibrate, obtain_backbone, save_backbone, weights_sha256
    from lab_utils.features import Extraction, ensure_features, scaled
    from lab_utils.images import open_store
    from lab_utils.network import build_network
    from lab_utils.training import fit

    lab, experiment = Workspace.open(str(folder)), load_experiment()
    manifest, plan = generate(lab, count), experiment.scenario(SCENARIO, epochs=2)
    backbone, weights = obtain_backbone(plan.backbone, SIDE, weights="random", synthetic=True)
    calibrate(backbone, scaled(open_store(lab, "generated")[:CALIBRATION_IMAGES], plan.backbone, "unit"))
    key = save_backbone(backbone, lab)
    made_of = (plan.backbone, weights, weights_sha256(backbone), key, "generated", "unit", SIDE, experiment.storage)
    convs = experiment.convs_of(plan.backbone)
    features = ensure_features(Extraction(*made_of), backbone, convs, lab)
    own = features[convs.index(plan.trainable_convs)]
    network = build_network(plan, backbone, 4, scaling="unit", seed=0)
    result = fit(network, plan, own, manifest, list("abcd"), seed=0)
    return {"extraction": own.seconds, "epoch": float(result.history["seconds"].iloc[-1])}


def main() -> None:
    """Measure every size in a process of its own and write scale.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--one", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout, standard = sys.stderr, sys.stdout
        print(json.dumps(one_size(Path(given.one[0]), int(given.one[1]))), file=standard)
        return
    bench, rows = Workspace.open(given.workspace).root / "bench", []
    bench.mkdir(exist_ok=True)
    for count in SIZES:
        with TemporaryDirectory(dir=bench) as folder:
            words = [sys.executable, __file__, "--one", folder, str(count)]
            process = subprocess.Popen(words, stdout=subprocess.PIPE)
            with watching(process) as peak:
                pass
            answer = process.stdout.read() if process.stdout else b""
            if process.returncode:
                raise SystemExit(f"{' '.join(words)}: failed")
        rows.append({"images": count, **json.loads(answer.splitlines()[-1]), "peak_rss_gb": round(peak[0], 2)})
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    for name in ("extraction", "epoch"):
        table[f"{name}_per_1000"] = 1000 * table[name] / table["images"]
    write_json(bench / "scale.json", {"sizes": table.to_dict("records"), "scenario": SCENARIO, **provenance()})
    print(table.round(2).to_string(index=False))


if __name__ == "__main__":
    main()
