import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from lab_utils.audits.scores import paired_scores
from lab_utils.evaluation.predictions import predictions_table


def test_each_input_is_compared_with_the_full_image_on_the_same_images() -> None:
    random = np.random.default_rng(0)
    classes = ["a", "b", "c"]
    manifest = pd.DataFrame({"image_id": [f"i{n}" for n in range(90)], "group": range(90), "class": classes * 30})
    truth = np.tile(np.eye(3), (30, 1))
    tables = {}
    for name, noise in (("full", 0.5), ("border", 3.0)):
        scores = np.exp(truth + random.normal(0, noise, (90, 3)))
        tables[name] = predictions_table(
            manifest, classes, (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        )
    table = paired_scores(tables).set_index("input")
    for name, frame in tables.items():
        probabilities = frame[["p_a", "p_b", "p_c"]].to_numpy(float)
        area = roc_auc_score(
            frame["y_true"], probabilities / probabilities.sum(axis=1, keepdims=True), multi_class="ovr"
        )
        assert table["auc"][name] == pytest.approx(area, abs=1e-6)
        predicted = np.array(classes)[probabilities.argmax(axis=1)]
        assert table["balanced_accuracy"][name] == pytest.approx(balanced_accuracy_score(frame["y_true"], predicted))
    assert (table["auc_low"] < table["auc"]).all()
    assert table["difference"]["border"] == pytest.approx(table["auc"]["border"] - table["auc"]["full"])
    assert table["difference_high"]["border"] < 0
