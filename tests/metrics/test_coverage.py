"""Tables of scores of pairs of moments: alike, unlike, degenerate and broken sets."""

from __future__ import annotations

import numpy as np
import pytest

from mammogan.errors import ParameterError
from mammogan.metrics.coverage import (
    SUPPORT_GRID,
    SUPPORTS,
    highest_density_region,
    pair_scores,
    stretching,
    support_coverage,
)
from mammogan.metrics.density import Grid, density
from mammogan.metrics.information import label_information
from mammogan.metrics.resampling import ResamplingDesign

RNG = np.random.default_rng(0)


def test_regions() -> None:
    p = np.array([[0.5, 0.3], [0.15, 0.05]])
    assert highest_density_region(p, 0.6).tolist() == [[True, True], [False, False]]
    a = RNG.normal(size=(400, 2))
    for b, area, mass in ((a, 1, 0.97), (a + 50, 0, 0)):
        grid = Grid.around(a, b, count=SUPPORT_GRID)
        densities = density(a, grid), density(b, grid)
        assert SUPPORTS["area"](*densities) == area
        assert SUPPORTS["mass"](*densities) == pytest.approx(mass, abs=0.01 if mass else 1e-9)


@pytest.mark.slow
def test_tables_tell_alike_from_unlike() -> None:
    real, alike, other = RNG.normal(size=(120, 5)), RNG.normal(size=(120, 5)), RNG.normal(1.5, 0.5, (120, 5))
    design = ResamplingDesign(120, 120, draws=5, splits=4)
    for table in (pair_scores, support_coverage):
        near, far = table(real, alike, design), table(real, other, design)
        assert (near["score"] > far["score"]).mean() > 0.8
        assert near["ratio"].median() == pytest.approx(1, abs=0.12)
        for low, value, high in (("low", "score", "high"), ("ratio_low", "ratio", "ratio_high")):
            assert (near[low] <= near[value]).all()
            assert (near[value] <= near[high]).all()
        assert (near["n"] == 120).all()
        assert (near["n_ceiling"] == 60).all()
        assert near.equals(table(real, alike, design))
    information = label_information(real, other, design, permutations=50)
    of_information = information[information["reading"] == "information"]
    assert (of_information["p"] < 0.05).all()
    assert (of_information["score"] > of_information["chance"]).all()
    assert (of_information["ceiling"].abs() < 0.15).all()


@pytest.mark.slow
def test_an_almost_black_image_moves_no_score_or_ceiling_beyond_its_interval() -> None:
    rng = np.random.default_rng(7)
    real, synthetic = rng.lognormal(0, 0.4, (125, 5)), rng.lognormal(1, 0.5, (125, 5))
    black = np.array([1e-4, 1e-7, 170, 3e4, 5e6])
    design = ResamplingDesign(125, 125, draws=40, splits=10)
    for table in (lambda x, y: pair_scores(x, y, design), lambda x, y: support_coverage(x, y, design)):
        before = table(real, synthetic)
        for x, y in ((np.r_[black[None], real[1:]], synthetic), (real, np.r_[black[None], synthetic[1:]])):
            after = table(x, y)
            for value, low, high in (("score", "low", "high"), ("ceiling", "ceiling_low", "ceiling_high")):
                moved = (after[value] - before[value]).abs()
                assert (moved <= np.maximum(before[high] - before[low], 0.02)).all()
            assert len(stretching(x, y)) == 1
    found = stretching(real, np.r_[synthetic[:9], black[None]])
    assert found[["kind", "row", "moment"]].to_numpy().tolist() == [["synthetic", 9, "M5"]]
    assert found["times"].item() > 1e4
    assert stretching(real, synthetic).empty
    # The pooled range is still there.
    pooled = support_coverage(real, np.r_[black[None], synthetic[1:]], design, pooled=True)
    assert pooled.query("j == 'M5' and reading == 'mass'")["score"].min() > 0.9


def test_degenerate_tables() -> None:
    real = RNG.normal(size=(40, 5))
    design = ResamplingDesign(40, 40, draws=3, splits=3)
    constant = real.copy()
    constant[:, 2] = 1.0
    for table in (pair_scores, support_coverage):
        scores = table(constant, constant, design)
        assert np.isfinite(scores[["score", "low", "high", "ceiling"]]).all().all()
        # Identical sets score the most there is; the label reading exceeds it, as copies do.
        assert (scores.loc[scores["reading"] != "label", "score"] >= 0.95).all()
    information = label_information(constant, constant, design, permutations=20)
    assert (information.loc[information["reading"] == "information", "score"] < 0.01).all()
    apart = support_coverage(real, real + 1000, design)
    assert (apart["score"] == 0).all()
    assert (pair_scores(real, real + 1000, design).query("reading == 'jsd'")["score"] < 1e-6).all()
    broken = real.copy()
    broken[0, 0] = np.nan
    with pytest.raises(ParameterError, match="has the value nan"):
        pair_scores(real, broken)
    with pytest.raises(ParameterError, match="2 images; give 4 or more"):
        support_coverage(real, real[:2])
    with pytest.raises(ParameterError, match="real images is 6; give 16 or more"):
        label_information(real[:6], real[:6])
