"""Findings: every check finds its fault and nothing else."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from lab_utils.core.catalogue import catalogue
from lab_utils.core.config import Fault, Protocol
from lab_utils.core.paths import Workspace
from lab_utils.data.dataset import Dataset, obtain
from lab_utils.data.duplicates import leaks
from lab_utils.data.kaggle import PUBLISHED_COUNTS
from lab_utils.data.manifest import build_manifest
from lab_utils.data.phantoms import CLASSES, write_phantoms
from lab_utils.data.quality import (
    collect_findings,
    published_differences,
    unplanned_shares,
    unusual_formats,
    unusual_grey_levels,
)
from lab_utils.data.splits import split
from tests.conftest import write_classes

DESCRIBED = Protocol(name="described", title="described")


GROUPED = Protocol(name="corrected", title="corrected", split="grouped")


def findings_of(root: Path, lab: Workspace, protocol: Protocol = DESCRIBED) -> pd.DataFrame:
    data = replace(obtain(str(root), lab), kind="phantom")  # whose counts are no one's
    return collect_findings(data, *build_manifest(data, protocol), protocol)


def checks(findings: pd.DataFrame) -> list[tuple[str, str]]:
    return list(zip(findings["check"], findings["image_id"], strict=True))


def test_nothing_odd_gives_an_empty_table(tmp_path: Path, lab: Workspace) -> None:
    findings = findings_of(write_classes(tmp_path / "d", {"a": 10, "b": 10}), lab)
    assert list(findings.columns) == list(catalogue()["findings"].columns)
    assert len(findings) == 0


def test_exact_duplicates_name_their_original_and_the_class_it_has(tmp_path: Path, lab: Workspace) -> None:
    root = write_classes(tmp_path / "d", {"a": 10, "b": 10})
    original = (root / "a" / "a-1.png").read_bytes()
    (root / "a" / "a-2.png").write_bytes(original)
    (root / "b" / "b-3.png").write_bytes(original)
    findings = findings_of(root, lab)
    findings = findings[findings["check"].str.contains("duplicate")]
    assert checks(findings) == [("exact duplicate", "a/a-2.png"), ("exact duplicate", "b/b-3.png")]
    assert findings["detail"].str.startswith("Its pixels are identical to those of a/a-1.png").all()
    assert findings["detail"].str.contains("in another class (a)", regex=False).tolist() == [False, True]


def test_near_duplicates_are_told_from_exact_ones_and_the_action_is_what_the_split_did(
    tmp_path: Path, lab: Workspace
) -> None:
    root = write_classes(tmp_path / "d", {"a": 10, "b": 10})
    brighter = np.asarray(Image.open(root / "a" / "a-1.png")) + np.uint8(1)
    for number in range(2, 10):
        Image.fromarray(brighter).save(root / "a" / f"a-{number}.png")
    for protocol, actions in (
        (DESCRIBED, {"kept", "kept on both sides"}),
        (GROUPED, {"kept on one side, with its group"}),
    ):
        findings = findings_of(root, lab, protocol)
        findings = findings[findings["check"].str.contains("duplicate")]
        assert findings["check"].tolist() == ["near-duplicate"] + 7 * ["exact duplicate"]
        assert set(findings["action"]) <= actions
        crossing = findings["detail"].str.contains("the other side")
        assert (findings["action"] == "kept on both sides").equals(crossing)


def test_a_mask_among_the_images_is_noticed_by_its_content(phantom_copy: Path, lab: Workspace) -> None:
    shutil.copy(phantom_copy / "COVID/masks/COVID-1.png", phantom_copy / "COVID/images/COVID-999.png")
    findings = findings_of(phantom_copy, lab)
    rows = findings[findings["check"] == "looks like a mask"]
    assert rows["image_id"].tolist() == ["COVID/images/COVID-999.png"]
    assert rows["detail"].iloc[0] == "The image has 2 grey levels: it is a mask or empty."


def test_masks_that_the_protocol_counts_as_images_are_a_finding_per_class(phantoms: Path, lab: Workspace) -> None:
    findings = findings_of(phantoms, lab, Protocol(name="published", title="published", masks=True, split="listing"))
    rows = findings[findings["check"] == "mask as image"]
    assert rows["class"].tolist() == sorted(CLASSES)
    assert rows["detail"].iloc[0] == "8 files of masks/ count as images of this class."


def test_images_outside_the_image_folder_are_left_out_and_said(phantom_copy: Path, lab: Workspace) -> None:
    for place in ("COVID/COVID-70.png", "COVID/more/COVID-71.png"):
        (phantom_copy / place).parent.mkdir(exist_ok=True)
        shutil.copy(phantom_copy / "COVID/images/COVID-1.png", phantom_copy / place)
    findings = findings_of(phantom_copy, lab)
    assert findings["check"].tolist() == ["not in the image folder"]
    assert (
        findings["detail"].iloc[0]
        == "2 image files lie outside the class's image folder, the first COVID/COVID-70.png."
    )


def test_masks_that_are_missing_empty_or_spoilt_are_named(phantom_copy: Path, lab: Workspace) -> None:
    masks = phantom_copy / "Normal" / "masks"
    (masks / "Normal-1.png").unlink()
    Image.new("RGB", (256, 256)).save(masks / "Normal-2.png")
    (masks / "Normal-3.png").write_text("no picture")
    findings = findings_of(phantom_copy, lab)
    assert checks(findings) == [
        ("mask missing", "Normal/images/Normal-1.png"),
        ("mask empty", "Normal/images/Normal-2.png"),
        ("mask unreadable", "Normal/images/Normal-3.png"),
    ]


def test_a_class_without_any_mask_is_one_finding(phantom_copy: Path, lab: Workspace) -> None:
    shutil.rmtree(phantom_copy / "Normal" / "masks")
    rows = findings_of(phantom_copy, lab)
    assert rows[["check", "class", "image_id"]].to_numpy().tolist() == [["mask missing", "Normal", ""]]


def test_masks_of_zeros_and_ones_are_masks(phantom_copy: Path, lab: Workspace) -> None:
    for path in (phantom_copy / "Normal" / "masks").glob("*.png"):
        Image.fromarray((np.asarray(Image.open(path).convert("L")) > 127).astype(np.uint8)).save(path)
    assert len(findings_of(phantom_copy, lab)) == 0


def images(**columns: object) -> pd.DataFrame:
    base = {"class": "a", "image_id": "i", "width": 10, "height": 10, "mode": "L", "mean": 100.0, "deviation": 30.0}
    table = pd.DataFrame({"n": range(100), **base})
    table["mean"] += table["n"] % 7
    table["deviation"] += table["n"] % 5
    for name, value in columns.items():
        table.loc[3, name] = value
    return table


def unusual(table: pd.DataFrame) -> list[tuple[str, str, str, str, str]]:
    return [*unusual_formats(table), *unusual_grey_levels(table)]


@pytest.mark.parametrize(
    ("column", "value", "check"),
    [
        ("width", 12, "unusual size"),
        ("mode", "RGB", "unusual mode"),
        ("mean", 3.0, "unusual brightness"),
        ("deviation", 90.0, "unusual contrast"),
    ],
)
def test_one_image_unlike_all_others_is_named(column: str, value: object, check: str) -> None:
    assert unusual(images()) == []
    assert [row[0] for row in unusual(images(**{column: value}))] == [check]


def test_sizes_that_have_nothing_in_common_are_one_finding() -> None:
    table = images()
    table["width"] = 10 + table["n"]
    assert [row[:3] for row in unusual_formats(table)] == [("unusual size", "", "")]


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("planted")
    faults: tuple[Fault, ...] = ("duplicates", "source")
    write_phantoms(root, 160, faults=faults)
    return root


def test_what_is_planted_is_found_and_what_is_not_is_not(planted: Path, phantoms: Path, lab: Workspace) -> None:
    findings = findings_of(planted, lab)
    counts = findings["check"].value_counts()
    copies = sum(max(8, round(160 * share)) // 8 for share in (0.171, 0.284, 0.482, 0.063))
    assert counts["exact duplicate"] + counts["near-duplicate"] == copies
    assert counts["unshared source"] == 3, "the fourth class is too small for its source to be learned"
    assert (
        "100\N{NO-BREAK SPACE}% of the classes"
        in findings.loc[findings["check"] == "source confounding", "detail"].iloc[0]
    )
    assert findings["detail"].str.contains("the other side").sum() > 0
    assert len(findings_of(phantoms, lab)) == 0


def test_corrected_keeps_every_group_on_one_side(planted: Path, lab: Workspace) -> None:
    data = obtain(str(planted), lab)
    crossing = {}
    for protocol in (DESCRIBED, GROUPED):
        manifest, _ = build_manifest(data, protocol)
        crossing[protocol.name] = (manifest.groupby("group")["split"].nunique() > 1).sum()
        assert bool(leaks(manifest)["copied"].iloc[0]) == bool(crossing[protocol.name])
    assert crossing["described"] > 0
    assert crossing["corrected"] == 0


def test_the_listing_is_compared_with_the_published_one(tmp_path: Path) -> None:
    published = [
        (f"{name}/images/{name}-{n}.png", name) for name, count in PUBLISHED_COUNTS.items() for n in range(1, count + 1)
    ]
    listing = pd.DataFrame(published, columns=["image_id", "class"]).assign(kind="image")
    database = Dataset("archive", tmp_path, "", {name: {} for name in PUBLISHED_COUNTS}, listing=listing)
    assert published_differences(database) == {}
    missing = listing["image_id"].str.contains("Normal-77.png|Normal-130.png")
    added = pd.DataFrame([{"image_id": "COVID/images/mine.png", "class": "COVID", "kind": "image"}])
    database = replace(database, listing=pd.concat([listing[~missing], added]))
    assert published_differences(database) == {
        "COVID": "The folder holds 3,617 images, the published class 3,616: 1 not published, the first mine.png.",
        "Normal": "The folder holds 10,190 images, the published class 10,192: 2 missing, the first Normal-77.png.",
    }
    assert published_differences(replace(database, kind="phantom")) == {}


def test_other_classes_are_no_difference_unless_kaggle_sent_them(tmp_path: Path, lab: Workspace) -> None:
    plain = obtain(str(write_classes(tmp_path / "d", {"a": 1, "b": 2})), lab)
    assert published_differences(plain) == {}
    rows = published_differences(replace(plain, kind="kaggle"))
    assert (
        rows["COVID"] == "The folder holds 0 images, the published class 3,616: 3,616 missing, the first COVID-1.png."
    )
    assert rows["b"] == "The folder holds 2 images, the published class 0: 2 not published, the first b-1.png."


@pytest.mark.parametrize("count", [3, 9])
def test_a_few_images_have_no_outliers(count: int) -> None:
    assert unusual(images(mean=3.0, width=12, mode="RGB").head(count)) == []


def test_one_of_fifteen_images_is_named_and_equal_images_have_no_outliers() -> None:
    assert [row[0] for row in unusual(images(width=12).head(15))] == ["unusual size"]
    equal = images().assign(mean=100.0, deviation=30.0)
    equal.loc[5, ["mean", "deviation"]] = [101.0, 31.0]
    assert unusual(equal) == []


def test_a_class_that_cannot_have_the_planned_share_is_a_finding() -> None:
    """Class b consists of two groups of nine and eleven images."""
    items = pd.DataFrame({"class": ["a"] * 20 + ["b"] * 20, "group": [*range(20), *[20] * 9, *[21] * 11]})
    items = items.assign(patient="", given="")
    items["split"] = split(items, GROUPED)
    rows = list(unplanned_shares(items, GROUPED))
    assert [row[:3] for row in rows] == [("share for validation", "b", "")]
    assert rows[0][3].startswith("45.0\N{NO-BREAK SPACE}% of the images are for validation; 30\N{NO-BREAK SPACE}% were")
    assert not list(unplanned_shares(items[items["class"] == "a"], GROUPED))
    assert not list(unplanned_shares(items.assign(given=items["split"]), GROUPED.model_copy(update={"split": "given"})))
