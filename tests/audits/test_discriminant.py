import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.metrics import roc_auc_score

from lab_utils.audits import discriminant
from lab_utils.audits.discriminant import Discriminant, one_vs_rest_auc
from lab_utils.audits.tables import AuditError


def drawn(images: int, inputs: int, classes: int = 3) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    labels = np.array(list("abcd"), object)[random.integers(0, classes, images)]
    centres = random.normal(size=(classes, inputs))
    values = (centres[[ord(label) - 97 for label in labels]] + random.normal(3, 2, (images, inputs))).astype(np.float32)
    return values, labels, random.integers(0, images // 2, images)


@pytest.mark.parametrize(("inputs", "classes"), [(5, 2), (5, 3), (90, 3)])
def test_it_is_linear_discriminant_analysis_with_a_ridge(inputs: int, classes: int) -> None:
    values, labels, groups = drawn(80, inputs, classes)
    model = Discriminant.fit(values, labels, groups)
    standard = ((values - values.mean(axis=0)) / values.std(axis=0)).astype(float)
    names = sorted(set(labels))
    means = np.array([standard[labels == name].mean(axis=0) for name in names])
    shares = np.array([(labels == name).mean() for name in names])
    within = sum(
        (standard[labels == name] - mean).T @ (standard[labels == name] - mean)
        for name, mean in zip(names, means, strict=True)
    )
    inverse = np.linalg.inv(within / len(labels) + model.penalty * np.eye(inputs))
    scores = standard @ inverse @ means.T - np.einsum("ck,kj,cj->c", means, inverse, means) / 2 + np.log(shares)
    expected = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    labellings = np.stack([labels[::-1], labels], axis=1)
    predicted = model.probabilities(values, labellings[:, :, None] == model.classes)
    assert np.allclose(predicted[:, 1], expected, atol=1e-3)
    weights, biases = model.coefficients(labels)
    linear = values @ weights.T + biases
    assert np.allclose(np.exp(linear) / np.exp(linear).sum(axis=1, keepdims=True), expected, atol=1e-3)


def test_the_penalty_is_that_of_refits_without_each_fold(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discriminant, "PENALTIES", np.array([0.01, 1.0, 30.0]))
    values, labels, groups = drawn(90, 60)
    model = Discriminant.fit(values, labels, groups)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    is_of_class = labels[:, None] == model.classes
    areas = {}
    for penalty in discriminant.PENALTIES:
        held_out = np.empty(is_of_class.shape)
        for fold in discriminant.folds_of(groups):
            rest = np.setdiff1d(np.arange(90), fold)
            assert not set(groups[fold]) & set(groups[rest])
            held_out[fold] = Ridge(penalty * 90).fit(standard[rest], is_of_class[rest]).predict(standard[fold])
        areas[penalty] = one_vs_rest_auc(held_out, is_of_class).mean()
    assert model.penalty == max(areas, key=areas.__getitem__)


def test_areas_of_many_score_tables_at_once() -> None:
    random = np.random.default_rng(1)
    scores, answers = random.integers(0, 5, (40, 2, 3)), np.eye(3, dtype=bool)[random.integers(0, 2, 40)]
    areas = one_vs_rest_auc(scores, answers)
    for table in range(2):
        for name in range(2):
            assert areas[table, name] == pytest.approx(roc_auc_score(answers[:, name], scores[:, table, name]))
    assert np.isnan(areas[:, 2]).all(), "a class without images has no area"


def test_constant_and_infinite_values() -> None:
    values, labels, groups = drawn(40, 3, 2)
    shares = np.array([(labels == name).mean() for name in "ab"])
    model = Discriminant.fit(np.ones_like(values), labels, groups)
    assert np.allclose(model.probabilities(values, (labels[:, None] == model.classes)[:, None])[:, 0], shares)
    values[5, 1] = np.inf
    with pytest.raises(AuditError, match="infinite or not a number; storage float16"):
        Discriminant.fit(values, labels, groups)
