"""Which protocols are planned, applied and left out, from what stages 10 and 20 recorded."""

import pytest

from lab_utils.core.catalogue import read_table
from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.files import read_json, write_json
from lab_utils.core.paths import Workspace
from lab_utils.core.plan import applied, applied_protocols, leave_out, left_out, planned_protocols


@pytest.fixture
def chosen() -> Experiment:
    """An experiment with two of its protocols."""
    return load_experiment(run={"protocols": ["described", "published"], "seeds": [0]})


def obtained(lab: Workspace, fingerprint: str = "f", **values: object) -> None:
    write_json(lab.dataset(), {"fingerprint": fingerprint, **values})


def test_given_splits_add_the_protocol_that_keeps_them(lab: Workspace, chosen: Experiment) -> None:
    assert planned_protocols(chosen, lab) == ("described", "published"), "no data set yet"
    obtained(lab, given={})
    assert planned_protocols(chosen, lab) == ("described", "published")
    obtained(lab, given={"train": 20, "test": 8})
    assert planned_protocols(chosen, lab) == applied_protocols(chosen, lab) == ("described", "published", "given")


def test_without_given_splits_all_protocols_are_all_others(lab: Workspace) -> None:
    everything = load_experiment(run={"seeds": [0]})
    assert set(everything.known_protocols) - set(planned_protocols(everything, lab)) == {"given"}
    named = load_experiment(run={"protocols": ["given"], "seeds": [0]})
    assert planned_protocols(named, lab) == ("given",), "who asks for it gets the reason"


def test_a_protocol_is_left_out_for_the_data_that_do_not_admit_it(lab: Workspace, chosen: Experiment) -> None:
    obtained(lab)
    leave_out(lab, "published", "class a: three images")
    assert left_out(chosen, lab) == {"published": "class a: three images"}
    assert applied_protocols(chosen, lab) == applied(chosen, lab).protocols == ("described",)
    assert planned_protocols(chosen, lab) == ("described", "published"), "its stage stays in the plan"
    assert read_json(lab.preprocessing("published"), stage="20")["commit"] is not None
    for name in ("manifest", "findings"):
        assert len(read_table(lab, name, protocol="published")) == 0
    obtained(lab, fingerprint="other")
    assert left_out(chosen, lab) == {}


def test_if_none_remains_the_experiment_is_as_it_was(lab: Workspace, chosen: Experiment) -> None:
    obtained(lab)
    for name in chosen.protocols:
        leave_out(lab, name, "too few")
    assert applied_protocols(chosen, lab) == ()
    assert applied(chosen, lab).protocols == tuple(chosen.known_protocols)


@pytest.mark.parametrize("content", ["{", "[1]", ""])
def test_a_damaged_record_leaves_nothing_out(lab: Workspace, chosen: Experiment, content: str) -> None:
    obtained(lab)
    lab.preprocessing("published").parent.mkdir(parents=True)
    lab.preprocessing("published").write_text(content)
    assert left_out(chosen, lab) == {}
