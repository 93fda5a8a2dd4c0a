"""Settings and log of a run, its sheets of fixed latent vectors, and distances of kept generators from real images."""

from __future__ import annotations

import itertools
import json
from dataclasses import asdict, replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from small_stores import make_store

from mammogan.data.ingest import Settings, ingest
from mammogan.data.pairs import patients
from mammogan.data.phantom.population import write_population
from mammogan.data.store import Store
from mammogan.gan.config import Config
from mammogan.gan.sampling import Sampler
from mammogan.gan.schedule import Schedule
from mammogan.gan.training import Run
from mammogan.metrics.distances import sliced_wasserstein_table
from mammogan.metrics.resampling import ResamplingDesign, shuffled
from mammogan.report import training
from mammogan.report.results import Results

SETTINGS = {
    "levels": 3, "latent": 8, "fmap_base": 64, "fmap_max": 8, "stable_images": 64, "fade_images": 64,
    "total_images": 448, "batches": "8", "checkpoint_images": 0, "sample_images": 0, "ema": 0.9, "condition": "view",
}  # fmt: skip


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Of six patients, so that each side of a split has eight images and more."""
    folder = tmp_path_factory.mktemp("phantoms")
    write_population(folder, 24, seed=7, height=160, width=128)
    return ingest([folder], tmp_path_factory.mktemp("stores") / "store", Settings(height=40, width=32))


@pytest.fixture(scope="module")
def run(store: Store, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run whose generator draws at 20 x 16."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    Run.open(store, folder, Config().changed(SETTINGS)).train()
    return folder


def test_log_with_and_without_speed_and_its_phases(tmp_path: Path) -> None:
    stats = [(64, 0, 1.0), (128, 1, 0.0), (192, 1, 0.5), (256, 1, 1.0)]
    with (tmp_path / "stats.jsonl").open("w") as log:
        for images, level, alpha in stats:
            size = ("5x4", "10x8")[level]
            log.write(json.dumps({"images": images, "level": level, "size": size, "alpha": alpha}) + "\n")
    _, axis = plt.subplots()
    training.shade(axis, training.read_log(tmp_path))
    (band,) = axis.collections[0].get_paths()  # 10 x 8 fades in from 64 to 192 images
    assert (band.vertices[:, 0].min(), band.vertices[:, 0].max()) == (64, 192)
    assert [(text.get_text(), text.get_position()[0]) for text in axis.texts] == [("5 x 4", 32), ("10 x 8", 160)]
    plt.close("all")
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


@pytest.mark.slow
def test_sheets_show_each_level_as_it_is_left(run: Path, tmp_path: Path) -> None:
    kept = training.sheets(run, Schedule(3, 64, 64, 448, (8, 8, 8)))
    assert [(s.images, s.level, s.alpha) for s in kept] == [
        (0, 0, 1), (64, 0, 1), (128, 1, 1), (192, 1, 1), (256, 2, 1), (448, 2, 1)
    ]  # fmt: skip
    assert [s.pixels.shape for s in kept[:3]] == [(16, 5, 4), (16, 5, 4), (16, 10, 8)]
    assert kept[1].label == "64 images, 5 x 4"
    assert replace(kept[2], alpha=0.25).label == "128 images, 10 x 8, 25% faded in"
    assert [Sampler.open(run, at=s.images).size for s in kept[1:]] == [s.pixels.shape[1:] for s in kept[1:]]
    # A sheet during a fade is not yet one of the level, and only the ends of a level are its stages.
    more = [*kept[:2], replace(kept[2], images=100, alpha=0.5), *kept[2:5], replace(kept[4], images=300), kept[5]]
    assert training.stages(more) == kept
    frames = [(s.label, np.hstack(s.pixels[:4])) for s in kept]
    Results(tmp_path, "training").frames("growth", frames, 12, height=80)
    with Image.open(tmp_path / "figures" / "growth" / "00.png") as first:
        assert first.size == (256, 80)
    with Image.open(tmp_path / "figures" / "growth.gif") as film:
        assert (film.n_frames, film.size) == (len(frames), (128, 40))
        film.seek(film.n_frames - 1)
        drawn = np.asarray(film.convert("L"), float)[::2, ::2]
    assert np.abs(drawn - frames[-1][1] / 4095 * 255).max() <= 1


@pytest.mark.slow
def test_distances_of_real_images_are_the_smallest(
    run: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = training.distances(run, store, projections=32)
    assert table["images"].tolist() == [64, 128, 192, 256, 320, 384, 448]
    assert set(table["band"]) == {"20 x 16"}
    assert (table["distance"] > table["real"]).all()
    assert (table["real_low"] <= table["real"]).all() and (table["real"] <= table["real_high"]).all()
    ends = training.level_by_level(table)
    assert ends.index.tolist() == ["5 x 4", "10 x 8", "20 x 16"]
    for size, images in zip(ends.index, (64, 192, 448), strict=True):
        assert ends["distance"][size] == table.loc[table["images"] == images, "distance"].mean()
    # Of images of noise, each halving keeps a quarter of the variance; those of 20 x 16 are the real ones themselves.
    noise = make_store(tmp_path / "noise", 24, seed=7)
    real = {size: noise.images(size)[:] for size in noise.sizes}
    monkeypatch.setattr(
        Sampler, "draw", lambda self, count, seed, start=0: iter(np.resize(real[self.size], (count, *self.size)))
    )
    perfect = training.distances(run, noise, projections=32)["distance"]
    assert perfect.iloc[0] > perfect.iloc[1] > perfect.iloc[3]
    assert perfect.iloc[3] == perfect.iloc[6]


def test_enlarged_images_keep_their_pixels() -> None:
    small = np.arange(12, dtype=np.uint16).reshape(2, 3, 2)
    large = training.enlarge(small, (6, 8))
    assert large.shape == (2, 6, 8)
    np.testing.assert_array_equal(large[:, ::2, ::4], small)
    np.testing.assert_array_equal(large[:, 1::2, 3::4], small)


def test_learning_rates_are_shown_by_level() -> None:
    here = training.hyperparameters(Config()).set_index("setting")["here"]
    assert here["learning_rate"] == "8 x 0.001, 0.0015"
    assert here["batches"] == "3 x 128, 64, 32, 16, 8, 2 x 4"


def test_every_setting_has_a_meaning_and_changes_are_marked() -> None:
    assert set(asdict(Config())) == set(training.meanings())
    rows = training.hyperparameters(Config().changed({"latent": 8})).set_index("setting")
    assert rows.index[rows["changed"] == "yes"].tolist() == ["latent"]
    assert rows.loc["latent", ["original GAN", "here"]].tolist() == ["512", "8"]


@pytest.mark.slow
def test_both_chapters_have_one_protocol(run: Path, store: Store) -> None:
    """The last generator is as far from the real images as the table of the alignment chapter says."""
    table = training.distances(run, store, count=40, projections=16, seed=3)
    sampler = Sampler.open(run, at=448)
    drawn = np.stack(list(sampler.draw(40, 4)))
    real = store.images(sampler.size)[:]
    chosen = np.sort(shuffled(patients(store), np.random.default_rng([3, 9]))[:80])
    design = ResamplingDesign(patients(store)[chosen], 40, seed=3, draws=2, splits=8)
    rows = sliced_wasserstein_table(real[chosen], drawn, store.bits, design, projections=64)
    (expected,) = rows[rows["normalization"] == "real"].itertuples()
    last = table[table["images"] == 448].iloc[0]
    assert last["distance"] == pytest.approx(expected.score_n)
    assert last["real"] == pytest.approx(expected.ceiling)
    assert (last["real_low"], last["real_high"]) == pytest.approx((expected.ceiling_low, expected.ceiling_high))
    assert last["n"] == expected.n_ceiling


def test_no_label_of_a_curve_reaches_into_another(tmp_path: Path) -> None:
    """Sizes of short levels are left out, and names of lines that end together are apart."""
    rows = [
        (images, "5x4" if images < 30 else "10x8" if images < 60 else "20x16", 1.0) for images in range(0, 1000, 10)
    ]
    _, axis = plt.subplots()
    training.shade(axis, pd.DataFrame(rows, columns=["images", "size", "alpha"]))
    assert [text.get_text() for text in axis.texts] == ["5 x 4", "20 x 16"]
    log = pd.DataFrame({"images": [10, 20], "size": "10x8", "alpha": 1.0})
    table = pd.DataFrame(
        [
            (images, band, distance, 20.0)
            for band, distance in zip("abc", (30.0, 31.0, 60.0), strict=True)
            for images in (10, 20)
        ],
        columns=["images", "band", "distance", "real"],
    )
    figure = training.distance_curves(table, log)
    figure.draw_without_rendering()
    names = [text for text in figure.axes[0].texts if text.get_text() in "abc"]
    boxes = sorted(text.get_window_extent().intervaly.tolist() for text in names)
    assert len(boxes) == 3 and all(low[1] <= high[0] for low, high in itertools.pairwise(boxes))
    plt.close("all")
