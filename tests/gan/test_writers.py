"""Folders of drawn images: continued after a kill, valid DICOM, films."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
from gan_runs import read_table
from PIL import Image

from mammogan.data.dicom import read_mammogram
from mammogan.data.dicom_writer import ORIENTATION
from mammogan.data.ingest import Settings, ingest
from mammogan.data.pairs import view_pairs
from mammogan.data.store import Store
from mammogan.errors import OutputError, StoreError
from mammogan.gan.sampling import Sampler, sample
from mammogan.gan.writers import FOLDER, Draw, ImageFolder


def test_files_are_spread_over_folders(tmp_path: Path) -> None:
    draw = Draw(1, seed=3)
    record = {**draw.record("f", 64), "format": "png"}
    with ImageFolder(tmp_path / "out", draw, record, bits=12, spacing_mm=1) as folder:
        names = [folder.name(index) for index in (0, FOLDER - 1, FOLDER, 10**6)]
    assert [name.split("/")[0] for name in names] == ["00000", "00000", "00001", "01000"]
    assert len(set(names)) == 4


def validator_errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    report = done.stdout + done.stderr
    assert "MammographyImageForPresentation" in report
    return [line for line in report.splitlines() if line.startswith("Error")]


def test_dicom_is_valid_and_says_that_it_is_synthetic(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", Draw(4, 5), "dicom")
    images, table = list(Sampler.open(run).draw(4, 5)), read_table(folder)
    seen = set()
    for row, image in zip(table, images, strict=True):
        path = folder / row["file"]
        dataset = pydicom.dcmread(path)
        assert dataset.SyntheticData == "YES"
        assert (dataset.ViewPosition, dataset.ImageLaterality) == (row["view"], row["laterality"])
        assert dataset.PatientName == f"SYNTHETIC^5-{row['index']}"
        assert "shows no patient" in dataset.ImageComments
        np.testing.assert_array_equal(dataset.pixel_array, image)
        seen |= {dataset.SOPInstanceUID, dataset.SeriesInstanceUID, dataset.StudyInstanceUID}
        read = read_mammogram(path.read_bytes(), allow_synthetic=True)
        np.testing.assert_allclose(read.pixels * 4095, image, atol=1)
        # Phantoms are 220 mm high; the run stops at half the size of the store.
        assert [float(x) for x in dataset.ImagerPixelSpacing] == [11, 11]
    assert len(seen) == 12
    assert {row["view"] for row in table} == {"CC", "MLO"}
    again = sample(run, tmp_path / "again", Draw(2, 5), "dicom")
    assert (again / table[1]["file"]).read_bytes() == (folder / table[1]["file"]).read_bytes()
    other = sample(run, tmp_path / "other", Draw(1, 5, at=128), "dicom")
    assert pydicom.dcmread(other / table[0]["file"]).SOPInstanceUID not in seen


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_dciodvfy_finds_nothing_but_the_mark_that_it_does_not_know(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", Draw(4, 5), "dicom")
    for row in read_table(folder):
        errors = validator_errors(folder / row["file"])
        assert all("(0x0008,0x001c)" in line for line in errors), errors


@pytest.mark.slow
def test_a_pair_is_one_study_of_one_patient(pair_run: Path, tmp_path: Path) -> None:
    folder = sample(pair_run, tmp_path / "dicom", Draw(4, 5), "dicom")
    table, images = read_table(folder), list(Sampler.open(pair_run).draw(4, 5))
    files = [pydicom.dcmread(folder / row["file"]) for row in table]
    for file, row, image in zip(files, table, images, strict=True):
        assert (file.ViewPosition, file.ImageLaterality) == (row["view"], row["laterality"])
        assert file.ViewCodeSequence[0].CodeValue == {"CC": "399162004", "MLO": "399368009"}[row["view"]]
        assert file.PatientOrientation == ORIENTATION[row["laterality"], row["view"]]
        np.testing.assert_array_equal(file.pixel_array, image)
    for first, second in (files[:2], files[2:]):
        assert (first.ViewPosition, second.ViewPosition) == ("CC", "MLO")
        assert (first.InstanceNumber, second.InstanceNumber) == (1, 2)
        assert first.SOPInstanceUID != second.SOPInstanceUID
        for name in ("PatientID", "StudyInstanceUID", "SeriesInstanceUID", "ImageLaterality"):
            assert first[name] == second[name]
    assert files[0].PatientID == "SYNTHETIC^5-0" != files[2].PatientID
    assert files[0].StudyInstanceUID != files[2].StudyInstanceUID
    if shutil.which("dciodvfy"):
        errors = [line for row in table for line in validator_errors(folder / row["file"])]
        assert all("(0x0008,0x001c)" in line for line in errors), errors
    if shutil.which("dcentvfy"):
        checked = subprocess.run(
            ["dcentvfy", *(folder / row["file"] for row in table)], capture_output=True, text=True, check=True
        )
        assert "Error" not in checked.stdout + checked.stderr


def test_pictures_of_a_pair_are_ingested_as_one(pair_run: Path, tmp_path: Path) -> None:
    folder = sample(pair_run, tmp_path / "png", Draw(8, 5), "png")
    settings = Settings(height=20, width=16, prepared=True, allow_synthetic=True)
    store = ingest([folder], tmp_path / "store", settings)
    rows = view_pairs(store)[["cc", "mlo"]].to_numpy()
    drawn = {image.tobytes(): index for index, image in enumerate(Sampler.open(pair_run).draw(8, 5))}
    images = [[drawn[image.tobytes()] for image in store.images()[row]] for row in rows]
    assert sorted(images) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_a_pair_that_a_kill_cut_in_two_is_completed(pair_run: Path, tmp_path: Path) -> None:
    whole, cut = (sample(pair_run, tmp_path / name, Draw(6, 5), "dicom") for name in ("whole", "cut"))
    table = cut / "images.csv"
    table.write_text("".join(table.read_text().splitlines(keepends=True)[:4]))  # the second breast lacks its MLO
    sample(pair_run, cut, Draw(6, 5), "dicom")
    assert table.read_text() == (whole / "images.csv").read_text()
    for row in read_table(whole):
        assert (cut / row["file"]).read_bytes() == (whole / row["file"]).read_bytes()


def test_a_folder_of_an_early_version_is_continued(run: Path, tmp_path: Path) -> None:
    """Its table has no patients."""
    folder = sample(run, tmp_path / "png", Draw(2, 5), "png")
    rows = [line.rpartition(",")[0] for line in (folder / "images.csv").read_text().splitlines()]
    (folder / "images.csv").write_text("\n".join(rows) + "\n")
    sample(run, folder, Draw(3, 5), "png")
    assert [(row["index"], "patient" in row) for row in read_table(folder)] == [(str(k), False) for k in range(3)]


def test_a_film_of_pairs_shows_both_views(pair_run: Path, tmp_path: Path) -> None:
    film = sample(pair_run, tmp_path / "film", Draw(6, 5, steps=2), "film")
    drawn = np.stack(list(replace(Sampler.open(pair_run), steps=2).draw(6, 5)))
    with Image.open(film) as picture:
        assert picture.n_frames == 3
        for number in range(3):
            picture.seek(number)
            shown = np.asarray(picture.convert("L"), float)
            expected = np.hstack(drawn[2 * number : 2 * number + 2]) / 4095 * 255
            assert shown.shape == (20, 32)
            assert np.corrcoef(shown.ravel(), expected.ravel())[0, 1] > 0.9


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK is not installed")
def test_dcmtk_opens_the_files(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", Draw(2, 5), "dicom")
    for row, image in zip(read_table(folder), Sampler.open(run).draw(2, 5), strict=True):
        path = str(folder / row["file"])
        dump = subprocess.run(["dcmdump", path], check=True, capture_output=True, text=True)
        assert "(0008,001c) CS [YES]" in dump.stdout
        assert not dump.stderr
        target = tmp_path / "rendered.png"
        subprocess.run(["dcm2pnm", "+on", "+Wi", "1", path, str(target)], check=True, capture_output=True)
        rendered = np.asarray(Image.open(target).convert("L"), float)
        assert np.abs(rendered - image / 4095 * 255).max() < 1.5


SCRIPT = """
import sys, time
import torch
torch.set_num_threads(1)
from mammogan.gan.sampling import Draw, sample
def slow(task, done, total=0, note=""):
    print(done, flush=True)
    time.sleep(0.02)
