"""The readers of untrusted input, fed with random input: each gives a value or its error, and nothing else.

LAB_FUZZ says how many inputs each reader gets; what once found something stays as an `example`.
"""

import gzip
import io
import lzma
import os
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import RLELossless

from lab_utils.core.catalogue import read_table_file
from lab_utils.core.config import Experiment, load_experiment
from lab_utils.core.errors import LabError
from lab_utils.core.files import read_json
from lab_utils.core.paths import Workspace
from lab_utils.data.archives import unpack
from lab_utils.data.decode import FORMATS, ImageError, read_record
from lab_utils.data.sheets import read_sheet
from lab_utils.data.table_files import read_text_table
from lab_utils.evaluation.predictions import read_predictions
from tests.conftest import tiny_settings
from tests.dicom import write_dicom
from tests.png import chunk, write_png

INPUTS = int(os.environ.get("LAB_FUZZ", "60"))
FUZZ = settings(max_examples=INPUTS, deadline=None, suppress_health_check=list(HealthCheck))

pytestmark = pytest.mark.filterwarnings("ignore")


def picture(kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.arange(400, dtype=np.uint8).reshape(20, 20)).save(buffer, kind)
    return buffer.getvalue()


def tar(compress: Callable[[bytes], bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as opened:
        for name in ("a/1.png", "b/" + "2" * 120 + ".png"):
            member = tarfile.TarInfo(name)
            member.size = len(picture("PNG"))
            opened.addfile(member, io.BytesIO(picture("PNG")))
    return compress(buffer.getvalue())


def archive() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name in ("a/1.png", "b/2.png"):
            opened.writestr(name, picture("PNG"))
    return buffer.getvalue()


def sheet() -> bytes:
    buffer = io.BytesIO()
    pd.DataFrame({"FILE NAME": ["a-1"], "FORMAT": ["PNG"], "SIZE": ["256*256"], "URL": ["x"]}).to_excel(
        buffer, index=False
    )
    return buffer.getvalue()


@st.composite
def spoilt(draw: st.DrawFn, original: bytes) -> bytes:
    """A sound file with bytes changed, put in, or cut off."""
    content = bytearray(original)
    for _ in range(draw(st.integers(1, 8))):
        place = draw(st.integers(0, max(0, len(content) - 1)))
        change = draw(st.sampled_from(["set", "insert", "cut", "repeat"]))
        if change == "set" and content:
            content[place] = draw(st.integers(0, 255))
        elif change == "insert":
            content[place:place] = draw(st.binary(max_size=8))
        elif change == "cut":
            del content[place : place + draw(st.integers(1, 50))]
        else:
            content[place:place] = content[place : place + draw(st.integers(1, 50))]
    return bytes(content)


@st.composite
def spoilt_inside(draw: st.DrawFn, original: bytes) -> bytes:
    """A zip with a spoilt member, whose checksum is that of what it holds now."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(original)) as sound, zipfile.ZipFile(buffer, "w") as rewritten:
        chosen = draw(st.sampled_from(sound.namelist()))
        for name in sound.namelist():
            content = sound.read(name)
            rewritten.writestr(name, draw(spoilt(content)) if name == chosen else content)
    return buffer.getvalue()


CHUNKS = [b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"gAMA", b"cHRM", b"iCCP", b"zTXt", b"iTXt", b"tEXt", b"pHYs"]
CHUNKS += [b"eXIf", b"acTL", b"fcTL", b"fdAT", b"sRGB", b"bKGD", b"caNV", b"prIV"]


@st.composite
def chunks(draw: st.DrawFn) -> bytes:
    """A PNG whose checksums are right and whose content is not."""
    side, depth, colour = st.integers(0, 40), st.sampled_from([1, 2, 4, 8, 16]), st.sampled_from([0, 2, 3, 4, 6])
    header = struct.pack(">IIBBBBB", draw(side), draw(side), draw(depth), draw(colour), 0, 0, draw(st.integers(0, 1)))
    data = st.one_of(st.binary(max_size=60), st.binary(max_size=900).map(zlib.compress))
    more = draw(st.lists(st.tuples(st.sampled_from(CHUNKS), data), max_size=6))
    body = [chunk(b"IHDR", header), *(chunk(*part) for part in more), chunk(b"IDAT", draw(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(body)


TWELVE_BITS = np.arange(400, dtype=np.uint16).reshape(20, 20) * 8
PICTURES = [
    *(picture(kind) for kind in FORMATS[:-1]),
    write_png(np.stack([TWELVE_BITS] * 3, axis=-1)),
    write_dicom(TWELVE_BITS, bits=12, WindowCenter=1000, WindowWidth=800),
    write_dicom(TWELVE_BITS, bits=12, syntax=RLELossless),
]


@FUZZ
@given(st.one_of(*map(spoilt, PICTURES), chunks(), st.binary(max_size=300)))
@example(
    b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR\x00\x00\x00\x01\x00\x00\x00\x01\x01\x00\x00\x00\x007n\xf9$"
    b"\x00\x00\x00\x02IDAT\x00\x00|\xba\xbd\xfb\x00\x00\x00\x00iCCP"
)
def test_the_decoder_gives_pixels_or_its_error(data: bytes) -> None:
    try:
        record = read_record(data)
    except ImageError as error:
        assert " at 0x" not in str(error)
        return
    assert record.pixels.dtype == np.uint8
    assert record.pixels.ndim in (2, 3)
    assert record.pixels.size > 0
    assert record.mode
    assert record.format in FORMATS


@FUZZ
@given(st.one_of(spoilt(archive()), *(spoilt(tar(kind)) for kind in (bytes, gzip.compress, lzma.compress))))
@example(b"PK")
@example(archive().replace(b"a/1.png", b"\0/1.png"))
def test_an_archive_is_unpacked_inside_its_folder_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as place:
        (Path(place) / "a.zip").write_bytes(data)
        folder = Path(place) / "inner" / "files"
        folder.parent.mkdir()
        with suppress(LabError):
            unpack(Path(place) / "a.zip", folder)
        outside = {path for path in Path(place).rglob("*") if path.is_file() and not path.is_relative_to(folder)}
        assert outside == {Path(place) / "a.zip"}


@FUZZ
@given(st.one_of(spoilt(sheet()), spoilt_inside(sheet()), st.binary(max_size=300)))
def test_a_metadata_sheet_gives_sources_or_is_refused(data: bytes) -> None:
    with TemporaryDirectory() as place, suppress(LabError):
        (Path(place) / "a.metadata.xlsx").write_bytes(data)
        urls = read_sheet(Path(place), "a")
        assert all(isinstance(url, str) for url in urls)


def parquet() -> bytes:
    with TemporaryDirectory() as place:
        path = Path(place) / "t.parquet"
        duckdb.sql("select 'a/' || i || '.png' as image, 'a' as label, i as age from range(30) t(i)").write_parquet(
            str(path)
        )
        return path.read_bytes()


LABELS = 'image;label;patient\na/1.png;"a;b";7\nb/2.png;b;\n'


@FUZZ
@given(
    st.one_of(
        st.tuples(st.just(".csv"), st.one_of(spoilt(LABELS.encode()), spoilt(LABELS.encode("utf-16")))),
        st.tuples(st.just(".parquet"), spoilt(parquet())),
    )
)
def test_a_table_of_labels_is_text_or_is_refused(file: tuple[str, bytes]) -> None:
    ending, data = file
    with TemporaryDirectory() as place, suppress(LabError):
        path = Path(place) / f"t{ending}"
        path.write_bytes(data)
        assert all(isinstance(cell, str) for cell in read_text_table(path).to_numpy().ravel())


KEYS = [
    "dataset",
    "phantoms",
    "run",
    "training",
    "scenarios",
    "protocols",
    "image_size",
    "seeds",
    "storage",
    "precision",
    "faults",
    "x",
]
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(KEYS)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=4), st.integers()), inner, max_size=3),
    ),
    max_leaves=6,
)


@FUZZ
@given(st.dictionaries(st.one_of(st.sampled_from(KEYS), st.text(max_size=5), st.integers()), VALUES, max_size=4))
@example({"run": {"protocols": [1]}})
@example({3: None})
def test_settings_are_an_experiment_or_a_message(changes: dict[Any, Any]) -> None:
    check_settings(yaml.safe_dump({**tiny_settings(), **changes}, allow_unicode=True).encode())


@FUZZ
@given(
    st.one_of(
        spoilt(yaml.safe_dump(tiny_settings()).encode()), st.binary(max_size=200), st.text(max_size=100).map(str.encode)
    )
)
@example(b"? [a]\n: b\n")
@example(b"? {a: 1}\n: b\n")
@example(b"a: &x {<<: *x}\n")
@example(b"1: a\ntrue: b\n")
def test_a_settings_file_is_an_experiment_or_a_message(data: bytes) -> None:
    check_settings(data)


def check_settings(data: bytes) -> None:
    with TemporaryDirectory() as place:
        (Path(place) / "lab.yaml").write_bytes(data)
        try:
            experiment = load_experiment(str(Path(place) / "lab.yaml"))
        except LabError as error:
            assert str(error)
            return
        assert isinstance(experiment, Experiment)
        assert experiment.chosen_scenarios()


@pytest.fixture(scope="module")
def model() -> bytes:
    from lab_utils.models.runtime import keras

    with TemporaryDirectory() as place:
        path = Path(place) / "a.keras"
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save(path)
        return path.read_bytes()


@FUZZ
@given(data=st.data())
def test_a_model_is_loaded_or_refused(model: bytes, data: st.DataObject) -> None:
    from lab_utils.models.backbone import load_model

    with TemporaryDirectory() as place:
        path = Path(place) / "a.keras"
        path.write_bytes(data.draw(st.one_of(spoilt(model), spoilt_inside(model))))
        try:
            load_model(path, stage="30_train")
        except LabError as error:
            assert "run stage 30_train" in str(error)


TABLE = b"image_id,group,y_true,p_a,p_b\na/1.png,0,a,0.75,0.25\nb/1.png,1,b,0.1,0.9\n"


@FUZZ
@given(st.one_of(spoilt(TABLE), st.binary(max_size=200)))
def test_tables_are_read_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as place:
        path = Path(place) / "predictions.csv"
        path.write_bytes(data)
        for read in (lambda: read_table_file(path, "predictions"), lambda: read_predictions(path)):
            try:
                assert isinstance(read(), pd.DataFrame)
            except LabError as error:
                assert "run stage" in str(error)


@FUZZ
@given(
    st.one_of(spoilt(b'{"kind": "zip", "root": "raw/files", "classes": {"a": {"images": 3}}}'), st.binary(max_size=100))
)
def test_records_are_read_or_refused(data: bytes) -> None:
    with TemporaryDirectory() as place:
        path = Workspace(Path(place)).dataset()
        path.parent.mkdir()
        path.write_bytes(data)
        try:
            assert isinstance(read_json(path, stage="10"), dict)
        except LabError as error:
            assert "run stage" in str(error)
