"""Drawn images: functions of seed and index in every format, continued after a kill, valid DICOM, flat in memory."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pydicom
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from mammogan.data.dicom import read_mammogram
from mammogan.data.metadata import Labels, is_labels
from mammogan.data.segmentation import chest_side
from mammogan.data.store import Store
from mammogan.errors import RunError, StoreError
from mammogan.gan import checkpoints
from mammogan.gan.config import Config
from mammogan.gan.dataset import population
from mammogan.gan.networks import Generator
from mammogan.gan.sampling import Sampler, kinds_known, sample, slerp
from mammogan.gan.schedule import Schedule
from mammogan.gan.training import Run
from mammogan.gan.writers import FOLDER, Files
from mammogan.report import training, training_figures

SETTINGS = {
    "levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "stable_images": 64, "fade_images": 64,
    "total_images": 448, "batches": "8", "checkpoint_images": 0, "sample_images": 0, "ema": 0.9, "condition": "view",
}  # fmt: skip


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run that is told the view; its generator draws at 20 x 16."""
    folder = tmp_path_factory.mktemp("runs") / "told"
    Run(store, folder, Config().changed(SETTINGS)).train()
    return folder


@pytest.fixture(scope="module")
def untold(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs") / "untold"
    Run(store, folder, Config().changed({**SETTINGS, "condition": "", "levels": 1, "total_images": 16})).train()
    return folder


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "images.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_images_do_not_depend_on_how_many_are_drawn(run: Path) -> None:
    sampler = Sampler.open(run)
    assert sampler.size == (20, 16)
    whole = np.stack(list(sampler.draw(2 * sampler.batch, 5)))
    for count, start in ((1, 0), (7, 3), (5, sampler.batch - 2)):
        np.testing.assert_array_equal(np.stack(list(sampler.draw(count, 5, start))), whole[start : start + count])
    assert not np.array_equal(whole[0], whole[1])
    assert not np.array_equal(next(sampler.draw(1, 6)), whole[0])


def test_views_are_as_frequent_as_in_the_training_data(run: Path, store: Store) -> None:
    sampler = Sampler.open(run)
    real = store.manifest["view"].value_counts(normalize=True)
    drawn = sampler.kinds.groupby("view")["share"].sum()
    assert {"CC", "MLO"} == set(drawn.index)
    assert all(drawn[view] == pytest.approx(real[view]) for view in drawn.index)
    kinds = kinds_known(
        [{"view": "CC", "density": "A", "count": 30}, {"view": "MLO", "density": None, "count": 10}], ("view",)
    )
    facts = [replace(sampler, kinds=kinds).facts(1, index) for index in range(2000)]
    share = np.mean([fact["view"] == "CC" for fact in facts])
    assert abs(share - 0.75) < 4 * np.sqrt(0.75 * 0.25 / 2000)
    assert {fact["density"] for fact in facts} == {None}  # the generator was not told it


def test_a_chosen_view_is_told_to_the_generator_and_keeps_the_vectors(run: Path) -> None:
    sampler = Sampler.open(run)
    z, labels = sampler.inputs(3, range(6))
    assert [("CC", "MLO")[row.argmax()] for row in labels.numpy()] == [sampler.facts(3, i)["view"] for i in range(6)]
    for view, expected in (("CC", [1.0, 0.0]), ("MLO", [0.0, 1.0])):
        chosen = sampler.only(view=view)
        same, told = chosen.inputs(3, range(6))
        torch.testing.assert_close(same, z, rtol=0, atol=0)
        assert told.tolist() == [expected] * 6
        assert {chosen.facts(3, i)["view"] for i in range(6)} == {view}
    cc, mlo = (np.stack(list(sampler.only(view=view).draw(4, 3))) for view in ("CC", "MLO"))
    assert not np.array_equal(cc, mlo)
    with pytest.raises(RunError, match="it was not told the density"):
        sampler.only(density="B")
    with pytest.raises(RunError, match="CC or MLO, not 'ML'"):
        sampler.only(view="ML")


def test_facts_are_known_where_they_were_told_or_all_share_them() -> None:
    kinds = [{"view": "MLO", "density": d, "count": n} for d, n in (("A", 1), ("B", 3))]
    untold = kinds_known(kinds, ())
    assert untold.to_dict("records") == [{"view": "MLO", "density": None, "share": 1.0}]
    told = kinds_known(kinds, ("density",))
    assert told["share"].tolist() == [0.25, 0.75]
    assert kinds_known([], ()).to_dict("records") == [{"view": None, "density": None, "share": 1.0}]
    with pytest.raises(RunError, match="does not say"):
        kinds_known([], ("view",))


def test_population_counts_the_split(store: Store) -> None:
    found = population(store, "train")
    manifest = store.manifest[store.manifest["split"] == "train"]
    assert sum(kind["count"] for kind in found["kinds"]) == len(manifest)
    assert found["height_mm"] == pytest.approx(220, abs=0.01)
    json.dumps(found, allow_nan=False)


@given(st.integers(0, 10**6), st.floats(0.01, 0.99), st.floats(0.2, 5))
def test_slerp_walks_the_great_circle(seed: int, t: float, scale: float) -> None:
    a, b = np.random.default_rng(seed).standard_normal((2, 16))
    b *= scale
    unit = [x / np.linalg.norm(x) for x in (a, slerp(a, b, t), b)]
    whole = np.arccos(unit[0] @ unit[2])
    assert np.arccos(unit[0] @ unit[1]) == pytest.approx(t * whole, abs=1e-6)
    assert np.arccos(unit[1] @ unit[2]) == pytest.approx((1 - t) * whole, abs=1e-6)
    lengths = [np.linalg.norm(x) for x in (a, slerp(a, b, t), b)]
    assert lengths[1] == pytest.approx((1 - t) * lengths[0] + t * lengths[2])


def test_slerp_of_known_vectors() -> None:
    half = slerp(np.array([2.0, 0, 0]), np.array([0, 2.0, 0]), 0.5)
    np.testing.assert_allclose(half, [np.sqrt(2), np.sqrt(2), 0])
    a = np.array([1.0, 2, 3])
    np.testing.assert_allclose(slerp(a, a, 0.3), a)


def test_interpolation_passes_through_the_images_of_the_seed(run: Path) -> None:
    sampler = Sampler.open(run)
    between = replace(sampler, steps=4)
    plain, film = np.stack(list(sampler.draw(4, 9))), np.stack(list(between.draw(13, 9)))
    np.testing.assert_array_equal(film[::4], plain)
    jumps = np.abs(np.diff(film.astype(int), axis=0)).mean((1, 2))
    whole = np.abs(np.diff(plain.astype(int), axis=0)).mean((1, 2))
    assert jumps.max() < whole.max()
    views = [sampler.facts(9, i)["view"] for i in range(4)]
    assert len(set(views)) == 2
    for index, (first, second) in enumerate(pairwise(views)):
        assert between.facts(9, 4 * index)["view"] == first
        assert between.facts(9, 4 * index + 2)["view"] == (first if first == second else None)


def test_formats_hold_the_same_gray_levels(run: Path, tmp_path: Path) -> None:
    made = Store.open(sample(run, tmp_path / "zarr", 9, 5, "zarr"))
    assert (len(made), made.bits, made.sizes[-1]) == (9, 12, (20, 16))
    images = made.images()[:]
    np.testing.assert_array_equal(images, np.stack(list(Sampler.open(run).draw(9, 5))))
    folder = sample(run, tmp_path / "png", 9, 5, "png")
    table = rows(folder)
    assert [row["view"] for row in table] == made.manifest["view"].tolist()
    assert [row["laterality"] for row in table] == [chest_side(image) for image in images]
    for row, image in zip(table, images, strict=True):
        with Image.open(folder / row["file"]) as picture:
            assert picture.mode == "I;16"
            assert "shows no patient" in picture.text["Description"]
            np.testing.assert_array_equal(np.rint(np.asarray(picture) / 65535 * 4095), image)
    # Ingest reads the table by itself.
    assert is_labels(folder / "images.csv")
    labels = Labels([folder / "images.csv"])
    for row in table:
        known = labels.get(folder / row["file"]) or {}
        assert (known["view"], known["laterality"]) == (row["view"], row["laterality"])


def test_files_are_spread_over_folders(tmp_path: Path) -> None:
    with Files(tmp_path / "out", {"format": "png", "seed": 3}) as files:
        names = [files.name(index) for index in (0, FOLDER - 1, FOLDER, 10**6)]
    assert [name.split("/")[0] for name in names] == ["00000", "00000", "00001", "01000"]
    assert len(set(names)) == 4


def validator_errors(path: Path) -> list[str]:
    done = subprocess.run(["dciodvfy", str(path)], capture_output=True, text=True)
    report = done.stdout + done.stderr
    assert "MammographyImageForPresentation" in report
    return [line for line in report.splitlines() if line.startswith("Error")]


def test_dicom_is_valid_and_says_that_it_is_synthetic(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", 4, 5, "dicom")
    images, table = list(Sampler.open(run).draw(4, 5)), rows(folder)
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
        read = read_mammogram(path.read_bytes())
        np.testing.assert_allclose(read.pixels * 4095, image, atol=1)
        # Phantoms are 220 mm high; the run stops at half the size of the store.
        assert [float(x) for x in dataset.ImagerPixelSpacing] == [11, 11]
    assert len(seen) == 12
    assert {row["view"] for row in table} == {"CC", "MLO"}
    again = sample(run, tmp_path / "again", 2, 5, "dicom")
    assert (again / table[1]["file"]).read_bytes() == (folder / table[1]["file"]).read_bytes()
    other = sample(run, tmp_path / "other", 1, 5, "dicom", at=128)
    assert pydicom.dcmread(other / table[0]["file"]).SOPInstanceUID not in seen


@pytest.mark.skipif(not shutil.which("dciodvfy"), reason="dciodvfy (Debian: dicom3tools) is not installed")
def test_dciodvfy_finds_nothing_but_the_mark_that_it_does_not_know(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", 4, 5, "dicom")
    for row in rows(folder):
        errors = validator_errors(folder / row["file"])
        assert all("(0x0008,0x001c)" in line for line in errors), errors


@pytest.mark.skipif(not shutil.which("dcm2pnm"), reason="DCMTK is not installed")
def test_dcmtk_opens_the_files(run: Path, tmp_path: Path) -> None:
    folder = sample(run, tmp_path / "dicom", 2, 5, "dicom")
    for row, image in zip(rows(folder), Sampler.open(run).draw(2, 5), strict=True):
        path = str(folder / row["file"])
        dump = subprocess.run(["dcmdump", path], check=True, capture_output=True, text=True)
        assert "(0008,001c) CS [YES]" in dump.stdout
        assert not dump.stderr
        target = tmp_path / "shown.png"
        subprocess.run(["dcm2pnm", "+on", "+Wi", "1", path, str(target)], check=True, capture_output=True)
        shown = np.asarray(Image.open(target).convert("L"), float)
        assert np.abs(shown - image / 4095 * 255).max() < 1.5


SCRIPT = """
import sys, time
import torch
torch.set_num_threads(1)
from mammogan.gan.sampling import sample
def slow(task, done, total=0, note=""):
    print(done, flush=True)
    time.sleep(0.02)
sample(sys.argv[1], sys.argv[2], int(sys.argv[3]), 5, sys.argv[4], progress=slow)
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
        sample(run, out, count, 5, form, progress=stop)


def content(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize(
    ("form", "count", "after", "end"),
    [("png", 30, 11, killed), ("zarr", 150, 100, killed), ("dicom", 30, 11, stopped), ("film", 30, 11, stopped)],
)
def test_continued_it_ends_as_an_unbroken_one(
    run: Path, tmp_path: Path, form: str, count: int, after: int, end: Callable[..., None]
) -> None:
    whole = tmp_path / "whole"
    sample(run, whole, count, 5, form)
    broken = tmp_path / "broken"
    end(run, broken, count, form, after)
    if form == "zarr":
        with pytest.raises(StoreError, match="not finished"):
            Store.open(broken)
        sample(run, broken, count, 5, form)
        made, expected = Store.open(broken), Store.open(whole)
        assert made.fingerprint == expected.fingerprint
        pd.testing.assert_frame_equal(made.manifest, expected.manifest)
        np.testing.assert_array_equal(made.images()[:], expected.images()[:])
        return
    done = rows(broken)
    assert after <= len(done) < count
    # A kill can leave half a line, and a file that no line names.
    with (broken / "images.csv").open("a") as table:
        table.write("00000/5-00000")
    before = (broken / done[0]["file"]).stat().st_mtime_ns
    sample(run, broken, count, 5, form)
    assert content(broken) == content(whole)
    assert (broken / done[0]["file"]).stat().st_mtime_ns == before  # not drawn again


def test_a_film_shows_every_image(run: Path, tmp_path: Path) -> None:
    film = sample(run, tmp_path / "film", 12, 5, "film", steps=5)
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
    folder = sample(run, tmp_path / "out", 3, 5, "png")
    before = content(folder)
    sample(run, folder, 5, 5, "png")
    after = content(folder)
    assert len(rows(folder)) == 5
    assert all(after[name] == before[name] for name in before if name.endswith(".png"))
    with pytest.raises(RunError, match="drawn otherwise"):
        sample(run, folder, 5, 6, "png")
    with Files(folder, json.loads((folder / "sample.json").read_text())), pytest.raises(RunError, match="writes to"):
        sample(run, folder, 6, 5, "png")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "mine.txt").write_text("x")
    with pytest.raises(RunError, match="not empty"):
        sample(run, tmp_path / "other", 3, 5, "png")
    part = sample(run, tmp_path / "part", 2, 5, "png", first=3)
    shared = {name: data for name, data in content(part).items() if name.endswith(".png")}
    assert shared == {name: after[name] for name in shared}
    assert len(shared) == 2


def test_dicom_needs_a_view(untold: Path, run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="trained with condition=view"):
        sample(untold, tmp_path / "a", 2, 5, "dicom")
    with pytest.raises(RunError, match="train with condition=view"):
        sample(untold, tmp_path / "a", 2, 5, "dicom", view="MLO")
    with pytest.raises(RunError, match="add --view"):
        sample(run, tmp_path / "a", 2, 5, "dicom", steps=4)
    assert not (tmp_path / "a").exists()
    folder = sample(run, tmp_path / "b", 5, 5, "dicom", steps=4, view="MLO")
    assert {row["view"] for row in rows(folder)} == {"MLO"}


def test_generators_are_kept_at_the_end_of_each_phase(run: Path) -> None:
    kept = checkpoints.generators(run)
    assert list(kept) == [64, 128, 192, 256, 320, 384, 448]
    sizes = [Sampler.open(run, at=images).size for images in kept]
    assert sizes == [(5, 4), (10, 8), (10, 8), (20, 16), (20, 16), (20, 16), (20, 16)]
    assert {Sampler.open(run, at=images).alpha for images in kept} == {1}
    last, newest = Sampler.open(run, at=448), Sampler.open(run)
    difference = np.abs(next(last.draw(1, 0)).astype(int) - next(newest.draw(1, 0)))
    assert difference.max() <= 20  # half precision, of 4095
    assert last.fingerprint != newest.fingerprint
    with pytest.raises(RunError, match="kept no generator at 65"):
        Sampler.open(run, at=65)


def peak(run: Path, out: Path, count: int, form: str) -> int:
    tracemalloc.start()
    try:
        sample(run, out, count, 5, form)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("form", ["png", "zarr"])
def test_memory_does_not_grow_with_the_count(run: Path, tmp_path: Path, form: str) -> None:
    peak(run, tmp_path / "warm", 64, form)
    few, many = (peak(run, tmp_path / str(count), count, form) for count in (128, 640))
    # 512 more images of 20 x 16 would be 327 kB of gray levels alone.
    assert many - few < 150_000


def test_minibatches_shrink_where_images_are_large(run: Path) -> None:
    sampler = Sampler.open(run)
    architecture = replace(sampler.generator.architecture, levels=9, fmap_max=1)
    large = replace(sampler, generator=Generator(architecture), level=8)
    assert (sampler.batch, large.batch) == (64, 4)


def test_log_with_and_without_speed_and_its_phases(tmp_path: Path) -> None:
    stats = [(64, 0, 1.0), (128, 1, 0.0), (192, 1, 0.5), (256, 1, 1.0)]
    with (tmp_path / "stats.jsonl").open("w") as log:
        for images, level, alpha in stats:
            size = ("5x4", "10x8")[level]
            log.write(json.dumps({"images": images, "level": level, "size": size, "alpha": alpha}) + "\n")
    spans = list(training_figures.phases(training.read_log(tmp_path)))
    assert spans == [(0, 64, "5x4", False), (64, 192, "10x8", True), (192, 256, "10x8", False)]
    assert "images_per_second" not in training.read_log(tmp_path)
    assert np.isnan(training.minutes(training.read_log(tmp_path)))
    (tmp_path / "timing.jsonl").write_text('{"images": 128, "seconds": 4.0, "images_per_second": 32.0}\n')
    speed = training.read_log(tmp_path)["images_per_second"]
    assert speed[1] == 32
    assert speed.isna().tolist() == [True, False, True, True]
    assert np.isnan(training.minutes(training.read_log(tmp_path)))
    pieces = [(64, 32.0), (128, 16.0), (192, 64.0), (256, 1.0)]  # 2, 4, 1 and 64 s
    lines = (json.dumps({"images": images, "images_per_second": rate}) for images, rate in pieces)
    (tmp_path / "timing.jsonl").write_text("\n".join(lines))
    assert training.minutes(training.read_log(tmp_path)) == pytest.approx(71 / 60)


def test_sheets_show_each_level_as_it_is_left(run: Path, tmp_path: Path) -> None:
    kept = training.sheets(run, Schedule(3, 64, 64, 448, (8, 8, 8)))
    assert [(s.images, s.level, s.alpha) for s in kept] == [
        (0, 0, 1), (64, 0, 1), (128, 1, 1), (192, 1, 1), (256, 2, 1), (448, 2, 1)
    ]  # fmt: skip
    assert [s.pixels.shape for s in kept[:3]] == [(16, 5, 4), (16, 5, 4), (16, 10, 8)]
    assert kept[1].label == "64 images, 5 x 4"
    assert replace(kept[2], alpha=0.25).label == "128 images, 10 x 8, 25% faded in"
    assert [Sampler.open(run, at=s.images).size for s in kept[1:]] == [s.pixels.shape[1:] for s in kept[1:]]
    # What a fade shows is not yet the level, and only the ends of a level are its stages.
    more = [*kept[:2], replace(kept[2], images=100, alpha=0.5), *kept[2:5], replace(kept[4], images=300), kept[5]]
    assert training.stages(more) == kept
    frames = [(s.label, np.hstack(s.pixels[:4])) for s in kept]
    with Image.open(training.write_film(frames, tmp_path / "film.gif", 12, height=40)) as film:
        assert (film.n_frames, film.size) == (len(frames), (128, 40))
        film.seek(film.n_frames - 1)
        shown = np.asarray(film.convert("L"), float)[::2, ::2]
    assert np.abs(shown - frames[-1][1] / 4095 * 255).max() <= 1


def test_distances_of_real_images_are_the_smallest(run: Path, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    table = training.distances(run, store, projections=32)
    assert table["images"].tolist() == [64, 128, 192, 256, 320, 384, 448]
    assert set(table["band"]) == {"20 x 16"}
    assert (table["distance"] > table["real"]).all()
    ends = training.level_by_level(table)
    assert ends.index.tolist() == ["5 x 4", "10 x 8", "20 x 16"]
    for size, images in zip(ends.index, (64, 192, 448), strict=True):
        assert ends["distance"][size] == table.loc[table["images"] == images, "distance"].mean()
    # Images of 5 x 4 drawn like the real ones keep no texture; those of 20 x 16 are the real ones themselves.
    real = {size: store.images(size)[:] for size in store.sizes}
    monkeypatch.setattr(Sampler, "draw", lambda self, count, seed, start=0: iter(real[self.size][:count]))
    perfect = training.distances(run, store, projections=32)["distance"]
    assert perfect.iloc[0] > perfect.iloc[1] > perfect.iloc[3]
    assert perfect.iloc[3] == perfect.iloc[6]


def test_enlarged_images_keep_their_pixels() -> None:
    small = np.arange(12, dtype=np.uint16).reshape(2, 3, 2)
    large = training.enlarge(small, (6, 8))
    assert large.shape == (2, 6, 8)
    np.testing.assert_array_equal(large[:, ::2, ::4], small)
    np.testing.assert_array_equal(large[:, 1::2, 3::4], small)
