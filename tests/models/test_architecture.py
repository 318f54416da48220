import pytest

from lab_utils.core.config import load_experiment
from lab_utils.models.architecture import architecture, build_model
from lab_utils.models.backbone import scaling_layer
from lab_utils.models.cut import graph_of
from lab_utils.models.pretrained import obtain_backbone
from tests.conftest import PROJECT

TRAINABLE = {"last_two_convs": 2_555_396, "last_conv": 2_248_196, "fc_only": 1_838_596}


@pytest.mark.parametrize(("name", "trainable"), list(TRAINABLE.items()))
def test_the_architecture_is_the_write_up_s(name: str, trainable: int) -> None:
    scenario = load_experiment(str(PROJECT / "lab.yaml")).scenario(name)
    backbone, _ = obtain_backbone("MobileNetV2", 224, weights="random", synthetic=True)
    model = build_model(scenario, backbone, scaling_layer("MobileNetV2", "unit"), (224, 224, 3), 4)
    rows = architecture(model).set_index("Layer (type)")
    assert rows["Param #"]["Total params"] == 4_096_580
    assert rows["Param #"]["Trainable params"] == trainable
    assert rows["Param #"]["Non-trainable params"] == 4_096_580 - trainable
    assert rows["Param #"]["mobilenetv2_1.00_224 (Functional)"] == 2_257_984
    assert rows["Output shape"]["mobilenetv2_1.00_224 (Functional)"] == "(None, 7, 7, 1280)"
    dense = [(shape, count) for name, shape, count in rows.itertuples() if name.startswith("dense")]
    assert dense == [("(None, 1024)", 1_311_744), ("(None, 512)", 524_800), ("(None, 4)", 2_052)]
    graph = graph_of(model)
    part = graph.part(graph.cut_place(), len(graph.steps) - 1)
    assert sum(weight.numpy().size for weight in part.trainable_weights) == trainable
