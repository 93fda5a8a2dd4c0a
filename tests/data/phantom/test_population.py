"""A population holds every variant of a file, whatever the number of workers, and its files show what was drawn."""

from __future__ import annotations

import csv
import fcntl
from functools import partial
from pathlib import Path

import numpy as np
import pydicom
import pytest

from mammogan.data.dicom import read_mammogram
from mammogan.data.phantom.patient import VIEWS
from mammogan.data.phantom.population import write_population
from mammogan.data.phantom.render import render
from mammogan.errors import OutputError, ParameterError


def test_bytes_do_not_depend_on_the_workers(phantoms: Path, tmp_path: Path) -> None:
    write_population(tmp_path, 6, seed=7, height=160, width=128, workers=2)
    for path in tmp_path.glob("*.dcm"):
        assert path.read_bytes() == (phantoms / path.name).read_bytes()


def test_population_holds_every_variant(phantoms: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(phantoms.glob("*.dcm"))]
    assert len(headers) == 16
    assert {h.PhotometricInterpretation for h in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert "1.2.840.10008.1.2.4.90" in {h.file_meta.TransferSyntaxUID for h in headers}
    assert len({h.SOPInstanceUID for h in headers}) == 16
    assert len({h.PatientID for h in headers}) == 4
    assert {(h.ImageLaterality, h.ViewPosition) for h in headers} == set(VIEWS)
    with (phantoms / "phantoms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(path.name for path in phantoms.glob("*.dcm"))


def test_files_show_what_was_drawn(phantoms: Path) -> None:
    for index in range(8):
        laterality, view = VIEWS[index % 4]
        drawn = render(7, index // 4, view, laterality, height=160, width=128)
        read = read_mammogram((phantoms / f"{index:07d}.dcm").read_bytes())
        assert (read.facts["view"], read.facts["laterality"]) == (view, laterality)
        # A sigmoid window cannot reach 0 and 1, and stored values are whole.
        assert np.abs(read.pixels - drawn.shown).max() < 0.006
        assert read.facts["spacing_mm"] == pytest.approx(220 / 160)


@pytest.mark.slow
def test_a_population_that_was_cut_off_is_continued(phantoms: Path, tmp_path: Path) -> None:
    """No image is drawn twice, and the table loses the row that a kill cut short."""
    draw = partial(write_population, tmp_path, seed=7, height=160, width=128)
    draw(5)
    table = tmp_path / "phantoms.csv"
    table.write_bytes(table.read_bytes()[:-9])  # within the last row
    whole = {path.name: path.stat().st_mtime_ns for path in tmp_path.glob("000000[0-3].dcm")}
    (tmp_path / ".0000005.dcm.aside").touch()
    draw(8)
    assert len(whole) == 4
    assert all((tmp_path / name).stat().st_mtime_ns == time for name, time in whole.items())
    assert {path.name for path in tmp_path.iterdir()} == {*(f"{k:07d}.dcm" for k in range(8)), "phantoms.csv"}
    assert all(path.read_bytes() == (phantoms / path.name).read_bytes() for path in tmp_path.glob("*.dcm"))
    assert table.read_text().splitlines() == (phantoms / "phantoms.csv").read_text().splitlines()[:9]
    before = table.read_bytes()
    draw(8)
    for wrong in ({"seed": 8}, {"height": 80, "width": 64}):
        with pytest.raises(OutputError, match="another seed or size"):
            draw(8, **wrong)
    with pytest.raises(OutputError, match="holds 8 phantoms already"):
        draw(4)
    with table.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="Another process draws phantoms"):
            draw(12)
    assert table.read_bytes() == before
    table.unlink()
    with pytest.raises(OutputError, match="is not empty"):
        draw(8)


def test_no_phantom_is_too_few(tmp_path: Path) -> None:
    with pytest.raises(ParameterError, match="--count"):
        write_population(tmp_path, 0, 0)
    with pytest.raises(ParameterError, match="5 : 4"):
        write_population(tmp_path / "square", 4, 0, height=100, width=100)
    assert not list(tmp_path.iterdir())
