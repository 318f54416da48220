"""A part of stage 25 as a job of its own, for a cluster: the backbone's weights first, then each shard of the features.

``python -m lab_utils.models.shards PROTOCOL BACKBONE [NUMBER] --workspace DIR --config FILE``; no number: weights.
"""

import argparse
import sys

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.progress import say_how_it_ends
from lab_utils.core.provenance import provenance
from lab_utils.data.store import open_store
from lab_utils.models.backbone import load_backbone
from lab_utils.models.features import ensure_rows, record_weights, recorded_weights


def shard_rows(images: int, shards: int, number: int) -> tuple[int, int]:
    """First row, and the one behind the last, of shard `number` (from 1) of `shards`."""
    return images * (number - 1) // shards, images * number // shards


def compute_shard(experiment: Experiment, protocol: str, backbone: str, number: int, workspace: Workspace) -> None:
    """Compute shard `number` (from 1) of the features that the experiment's scenarios need of a backbone; record it.

    Raises
    ------
    LabError
        If there is no record of the weights for this experiment, or there is no such shard.
    """
    if not 1 <= number <= experiment.shards:
        raise LabError(f"shard {number}: the experiment says `shards: {experiment.shards}`, so they are 1 to that")
    extraction = recorded_weights(experiment, experiment.protocol(protocol), backbone, workspace)
    if extraction is None:
        raise LabError(
            f"{workspace.weights(protocol, backbone)}: not there, or of another experiment; "
            "run snakemake, or this without a number first"
        )
    rows = shard_rows(len(open_store(workspace, extraction.store_key)), experiment.shards, number)
    model = load_backbone(workspace, extraction.backbone_key)
    ensure_rows(extraction, model, experiment.convs_of(backbone), workspace, *rows)
    write_json(workspace.shard(protocol, backbone, number, experiment.shards), {"rows": rows, **provenance()})


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("protocol")
    parser.add_argument("backbone")
    parser.add_argument("number", type=int, nargs="?")
    parser.add_argument("--workspace", default="")
    parser.add_argument("--config", default="")
    given = parser.parse_args()

    def work() -> None:
        workspace, experiment = Workspace.open(given.workspace), load_experiment(given.config)
        if given.number is None:
            record_weights(experiment, experiment.protocol(given.protocol), given.backbone, workspace)
        else:
            compute_shard(experiment, given.protocol, given.backbone, given.number, workspace)

    return say_how_it_ends(work)


if __name__ == "__main__":
    sys.exit(main())
