from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.font_manager import FontManager, FontProperties, fontManager

from lab_utils.reporting import fonts, style
from lab_utils.reporting.style import scenario_marks
from tests.reporting.conftest import SCENARIOS


def test_a_scenario_keeps_its_colour_and_marker_whatever_is_run() -> None:
    marks = [scenario_marks(scenario) for scenario in SCENARIOS]
    assert len({(mark["color"], mark["marker"]) for mark in marks}) == 4
    neutral = style.neutral_marks(["a", "b", "c"]).values()
    assert not {mark["color"] for mark in neutral} & set(style.SCENARIO_COLORS)
    assert not set(style.CLASS_COLORS) & set(style.SCENARIO_COLORS)


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_every_column_of_panels_has_its_labels_below(count: int) -> None:
    _, axes = style.panels(count, 1.0)
    for ax in axes:
        ax.set(xlabel="predicted", ylabel="true")
    style.label_outer(axes)
    lowest = axes[-3:]
    assert [ax for ax in axes if ax.get_xlabel()] == lowest
    assert all(ax.xaxis.get_tick_params()["labelbottom"] for ax in lowest)
    assert [ax for ax in axes if ax.get_ylabel()] == axes[::3]


def test_what_the_user_has_set_for_other_figures_does_not_hold(tmp_path: Path) -> None:
    expected = dict(mpl.rcParams)
    (tmp_path / "matplotlibrc").write_text(
        "text.usetex: true\nfont.family: monospace\nsavefig.bbox: tight\nsavefig.dpi: 9\naxes.facecolor: black\npath.sketch: 1, 100, 2\n"
    )
    mpl.rc_file(tmp_path / "matplotlibrc")
    style.use_style()
    assert dict(mpl.rcParams) == expected
    figure, (ax,) = style.panels(1, 1.0, columns=1)
    ax.set_title("no TeX is needed")
    figure.draw_without_rendering()


def test_fonts_are_those_that_matplotlib_finds() -> None:
    for name in (fonts.FAMILIES[0], list(fonts.FAMILIES)):
        properties = FontProperties(family=name, size=9)
        found = FontManager._find_fonts_by_props(fontManager, properties)
        assert fontManager._find_fonts_by_props(properties) == found
        assert len(found) == len(properties.get_family())
