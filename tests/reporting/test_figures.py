import inspect
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.text import Text

from lab_utils.reporting import figures
from lab_utils.reporting.exhibits import ReportFigure
from tests.reporting.conftest import ONE

PAGE = 9.3  # inches: the height of the report's page


def test_every_figure_of_every_topic_is_offered() -> None:
    functions = {name: value for name, value in vars(figures).items() if inspect.isfunction(value)}
    topics = {path.stem for path in Path(figures.__file__).parent.glob("*_figures.py")}
    assert {function.__module__.rpartition(".")[2] for function in functions.values()} == topics
    assert all(inspect.signature(function).return_annotation is ReportFigure for function in functions.values())


def test_figures_of_twenty_classes_fit_on_a_page_with_every_name() -> None:
    names = [f"पैटर्न {number} of forty characters, more or less" for number in range(20)]
    manifest = pd.DataFrame({"class": names * 3, "split": np.repeat(["train", "validation", "test"], 20)})
    measures = ("auc", "average_precision", "sensitivity_at_95")
    scores = [{"scenario": ONE.name, "class": name, "measure": one, "value": 0.5} for one in measures for name in names]
    shares = pd.DataFrame({"class": names, "outcome": "correct", "share": 0.5, "low": 0.4, "high": 0.6, "images": 9})
    everything = shares.iloc[:1].assign(**{"class": "", "outcome": ""})
    names_of_references = (
        "uniform",
        "centre",
        "other_lungs",
        "lungs_only",
        "lungs",
        "random_head_low",
        "random_head_high",
    )
    references = dict.fromkeys(names_of_references, 0.2)
    drawn = [
        figures.class_balance(manifest),
        figures.feature_scatter(np.zeros((60, 2)), manifest["class"], [0.5, 0.1]),
        figures.one_vs_rest_scores(pd.DataFrame(scores), [ONE]),
        figures.attribution_shares(pd.concat([shares, everything.assign(**references)]), ONE),
        figures.image_grid([np.zeros((9, 9), np.uint8)] * 20, names, "c", "fig-x", columns=8),
    ]
    for shown in drawn:
        shown.figure.draw_without_rendering()
        assert shown.figure.get_figheight() < PAGE, shown.label
        texts = [text for text in shown.figure.findobj(Text) if "पैटर्न" in text.get_text()]
        assert len({text.get_text() for text in texts}) == 20, shown.label
        assert all(text.get_fontsize() >= 6 for text in texts), shown.label
        width, boxes = shown.figure.bbox.width, [text.get_window_extent() for text in texts]
        outside = [(box.x0, box.x1) for box in boxes if box.x0 < -2 or box.x1 > width + 2]
        assert not outside, (shown.label, width)
