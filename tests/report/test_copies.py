"""Sections on texture, features, copies and outliers: of matching images, of copies, of moments alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from breasts import breast, breasts
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from stacks import compare, stack

from mammogan.data.store import quantize
from mammogan.errors import InputError, ParameterError
from mammogan.metrics.moments import image_moments
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report import copies, fidelity
from mammogan.report.alignment import Comparison
from mammogan.report.results import Results


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return stack()


@pytest.fixture
def default_look() -> Iterator[None]:
    """Draw without the style that an earlier test may have set."""
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        yield


@pytest.mark.slow
def test_every_section_writes_finite_numbers(images: np.ndarray, tmp_path: Path) -> None:
    results = Results(tmp_path, "alignment")
    for section in copies.image_sections(compare(images[:60], images[60:])):
        section.keep(results)
        assert section.tables and section.pictures and section.text
    results.save()
    entries = json.loads((tmp_path / "results.json").read_text())
    assert {"alignment.swd.20x16.real", "alignment.features.kid", "alignment.memorization.authenticity"} <= set(entries)
    assert entries["alignment.features.recall.ceiling"]["value"] <= 1 and "alignment.spectrum.ratio" in entries
    low, high = entries["alignment.swd.20x16.real"]["interval"]
    assert low < entries["alignment.swd.20x16.real"]["value"] < high


@pytest.mark.slow
def test_copies_are_found_and_named_by_their_rows(images: np.ndarray) -> None:
    def worst(comparison: Comparison) -> pd.DataFrame:
        return copies.memorization_section(comparison, copies.search(comparison)).rows

    synthetic = images[60:].copy()
    synthetic[[5, 17]] = images[[40, 3]]
    pairs = worst(compare(images[:60], synthetic))[["synthetic", "training"]].head(2).to_numpy().tolist()
    assert sorted(pairs) == [[5, 40], [17, 3]]
    again = worst(compare(images[:60], synthetic, trained=np.arange(60) < 40))
    assert again.loc[0, ["synthetic", "training"]].tolist() == [17, 3] and again["training"].max() < 40


def test_mirrored_and_shifted_copies_are_found() -> None:
    real = breasts().pixels
    rng = np.random.default_rng(2)
    fresh = np.stack([quantize(breast(rng, "CC"), 12) for _ in range(20)])
    fresh[0] = np.roll(real[8], (3, 5), (0, 1))
    fresh[1], fresh[2], fresh[3] = real[12][:, ::-1], real[16][::-1], np.roll(real[20][:, ::-1], -6, 0)
    design = ResamplingDesign(np.arange(80) // 4, 20, draws=4, splits=4)
    moments = [image_moments(images, 12) for images in (real, fresh)]
    comparison = Comparison(*moments, design, (real, fresh), 12)
    pairs = copies.search(comparison).worst(4)
    assert sorted(zip(pairs["synthetic"], pairs["training"], strict=True)) == [(0, 8), (1, 12), (2, 16), (3, 20)]
    assert pairs["ratio"].max() < 0.5


def test_dropping_outliers_with_labels(images: np.ndarray) -> None:
    labels = np.arange(60) < 6
    spoiled = images[60:].copy()
    spoiled[:6] = spoiled[:6] // 4
    rows = copies.prune(compare(images[:60], spoiled), labels)
    rate = rows[rows["score"] == "artifact rate"].set_index("share")["value"]
    assert rate[0.0] == pytest.approx(0.1) and rate[0.2] < 0.02


@pytest.mark.slow
@pytest.mark.usefixtures("default_look")
def test_what_is_written_reads_back_and_shows_no_image(images: np.ndarray, tmp_path: Path) -> None:
    given = compare(images[:60], images[60:], public=False)
    copies.write_sections(given, tmp_path / "kept")
    assert {path.suffix for path in (tmp_path / "kept").iterdir()} == {".json", ".csv"}
    for section in copies.image_sections(given):
        read = copies.read_section(tmp_path / "kept", section.name)
        assert (read.title, list(read.text)) == (section.title, list(section.text))
        entries = ({key: value.entry(key) for key, value in one.values.items()} for one in (read, section))
        assert next(entries) == next(entries)
        for table, whole in zip(read.tables, section.tables, strict=True):
            assert table.caption == whole.caption
            pd.testing.assert_frame_equal(table.frame, whole.frame, check_names=False)
        pd.testing.assert_frame_equal(read.rows, section.rows, rtol=1e-5, check_dtype=False)
        assert [picture.name for picture in read.pictures] == [picture.name for picture in section.pictures]
        for drawn, first in zip(read.pictures, section.pictures, strict=True):
            # Six digits of a number move an edge of a line by less than one sees.
            assert np.mean(pixels(drawn.figure) != pixels(first.figure)) < 0.001
            assert not any(axis.images for axis in drawn.figure.axes)
    with pytest.raises(InputError, match="export the run again"):
        copies.read_section(tmp_path, "texture")


def pixels(figure: Figure) -> np.ndarray:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def test_moments_alone_are_refused(images: np.ndarray) -> None:
    whole = compare(images[:60], images[60:])
    bare = Comparison(whole.real, whole.synthetic, whole.design)
    for measure in (copies.search, copies.prune, lambda comparison: fidelity.sampled(comparison, 3)):
        with pytest.raises(ParameterError, match="give the two sets of images"):
            measure(bare)
    with pytest.raises(ParameterError, match="give the two sets of images"):
        next(copies.image_sections(bare))


@pytest.mark.parametrize("varied", [0, 1, 2, 3])
def test_pruning_is_drawn_however_few_scores_change(varied: int) -> None:
    # Constant images have no score that changes: a figure of no panels is impossible, one column is one of two.
    rows = [(share, f"s{k}", share * (k < varied), 0.0) for k in range(4) for share in (0.0, 0.1, 0.2)]
    figure = copies.pruning_figure(pd.DataFrame(rows, columns=["share", "score", "value", "sd"]))
    titles = [axis.get_title() for axis in figure.axes if axis.axison]
    assert titles == [f"s{k}" for k in range(varied or 2)]
    figure.draw_without_rendering()
