"""Headers that contradict their pixels are corrected and flagged, or refused; right ones are left alone."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from breasts import breast
from dicom_files import SAME, as_bytes, phantom
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset

from mammogan.data.dicom import read_mammogram
from mammogan.data.geometry import overview
from mammogan.data.ingest import Settings, ingest
from mammogan.data.metadata import LabelSource
from mammogan.data.plausibility import CERTAIN, DOUBTFUL, is_negative, turning
from mammogan.data.raster import read_picture
from mammogan.data.segmentation import breast_mask
from mammogan.errors import Refused

FEW = Settings(height=40, width=32)


@pytest.fixture(scope="module")
def base() -> Dataset:
    return phantom()


def stored(dataset: Dataset, values: np.ndarray) -> None:
    dataset.PixelData = values.astype("<u2").tobytes()


def negative(dataset: Dataset) -> None:
    stored(dataset, 4095 - dataset.pixel_array)  # both windows are symmetric, at the center of the stored values


def wrong_polarity(dataset: Dataset) -> None:
    dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"


def few_bits(dataset: Dataset) -> None:
    dataset.BitsStored, dataset.HighBit = 10, 9


def false_sign(dataset: Dataset) -> None:
    dataset.PixelRepresentation = 1


def false_sign_of_all_bits(dataset: Dataset) -> None:
    stored(dataset, dataset.pixel_array * 16)
    dataset.PixelRepresentation, dataset.BitsStored, dataset.HighBit = 1, 16, 15
    dataset.RescaleSlope, dataset.RescaleIntercept = "0.0625", "0"


def high_bit(dataset: Dataset) -> None:
    dataset.HighBit = 15


def threshold(dataset: Dataset) -> None:
    dataset.WindowCenter, dataset.WindowWidth = ["1500", "2047.5"], ["1", "4096"]


def of_eight_bits(dataset: Dataset) -> None:
    dataset.WindowCenter, dataset.WindowWidth = ["128", "2047.5"], ["256", "4096"]


def wide_padding(dataset: Dataset) -> None:
    dataset.add_new("PixelPaddingValue", "US", 0)
    dataset.add_new("PixelPaddingRangeLimit", "US", 1500)


def padding_in_tissue(dataset: Dataset) -> None:
    pixels = dataset.pixel_array
    dataset.add_new("PixelPaddingValue", "US", int(np.median(pixels[pixels > 1000])))


def saturated_padding(dataset: Dataset) -> None:
    limit = int(np.quantile(dataset.pixel_array, 0.98))
    dataset.add_new("PixelPaddingValue", "US", limit)
    dataset.add_new("PixelPaddingRangeLimit", "US", 4095)


def padding_everywhere(dataset: Dataset) -> None:
    dataset.add_new("PixelPaddingValue", "US", 0)
    dataset.add_new("PixelPaddingRangeLimit", "US", 65535)


CONTRADICTIONS: dict[str, list[Callable[[Dataset], None]]] = {
    "inverted": [negative, wrong_polarity],
    "bits": [few_bits, false_sign, high_bit, false_sign_of_all_bits],
    "other_window": [threshold, of_eight_bits],
    "padding": [wide_padding, padding_in_tissue, saturated_padding, padding_everywhere],
}


@pytest.mark.parametrize(
    ("flag", "change"), [(flag, change) for flag, all_ in CONTRADICTIONS.items() for change in all_]
)
def test_a_header_that_contradicts_its_pixels_is_corrected_and_flagged(
    base: Dataset, flag: str, change: Callable[[Dataset], None]
) -> None:
    dataset = copy.deepcopy(base)
    change(dataset)
    read = read_mammogram(as_bytes(dataset))
    assert read.facts["flags"] == [flag]
    np.testing.assert_allclose(read.pixels, read_mammogram(as_bytes(base)).pixels, atol=2e-4)


@pytest.mark.parametrize("name", SAME)
def test_a_right_header_is_not_flagged(original: Dataset, name: str) -> None:
    dataset = copy.deepcopy(original)
    SAME[name](dataset)
    assert read_mammogram(as_bytes(dataset)).facts["flags"] == []


def test_padding_of_any_value_beside_the_breast_is_black(base: Dataset) -> None:
    expected = read_mammogram(as_bytes(base)).pixels.copy()
    unused = np.setdiff1d(np.arange(2000, 3000), base.pixel_array)[0]
    for value in (int(unused), 4095):
        assert (base.pixel_array != value).all()
        dataset = copy.deepcopy(base)
        pixels = dataset.pixel_array.copy()
        pixels[:, -60:], expected[:, -60:] = value, 0
        stored(dataset, pixels)
        dataset.add_new("PixelPaddingValue", "US", value)
        read = read_mammogram(as_bytes(dataset))
        assert read.facts["flags"] == []
        np.testing.assert_array_equal(read.pixels, expected)


def test_a_lut_of_fewer_bits_than_it_states(base: Dataset) -> None:
    dataset = copy.deepcopy(base)
    del dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation
    item = Dataset()
    item.LUTDescriptor = [4096, 0, 16]
    item.add_new("LUTData", "OW", np.arange(4096).astype("<u2").tobytes())
    dataset.VOILUTSequence = [item]
    read = read_mammogram(as_bytes(dataset))
    assert read.facts["flags"] == ["bits"]
    np.testing.assert_allclose(read.pixels, dataset.pixel_array / 4095, atol=1e-6)


def test_windows_that_show_black_and_white_alone_are_refused(base: Dataset) -> None:
    dataset = copy.deepcopy(base)
    dataset.VOILUTFunction = "LINEAR"
    for center, width in (("128", "256"), ("1500", "1"), ("1500", "3"), ("60000", "100")):
        dataset.WindowCenter, dataset.WindowWidth = center, width
        with pytest.raises(Refused, match="hardly more than black and white") as refused:
            read_mammogram(as_bytes(dataset))
        assert refused.value.reason == "display"


def as_png(values: np.ndarray, **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "PNG", **options)
    return stream.getvalue()


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_the_depth_of_a_picture_is_that_of_its_values(base: Dataset, bits: int) -> None:
    gray = base.pixel_array / base.pixel_array.max()
    content = as_png(np.rint(gray * (2**bits - 1)).astype(np.uint16))
    read = read_picture(content, {"view": "MLO"})
    np.testing.assert_allclose(read.pixels, gray, atol=0.6 / (2**bits - 1))
    assert read.facts["flags"] == ["bits"] * (bits < 16)
    # What was stated counts, and images of a generator are not corrected.
    for stated, unlabeled in ((16, False), (0, True)) if bits > 10 else ((0, True),):
        same = read_picture(content, {"view": "MLO"}, stated, unlabeled=unlabeled)
        assert same.pixels.max() == pytest.approx((2**bits - 1) / 65535)
        assert same.facts["flags"] == []


def test_a_negative_picture_is_inverted_unless_it_was_generated(base: Dataset) -> None:
    gray = np.uint8(base.pixel_array >> 4)
    for margin in (0, 30):
        shown, content = np.pad(gray, margin), as_png(np.pad(255 - gray, margin))
        read = read_picture(content, {"view": "MLO"})
        assert read.facts["flags"] == ["inverted"]
        inside = slice(margin, margin + gray.shape[0]), slice(margin, margin + gray.shape[1])
        np.testing.assert_allclose(read.pixels[inside], shown[inside] / 255, atol=1e-6)
        assert read_picture(content, None, unlabeled=True).facts["flags"] == []


def test_a_picture_whose_resolution_differs_by_direction_is_made_square(base: Dataset) -> None:
    gray = np.uint8(base.pixel_array >> 4)
    for dpi, columns in (((300, 600), 512), ((600, 300), 128), ((300, 300), 256), ((0, 300), 256)):
        read = read_picture(as_png(gray, dpi=dpi), {"view": "MLO"})
        assert (read.pixels.shape, read.facts["source_columns"]) == ((320, columns), 256)
        assert read.facts["flags"] == ["aspect"] * (columns != 256)
        assert read_picture(as_png(gray, dpi=dpi), None, unlabeled=True).pixels.shape == (320, 256)


def test_a_mask_is_not_a_mammogram() -> None:
    rows, columns = np.mgrid[:160, :128]
    mask = np.uint8(255 * (((rows - 80) / 60) ** 2 + (columns / 90) ** 2 < 1))
    with pytest.raises(Refused, match="hardly more than black and white"):
        read_picture(as_png(mask), {"view": "CC"})


def test_a_turned_picture_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    gray = np.kron(np.uint8(255 * breast(np.random.default_rng(1), "MLO")), np.ones((2, 2), np.uint8))
    for turns in range(4):
        Image.fromarray(np.rot90(gray, turns)).save(tmp_path / "in" / f"{turns}.png")
    store = ingest([tmp_path / "in"], tmp_path / "s", FEW, labels=LabelSource(assume={"view": "MLO"}))
    assert store.refused["reason"].tolist() == ["turned", "turned"]
    assert store.refused["number"].tolist() == [1, 3]


@given(st.integers(0, 2**32), st.sampled_from(["CC", "MLO"]), st.floats(0, 0.3), st.sampled_from([0, 0.01, 0.03]))
def test_polarity_and_direction_of_any_breast(seed: int, view: str, base_gray: float, noise: float) -> None:
    rng = np.random.default_rng(seed)
    gray = np.clip(base_gray + (1 - base_gray) * breast(rng, view) + rng.normal(0, noise, (80, 64)), 0, 1)
    assert not is_negative(gray)
    assert turning(breast_mask(gray)) < DOUBTFUL
    assert turning(breast_mask(np.rot90(gray))) > DOUBTFUL


def test_most_negatives_are_found() -> None:
    rng = np.random.default_rng(0)
    drawn = [breast(rng, view) for view in ("CC", "MLO") * 25]
    assert np.mean([is_negative(1 - gray) for gray in drawn]) >= 0.9
    # A frame of a tenth around a film is even and bright, too.
    assert not any(is_negative(np.pad(gray, 4, constant_values=1)) for gray in drawn)


@pytest.mark.slow
def test_real_images_are_neither_turned_nor_inverted(real_data: Path) -> None:
    images = [np.asarray(Image.open(path)) / 255 for path in sorted((real_data / "cdd_cesm" / "images").iterdir())]
    small = [overview(image) for image in images]
    assert len(small) == 252
    assert not any(is_negative(image) for image in small)
    assert max(turning(breast_mask(image)) for image in small) < DOUBTFUL
    assert np.mean([is_negative(1 - image) for image in small]) > 0.99
    assert np.mean([turning(breast_mask(np.rot90(image))) > CERTAIN for image in small]) > 0.95
