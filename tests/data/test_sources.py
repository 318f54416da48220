"""Source confounding: sources that predict the class are measured."""

import numpy as np
import pandas as pd
import pytest

from lab_utils.data.sources import images_of_children, missing_sources, source_confounding, source_rule


def sourced(classes: str, sources: str, times: int = 30) -> pd.DataFrame:
    table = pd.DataFrame({"class": list(classes) * times, "source": list(sources) * times})
    table["group"] = range(len(table))
    table["split"] = np.where(np.arange(len(table)) % (2 * len(classes)) < len(classes), "train", "validation")
    return table


def test_sources_that_tell_the_class_are_measured() -> None:
    table = sourced("aab", "xyz")
    rule = source_rule(table)
    assert rule is not None
    assert (rule.images, rule.accuracy) == (45, 1)
    assert rule.low > 0.9
    assert rule.majority == pytest.approx(2 / 3)
    assert [row[:2] for row in source_confounding(table)] == [
        ("source confounding", ""),
        ("unshared source", "a"),
        ("unshared source", "b"),
    ]


@pytest.mark.parametrize("sources", ["xx", "xy"])
def test_sources_that_say_nothing_are_not_reported(sources: str) -> None:
    table = sourced("ab", "xx", 200)
    if sources == "xy":
        table["source"] = np.where(np.random.default_rng(0).random(len(table)) < 0.5, "x", "y")
    assert list(source_confounding(table)) == []


def test_a_source_for_every_image_tells_nothing() -> None:
    table = sourced("ab", "xx")
    assert source_rule(table.assign(source=table.index.astype(str))) is None
    assert source_rule(table.assign(source="")) is None
    assert list(source_confounding(table.assign(source=""))) == []


def test_images_that_a_sheet_does_not_name_are_counted() -> None:
    table = pd.DataFrame({"class": list("aab"), "source": ["x", "", ""], "image_id": list("123")})
    assert [row[:4] for row in missing_sources(table)] == [
        ("metadata sheet", "a", "", "The sheet lacks 1 of 2 images, the first 2.")
    ]


def test_images_of_children_are_counted_by_class() -> None:
    children = "https://www.kaggle.com/paultimothymooney/chest-xray-pneumonia"
    sources = {"a": {children: 3, "https://example.org": 5}, "b": {"https://example.org": 4}, "c": {children: 2}}
    assert images_of_children(sources) == {"a": 3, "c": 2}
