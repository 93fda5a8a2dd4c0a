"""Tables of an inspection, and the numbers of the chapter that follow from them."""

from __future__ import annotations

import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from breasts import breasts

from mammogan.artifacts.detectors import DETECTORS
from mammogan.data.images import Images
from mammogan.report import inspection
from mammogan.report.inspection import COLORS
from mammogan.report.provenance import ROOT
from mammogan.report.results import Results


@pytest.fixture(scope="module")
def population() -> Images:
    return breasts()


@pytest.fixture(scope="module")
def tables(population: Images) -> dict[str, pd.DataFrame]:
    return inspection.compare_images(population, population.take(np.arange(64, 80)), most=12, most_real=40, seed=3)


def test_a_draw_of_many_real_images_judges_and_the_nearest_is_named_in_the_whole_set(
    tables: dict[str, pd.DataFrame], tmp_path: Path
) -> None:
    assert len(tables["real"]) == 40
    assert len(tables["synthetic"]) == 12
    rows = np.random.default_rng(3).permutation(80)[:40]
    nearest = tables["synthetic"]["nearest"].to_numpy()
    assert set(nearest) <= set(rows)
    # An image that is in the draw is its own nearest.
    own = np.intersect1d(np.arange(64, 76), rows)
    assert len(own) > 2
    assert (nearest[own - 64] == own).all()
    read = inspection.read_tables(inspection.write_tables(tables, tmp_path))
    for name, table in tables.items():
        pd.testing.assert_frame_equal(read[name], table, rtol=1e-5, check_dtype=False)


def test_flags_are_surprises_of_two_or_more(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    results = Results(tmp_path, "artifacts")
    flags = inspection.flagged(results, tables).set_index(["detector", "kind"])
    for name in (*DETECTORS, "any"):
        for kind in ("real", "synthetic"):
            assert flags.loc[(name, kind), "flagged"] == (tables[kind][name] >= 2).sum()
    assert results.entries["flagged"]["value"] == pytest.approx(100 * flags.loc[("any", "synthetic"), "share"])
    assert (flags["low"] <= flags["share"]).all() and (flags["share"] <= flags["high"]).all()


def test_images_are_ranked_by_surprise(tables: dict[str, pd.DataFrame], population: Images) -> None:
    order = inspection.ranked(tables["synthetic"])
    assert order["total"].is_monotonic_decreasing
    for _, row in order.iterrows():
        assert row[row["by"]] == row["any"]
    # Two images of one greatest surprise are told apart by the others.
    alike = tables["synthetic"].iloc[[0, 1]].copy()
    alike[list(DETECTORS)], alike["any"] = 0.0, 3.7
    alike["background"], alike.loc[alike.index[1], "grid"] = 3.7, 1.0
    assert inspection.ranked(alike).index.tolist() == [alike.index[1], alike.index[0]]
    html = inspection.ranked_gallery(order, population.pixels, 12, population.pixels)
    assert html.count("nearest real image") == 18 * 3  # on the button, below it, and enlarged
    assert f"worst: {order['total'].iloc[0]:.1f}, {order['ratio'].iloc[0]:.2f}" in html


def test_an_image_that_does_not_surprise_a_detector_is_no_failure(population: Images) -> None:
    scores = pd.DataFrame(0.9, index=range(4), columns=list(DETECTORS)).assign(index=range(4))
    scores.loc[[1, 2], "grid"], scores.loc[3, "border"] = [1.2, 1.5], 1.0
    html = inspection.detector_gallery(scores, population.pixels, 12)
    shown = re.findall(r'aria-label="Enlarge: (\w+ [0-9.]+)"', html)
    assert sorted(shown) == ["border 1.0", "grid 1.2", "grid 1.5"]
    assert [inspection.surprise_text(x) for x in (2.04, 99.9, 30904.6)] == ["2.0", "99.9", "> 99"]


def test_tables_of_an_earlier_version_lack_a_detector(
    tables: dict[str, pd.DataFrame], population: Images, tmp_path: Path
) -> None:
    earlier = {name: table.drop(columns="background", errors="ignore") for name, table in tables.items()}
    flags = inspection.flagged(Results(tmp_path, "artifacts"), earlier)
    assert set(flags["detector"]) == {*DETECTORS, "any"} - {"background"}
    assert set(inspection.ranked(earlier["synthetic"])["by"]) <= set(flags["detector"])
    gallery = inspection.detector_gallery(earlier["synthetic"], population.pixels, 12)
    assert re.search(r"moments \d", gallery) and not re.search(r"background \d", gallery)


@pytest.mark.parametrize("folder", sorted((ROOT / "reference").glob("*/artifacts")), ids=lambda path: path.parent.name)
def test_published_tables_can_be_shown(folder: Path, tmp_path: Path) -> None:
    published = inspection.read_tables(folder)
    assert set(inspection.detectors_of(published["real"])) == set(inspection.detectors_of(published["synthetic"]))
    assert len(inspection.flagged(Results(tmp_path, "artifacts"), published)) > 10
    assert inspection.ranked(published["synthetic"])["total"].is_monotonic_decreasing


def test_numbers_of_the_chapter(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    results = Results(tmp_path, "artifacts")
    inspection.paper_rates(results)
    inspection.nearest_distances(results, tables)
    inspection.high_frequencies(results, tables["spectra"])
    compared = inspection.spots_compared(results, tables, 0)
    values = {key: entry["value"] for key, entry in results.entries.items()}
    assert values["paper.CC"] == 6.4
    assert results.entries["paper.MLO"]["verdict"] == "follows from print"
    assert values["distance.lowest"] == tables["synthetic"]["ratio"].min()
    top = tables["spectra"].tail(len(tables["spectra"]) // 4)
    assert values["spectra.top"] == pytest.approx(top["synthetic"].sum() / top["real"].sum())
    counts = tables["counts"].groupby("set")["spots"].mean()
    assert values["spots.real"] == pytest.approx(counts["real"])
    assert compared.loc["synthetic", "mean"] == pytest.approx(counts["synthetic"])


def test_detectors_without_a_flag_and_sizes_of_few_values_are_not_drawn(tables: dict[str, pd.DataFrame]) -> None:
    flags = pd.DataFrame(
        [(name, kind, 0, 10, share, share, share) for name, share in (("any", 0.4), ("grid", 0.0)) for kind in COLORS],
        columns=["detector", "kind", "flagged", "images", "share", "low", "high"],
    )
    figure = inspection.flagged_figure(flags)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["any"]
    assert 40 < figure.axes[0].get_xlim()[1] < 60  # the axis ends after the last interval
    spots = pd.DataFrame({"set": ["real", "synthetic"] * 10, "diameter_mm": [1.0, 2.0] * 10})
    spots = spots.assign(contrast=np.linspace(0, 1, 20), brightness=np.linspace(0, 1, 20))
    panels = inspection.spots_figure(spots, tables["counts"]).axes
    assert [axis.get_xlabel() for axis in panels] == ["spots per image", "contrast", "brightness"]
    assert [axis.get_title(loc="left") for axis in panels] == ["(a)", "(b)", "(c)"]
    plt.close("all")
