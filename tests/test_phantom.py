"""Phantoms: deterministic, the same breast on any grid, mammogram-like texture, valid DICOM."""

from __future__ import annotations

import csv
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import Header, Window, build, write
from mammogan.data.geometry import resize
from mammogan.data.phantom import patient, population, render, texture
from mammogan.metrics.spectrum import radial_power_spectrum


def test_bytes_do_not_depend_on_the_workers(phantoms: Path, tmp_path: Path) -> None:
    population.write_population(tmp_path, 6, seed=7, height=160, width=128, workers=2)
    for path in tmp_path.glob("*.dcm"):
        assert path.read_bytes() == (phantoms / path.name).read_bytes()


def test_another_seed_or_index_is_another_breast() -> None:
    first = render.render(0, 0, "CC", "L", height=80, width=64).shown
    assert not np.array_equal(first, render.render(1, 0, "CC", "L", height=80, width=64).shown)
    assert not np.array_equal(first, render.render(0, 1, "CC", "L", height=80, width=64).shown)


@pytest.mark.parametrize(("laterality", "view"), patient.VIEWS)
def test_the_same_breast_at_two_sizes(laterality: str, view: str) -> None:
    small = render.render(3, 2, view, laterality, height=320, width=256).shown
    large = render.render(3, 2, view, laterality, height=640, width=512).shown
    assert np.corrcoef(resize(large, 160, 128).ravel(), resize(small, 160, 128).ravel())[0, 1] > 0.99


@pytest.mark.parametrize(("laterality", "view"), patient.VIEWS)
def test_chest_wall_and_background(laterality: str, view: str) -> None:
    shown = render.render(0, 5, view, laterality, height=160, width=128).shown
    chest, front = (0, -1) if laterality == "L" else (-1, 0)
    middle = slice(40, 120)
    assert shown[middle, chest].mean() > 0.05
    assert shown[middle, front].max() == 0
    assert shown.min() == 0
    assert shown.max() <= 1


def test_density_classes_brighten_in_order() -> None:
    found: dict[str, list[float]] = {name: [] for name in "ABCD"}
    for number in range(60):
        made = render.render(11, number, "CC", "L", height=80, width=64)
        inside = made.shown > 0.02
        # Tissue against the fat of the same image: the display's gain is the patient's own.
        found[made.density].append(float(np.mean(made.shown[inside] > 1.8 * np.quantile(made.shown[inside], 0.15))))
    means = [np.mean(found[name]) for name in "ABCD" if found[name]]
    assert len(means) >= 3
    assert means == sorted(means)


def test_texture_has_the_exponent_it_is_asked_for() -> None:
    rng = np.random.default_rng(0)
    field = np.stack([texture.texture(rng, rng, (640, 512), 3.0)[:512] for _ in range(4)])
    frequency, power = radial_power_spectrum(field)
    band = (frequency > 0.02) & (frequency < 0.2)
    assert -np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0] == pytest.approx(3.0, abs=0.2)
    assert field.std() == pytest.approx(1.0, abs=0.35)


def test_interior_follows_a_power_law_near_three() -> None:
    patches = []
    for number in range(6):
        shown = render.render(2, number, "CC", "L", height=640, width=512).shown
        patches.append(shown[256:384, 40:168])
    frequency, power = radial_power_spectrum(np.stack(patches))
    band = (frequency > 0.02) & (frequency < 0.15)
    exponent = -np.polyfit(np.log(frequency[band]), np.log(power[band]), 1)[0]
    assert 2.3 < exponent < 3.7


def test_population_holds_every_variant(phantoms: Path) -> None:
    headers = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted(phantoms.glob("*.dcm"))]
    assert len(headers) == 16
    assert {h.PhotometricInterpretation for h in headers} == {"MONOCHROME1", "MONOCHROME2"}
    assert "1.2.840.10008.1.2.4.90" in {h.file_meta.TransferSyntaxUID for h in headers}
    assert len({h.SOPInstanceUID for h in headers}) == 16
    assert len({h.PatientID for h in headers}) == 4
    assert {(h.ImageLaterality, h.ViewPosition) for h in headers} == set(patient.VIEWS)
    with (phantoms / "phantoms.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == sorted(path.name for path in phantoms.glob("*.dcm"))


def test_files_show_what_was_drawn(phantoms: Path) -> None:
    for index in range(8):
        laterality, view = patient.VIEWS[index % 4]
        drawn = render.render(7, index // 4, view, laterality, height=160, width=128)
        read = read_mammogram((phantoms / f"{index:07d}.dcm").read_bytes())
        assert (read.facts["view"], read.facts["laterality"]) == (view, laterality)
        # A sigmoid window cannot reach 0 and 1, and stored values are whole.
        assert np.abs(read.pixels - drawn.shown).max() < 0.006
        assert read.facts["spacing_mm"] == pytest.approx(220 / 160)


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
    write(tmp_path / "a.dcm", pixels, Header("CC", "L", "k", "s", "PHANTOM^1", synthetic=True))
    run = subprocess.run(["dciodvfy", str(tmp_path / "a.dcm")], capture_output=True, text=True)
    errors = [line for line in (run.stdout + run.stderr).splitlines() if line.startswith("Error")]
    assert all("(0x0008,0x001c)" in line for line in errors)
    assert pydicom.dcmread(tmp_path / "a.dcm").SyntheticData == "YES"


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK is not installed")
@pytest.mark.parametrize("inverted", [False, True])
def test_dcmtk_shows_the_same_picture(tmp_path: Path, inverted: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 4096, (64, 80)).astype(np.uint16)
    header = Header("MLO", "R", "k", "s", "PHANTOM^1", inverted=inverted, windows=(Window(1500, 2000),))
    path = tmp_path / "a.dcm"
    write(path, pixels, header)
    subprocess.run(["dcm2pnm", "+on", "+Wi", "1", str(path), str(tmp_path / "a.png")], check=True, capture_output=True)
    theirs = np.asarray(Image.open(tmp_path / "a.png").convert("L"), float) / 255
    assert np.abs(theirs - read_mammogram(path.read_bytes()).pixels).max() < 1.5 / 255


def test_bad_arguments_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="5 : 4"):
        render.render(0, 0, "CC", "L", height=100, width=100)
    with pytest.raises(ValueError, match="no view"):
        render.render(0, 0, "ML", "L")
    with pytest.raises(ValueError, match="count of 1"):
        population.write_population(tmp_path, 0, 0)
    with pytest.raises(ValueError, match="uint16"):
        build(np.zeros((4, 4), np.int32), Header("CC", "L", "k", "s", "P"))


def test_only_phantoms_may_be_shown() -> None:
    drawn = pd.DataFrame({"manufacturer": ["Phantom Imaging", "Specimen Works"]})
    assert patient.are_phantoms(drawn)
    for other in ("Hologic", None):
        assert not patient.are_phantoms(pd.concat([drawn, pd.DataFrame({"manufacturer": [other]})]))
