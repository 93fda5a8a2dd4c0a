"""Every encoding gives the same pixels; a stream that breaks off is refused."""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from dicom_files import as_bytes, phantom
from pydicom.encaps import encapsulate
from pydicom.uid import JPEGExtended12Bit, JPEGLosslessSV1

from mammogan.data.dicom import read_mammogram
from mammogan.data.display import stored_values
from mammogan.errors import Refused


@pytest.mark.parametrize("cut", ["stream", "size"])
def test_a_jpeg_stream_that_breaks_off_or_contradicts_the_header_is_refused(cut: str) -> None:
    dataset = phantom()
    pixels = dataset.pixel_array
    stream = imagecodecs.jpeg8_encode(pixels if cut == "stream" else pixels[:-1], lossless=True, bitspersample=12)
    dataset.PixelData = encapsulate([stream[: len(stream) // 2] if cut == "stream" else stream])
    dataset.file_meta.TransferSyntaxUID = JPEGLosslessSV1
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == "undecodable"
    whole = imagecodecs.jpeg8_encode(pixels, lossless=True, bitspersample=12)
    dataset.PixelData = encapsulate([whole])
    np.testing.assert_array_equal(read_mammogram(as_bytes(dataset)).pixels, read_mammogram(as_bytes(phantom())).pixels)


def test_jpeg_of_12_bits_is_decoded() -> None:
    dataset = phantom()
    stream = imagecodecs.jpeg8_encode(dataset.pixel_array, level=98, bitspersample=12)
    dataset.PixelData = encapsulate([stream])
    dataset.file_meta.TransferSyntaxUID = JPEGExtended12Bit
    expected = read_mammogram(as_bytes(phantom())).pixels
    assert np.abs(read_mammogram(as_bytes(dataset)).pixels - expected).mean() < 0.01
    dataset.PixelData = encapsulate([stream[: len(stream) // 2]])
    with pytest.raises(Refused, match="cannot be decoded"):
        read_mammogram(as_bytes(dataset))


def test_zoo_decodes_to_the_pixels_of_its_manifest(real_data: Path) -> None:
    checked = 0
    with (real_data / "dicom_zoo" / "manifest.csv").open() as file:
        for row in csv.DictReader(file):
            if not row["pixels_sha256"]:
                continue
            dataset = pydicom.dcmread(real_data / "dicom_zoo" / row["file"], force=True)
            array = dataset.pixel_array
            little = array.astype(array.dtype.newbyteorder("<"))
            assert hashlib.sha256(little.tobytes()).hexdigest().startswith(row["pixels_sha256"]), row["file"]
            if array.ndim == 2 and array.dtype.kind in "iu" and dataset.get("SamplesPerPixel", 1) == 1:
                assert stored_values(dataset, array).values.shape == array.shape
            checked += 1
    assert checked > 20


def test_one_image_in_every_encoding_is_one_image(real_data: Path) -> None:
    names = ["MR_small.dcm", "MR_small_implicit.dcm", "MR_small_jpeg_ls_lossless.dcm", "MR_small_padded.dcm"]
    arrays = [pydicom.dcmread(real_data / "dicom_zoo" / "files" / name).pixel_array for name in names]
    for array in arrays[1:]:
        np.testing.assert_array_equal(array, arrays[0])
