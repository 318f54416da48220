"""Phantoms as the models take them, made without a notebook."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from shutil import copytree

import keras as plain_keras
import pytest

from lab_utils.core.config import Experiment
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import obtain
from lab_utils.data.labelled import LabelledImages
from lab_utils.data.manifest import build_manifest
from lab_utils.data.store import ensure_store, open_store
from lab_utils.models.architecture import build_model
from lab_utils.models.backbone import load_model, scaling_layer
from lab_utils.models.features import features_by_depth
from lab_utils.models.pretrained import frozen_backbone

Build = Callable[..., plain_keras.Model]


@pytest.fixture(scope="session")
def shared_data(tmp_path_factory: pytest.TempPathFactory, experiment: Experiment) -> LabelledImages:
    """53 phantoms at 64 pixels; the folder of features is not to be changed."""
    lab = Workspace.open(str(tmp_path_factory.mktemp("models")))
    dataset, protocol = obtain("phantom", lab, phantoms=48), experiment.protocol("described")
    manifest, _ = build_manifest(dataset, protocol)
    key = ensure_store(dataset, manifest, protocol, 64, lab)
    return LabelledImages(open_store(lab, key), manifest, tuple(dataset.classes), key, lab.features(""))


@pytest.fixture(scope="session")
def backbone_file(shared_data: LabelledImages, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained MobileNetV2 with the statistics of the phantoms; its features are cached in `shared_data`."""
    scaling = scaling_layer("MobileNetV2", "unit")
    backbone, weights = frozen_backbone("MobileNetV2", shared_data, scaling, weights="random", synthetic=True)
    assert weights == "random"
    features_by_depth(backbone, scaling, [2, 1, 0], shared_data)
    path = tmp_path_factory.mktemp("backbone") / "backbone.keras"
    backbone.save(path)
    return path


@pytest.fixture
def data(shared_data: LabelledImages, backbone_file: Path, tmp_path: Path) -> LabelledImages:
    """The same images with features of their own, to be changed."""
    return replace(shared_data, features_folder=copytree(shared_data.features_folder, tmp_path / "features"))


@pytest.fixture
def backbone(backbone_file: Path) -> plain_keras.Model:
    """A fresh copy of the frozen backbone."""
    return load_model(backbone_file, stage="25_features")


@pytest.fixture
def build(experiment: Experiment, backbone_file: Path) -> Build:
    """Build the compiled model of a scenario on a fresh copy of the backbone."""

    def build(name: str, seed: int = 0, **changes: object) -> plain_keras.Model:
        copy = load_model(backbone_file, stage="25_features")
        scaling = scaling_layer("MobileNetV2", "unit")
        return build_model(experiment.scenario(name, **changes), copy, scaling, (64, 64, 3), 4, seed=seed)

    return build
