"""Storage: a class that is stored differently is reported, and so is every conversion."""

import pandas as pd
import pytest

from lab_utils.data.storage import conversions, storage_confounding


def images_of(**classes: dict[str, list[object]]) -> pd.DataFrame:
    """A manifest of classes with given columns; what is not given is the same everywhere."""
    common = {"format": "PNG", "mode": "L", "bits": 8, "width": 224, "height": 224, "conversion": ""}
    parts = []
    for name, columns in classes.items():
        part = pd.DataFrame(columns)
        parts.append(part.assign(**{"class": name, **{k: v for k, v in common.items() if k not in columns}}))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(image_id=table["class"] + "/" + table.index.astype(str))


def reported(images: pd.DataFrame) -> dict[str, str]:
    return {row[1]: row[3] for row in storage_confounding(images)}


@pytest.mark.parametrize(
    ("column", "usual", "other", "text"),
    [
        ("format", "PNG", "DICOM", "format DICOM in 100\N{NO-BREAK SPACE}% of its images"),
        ("mode", "L", "RGB", "mode RGB in 100"),
        ("bits", 8, 16, "depth 16\N{NO-BREAK SPACE}bits in 100"),
        ("conversion", "", "window of the file", "conversion window of the file in 100"),
        ("width", 224, 1024, "size 1024×224 in 100"),
    ],
)
@pytest.mark.parametrize("count", [4, 200])
def test_the_class_that_is_stored_differently_is_reported_and_no_other(
    column: str, usual: object, other: object, text: str, count: int
) -> None:
    images = images_of(a={column: [usual] * count}, b={column: [other] * count}, c={column: [usual] * count})
    found = reported(images)
    assert list(found) == ["b"]
    assert text in found["b"]
    assert "0\N{NO-BREAK SPACE}% at most elsewhere" in found["b"]


@pytest.mark.parametrize(
    "classes",
    [
        {"a": ["PNG"] * 10 + ["JPEG"] * 10, "b": ["PNG"] * 9 + ["JPEG"] * 11},
        {"a": ["PNG"] * 3, "b": ["PNG", "PNG", "JPEG"]},
        {"a": ["PNG"] * 300, "b": ["PNG"] * 295 + ["JPEG"] * 5},
    ],
)
def test_classes_that_are_stored_alike_are_not_reported(classes: dict[str, list[object]]) -> None:
    assert not reported(images_of(**{name: {"format": formats} for name, formats in classes.items()}))


def test_a_part_of_a_class_that_alone_has_colour_is_reported() -> None:
    images = images_of(pneumonia={"mode": ["RGB"] * 17 + ["L"] * 118}, normal={"mode": ["L"] * 1000})
    assert "mode RGB in 13\N{NO-BREAK SPACE}% of its images" in reported(images)["pneumonia"]


def test_conversions_are_counted_and_said() -> None:
    images = images_of(
        a={"conversion": ["range of the file", "EXIF orientation; range of the file"]},
        b={"conversion": ["range of the file", ""]},
    )
    rows = {row[3]: row[1] for row in conversions(images)}
    depth, turned = rows
    assert depth.startswith("3 images were not stored as 8-bit grey levels: each file's smallest value became 0")
    assert rows[depth] == ""
    assert turned.startswith("1 image was rotated or mirrored by the EXIF orientation")
    assert rows[turned] == "a"
