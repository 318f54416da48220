import numpy as np
import pandas as pd

from lab_utils.audits.network import network_scores


def test_a_network_that_uses_the_outline_is_told_from_one_that_does_not() -> None:
    random, classes = np.random.default_rng(0), ["COVID", "Lung_Opacity", "Normal"]
    labels = random.integers(0, 3, 150)
    manifest = pd.DataFrame({"image_id": [f"i{n}" for n in range(150)], "group": range(150)})
    manifest["class"] = np.array(classes, object)[labels]
    sure = (0.7 * np.eye(3)[labels] + 0.1).astype(np.float32)
    blind = random.dirichlet(np.ones(3), 150).astype(np.float32)
    table = network_scores({"full": sure, "mask_only": sure, "box_erased": blind}, manifest, classes)
    table = table.set_index(["among", "input"])
    everyone, adults = table.loc[""], table.loc["COVID / Lung_Opacity"]
    assert everyone["auc_low"]["mask_only"] > 0.5 > everyone["auc_low"]["box_erased"]
    assert everyone["difference"]["mask_only"] == 0
    assert everyone["majority"]["full"] == np.bincount(labels).max() / 150
    assert adults["images"]["full"] == (labels < 2).sum()
    assert adults["accuracy"]["mask_only"] == 1
