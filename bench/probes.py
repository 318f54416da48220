"""How often a linear probe detects a planted weak signal, and how often it claims one in noise.

The inputs are normal noise with as many values as an input of the audits has. One direction differs between one class
and the others by some standard deviations. "majority" is the rule that the audits had before: the interval of the
accuracy lies above the majority-class baseline.
"""

import argparse

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits import probes
from lab_utils.audits.probes import probe
from lab_utils.audits.scores import score_columns
from lab_utils.data.proportions import majority_accuracy
from lab_utils.evaluation.intervals import ALPHA

SIZES = ((480, 64), (480, 400), (2117, 1280))  # images and inputs
SHARES = {"COVID": 0.17, "Lung_Opacity": 0.28, "Normal": 0.48, "Viral Pneumonia": 0.07}  # of the real database


def judge(images: int, inputs: int, shift: float, seed: int) -> dict[str, bool]:
    """Draw one data set and judge it: is a signal detected?"""
    random = np.random.default_rng(seed)
    labels = random.choice(list(SHARES), images, p=list(SHARES.values()))
    values = random.normal(size=(images, inputs)).astype(np.float32)
    direction = random.normal(size=inputs)
    values += (shift * (labels == "COVID")[:, None] * direction / np.linalg.norm(direction)).astype(np.float32)
    manifest = pd.DataFrame({"image_id": np.arange(images).astype(str), "group": np.arange(images), "class": labels})
    manifest["split"] = np.where(random.random(images) < 0.7, "train", "validation")
    result = probe(values, manifest["class"], manifest)
    scores = score_columns(result.predictions)
    return {
        "majority": scores["low"] > majority_accuracy(result.predictions["y_true"]),
        "permutations": result.null(scores["auc"])["p"] <= ALPHA,
    }


def main() -> None:
    """Print the shares of detections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    parser.add_argument("--refits", type=int, default=probes.REFITS)
    parser.add_argument("--shifts", type=float, nargs="+", default=[0.0, 0.5, 1.0, 1.5])
    arguments = parser.parse_args()
    probes.REFITS = arguments.refits
    rows = []
    with threadpool_limits(1):
        for images, inputs in SIZES:
            for shift in arguments.shifts:
                judged = pd.DataFrame([judge(images, inputs, shift, seed) for seed in range(arguments.repeats)])
                rows.append({"images": images, "inputs": inputs, "shift": shift, **judged.mean()})
                print(pd.DataFrame(rows[-1:]).to_string(index=False, header=len(rows) == 1), flush=True)


if __name__ == "__main__":
    main()
