from pathlib import Path

import pytest
from pydantic import ValidationError

from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from tests.conftest import PROJECT, write_config


def test_the_project_s_experiment_is_the_write_up_s() -> None:
    experiment = load_experiment(str(PROJECT / "lab.yaml"))
    assert [s.trainable_convs for s in experiment.chosen_scenarios()] == [2, 1, 0]
    assert {(s.epochs, s.batch_size, s.learning_rate, s.head) for s in experiment.chosen_scenarios()} == {
        (20, 64, 1e-3, (1024, 512))
    }
    assert experiment.protocols == ("described", "published", "corrected")
    assert experiment.convs_of("MobileNetV2") == [2, 1, 0]


def test_a_protocol_differs_from_the_one_it_follows_by_what_it_changes() -> None:
    known = load_experiment(str(PROJECT / "lab.yaml")).known_protocols
    settings = {name: protocol.model_dump(exclude={"name", "title"}) for name, protocol in known.items()}
    assert settings["published"] == {
        "masks": True,
        "interpolation": "nearest",
        "scaling": "unit",
        "split": "listing",
        "val_fraction": 0.3,
        "split_seed": 0,
    }
    changes = {
        name: {key: value for key, value in settings[name].items() if settings[protocol.follows][key] != value}
        for name, protocol in known.items()
        if protocol.follows
    }
    assert changes == {
        "images_60": {"masks": False, "val_fraction": 0.6},  # one change: test_images_60_validates_on_the_same_images
        "images_30": {"val_fraction": 0.3},
        "shuffled": {"split": "stratified"},
        "described": {"interpolation": "bilinear"},
        "scaled": {"scaling": "backbone"},
        "corrected": {"split": "grouped"},
    }


def test_protocols_yaml_runs_the_whole_chain_of_lab_yaml() -> None:
    usual, chain = (load_experiment(str(PROJECT / name)) for name in ("lab.yaml", "protocols.yaml"))
    assert chain.model_copy(update={"run": usual.run}) == usual
    steps = [chain.protocol(name).follows for name in chain.protocols]
    assert steps == [*chain.protocols[1:], ""], "each protocol follows its neighbour"
    assert len(chain.seeds) >= 5


def test_a_file_replaces_keys_of_its_base(tmp_path: Path) -> None:
    write_config(tmp_path / "lab.yaml", phantoms=50)
    (tmp_path / "mine.yaml").write_text("base: lab.yaml\nimage_size: 32\n")
    experiment = load_experiment(str(tmp_path / "mine.yaml"), dataset="kaggle")
    assert (experiment.phantoms, experiment.image_size, experiment.dataset) == (50, 32, "kaggle")
    (tmp_path / "mine.yaml").write_text("base: other.yaml\n")
    with pytest.raises(LabError, match=r"other\.yaml: no such experiment file"):
        load_experiment(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("followed", ["nowhere", "circle", "later"])
def test_a_protocol_follows_one_that_is_listed_above_it(followed: str, tmp_path: Path) -> None:
    protocols = {"circle": {"follows": followed}, "later": {"follows": "circle"}}
    with pytest.raises(LabError, match=f"protocols.circle.follows: expected a protocol .*above circle, .*'{followed}'"):
        load_experiment(str(write_config(tmp_path / "lab.yaml", protocols=protocols)))


def test_precision_is_auto_unless_it_is_chosen(tmp_path: Path) -> None:
    assert load_experiment(str(PROJECT / "lab.yaml")).precision == "auto"
    assert load_experiment(str(write_config(tmp_path / "lab.yaml", precision="bfloat16"))).precision == "bfloat16"
    with pytest.raises(LabError, match=r"precision: .*'auto', 'float32' or 'bfloat16', found 'float16'"):
        load_experiment(str(write_config(tmp_path / "lab.yaml", precision="float16")))


def test_unknown_names_list_the_known_ones(tmp_path: Path) -> None:
    experiment = load_experiment(str(write_config(tmp_path / "lab.yaml")))
    with pytest.raises(
        LabError, match="no scenario 'fc_onyl'.*last_two_convs, last_conv, fc_only.*did you mean 'fc_only'"
    ):
        experiment.scenario("fc_onyl")
    with pytest.raises(LabError, match="no protocol 'x'.*published, images_60, .*corrected"):
        experiment.protocol("x")


def test_all_mistakes_are_reported_at_once(tmp_path: Path) -> None:
    path = write_config(
        tmp_path / "lab.yaml",
        phantoms=-3,
        datset="kaggle",
        run={"scenarios": ["fc_only", "fc_onyl"], "seeds": [0, 0]},
        training={"epochs": 0},
        protocols={"mine": {"val_fraction": 1, "split": "random"}},
    )
    with pytest.raises(LabError) as caught:
        load_experiment(str(path))
    message = str(caught.value)
    for part in (
        "phantoms: Input should be greater than or equal to 40, found -3",
        "no key 'datset'",
        "did you mean 'dataset'",
        "seeds: lists something twice: 0, 0",
        "scenarios.fc_only.epochs: Input should be greater than 0, found 0",
        "protocols.mine.val_fraction: Input should be less than 1, found 1",
        "protocols.mine.split: Input should be 'stratified', 'grouped', 'listing' or 'given', found 'random'",
    ):
        assert part in message, message


def test_a_scenario_that_is_run_must_exist(tmp_path: Path) -> None:
    path = write_config(tmp_path / "lab.yaml", run={"scenarios": ["fc_onyl"]})
    with pytest.raises(LabError, match="run.scenarios: no scenario 'fc_onyl'.*did you mean 'fc_only'"):
        load_experiment(str(path))


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "two words"])
def test_names_that_would_become_odd_folders_are_refused(tmp_path: Path, name: str) -> None:
    path = write_config(tmp_path / "lab.yaml", scenarios={name: {"trainable_convs": 0}})
    with pytest.raises(LabError, match="a name is up to 60 letters, digits"):
        load_experiment(str(path))


