"""DICOM files that several tests read: a header, one mammogram written in many ways, and a file's bytes."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.pixels import set_pixel_data
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from mammogan.data.dicom_writer import Header, Identity, Window, build, write
from mammogan.data.phantom.render import render
from mammogan.data.store import quantize
from mammogan.gan.writers import write_png

PIXELS = np.random.default_rng(1).integers(0, 4096, (70, 90)).astype(np.uint16)


HEADER = Header(
    "MLO", "R", Identity("k", "s", "PHANTOM^1", 61), windows=(Window(1500, 2000), Window(1800, 900, "HARDER"))
)


def as_bytes(dataset: Dataset) -> bytes:
    """Return the bytes of a file."""
    stream = BytesIO()
    dataset.save_as(stream, enforce_file_format=True)
    return stream.getvalue()


def drawn(folder: Path) -> Path:
    """Write a DICOM file and a PNG, 320 x 256 pixels, as `mammogan sample` does; return the folder."""
    folder.mkdir()
    pixels = quantize(render(5, 2, "MLO", "L", height=320, width=256).shown, 12)
    comment = "Synthetic: drawn by a generative network, shows no patient. Generator 0, seed 0, image 0."
    header = Header("MLO", "L", Identity("k", "s", "SYNTHETIC^0-0"), synthetic=True, comment=comment)
    write(folder / "0.dcm", pixels, header)
    write_png(folder / "1.png", pixels // 2, 12, comment)
    return folder


def phantom() -> Dataset:
    """Return a phantom of 320 x 256 pixels with two sigmoid windows."""
    pixels = quantize(render(5, 2, "MLO", "L", height=320, width=256).shown, 12)
    windows = (Window(2047.5, 4096), Window(2500, 1800, "HARDER"))
    return build(pixels, Header("MLO", "L", Identity("k", "s", "PLANTED-ID", 57), windows=windows, function="SIGMOID"))


def in_syntax(syntax: str) -> Callable[[Dataset], None]:
    """Return a function that writes a data set in a transfer syntax."""

    def change(dataset: Dataset) -> None:
        if pydicom.uid.UID(syntax).is_encapsulated:
            dataset.compress(syntax, generate_instance_uid=False)
        else:
            dataset.file_meta.TransferSyntaxUID = syntax

    return change


def rewritten(content: bytes, *command: str) -> bytes:
    """Return a file as a tool of DCMTK rewrites it."""
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
    # A sigmoid is symmetric about its center, so the complement of the stored values has the complement of it.
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
