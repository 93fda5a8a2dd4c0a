"""Sections on texture, features, copies and outliers: of matching images, of copies, of moments alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report import copies, fidelity
from mammogan.report.alignment import Comparison
from mammogan.report.results import Results


def comparison(real: np.ndarray, synthetic: np.ndarray, **more: Any) -> Comparison:
    plan = ResamplingDesign(np.arange(len(real)) // 2, len(synthetic), draws=4, splits=4)
    moments = [image_moments(images, 12) for images in (real, synthetic)]
    return Comparison(*moments, plan, images=(real, synthetic), bits=12, **more)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    rng = np.random.default_rng(0)
    noise = gaussian_filter(rng.normal(size=(120, 20, 16)), (0, 1.5, 1.5))
    level = rng.normal(0, 150, (120, 1, 1))
    return (1800 + level + 400 * noise / noise.std()).clip(0, 4095).astype(np.uint16)


def test_every_section_writes_finite_numbers(images: np.ndarray, tmp_path: Path) -> None:
    results = Results(tmp_path, "alignment")
    for section in copies.SECTIONS:
        made = section(comparison(images[:60], images[60:])).keep(results)
        assert made.tables and made.pictures and made.text
    results.save()
    found = json.loads((tmp_path / "results.json").read_text())
    assert {"alignment.swd.20x16.real", "alignment.features.kid", "alignment.memorization.authenticity"} <= set(found)
    assert found["alignment.features.recall.ceiling"]["value"] <= 1 and "alignment.spectrum.ratio" in found
    low, high = found["alignment.swd.20x16.real"]["interval"]
    assert low < found["alignment.swd.20x16.real"]["value"] < high


def test_copies_are_found_and_named_by_their_rows(images: np.ndarray) -> None:
    synthetic = images[60:].copy()
    synthetic[[5, 17]] = images[[40, 3]]
    section = copies.memorization(comparison(images[:60], synthetic))
    pairs = section.rows[["synthetic", "training"]].head(2).to_numpy().tolist()
    assert sorted(pairs) == [[5, 40], [17, 3]]
    trained = np.arange(60) < 40
    again = copies.memorization(comparison(images[:60], synthetic, trained=trained)).rows
    assert again.loc[0, ["synthetic", "training"]].tolist() == [17, 3] and again["training"].max() < 40


def test_dropping_outliers_with_labels(images: np.ndarray) -> None:
    labels = np.arange(60) < 6
    spoiled = images[60:].copy()
    spoiled[:6] = spoiled[:6] // 4
    rows = copies.pruned(comparison(images[:60], spoiled), labels).rows
    rate = rows[rows["score"] == "artifact rate"].set_index("share")["value"]
    assert rate[0.0] == pytest.approx(0.1) and rate[0.2] < 0.02


def test_what_is_kept_reads_back_and_shows_no_image(images: np.ndarray, tmp_path: Path) -> None:
    given = comparison(images[:60], images[60:], public=False)
    copies.keep(given, tmp_path / "kept")
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".json", ".csv"}
    for measure in copies.SECTIONS:
        made, read = measure(given), copies.kept(tmp_path / "kept", measure.__name__)
        assert (read.title, read.text) == (made.title, made.text)
        for (caption, table), (expected, whole) in zip(read.tables, made.tables, strict=True):
            assert caption == expected
            pd.testing.assert_frame_equal(table, whole.reset_index(drop=True), check_names=False)
        pd.testing.assert_frame_equal(read.rows, made.rows, rtol=1e-5, check_dtype=False)
        assert {key: entry["value"] for key, entry in read.values.items()} == {
            key: entry["value"] for key, entry in made.finite.items()
        }
        assert [name for name, *_ in read.pictures] == [name for name, *_ in made.pictures]
        for (_, drawn, _, _), (_, first, _, _) in zip(read.pictures, made.pictures, strict=True):
            # Six digits of a number move an edge of a line by less than one sees.
            assert np.mean(pixels(drawn) != pixels(first)) < 0.001 and not any(axis.images for axis in drawn.axes)
    with pytest.raises(FileNotFoundError, match="export the run again"):
        copies.kept(tmp_path, "texture")


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_of_many_images_some_are_drawn(images: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "MOST", 20)
    real, synthetic, plan = fidelity.sampled(comparison(images[:60], images[60:]), 3)
    assert (len(real), len(synthetic), plan.size, plan.draws) == (40, 20, 20, 3)
    assert len(np.unique(real.rows)) == 40 and plan.groups.tolist() == (real.rows // 2).tolist()
    assert plan.half >= 19
    np.testing.assert_array_equal(real.chosen(np.array([3, 1]))[:], images[real.rows[[3, 1]]])
    one = fidelity.texture(comparison(images[:60], images[60:]))
    assert one.rows["n"].tolist() == [20] * len(one.rows)


def test_moments_alone_are_refused(images: np.ndarray) -> None:
    whole = comparison(images[:60], images[60:])
    bare = Comparison(whole.real, whole.synthetic, whole.plan)
    for section in copies.SECTIONS:
        with pytest.raises(ValueError, match="give the two sets of images"):
            section(bare)