@pytest.mark.parametrize(
    ("text", "reason"),
    [("a: [", "not valid YAML"), ("- a", "expected keys and values"), ("", "expected keys and values")],
)
def test_a_file_that_is_no_experiment_says_so(tmp_path: Path, text: str, reason: str) -> None:
    (tmp_path / "lab.yaml").write_text(text)
    with pytest.raises(LabError, match=reason):
        load_experiment(str(tmp_path / "lab.yaml"))


def test_a_missing_file_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LabError, match="no such experiment file; copy lab.yaml"):
        load_experiment(str(tmp_path / "none.yaml"))


def test_changed_values_are_checked(tmp_path: Path) -> None:
    experiment = load_experiment(str(write_config(tmp_path / "lab.yaml")))
    assert experiment.scenario("fc_only", epochs=7).epochs == 7
    with pytest.raises(LabError, match=r"fc_only\.epochs: Input should be greater than 0, found -1"):
        experiment.scenario("fc_only", epochs=-1)
    with pytest.raises(LabError, match=r"fc_only\.head\.1: Input should be greater than 0, found 0"):
        experiment.scenario("fc_only", head=[8, 0])
    with pytest.raises(LabError, match=r"fc_only: no key 'epoch'.*did you mean 'epochs'"):
        experiment.scenario("fc_only", epoch=3)


def test_a_scenario_has_a_number_that_retrains_nothing(tmp_path: Path) -> None:
    experiment = load_experiment(str(PROJECT / "lab.yaml"))
    assert experiment.scenario("last_two_convs").label == "S1: last two convolutions + head"
    assert experiment.scenario("fc_only", epochs=7).label == "S3: head only"
    assert "number" not in experiment.scenario("fc_only").model_dump()


def test_optimizer_and_class_weight_are_settings_of_a_scenario(tmp_path: Path) -> None:
    path = write_config(tmp_path / "lab.yaml", scenarios={"sgd": {"trainable_convs": 0, "optimizer": "sgd"}})
    experiment = load_experiment(str(path))
    assert [experiment.scenario(name).optimizer for name in ("fc_only", "sgd")] == ["adam", "sgd"]
    assert experiment.scenario("fc_only", class_weight="balanced").class_weight == "balanced"
    with pytest.raises(LabError, match=r"fc_only\.optimizer: Input should be 'adam', .*found 'adma'"):
        experiment.scenario("fc_only", optimizer="adma")


def test_each_mistake_names_its_place_and_the_nearest_key(tmp_path: Path) -> None:
    path = write_config(
        tmp_path / "lab.yaml",
        run={"seed": [0]},
        faults=["markers"],
        protocols={"described": {"mask": True}},
        scenarios={"fc_only": None},
    )
    with pytest.raises(LabError) as caught:
        load_experiment(str(path))
    for part in (
        "lab.yaml: 4 problem(s)",
        "run: no key 'seed': choose one of protocols, scenarios, seeds; did you mean 'seeds'?",
        "faults.0: Input should be 'duplicates', 'marker', 'source' or 'labels', found 'markers'",
        "protocols.described: no key 'mask': choose one of title, masks, ",
        "scenarios.fc_only: expected keys and values, found None",
    ):
        assert part in str(caught.value), caught.value


def test_an_experiment_cannot_be_changed(experiment: Experiment) -> None:
    with pytest.raises(ValidationError, match="frozen"):
        experiment.scenario("fc_only").epochs = 3  # type: ignore[misc]


