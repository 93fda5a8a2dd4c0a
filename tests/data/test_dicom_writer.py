"""Files that are written are valid DICOM and look the same elsewhere."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Encoding, Header, Identity, Window, build, write
from mammogan.errors import ParameterError


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_dciodvfy_finds_no_error(phantoms: Path) -> None:
    for path in sorted(phantoms.glob("*.dcm")):
        run = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
        report = run.stdout + run.stderr
        assert "MammographyImageForPresentation" in report
        assert not [line for line in report.splitlines() if line.startswith("Error")]


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_dciodvfy_knows_all_but_the_synthetic_mark(tmp_path: Path) -> None:
    pixels = np.full((64, 64), 100, np.uint16)
    write(tmp_path / "a.dcm", pixels, Header("CC", "L", Identity("k", "s", "PHANTOM^1"), synthetic=True))
    run = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True)
    errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    assert all("(0x0008,0x001c)" in line for line in errors)
    assert pydicom.dcmread(tmp_path / "a.dcm").SyntheticData == "YES"


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK is not installed")
@pytest.mark.parametrize("inverted", [False, True])
def test_dcmtk_shows_the_same_picture(tmp_path: Path, inverted: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 80)).astype(np.uint16)
    header = Header("MLO", "R", Identity("k", "s", "PHANTOM^1"), windows=(Window(1500, 2000),))
    path = tmp_path / "a.dcm"
    write(path, pixels, header, Encoding(inverted=inverted))
    subprocess.run(["dcm2pnm", "+on", "+Wi", "1", str(path), str(tmp_path / "a.png")], check=True, capture_output=True)
    theirs = np.asarray(Image.open(tmp_path / "a.png").convert("L"), float) / 255
    assert np.abs(theirs - read_mammogram(path.read_bytes()).pixels).max() < 1.5 / 255


def test_bad_arguments_are_named() -> None:
    with pytest.raises(ParameterError, match="uint16"):
        build(np.zeros((4, 4), np.int32), Header("CC", "L", Identity("k", "s", "P")))
    with pytest.raises(ParameterError, match="not a view"):
        build(np.zeros((4, 4), np.uint16), Header("LM", "L", Identity("k", "s", "P")))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 80)).astype(np.uint16)
    header = Header("MLO", "R", Identity("k", "s", "PHANTOM^1", 61))
    for name in ("a.dcm", "b.dcm"):
        write(tmp_path / name, pixels, header, Encoding(compressed=True))
    assert (tmp_path / "a.dcm").read_bytes() == (tmp_path / "b.dcm").read_bytes()
