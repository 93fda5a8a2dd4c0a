"""One mammogram written in many ways is one picture; DCMTK shows the same; what is no such mammogram is refused."""

from __future__ import annotations

import copy
import csv
import hashlib
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels import set_pixel_data
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Header, Window, build, code
from mammogan.data.display import stored_values
from mammogan.data.phantom.render import render
from mammogan.data.store import quantize
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


def phantom() -> Dataset:
    pixels = quantize(render(5, 2, "MLO", "L", height=320, width=256).shown, 12)
    windows = (Window(2047.5, 4096), Window(2500, 1800, "HARDER"))
    return build(pixels, Header("MLO", "L", "k", "s", "PLANTED-ID", age=57, windows=windows, function="SIGMOID"))


@pytest.fixture(scope="module", params=["phantom", "GH133"])
def original(request: pytest.FixtureRequest) -> Dataset:
    """An uncompressed data set: one of our own, and a real one where there is one."""
    if request.param == "phantom":
        return phantom()
    folder = request.getfixturevalue("real_data")
    dataset = pydicom.dcmread(folder / "dicom_mg" / "GH133.dcm")
    dataset.decompress()
    # The pictures within its sequences stay compressed, which no uncompressed file may hold.
    del dataset.IconImageSequence
    dataset.remove_private_tags()
    return dataset


