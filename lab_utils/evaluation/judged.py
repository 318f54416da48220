"""Finished runs with their predictions and scores, which several tables need."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from lab_utils.evaluation.intervals import REPORTED, scores_of
from lab_utils.evaluation.predictions import correct_in
from lab_utils.evaluation.runs import Run
from lab_utils.evaluation.scorer import Score


@dataclass(frozen=True, eq=False)
class JudgedRun:
    """A finished run, whose predictions are read once, and whose scores are computed once."""

    run: Run

    @cached_property
    def predictions(self) -> pd.DataFrame:
        """Predictions of the validation images."""
        return self.run.predictions()

    @cached_property
    def scores(self) -> list[Score]:
        """Scores on the validation images, with influences in the order of the predictions."""
        return scores_of(self.predictions, REPORTED)

    @property
    def protocol(self) -> str:
        """Name of the protocol."""
        return self.run.protocol.name

    @property
    def scenario(self) -> str:
        """Name of the scenario."""
        return self.run.scenario.name


def by_protocol(runs: Iterable[JudgedRun]) -> dict[str, dict[str, list[JudgedRun]]]:
    """Sort runs by protocol and scenario, in their order."""
    sorted_runs: dict[str, dict[str, list[JudgedRun]]] = {}
    for run in runs:
        sorted_runs.setdefault(run.protocol, {}).setdefault(run.scenario, []).append(run)
    return sorted_runs


def correct_on(runs: Sequence[JudgedRun], images: pd.Series) -> NDArray[np.bool_]:
    """Whether each run is right on each of these images, by image_id: (runs, images)."""
    return np.array([correct_in(run.predictions.set_index("image_id").loc[images]) for run in runs])
