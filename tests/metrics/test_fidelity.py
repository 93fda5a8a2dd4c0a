"""Precision to coverage, KID and FID against prdc and known answers."""

from __future__ import annotations

import numpy as np
import pytest
from prdc import compute_prdc
from scipy.linalg import sqrtm

from mammogan.errors import ParameterError
from mammogan.metrics.fidelity import fidelity_table, frechet_distance, frechet_extrapolated, kernel_distance, manifold
from mammogan.metrics.resampling import ResamplingDesign


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 80, 0.0), (1500, 90, 0.8), (40, 40, 9.0)])
def test_manifold_equals_prdc(n: int, m: int, shift: float) -> None:
    a, b = normal(n, 4, 1), normal(m, 4, 2, shift, 0.8)
    ours, theirs = manifold(a, b, 5), compute_prdc(a, b, nearest_k=5)
    assert vars(ours) == pytest.approx(theirs)


def test_copies_are_on_the_balls_that_end_at_them_wherever_the_origin_is() -> None:
    # The ball of every real image ends at its third neighbor, of which the synthetic set holds a copy.
    a = normal(60, 16, 1)
    for offset in (0.0, 1e4):
        copies = manifold(a + offset, (a + offset)[::-1], 3)
        assert copies.density == pytest.approx(4 / 3) and copies.coverage == 1


def test_manifold_of_degenerate_sets() -> None:
    a = normal(30, 3, 1)
    assert vars(manifold(a, a)) == pytest.approx({"precision": 1, "recall": 1, "density": 1.2, "coverage": 1})
    far = manifold(a, a + 100)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    # All images one image: every ball has radius 0, and a point on it is inside.
    same = manifold(np.zeros((9, 3)), np.zeros((8, 3)))
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    with pytest.raises(ParameterError, match="5 images; give 6 or more"):
        manifold(a[:5], a)
    with pytest.raises(ParameterError, match="has the value nan"):
        manifold(np.where(a > 2, np.nan, a), a[:20] * np.nan)
    with pytest.raises(ParameterError, match="same columns"):
        manifold(a, a[:, :2])


def test_collapse_lowers_recall_and_coverage_but_not_precision() -> None:
    a, b = normal(400, 4, 1), normal(400, 4, 2)
    whole, few = manifold(a, b), manifold(a, b[np.arange(400) % 10])
    assert few.precision > 0.5 and whole.recall > 0.5
    assert few.recall < 0.2 and few.coverage < whole.coverage / 4


def test_kernel_distance_equals_the_sums_written_out() -> None:
    a, b = normal(7, 3, 1), normal(5, 3, 2, 0.5)

    def k(x: np.ndarray, y: np.ndarray) -> float:
        return (x @ y / 3 + 1) ** 3

    expected = (
        sum(k(a[i], a[j]) for i in range(7) for j in range(7) if i != j) / 42
        + sum(k(b[i], b[j]) for i in range(5) for j in range(5) if i != j) / 20
        - 2 * sum(k(x, y) for x in a for y in b) / 35
    )
    assert kernel_distance(a, b) == pytest.approx(expected)


def test_kernel_distance_has_no_bias() -> None:
    distances = [kernel_distance(normal(30, 3, s), normal(30, 3, s + 1000)) for s in range(300)]
    assert abs(np.mean(distances)) < 3 * np.std(distances) / np.sqrt(300)


@pytest.mark.slow
def test_intervals_of_kid_and_of_fid_without_its_bias_cover() -> None:
    kid = kernel_distance(normal(4000, 3, 1), normal(4000, 3, 2, 0.5))
    fid = 3 * 0.5**2
    covered = np.zeros(2, int)
    for seed in range(30):
        design = ResamplingDesign(80, 80, seed=seed, draws=16, splits=2)
        table = fidelity_table(normal(80, 3, seed), normal(80, 3, seed + 500, 0.5), design).set_index("measure")
        for number, (name, truth) in enumerate({"KID": kid, "FID, infinite n": fid}.items()):
            covered[number] += table.loc[name, "low"] <= truth <= table.loc[name, "high"]
    assert (covered >= 24).all()


def test_frechet_distance_is_the_analytic_one() -> None:
    a = normal(5000, 3, 1)
    whitened = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T))).T
    scale = np.array([2.0, 0.5, 1.0])
    expected = 3 * 0.7**2 + ((1 - scale) ** 2).sum()
    assert frechet_distance(whitened, whitened * scale + 0.7) == pytest.approx(expected)
    mix = np.random.default_rng(2).normal(size=(3, 3))
    b = normal(4000, 3, 5) @ mix
    ca, cb = np.cov(a.T), np.cov(b.T)
    plain = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(plain)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(np.zeros((4, 3)), np.ones((4, 3))) == pytest.approx(3)


def test_extrapolation_takes_the_bias_out() -> None:
    a, b = normal(600, 8, 1), normal(600, 8, 2, 0.3)
    truth = 8 * 0.3**2
    fid = frechet_extrapolated(a, b)
    assert fid.value - truth > 0.05
    assert abs(fid.infinite - truth) < 0.5 * abs(fid.value - truth)
    assert fid.table["distance"].is_monotonic_decreasing or fid.table["distance"].iloc[0] > fid.value
    same = frechet_extrapolated(normal(600, 8, 3), normal(600, 8, 4))
    assert abs(same.infinite) < same.value / 2
    with pytest.raises(ParameterError, match="5 images; give 8 or more"):
        frechet_extrapolated(a[:5], b)


def test_the_table_holds_real_against_real() -> None:
    design = ResamplingDesign(np.arange(120) // 2, 100, draws=8, splits=8)
    table = fidelity_table(normal(120, 3, 1), normal(100, 3, 2, 1.0), design).set_index("measure")
    assert list(table.index) == ["precision", "recall", "density", "coverage", "KID", "FID", "FID, infinite n"]
    assert (table["ceiling_low"] <= table["ceiling"]).all()
    assert (table["n"] == 100).all() and (table["n_ceiling"] == design.half).all()
    assert table.loc["KID", "score_n"] > table.loc["KID", "ceiling_high"]
    assert table.loc["coverage", "score_n"] < table.loc["coverage", "ceiling_low"]
    assert table.loc["FID", "ceiling"] > table.loc["FID, infinite n", "ceiling"]
    assert table.loc[["KID", "FID, infinite n"], "ratio"].isna().all() and table.loc["FID", "ratio"] > 1
    assert (table["difference_low"] <= table["difference"]).all()
    assert table.loc["KID", "difference_low"] > 0
    assert table["better"].tolist() == ["higher"] * 4 + ["lower"] * 3
