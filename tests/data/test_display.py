"""Windows, LUTs and padding, against pydicom's own transforms and against DCMTK."""

from __future__ import annotations

import copy
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from dicom_files import HEADER, PIXELS, SAME, as_bytes, phantom
from PIL import Image
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_windowing
from pydicom.tag import Tag

from mammogan.data.averaging import LookUp
from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Encoding, build
from mammogan.data.display import Reading, Stored, _transform, apply_window, display, padding_of
from mammogan.errors import Refused


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize("index", [0, 1])
def test_windows_equal_pydicom(function: str, index: int) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.VOILUTFunction = function
    dataset.RescaleSlope, dataset.RescaleIntercept = "2", "-100"
    pixels = read_mammogram(as_bytes(dataset), window=index).pixels
    rescaled = apply_modality_lut(PIXELS, dataset)
    expected = (apply_windowing(rescaled, dataset, index) + 100) / (2 * 4095)
    np.testing.assert_allclose(pixels, expected, atol=2e-6)


def test_first_window_is_the_default_and_others_go_by_name() -> None:
    content = as_bytes(build(PIXELS, HEADER))
    assert read_mammogram(content).facts["window_center"] == 1500
    assert read_mammogram(content, window="HARDER").facts["window_width"] == 900
    with pytest.raises(Refused, match="no window called"):
        read_mammogram(content, window="NONE")


def test_inverted_files_show_the_same() -> None:
    plain = read_mammogram(as_bytes(build(PIXELS, HEADER))).pixels
    other = read_mammogram(as_bytes(build(PIXELS, HEADER, Encoding(inverted=True))))
    assert other.facts["photometric"] == "MONOCHROME1"
    np.testing.assert_allclose(other.pixels, plain, atol=1.1 / 1999)  # LINEAR's half-unit offset turns round


def test_padding_becomes_black() -> None:
    dataset = build(PIXELS, HEADER)
    dataset.add_new("PixelPaddingValue", "US", 4000)
    dataset.add_new("PixelPaddingRangeLimit", "US", 4095)
    gray = read_mammogram(as_bytes(dataset)).pixels
    assert gray[PIXELS >= 4000].max() == 0
    assert gray[(PIXELS < 4000) & (PIXELS > 2600)].min() == 1
    assert padding_of(dataset, PIXELS).sum() == (PIXELS >= 4000).sum()


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [
        *((0, 255, "u1"), (-128, 127, "i1"), (0, 65535, "u2"), (9, 4000, "u2"), (-2000, 2000, "i2")),
        *((-32768, 32767, "i2"), (-5, 65530, "i4"), (-5, 70000, "i4"), (0, 2**21, "u4")),
    ],
)
def test_a_look_up_has_the_bits_of_the_transform(low: int, high: int, dtype: str) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.7", "-3"
    dataset.WindowCenter, dataset.WindowWidth = (low + high) / 2, (high - low) * 0.8
    values = np.random.default_rng(0).integers(low, high, (70, 90), endpoint=True).astype(dtype)
    values[0, :2] = low, high
    image, _ = display(dataset, Stored(values, low, high))
    assert isinstance(image, LookUp) == (high - low < 2**16)
    np.testing.assert_array_equal(np.asarray(image), _transform(dataset, values, Reading(0))[0])


def test_window_of_width_one_is_a_threshold() -> None:
    gray = apply_window(np.array([9.0, 9.4, 9.6, 11.0]), 10, 1, "LINEAR")
    np.testing.assert_array_equal(gray, [0, 0, 1, 1])


def dcmtk_picture(content: bytes, folder: Path, *options: str) -> np.ndarray:
    if not shutil.which("dcmj2pnm"):
        pytest.skip("dcmj2pnm is not installed (Debian package dcmtk)")
    (folder / "in.dcm").write_bytes(content)
    command = ["dcmj2pnm", "--write-raw-pnm", *options, str(folder / "in.dcm"), str(folder / "out.pgm")]
    subprocess.run(command, check=True, capture_output=True)
    return np.asarray(Image.open(folder / "out.pgm")).astype(float)


@pytest.mark.parametrize("function", ["LINEAR", "SIGMOID"])
@pytest.mark.parametrize("position", [0, 1])
@pytest.mark.parametrize(
    "name", ["explicit", "implicit", "signed", "MONOCHROME1", "deflated", "overlay in the high bits"]
)
def test_dcmtk_shows_the_same(original: Dataset, name: str, position: int, function: str, tmp_path: Path) -> None:
    dataset = copy.deepcopy(original)
    dataset.VOILUTFunction = function
    SAME[name](dataset)
    content = as_bytes(dataset)
    gray = dcmtk_picture(content, tmp_path, "--use-window", str(position + 1))
    # DCMTK cuts where we round: within one gray level of 255.
    assert np.abs(gray - 255 * read_mammogram(content, window=position).pixels).max() <= 1.001


