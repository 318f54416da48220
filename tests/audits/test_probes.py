import numpy as np
import pandas as pd
import pytest

from lab_utils.audits.probes import coefficients, linear_model, probe, probe_scores, source_scores, with_baseline
from lab_utils.audits.tables import AuditError
from lab_utils.evaluation.metrics import classification_report


@pytest.mark.parametrize("classes", [2, 3])
def test_coefficients_give_the_scores_of_the_model(classes: int) -> None:
    random = np.random.default_rng(0)
    values = random.normal(3, 2, (60, 5)).astype(np.float32)
    labels = np.array(list("abc"), object)[random.integers(0, classes, 60)]
    model = linear_model(values, labels)
    weights, biases = coefficients(model)
    scores = values @ weights.T + biases
    shares = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    assert np.allclose(shares, model.predict_proba(values), atol=1e-4)


def manifest_of(labels: list[str]) -> pd.DataFrame:
    rows = range(len(labels))
    sides = [("train", "validation")[n % 3 == 0] for n in rows]
    return pd.DataFrame(
        {"image_id": [f"i{n}" for n in rows], "group": rows, "split": sides, "class": labels, "source": ""}
    )


def test_shuffled_labels_fall_to_chance_and_true_ones_do_not() -> None:
    random = np.random.default_rng(1)
    labels = [("a", "b", "c")[n] for n in random.integers(0, 3, 300)]
    values = (pd.get_dummies(pd.Series(labels)).to_numpy() + random.normal(0, 0.3, (300, 3))).astype(np.float32)
    manifest = manifest_of(labels)
    found = probe_scores({"full": values, "border": random.normal(size=(300, 4)).astype(np.float32)}, manifest)
    found = found.set_index("input")
    assert list(found.index) == ["full", "border", "permuted_labels"]
    assert found["accuracy"]["full"] > 0.9
    for name in ("border", "permuted_labels"):
        assert found["low"][name] < 1 / 3 < found["high"][name]
    assert (probe(values, manifest["class"], manifest)["y_true"] == np.array(labels)[::3]).all()


def test_sources_are_predicted_where_there_are_sheets() -> None:
    random = np.random.default_rng(2)
    labels = ["a"] * 150 + ["b"] * 150
    manifest = manifest_of(labels)
    with pytest.raises(AuditError, match="no source has 20 images or more and lies on both sides of the split"):
        source_scores(np.zeros((300, 2), np.float32), manifest)
    place = random.integers(0, 2, 300)
    manifest["source"] = np.where(np.array(labels) == "a", np.array(["x", "y"], object)[place], "z")
    values = np.column_stack([place, random.normal(size=300)]).astype(np.float32)
    found = source_scores(values, manifest).set_index(["question", "among"])
    assert found["accuracy"]["class from the source", ""] == 1
    assert found["accuracy"]["source from the image", "a"] == 1
    assert ("source from the image", "b") not in found.index
    assert found["choices"]["source from the image", ""] == 3
    manifest.loc[0, "source"] = "small"
    assert len(source_scores(values, manifest)) == len(found), "a source of one image takes no question away"


def scores(**accuracies: float) -> pd.DataFrame:
    """Scores of the linear model over a majority-class baseline of one half."""
    rows = [{"input": name, "accuracy": value, "low": value - 0.05} for name, value in accuracies.items()]
    return pd.DataFrame(rows).assign(majority=0.5)


@pytest.mark.parametrize(
    ("full", "erased", "retained"),
    [(0.9, 0.7, 0.5), (0.9, 0.95, 1.0), (0.9, 0.3, 0.0), (0.4, 0.7, np.nan), (0.54, 0.6, np.nan)],
)
def test_what_an_input_retains_of_the_full_image(full: float, erased: float, retained: float) -> None:
    table = with_baseline(scores(full=full, lungs_erased=erased)).set_index("input")
    assert table["retained"]["lungs_erased"] == pytest.approx(retained, nan_ok=True)


def test_an_input_is_above_the_baseline_if_its_interval_is() -> None:
    table = with_baseline(scores(full=0.9, border=0.56, histogram=0.54)).set_index("input")
    assert table["above_majority"].to_dict() == {"full": True, "border": True, "histogram": False}


def test_the_baseline_is_that_of_the_validation_images() -> None:
    manifest = manifest_of(list("bab") * 40)
    manifest["split"] = ["train"] * 60 + ["validation"] * 60
    values = np.random.default_rng(3).normal(size=(120, 2)).astype(np.float32)
    assert probe_scores({"full": values}, manifest)["majority"].tolist() == pytest.approx([2 / 3] * 2)


def test_a_class_that_the_training_images_lack_is_never_predicted_and_counts_as_wrong() -> None:
    manifest = manifest_of(list("ab") * 30 + ["c", "c"])
    manifest.loc[60:, "split"] = "validation"
    values = pd.get_dummies(manifest["class"]).to_numpy(np.float32)
    predictions = probe(values, manifest["class"], manifest)
    report = classification_report(predictions).set_index("class")
    assert report["recall"].to_dict() | {"accuracy": 0.0} == pytest.approx(
        {"a": 1, "b": 1, "c": 0, "accuracy": 0, "macro avg": 2 / 3, "weighted avg": 20 / 22}
    )


def test_few_patients_are_too_few_for_a_probe() -> None:
    manifest = manifest_of(list("ab") * 30).assign(group=[n % 9 for n in range(60)])
    values = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32)
    with pytest.raises(AuditError, match="validation images form 3 groups; an interval needs 10"):
        probe_scores({"full": values}, manifest)


def test_infinite_features_are_said_to_be_infinite() -> None:
    values = np.random.default_rng(3).normal(size=(60, 2)).astype(np.float32)
    values[5] = np.inf
    with pytest.raises(AuditError, match="infinite or not a number; storage float16"):
        probe_scores({"full": values}, manifest_of(list("ab") * 30))
