"""One mammogram written in many ways is one picture; broken and foreign files are refused; no identifier comes out."""

from __future__ import annotations

import copy
import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_files import DCMTK, HEADER, PIXELS, SAME, as_bytes, rewritten
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing
from pydicom.uid import ExplicitVRBigEndian

from mammogan.data import dicom
from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import build
from mammogan.errors import Refused

# Every place in a header where an archive may name a person; none may come out anywhere.
PLANTED = {
    "PatientName": "PLANTED^NAME",
    "PatientID": "PLANTED-ID",
    "PatientBirthDate": "19611124",
    "OtherPatientIDs": "PLANTED-OTHER",
    "AccessionNumber": "PLANTED-ACC",
    "ReferringPhysicianName": "PLANTED^DOCTOR",
    "InstitutionName": "PLANTED CLINIC",
    "PatientComments": "PLANTED COMMENT",
    "StudyDescription": "PLANTED STUDY",
}


@pytest.mark.parametrize("name", [*SAME, *DCMTK])
def test_every_way_of_writing_is_the_same_picture(
    original: Dataset, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read_mammogram(as_bytes(original))
    monkeypatch.setattr(dicom, "LONG", 2**14)  # pixels of a mammogram are long, those of the test would not be
    dataset = copy.deepcopy(original)
    if name in SAME:
        SAME[name](dataset)
        content = as_bytes(dataset)
    else:
        content = rewritten(as_bytes(dataset), *DCMTK[name])
    mammogram = read_mammogram(content)
    np.testing.assert_allclose(mammogram.pixels, expected.pixels, atol=1e-6)
    for fact in ("view", "laterality", "age", "spacing_mm"):
        assert mammogram.facts[fact] == expected.facts[fact]


def test_native_pixels_are_not_copied() -> None:
    content = as_bytes(build(np.zeros((1024, 1024), np.uint16), HEADER))
    pixels = np.frombuffer(dicom._parsed(content).PixelData, np.uint8)
    assert np.shares_memory(pixels, np.frombuffer(content, np.uint8))
    assert len(pixels) == 2**21
    assert len(dicom._parsed(content[:-100]).PixelData) == 2**21 - 100


def test_big_endian_is_really_big_endian(original: Dataset) -> None:
    content = rewritten(as_bytes(original), *DCMTK["big endian"])
    assert pydicom.dcmread(BytesIO(content)).file_meta.TransferSyntaxUID == ExplicitVRBigEndian


def test_no_planted_identifier_comes_out(original: Dataset) -> None:
    dataset = copy.deepcopy(original)
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0099, "PLANTED CREATOR", create=True)
    block.add_new(0x01, "LO", "PLANTED PRIVATE")
    mammogram = read_mammogram(as_bytes(dataset))
    assert "PLANTED" not in str(mammogram.facts)
    assert "19611124" not in str(mammogram.facts)
    assert "PLANTED" not in repr(mammogram)
    assert mammogram.patient == "PLANTED-ID"


def test_a_truncated_file_is_refused() -> None:
    content = as_bytes(build(PIXELS, HEADER))
    with pytest.raises(Refused):
        read_mammogram(content[: len(content) // 2])
    with pytest.raises(Refused, match="not a DICOM"):
        read_mammogram(b"not a file")


def test_the_real_mammogram(real_data: Path) -> None:
    content = (real_data / "dicom_mg" / "GH133.dcm").read_bytes()
    read = read_mammogram(content)
    assert (read.facts["view"], read.facts["laterality"], read.facts["age"]) == ("MLO", "R", None)
    assert (read.facts["window_function"], read.facts["window_explanation"]) == ("SIGMOID", "NORMAL")
    assert read.pixels.shape == (3062, 2394)
    with pydicom.dcmread(BytesIO(content)) as dataset:
        expected = apply_windowing(dataset.pixel_array, dataset) / 4095
        kept = dataset.pixel_array > 30
    np.testing.assert_allclose(read.pixels[kept], expected[kept], atol=1e-5)
    assert read.pixels[~kept].max() == 0


def test_the_zoo_is_refused_file_by_file(real_data: Path) -> None:
    with (real_data / "dicom_zoo" / "manifest.csv").open() as file:
        files = [row["file"] for row in csv.DictReader(file)]
    assert len(files) > 40
    for name in files:
        with pytest.raises(Refused):
            read_mammogram((real_data / "dicom_zoo" / name).read_bytes())