@pytest.mark.parametrize("position", [0, 1, 2])
def test_dcmtk_shows_the_same_voi_lut(real_data: Path, position: int, tmp_path: Path) -> None:
    content = (real_data / "dicom_mg" / "GH133.dcm").read_bytes()
    gray = dcmtk_picture(content, tmp_path, "--use-voi-lut", str(position + 1))
    mammogram = read_mammogram(content, window=f"lut:{position}")
    assert mammogram.facts["window_function"] == "LUT"
    assert np.abs(gray - 255 * mammogram.pixels).max() <= 1.001


def test_voi_lut_by_number_and_name() -> None:
    dataset = phantom()
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [4096, 0, 16], "SQUARE"
    item.add_new("LUTData", "OW", np.round((np.arange(4096) / 4095) ** 2 * 65535).astype("<u2").tobytes())
    dataset.VOILUTSequence = [item]
    plain = dataset.pixel_array / 4095
    for window in ("lut:0", "SQUARE"):
        mammogram = read_mammogram(as_bytes(dataset), window=window)
        np.testing.assert_allclose(mammogram.pixels, plain**2, atol=1e-5)
    with pytest.raises(Refused, match="no window called lut:1"):
        read_mammogram(as_bytes(dataset), window="lut:1")
    del dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation
    np.testing.assert_allclose(read_mammogram(as_bytes(dataset)).pixels, plain**2, atol=1e-5)


def as_written(dataset: Dataset, **numbers: str) -> None:
    """Set decimal strings that pydicom would not write."""
    for keyword, value in numbers.items():
        tag = Tag(keyword)
        dataset[tag] = RawDataElement(tag, "DS", len(value), value.encode(), 0, False, True)


@pytest.mark.parametrize(
    ("numbers", "same"),
    [
        ({"RescaleSlope": "", "RescaleIntercept": ""}, True),
        ({"RescaleSlope": "1,0", "RescaleIntercept": "0,0"}, True),
        ({"WindowCenter": "1500,0", "WindowWidth": "2000,0"}, True),
        ({"RescaleSlope": "one"}, False),
        ({"WindowCenter": "none"}, False),
    ],
)
def test_numbers_that_break_their_format_are_read_or_refused(numbers: dict[str, str], same: bool) -> None:
    dataset = build(PIXELS, HEADER)
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth = 1500, 2000
    del dataset.WindowCenterWidthExplanation
    shown = read_mammogram(as_bytes(dataset))
    as_written(dataset, **numbers)
    if same:
        read = read_mammogram(as_bytes(dataset))
        assert read.facts == shown.facts
        np.testing.assert_array_equal(read.pixels, shown.pixels)
    else:
        with pytest.raises(Refused, match="is not a number"):
            read_mammogram(as_bytes(dataset))


@pytest.mark.parametrize("keyword", ["PixelRepresentation", "BitsStored", "SamplesPerPixel"])
@pytest.mark.parametrize("empty", [True, False])
def test_numbers_that_are_missing_or_empty_have_their_usual_value(keyword: str, empty: bool) -> None:
    dataset = build(PIXELS, HEADER)
    shown = read_mammogram(as_bytes(dataset))
    if empty:
        setattr(dataset, keyword, None)
    else:
        delattr(dataset, keyword)
    dataset.PhotometricInterpretation = "monochrome2"
    read = read_mammogram(as_bytes(dataset))
    assert read.facts == shown.facts
    np.testing.assert_array_equal(read.pixels, shown.pixels)


@pytest.mark.parametrize(
    ("centers", "widths"),
    [
        (["", "1800"], ["400", "900"]),
        (["1500", "1800"], ["0", "900"]),
        (["1500", "1800"], ["", "900"]),
        (["1500", "1800"], ["-400", "900"]),
        (["1500", "1800,0"], ["nan", "900,0"]),
    ],
)
def test_the_first_usable_window_pairs_by_position(centers: list[str], widths: list[str]) -> None:
    dataset = build(PIXELS, HEADER)
    as_written(dataset, WindowCenter="\\".join(centers), WindowWidth="\\".join(widths))
    facts = read_mammogram(as_bytes(dataset)).facts
    assert (facts["window_center"], facts["window_width"], facts["window_explanation"]) == (1800, 900, "HARDER")