def as_bytes(dataset: Dataset) -> bytes:
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def in_syntax(syntax: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        if pydicom.uid.UID(syntax).is_encapsulated:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax

    return change


def rewritten(content: bytes, *command: str) -> bytes:
    """A file as a tool of DCMTK rewrites it."""
    if not shutil.which(command[0]):
        pytest.skip(f"{command[0]} is not installed (Debian package dcmtk)")
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.dcm", Path(folder) / "after.dcm"
        before.write_bytes(content)
        subprocess.run([*command, str(before), str(after)], check=True, capture_output=True)
        return after.read_bytes()


def signed(dataset: Dataset) -> None:
    stored = dataset.pixel_array.astype(np.int32) - 2048
    set_pixel_data(dataset, stored.astype(np.int16), "MONOCHROME2", 12, generate_instance_uid=False)
    dataset.RescaleIntercept = "2048"
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if keyword in dataset:
            value = int(dataset[keyword].value) - 2048
            del dataset[keyword]
            dataset.add_new(keyword, "SS", value)
    for item in dataset.get("VOILUTSequence") or []:
        item.LUTDescriptor = list(item.LUTDescriptor)


def inverted(dataset: Dataset) -> None:
    stored = (4095 - dataset.pixel_array).astype(np.uint16)
    set_pixel_data(dataset, stored, "MONOCHROME1", 12, generate_instance_uid=False)
    dataset.PresentationLUTShape = "INVERSE"
    # A sigmoid is symmetric about its center, so the complement of the stored values takes the complement of it.
    dataset.WindowCenter = [4095 - float(center) for center in dataset.WindowCenter]
    for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit"):
        if keyword in dataset:
            dataset[keyword].value = 4095 - int(dataset[keyword].value)


def overlay_in_high_bits(dataset: Dataset) -> None:
    stored = dataset.pixel_array.astype(np.uint16)
    stored[40:60, 40:200] |= 0x8000
    dataset.PixelData = stored.tobytes()


def overlay_plane(dataset: Dataset) -> None:
    dataset.add_new(0x60000010, "US", dataset.Rows)
    dataset.add_new(0x60000011, "US", dataset.Columns)
    dataset.add_new(0x60000040, "CS", "G")
    dataset.add_new(0x60000050, "SS", [1, 1])
    dataset.add_new(0x60000100, "US", 1)
    dataset.add_new(0x60000102, "US", 0)
    dataset.add_new(0x60003000, "OB", b"\xff" * ((dataset.Rows * dataset.Columns + 7) // 8 // 2 * 2))


def icon(dataset: Dataset) -> None:
    item = Dataset()
    item.Rows, item.Columns, item.SamplesPerPixel, item.BitsAllocated, item.BitsStored = 8, 8, 1, 8, 8
    item.HighBit, item.PixelRepresentation, item.PhotometricInterpretation = 7, 0, "MONOCHROME2"
    item.PixelData = b"\xff" * 64
    dataset.IconImageSequence = [item]


def shifted_high_bit(dataset: Dataset) -> None:
    dataset.PixelData = (dataset.pixel_array.astype(np.uint16) << 4).tobytes()
    dataset.HighBit = 15


def other_laterality(dataset: Dataset) -> None:
    dataset.Laterality = dataset.ImageLaterality
    del dataset.ImageLaterality


def view_position_alone(dataset: Dataset) -> None:
    dataset.ViewPosition = "MLO"
    del dataset.ViewCodeSequence


SAME = {
    "implicit": in_syntax(ImplicitVRLittleEndian),
    "explicit": in_syntax(ExplicitVRLittleEndian),
    "deflated": in_syntax(DeflatedExplicitVRLittleEndian),
    "RLE": in_syntax(RLELossless),
    "JPEG 2000": in_syntax(JPEG2000Lossless),
    "JPEG-LS": in_syntax(JPEGLSLossless),
    "signed": signed,
    "MONOCHROME1": inverted,
    "overlay in the high bits": overlay_in_high_bits,
    "overlay plane": overlay_plane,
    "icon": icon,
    "high bit 15": shifted_high_bit,
    "laterality": other_laterality,
    "view position": view_position_alone,
}
DCMTK = {
    "big endian": ("dcmconv", "+tb"),
    "JPEG lossless SV1": ("dcmcjpeg", "+e1"),
    "JPEG lossless": ("dcmcjpeg", "+el"),
}


@pytest.mark.parametrize("name", [*SAME, *DCMTK])
def test_every_way_of_writing_is_the_same_picture(original: Dataset, name: str) -> None:
    expected = read_mammogram(as_bytes(original))
    dataset = copy.deepcopy(original)
    if name in SAME:
        SAME[name](dataset)
        content = as_bytes(dataset)
    else:
        content = rewritten(as_bytes(dataset), *DCMTK[name])
    found = read_mammogram(content)
    np.testing.assert_allclose(found.pixels, expected.pixels, atol=1e-6)
    for fact in ("view", "laterality", "age", "spacing_mm"):
        assert found.facts[fact] == expected.facts[fact]


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


def test_big_endian_is_really_big_endian(original: Dataset) -> None:
    content = rewritten(as_bytes(original), *DCMTK["big endian"])
    assert pydicom.dcmread(BytesIO(content)).file_meta.TransferSyntaxUID == ExplicitVRBigEndian


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
    shown = dcmtk_picture(content, tmp_path, "--use-window", str(position + 1))
    # DCMTK cuts where we round: within one gray level of 255.
    assert np.abs(shown - 255 * read_mammogram(content, window=position).pixels).max() <= 1.001


@pytest.mark.parametrize("position", [0, 1, 2])
def test_dcmtk_shows_the_same_voi_lut(real_data: Path, position: int, tmp_path: Path) -> None:
    content = (real_data / "dicom_mg" / "GH133.dcm").read_bytes()
    shown = dcmtk_picture(content, tmp_path, "--use-voi-lut", str(position + 1))
    found = read_mammogram(content, window=f"lut:{position}")
    assert found.facts["window_function"] == "LUT"
    assert np.abs(shown - 255 * found.pixels).max() <= 1.001


def test_voi_lut_by_number_and_name() -> None:
    dataset = phantom()
    item = Dataset()
    item.LUTDescriptor, item.LUTExplanation = [4096, 0, 16], "SQUARE"
    item.add_new("LUTData", "OW", np.round((np.arange(4096) / 4095) ** 2 * 65535).astype("<u2").tobytes())
    dataset.VOILUTSequence = [item]
    plain = dataset.pixel_array / 4095
    for window in ("lut:0", "SQUARE"):
        found = read_mammogram(as_bytes(dataset), window=window)
        np.testing.assert_allclose(found.pixels, plain**2, atol=1e-5)
    with pytest.raises(Refused, match="no window called lut:1"):
        read_mammogram(as_bytes(dataset), window="lut:1")
    del dataset.WindowCenter, dataset.WindowWidth, dataset.WindowCenterWidthExplanation
    np.testing.assert_allclose(read_mammogram(as_bytes(dataset)).pixels, plain**2, atol=1e-5)


def with_modifier(value: str) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence = [code(value, "modifier", "SNM3")]

    return change


def assign(**values: object) -> Callable[[Dataset], None]:
    def change(dataset: Dataset) -> None:
        for keyword, value in values.items():
            setattr(dataset, keyword, value)

    return change


def two_frames(dataset: Dataset) -> None:
    dataset.PixelData = dataset.PixelData * 2
    dataset.NumberOfFrames = 2


REFUSED = {
    "two frames": (two_frames, "multi_frame"),
    "implant": (assign(BreastImplantPresent="YES"), "implant"),
    "implant displaced": (with_modifier("R-102D5"), "implant"),
    "spot": (with_modifier("R-102D7"), "spot"),
    "magnified": (with_modifier("R-102D6"), "magnified"),
    "partial": (assign(PartialView="YES"), "partial"),
    "for processing": (assign(PresentationIntentType="FOR PROCESSING"), "for_processing"),
    "stereotactic": (assign(ImageType=["ORIGINAL", "PRIMARY", "STEREO_PLUS"]), "stereotactic"),
    "from tomosynthesis": (assign(ImageType=["DERIVED", "PRIMARY", "TOMOSYNTHESIS", "GENERATED_2D"]), "tomosynthesis"),
    "specimen": (assign(ViewCodeSequence=[code("127457009", "tissue specimen from breast")]), "specimen"),
    "magnification paddle": (assign(PaddleDescription="10CM MAG"), "magnified"),
    "phantom of quality control": (assign(QualityControlImage="YES"), "not_a_breast"),
    "lateral": (assign(ViewCodeSequence=[code("399260004", "medio-lateral")]), "view"),
    "absurd size": (assign(Rows=65535, Columns=65535), "too_large"),
    "rows too many": (assign(Rows=4000), "undecodable"),
    "bits that contradict": (assign(BitsStored=14, HighBit=20), "malformed"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_such_mammogram_is_refused(original: Dataset, name: str) -> None:
    dataset = copy.deepcopy(original)
    change, reason = REFUSED[name]
    change(dataset)
    with pytest.raises(Refused) as refused:
        read_mammogram(as_bytes(dataset))
    assert refused.value.reason == reason


def test_no_planted_identifier_comes_out(original: Dataset) -> None:
    dataset = copy.deepcopy(original)
    for keyword, value in PLANTED.items():
        setattr(dataset, keyword, value)
    block = dataset.private_block(0x0099, "PLANTED CREATOR", create=True)
    block.add_new(0x01, "LO", "PLANTED PRIVATE")
    found = read_mammogram(as_bytes(dataset))
    assert "PLANTED" not in str(found.facts)
    assert "19611124" not in str(found.facts)
    assert "PLANTED" not in repr(found)
    assert found.patient == "PLANTED-ID"


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
                assert stored_values(dataset, array).shape == array.shape
            checked += 1
    assert checked > 20
