"""Display and selection of DICOM files, against pydicom's own transforms and a zoo of odd files."""

from __future__ import annotations

import csv
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_windowing

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Header, Window, build, code
from mammogan.data.display import apply_window, padding_of
from mammogan.errors import Refused

PIXELS = np.random.default_rng(1).integers(0, 4096, (70, 90)).astype(np.uint16)
HEADER = Header("MLO", "R", "k", "s", "PHANTOM^1", age=61, windows=(Window(1500, 2000), Window(1800, 900, "HARDER")))


def as_bytes(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("index", [0, 1])
def test_windows_equal_pydicom(function: str, index: int) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.VOILUTFunction = function
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-100"
    found = read_mammogram(as_bytes(dataset), window=index).pixels
    rescaled = apply_modality_lut(PIXELS, dataset)
    expected = (apply_windowing(rescaled, dataset, index) + 100) / (2 * 4095)
    np.testing.assert_allclose(found, expected, atol=2e-6)


def test_first_window_is_the_default_and_others_go_by_name() -> None:
    content = as_bytes(build(PIXELS, HEADER))
    assert read_mammogram(content).facts["window_center"] == 1500
    assert read_mammogram(content, window="HARDER").facts["window_width"] == 900
    with pytest.raises(Refused, match="no window called"):
        read_mammogram(content, window="NONE")


def test_inverted_files_show_the_same() -> None:
    plain = read_mammogram(as_bytes(build(PIXELS, HEADER))).pixels
    inverted = Header(**{**vars(HEADER), "inverted": True})
    other = read_mammogram(as_bytes(build(PIXELS, inverted)))
    assert other.facts["photometric"] == "MONOCHROME1"
    np.testing.assert_allclose(other.pixels, plain, atol=1.1 / 1999)  # LINEAR's half-unit offset turns round


def test_padding_becomes_black() -> None:
    dataset = build(PIXELS, HEADER)
    dataset.add_new("PixelPaddingValue", "US", 4000)
    dataset.add_new("PixelPaddingRangeLimit", "US", 4095)
    shown = read_mammogram(as_bytes(dataset)).pixels
    assert shown[PIXELS >= 4000].max() == 0
    assert shown[(PIXELS < 4000) & (PIXELS > 2600)].min() == 1
    assert padding_of(dataset, PIXELS).sum() == (PIXELS >= 4000).sum()


def test_window_of_width_one_is_a_threshold() -> None:
    shown = apply_window(np.array([9.0, 9.4, 9.6, 11.0]), 10, 1, "LINEAR")
    np.testing.assert_array_equal(shown, [0, 0, 1, 1])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Modality": "CT"}, "modality"),
        ({"PresentationIntentType": "FOR PROCESSING"}, "for_processing"),
        ({"BreastImplantPresent": "YES"}, "implant"),
        ({"PartialView": "YES"}, "partial"),
        ({"EstimatedRadiographicMagnificationFactor": "1.8"}, "magnified"),
        ({"NumberOfFrames": "3"}, "multi_frame"),
        ({"PhotometricInterpretation": "RGB", "SamplesPerPixel": 3}, "color"),
        ({"SOPClassUID": "1.2.840.10008.5.1.4.1.1.13.1.3"}, "tomosynthesis"),
        ({"ViewCodeSequence": None, "ViewPosition": "ML"}, "view"),
        ({"PixelData": None}, "no_pixels"),
        ({"WindowWidth": ["0", "0"]}, "display"),
    ],
)
def test_refused_with_its_reason(change: dict, reason: str) -> None:
    dataset = build(PIXELS, HEADER)
    for keyword, value in change.items():
        if value is None:
            del dataset[keyword]
        else:
            setattr(dataset, keyword, value)
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason
    assert "PHANTOM" not in str(refused.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [("399163009", "magnified"), ("R-102D7", "spot"), ("R-102D5", "implant"), ("R-102C2", "partial")],
)
def test_view_modifiers(value: str, reason: str) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [code(value, "modifier")]
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason


@pytest.mark.parametrize(("value", "scheme"), [("R-10242", "SNM3"), ("399162004", "SCT")])
def test_view_from_either_code(value: str, scheme: str) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.ViewCodeSequence = [code(value, "view", scheme)]
    assert read_mammogram(as_bytes(dataset)).facts["view"] == "CC"


@pytest.mark.parametrize(("age", "expected"), [("061Y", 61), ("018M", 1.5), ("000Y", None), ("abc", None), ("", None)])
def test_age_is_read_defensively(age: str, expected: float | None) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.PatientAge = age
    assert read_mammogram(as_bytes(dataset)).facts["age"] == expected


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


def test_one_image_in_every_encoding_is_one_image(real_data: Path) -> None:
    names = ["MR_small.dcm", "MR_small_implicit.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"]
    arrays = [pydicom.dcmread(real_data / "dicom_zoo" / "files" / name).pixel_array for name in names]
    for array in arrays[1:]:
        np.testing.assert_array_equal(array, arrays[0])
