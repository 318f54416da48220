"""How stages 10 and 20 take large data sets: time must be linear in the images, memory bounded.

``make bench-load`` runs it: the whole database's number of images at its size, and 100,000 small ones.
"""

import argparse
import io
import os
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
from common import PROTOCOL, run_stage, seconds_of
from PIL import Image

from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.provenance import provenance
from lab_utils.data.dataset import load_dataset
from lab_utils.data.folders import FileTree

SETS = ((2_117, 299), (21_165, 299), (10_000, 32), (100_000, 32))  # images, side in pixels
SHARES = {"large": 0.6, "middle": 0.2, "small": 0.1, "smaller": 0.1}  # of 100,000: a folder of 60,000


def generate(archive: Path, count: int, side: int) -> None:
    """Write a zip of class folders with blurred noise, no two images equal."""
    with zipfile.ZipFile(archive, "w") as opened:
        for label, (name, share) in enumerate(SHARES.items()):
            for number in range(round(count * share)):
                coarse = np.random.default_rng([label, number]).integers(0, 256, (12, 12), np.uint8)
                buffer = io.BytesIO()
                Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "PNG")
                opened.writestr(f"{name}/{name}-{number}.png", buffer.getvalue())


def measure(folder: Path, count: int, side: int) -> dict[str, float]:
    """Seconds and peak memory (GB) of both stages, and the seconds it takes to list the largest class."""
    generate(folder / "images.zip", count, side)
    workspace = Workspace.open(str(folder / "workspace"))
    row: dict[str, float] = {"images": count, "side": side}
    for stage, values in (
        ("10_download", {"dataset": str(folder / "images.zip")}),
        ("20_preprocess", {"protocol": PROTOCOL}),
    ):
        row[stage], row[f"{stage} (GB)"] = run_stage(workspace.root, stage, **values)
    largest = load_dataset(workspace).root / next(iter(SHARES))
    row["entries"] = seconds_of(lambda: sum(entry.is_file() for entry in os.scandir(largest)))
    row["walk"] = seconds_of(lambda: FileTree.read(largest).images)
    return row


def main() -> None:
    """Measure every set and write load.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", default="workspace")
    parser.add_argument("--sets", type=int, default=len(SETS), help="how many of the sets, from the first on")
    given = parser.parse_args()
    bench = Workspace.open(given.workspace).root / "bench"
    bench.mkdir(exist_ok=True)
    rows = []
    for count, side in SETS[: given.sets]:
        with TemporaryDirectory(dir=bench) as folder:
            rows.append(measure(Path(folder), count, side))
    table = pd.DataFrame(rows)
    for stage in ("10_download", "20_preprocess"):
        table[f"{stage} per 1,000"] = 1000 * table[stage] / table["images"]
    write_json(bench / "load.json", {"sets": table.to_dict("records"), **provenance()})
    print(table.round(2).T.to_string(header=False))


if __name__ == "__main__":
    main()
