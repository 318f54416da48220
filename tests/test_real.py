"""On real radiographs and ImageNet weights, where they are at hand: the equivalence that the lab's speed rests on."""

import zipfile
from pathlib import Path

import numpy as np
import pytest

from lab_utils import open_lab
from lab_utils.audits.novelty import TrainingReference
from lab_utils.core.catalogue import read_table, read_table_file
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.data.decode import read_image, resize
from lab_utils.data.store import open_store
from lab_utils.evaluation.predictions import predicted_of, probabilities_of, read_predictions
from tests.conftest import ARCHIVE, WEIGHTS, run_stage, write_config
from tests.kinds import unusual_kinds

pytestmark = [
    pytest.mark.real,
    pytest.mark.skipif(not (ARCHIVE.is_file() and WEIGHTS.is_dir()), reason=f"needs {ARCHIVE} and {WEIGHTS}"),
]
EACH = 40


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Path]:
    """The first images of each class, with their masks, through stages 10, 20 and 25 at full size."""
    folder = tmp_path_factory.mktemp("real")
    with zipfile.ZipFile(ARCHIVE) as archive:
        for kind in ("COVID", "Lung_Opacity", "Normal", "Viral Pneumonia"):
            for part in ("images", "masks"):
                names = sorted(n for n in archive.namelist() if f"/{kind}/{part}/" in n and n.endswith(".png"))
                archive.extractall(folder, names[:EACH])
        archive.extractall(folder, [name for name in archive.namelist() if name.endswith(".xlsx")])
    config = write_config(
        folder / "lab.yaml",
        dataset=str(folder / "COVID-19_Radiography_Dataset"),
        weights="imagenet",
        image_size=224,
        training={"epochs": 8, "batch_size": 16, "head": [1024, 512]},
    )
    lab = Workspace.open(str(folder / "workspace"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KERAS_HOME", str(WEIGHTS))
        for stage in ("10_download", "20_preprocess", "25_features"):
            run_stage(stage, lab, config)
    return lab, config


@pytest.mark.parametrize("scenario", ["last_two_convs", "last_conv", "fc_only"])
def test_training_on_features_gives_a_model_of_images(real: tuple[Workspace, Path], scenario: str) -> None:
    from lab_utils.models.runtime import keras

    lab, config = real
    run_stage("30_train", lab, config, scenario=scenario, epochs=12, batch_size=16)
    folder = lab.run("described", scenario, 0)
    record = read_json(folder / "run.json", stage="30")
    assert record["weights"] == "imagenet"
    assert record["architecture"][-3] == {
        "Layer (type)": "Total params",
        "Output shape": "15.63 MB",
        "Param #": 4_096_580,
    }
    manifest = read_table(lab, "manifest", protocol="described")
    predictions = read_predictions(folder / "predictions.csv")
    validation = (manifest["split"] == "validation").to_numpy()
    images = open_store(lab, record["store"])[validation]
    images = images[..., None].repeat(3, axis=-1) if images.ndim == 3 else images
    again = keras.saving.load_model(folder / "model.keras").predict(images.astype(np.float32), verbose=0)
    assert np.allclose(again, probabilities_of(predictions), atol=1e-4)
    history = read_table_file(folder / "history.csv", "history")
    assert history["accuracy"].max() > 0.75, "four classes in equal numbers: a constant answer gives 0.25"
    if scenario == "fc_only":  # the others swing too much after so few steps
        assert (predicted_of(predictions) == predictions["y_true"]).mean() > 0.5


def test_colour_images_and_masks_of_another_size_are_taken(real: tuple[Workspace, Path]) -> None:
    manifest = read_table(real[0], "manifest", protocol="described")
    assert manifest["class"].value_counts().to_dict() == dict.fromkeys(manifest["class"].unique(), EACH)
    assert (manifest["mask"] != "").all()
    findings = read_table(real[0], "findings", protocol="described")
    assert (findings["check"] == "listing differs").sum() == 4


def test_the_border_alone_tells_the_real_classes_apart_and_permuted_labels_do_not(real: tuple[Workspace, Path]) -> None:
    lab, config = real
    run_stage("45_audit", lab, config)
    probes = read_table(lab, "probes").query("among == ''").set_index("input")
    assert probes["above_null"][["border", "lungs_erased"]].all()
    assert probes["null_auc"].between(0.45, 0.55).all()
    attribution = read_table(lab, "attribution")
    overall = attribution[attribution["class"] == ""].iloc[0]
    assert overall["uniform"] < overall["other_lungs"] < overall["lungs"] < 1
    sources = read_table(lab, "sources").set_index("question")
    assert sources["accuracy"]["class from the source"].max() > 0.5


def test_what_is_no_frontal_radiograph_is_unusual_and_held_out_radiographs_are_not(
    real: tuple[Workspace, Path],
) -> None:
    from lab_utils.models.backbone import trunk_of
    from lab_utils.models.engine import FeatureExtractor
    from lab_utils.models.features import features_by_depth

    lab = open_lab(str(real[0].root), str(real[1]))
    features = features_by_depth(lab.backbone(), lab.scaling_layer(), [0], lab.data)[0].values
    reference, held_out = TrainingReference.of(lab.data, features), lab.data.rows("validation")
    ordinary, _, _ = reference.compare(np.asarray(lab.images[held_out]), features[held_out])
    assert (ordinary["unusual"] != "").mean() < 0.15, "4 % are expected; there are 48 images beside 112"
    kinds: dict[str, list[np.ndarray]] = {}
    for row in lab.manifest.iloc[held_out[::12]].to_dict("records"):
        files = (read_image(lab.dataset.root / row[name]) for name in ("image_id", "mask"))
        for name, image in unusual_kinds(
            *(resize(file, 224, "bilinear") for file in files if file is not None)
        ).items():
            kinds.setdefault(name, []).append(resize(np.ascontiguousarray(image), 224, "bilinear"))
    rgb = [np.broadcast_to(one.reshape(224, 224, -1), (224, 224, 3)) for images in kinds.values() for one in images]
    names, pixels = np.repeat(list(kinds), [len(images) for images in kinds.values()]), np.stack(rgb)
    extractor = FeatureExtractor(trunk_of(lab.backbone(), lab.scaling_layer(), lab.data.shape), pixels.shape[1:])
    novelty, _, _ = reference.compare(pixels, extractor(pixels)[0])
    assert sorted(set(names[(novelty["unusual"] == "").to_numpy()])) == []