sample(sys.argv[1], sys.argv[2], Draw(int(sys.argv[3]), 5), sys.argv[4], progress=slow)
"""


def killed(run: Path, out: Path, count: int, form: str, after: int) -> None:
    """Draw in a process of its own, and end that by force once `after` images are done."""
    command = [sys.executable, "-c", SCRIPT, str(run), str(out), str(count), form]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    for line in process.stdout:
        if int(line) >= after:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.wait()


def stopped(run: Path, out: Path, count: int, form: str, after: int) -> None:
    def stop(task: str, done: int, total: int = 0, note: str = "") -> None:
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample(run, out, Draw(count, 5), form, progress=stop)


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("form", "count", "after", "end"),
    [
        pytest.param("png", 30, 11, killed, marks=pytest.mark.slow),
        pytest.param("zarr", 150, 100, killed, marks=pytest.mark.slow),
        ("dicom", 30, 11, stopped),
        ("film", 30, 11, stopped),
    ],
)
def test_continued_it_ends_as_an_unbroken_one(
    run: Path, tmp_path: Path, form: str, count: int, after: int, end: Callable[..., None]
) -> None:
    whole = tmp_path / "whole"
    sample(run, whole, Draw(count, 5), form)
    broken = tmp_path / "broken"
    end(run, broken, count, form, after)
    if form == "zarr":
        with pytest.raises(StoreError, match="not finished"):
            Store.open(broken)
        sample(run, broken, Draw(count, 5), form)
        continued, expected = Store.open(broken), Store.open(whole)
        assert continued.fingerprint == expected.fingerprint
        pd.testing.assert_frame_equal(continued.manifest, expected.manifest)
        np.testing.assert_array_equal(continued.images()[:], expected.images()[:])
        return
    done = read_table(broken)
    assert after <= len(done) < count
    # A kill can leave half a line, and a file that no line names.
    with (broken / "images.csv").open("a") as table:
        table.write("00000/5-00000")
    before = (broken / done[0]["file"]).stat().st_mtime_ns
    sample(run, broken, Draw(count, 5), form)
    assert content(broken) == content(whole)
    assert (broken / done[0]["file"]).stat().st_mtime_ns == before  # not drawn again


def test_a_film_shows_every_image(run: Path, tmp_path: Path) -> None:
    film = sample(run, tmp_path / "film", Draw(12, 5, steps=5), "film")
    with Image.open(film) as picture:
        assert (picture.n_frames, picture.size) == (12, (16, 20))
        frames = []
        for index in range(12):
            picture.seek(index)
            frames.append(np.asarray(picture.convert("L"), float))
    sampler = replace(Sampler.open(run), steps=5)
    expected = np.stack(list(sampler.draw(12, 5))) / 4095 * 255
    assert np.abs(np.stack(frames) - expected).mean() < 4  # compressed


def test_a_folder_grows_but_takes_nothing_else(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "out", Draw(3, 5), "png")
    before = content(folder)
    sample(run, folder, Draw(5, 5), "png")
    after = content(folder)
    assert len(read_table(folder)) == 5
    assert all(after[name] == before[name] for name in before if name.endswith(".png"))
    with pytest.raises(OutputError, match="drawn otherwise"):
        sample(run, folder, Draw(5, 6), "png")
    record, draw = json.loads((folder / "sample.json").read_text()), Draw(6, 5)
    with ImageFolder(folder, draw, record, 12, 1), pytest.raises(OutputError, match="writes to"):
        sample(run, folder, Draw(6, 5), "png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(OutputError, match="not empty"):
        sample(run, tmp_path / "other", Draw(3, 5), "png")
    part = sample(run, tmp_path / "part", Draw(2, 5, first=3), "png")
    shared = {name: data for name, data in content(part).items() if name.endswith(".png")}
    assert shared == {name: after[name] for name in shared}
    assert len(shared) == 2
