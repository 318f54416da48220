"""Source confounding: how well sources predict classes, and images their sources."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from statsmodels.stats.multitest import multipletests
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from lab_utils.audits.inputs import Float
from lab_utils.audits.probes import NULL, probe
from lab_utils.audits.scores import SCORES, score_columns
from lab_utils.audits.tables import AuditError
from lab_utils.data.proportions import majority_accuracy
from lab_utils.data.sources import LEAST_IMAGES, large_source_images

SOURCES = ["question", "among", "choices", "majority", *SCORES, *NULL]


def source_scores(full: Float, manifest: pd.DataFrame) -> pd.DataFrame:
    """Source confounding: table sources of one protocol; raises AuditError without sources.

    "class from the source" gives the linear model the source alone. "source from the image" is asked of all images,
    then within each class; sources count that have 20 images or more, on both sides of the split.
    Holm's method (Scand. J. Stat. 6, 1979) corrects p over the rows.

    Parameters
    ----------
    full : float32 (n, K)
        Features of the full images.
    manifest : DataFrame (n rows)
        Columns image_id, group, class, source, split.
    """
    rows = []
    with threadpool_limits(1):
        for question, among, answer, images in _questions(manifest):
            is_rule = question == "class from the source"
            values = pd.get_dummies(images["source"]).to_numpy(np.float32) if is_rule else full[images.index]
            result = probe(values, images[answer], images)
            scores, answers = score_columns(result.predictions), result.predictions["y_true"]
            known = (question, among, images[answer].nunique(), majority_accuracy(answers))
            rows.append(dict(zip(SOURCES, known, strict=False)) | scores | result.null(scores["auc"]))
    if not rows:
        has_one = len(_on_both_sides(large_source_images(manifest), "source")) > 0
        number = "only one source has" if has_one else "no source has"
        raise AuditError(f"{number} {LEAST_IMAGES} images or more and lies on both sides of the split")
    table = pd.DataFrame(rows, columns=SOURCES)
    return table.assign(p=multipletests(table["p"], method="holm")[1])


def _questions(manifest: pd.DataFrame) -> Iterator[tuple[str, str, str, pd.DataFrame]]:
    """Questions: question, among, column of the answers, rows of the manifest."""
    known = _on_both_sides(large_source_images(manifest), "source")
    questions = [("class from the source", "", "class", _on_both_sides(known, "class"))]
    for among, images in [("", manifest), *manifest.groupby("class")]:
        judged = _on_both_sides(large_source_images(images), "source")
        questions.append(("source from the image", str(among), "source", judged))
    return (one for one in questions if one[3][one[2]].nunique() > 1 and one[3]["source"].nunique() > 1)


def _on_both_sides(images: pd.DataFrame, column: str) -> pd.DataFrame:
    """Select the images whose value in a column occurs in training and in validation."""
    return images[images.groupby(column)["split"].transform("nunique") == 2]