def test_an_override_chooses_what_is_run(config: Path) -> None:
    assert load_experiment(str(config), run={"scenarios": ["fc_only"], "seeds": [1, 2]}).seeds == (1, 2)


def test_without_a_choice_everything_is_run(config: Path) -> None:
    experiment = load_experiment(str(config), run={"seeds": [0]})
    assert experiment.protocols == tuple(experiment.known_protocols)
    assert [scenario.name for scenario in experiment.chosen_scenarios()] == list(experiment.known_scenarios)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"dataset": "kaggle", "faults": ["marker"]}, "faults: are planted in phantoms only, and dataset is 'kaggle'"),
        ({"columns": {"label": "Dx"}}, "columns: are those of a table, and dataset is 'phantom'"),
        ({"dataset": "t.csv", "columns": {"image": "x", "label": "x"}}, "columns: image and label are both 'x'"),
        ({"protocols": {"corrected": {"masks": True, "split": "grouped"}}}, "protocols.corrected: masks: true puts"),
        ({"protocols": {"Described": {"title": "t"}}}, "protocols: described and Described differ in case only"),
        ({"scenarios": {"FC_only": {"trainable_convs": 0}}}, "scenarios: fc_only and FC_only differ in case only"),
    ],
)
def test_values_that_are_wrong_together_are_refused(changes: dict[str, object], problem: str, tmp_path: Path) -> None:
    with pytest.raises(LabError, match=problem):
        load_experiment(str(write_config(tmp_path / "lab.yaml", **changes)))


def test_columns_of_a_table_have_known_roles(tmp_path: Path) -> None:
    path = write_config(tmp_path / "lab.yaml", dataset="t.csv", columns={"image": "File", "label": "Dx"})
    assert load_experiment(str(path)).columns == {"image": "File", "label": "Dx"}
    with pytest.raises(LabError, match=r"columns.class: Input should be 'image', 'label', .* found 'class'"):
        load_experiment(str(write_config(tmp_path / "lab.yaml", dataset="t.csv", columns={"class": "Dx"})))


def test_the_depth_of_fine_tuning_is_a_number_or_all(tmp_path: Path) -> None:
    scenarios = {"every": {"trainable_convs": "all"}, "three": {"trainable_convs": 3}}
    path = write_config(tmp_path / "lab.yaml", scenarios=scenarios, run={"scenarios": ["three", "every"]})
    assert load_experiment(str(path)).convs_of("MobileNetV2") == ["all", 3, 0]
    for wrong in (-1, "many", True, 1.5):
        path = write_config(tmp_path / "lab.yaml", scenarios={"every": {"trainable_convs": wrong}})
        with pytest.raises(
            LabError, match=r"scenarios.every.trainable_convs: expected a number .* or all, found"
        ) as info:
            load_experiment(str(path))
        assert "1 problem(s)" in str(info.value)


def test_collections_are_entries_with_a_path(tmp_path: Path) -> None:
    external = {"a": {"path": "a.zip", "labels": {"x": None}}, "b": {"title": "B", "path": "phantom"}}
    settings = {name: write_config(tmp_path / f"{name}.yaml", external=external) for name in ("phantom", "x.zip")}
    chosen = load_experiment(str(settings["phantom"]))
    assert [(entry.name, entry.title, entry.path) for entry in chosen.collections][-2:] == [
        ("a", "a", "a.zip"),
        ("b", "B", "phantom"),
    ]
    real = load_experiment(str(settings["x.zip"]), dataset="x.zip")
    assert [entry.name for entry in real.collections] == ["a"], "phantoms are judged beside phantoms"
    assert len(real.collections_beside(is_synthetic=True)) == len(chosen.collections)
    replaced = chosen.with_external({"a": "/new/a.zip", "c": "c"}).collections
    assert [(entry.name, entry.path, entry.labels) for entry in replaced] == [
        ("a", "/new/a.zip", {"x": None}),
        ("c", "c", {}),
    ]


def test_wrong_collections_are_refused(tmp_path: Path) -> None:
    external = {"A": {"label": {}}, "a": {"path": "x", "labels": {"y": 3}}, "two words": {"path": "x"}}
    with pytest.raises(LabError) as caught:
        load_experiment(str(write_config(tmp_path / "lab.yaml", external=external)))
    for part in (
        "external.A: no key 'label': choose one of title, path, labels, columns; did you mean 'labels'?",
        "external.A.path: Field required",
        "external.a.labels.y: Input should be a valid string, found 3",
        "external.two words: a name is up to 60 letters",
    ):
        assert part in str(caught.value)
    path = write_config(tmp_path / "lab.yaml", external={"A": {"path": "x"}, "a": {"path": "y"}})
    with pytest.raises(LabError, match="external: A and a differ in case only"):
        load_experiment(str(path))
