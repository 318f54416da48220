import pandas as pd

from lab_utils.reporting import figures
from tests.reporting.conftest import ONE, TWO, intervals_in


def test_all_accuracies_lie_on_one_axis_with_the_write_up_s_as_diamonds() -> None:
    means = pd.DataFrame({"scenario": ["one", "two"], "measure": "accuracy", "value": [0.9, 0.8]})
    means = means.assign(low=means["value"] - 0.05, high=means["value"] + 0.05)
    probes = pd.DataFrame({"input": ["full_all_images", "border"], "accuracy": [0.85, 0.6]})
    probes = probes.assign(low=[0.8, 0.5], high=[0.88, 0.7]).set_index("input")
    outside = means.assign(collection="other", among="all classes", value=0.4, low=0.3, high=0.45)
    majority, published = {"": 0.5, "other": 0.55}, {"one": 0.86}
    shown = figures.accuracy_summary(means, probes, outside, majority, published, [ONE, TWO], {"other": "<Other>"})
    linear, networks, elsewhere = shown.figure.axes
    assert [label.get_text() for label in linear.get_yticklabels()] == [
        "majority-class baseline",
        "border alone",
        "full image, frozen features",
    ]
    assert intervals_in(linear) == {(0.5, 0.7), (0.8, 0.88)}
    assert intervals_in(networks) == {(0.85, 0.95), (0.75, 0.85)}
    assert intervals_in(elsewhere) == {(0.3, 0.45)}
    assert [label.get_text() for label in elsewhere.get_yticklabels()] == ["<Other>"]
    diamonds = [line for line in networks.lines if line.get_marker() == "D" and line.get_markerfacecolor() == "none"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in diamonds] == [(0.86, 0)]
    assert len({ax.get_xlim() for ax in shown.figure.axes}) == 1
    assert "<Other>, S1: title of one 40.0" in shown.alt
    assert str(shown).startswith("Summary figure: ")


def test_what_was_not_measured_has_no_panel() -> None:
    means = pd.DataFrame({"scenario": ["two"], "measure": "accuracy", "value": 0.8, "low": 0.7, "high": 0.9})
    nothing = means[:0].assign(collection="", among="", input="", accuracy=0.0)
    shown = figures.accuracy_summary(means, nothing, nothing, {"": 0.5}, {}, [TWO], {})
    assert len(shown.figure.axes) == 2
    assert "write-up" not in [text.get_text() for text in shown.figure.legends[0].get_texts()]
