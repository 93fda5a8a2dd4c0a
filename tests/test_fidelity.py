"""Features, precision to coverage, KID, FID, memorization and pruning against prdc and known answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from prdc import compute_prdc

from mammogan.errors import InputError
from mammogan.metrics.features import Standardizer, extract, gray_features, pixel_features, torchscript_feature
from mammogan.metrics.fidelity import fidelity_table, frechet_distance, frechet_extrapolated, kernel_distance, manifold
from mammogan.metrics.memorization import audit, nearest_training, pruning
from mammogan.metrics.resampling import ResamplingDesign
from mammogan.report.alignment_figures import pairs_figure


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


@pytest.mark.parametrize(("n", "m", "shift"), [(60, 80, 0.0), (1500, 90, 0.8), (40, 40, 9.0)])
def test_manifold_equals_prdc(n: int, m: int, shift: float) -> None:
    a, b = normal(n, 4, 1), normal(m, 4, 2, shift, 0.8)
    found, theirs = manifold(a, b, 5), compute_prdc(a, b, nearest_k=5)
    assert vars(found) == pytest.approx(theirs)


def test_copies_lie_on_the_balls_that_end_at_them_wherever_the_origin_is() -> None:
    # The ball of every real image ends at its third neighbor, of which the synthetic set holds a copy.
    a = normal(60, 16, 1)
    for offset in (0.0, 1e4):
        found = manifold(a + offset, (a + offset)[::-1], 3)
        assert found.density == pytest.approx(4 / 3) and found.coverage == 1


def test_manifold_of_degenerate_sets() -> None:
    a = normal(30, 3, 1)
    assert vars(manifold(a, a)) == pytest.approx({"precision": 1, "recall": 1, "density": 1.2, "coverage": 1})
    far = manifold(a, a + 100)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    # All images one image: every ball has radius 0, and what lies on it is inside.
    same = manifold(np.zeros((9, 3)), np.zeros((8, 3)))
    assert (same.precision, same.recall, same.coverage) == (1, 1, 1)
    with pytest.raises(ValueError, match="5 images; this measure needs 6"):
        manifold(a[:5], a)
    with pytest.raises(ValueError, match="not a finite number"):
        manifold(np.where(a > 2, np.nan, a), a[:20] * np.nan)
    with pytest.raises(ValueError, match="same columns"):
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
    found = [kernel_distance(normal(30, 3, s), normal(30, 3, s + 1000)) for s in range(300)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(300)


def test_intervals_of_kid_and_of_fid_without_its_bias_cover() -> None:
    kid = kernel_distance(normal(4000, 3, 1), normal(4000, 3, 2, 0.5))
    fid = 3 * 0.5**2
    covered = np.zeros(2, int)
    for seed in range(30):
        plan = ResamplingDesign(80, 80, seed=seed, draws=16, splits=2)
        table = fidelity_table(normal(80, 3, seed), normal(80, 3, seed + 500, 0.5), plan).set_index("measure")
        for place, (name, truth) in enumerate({"KID": kid, "FID, infinite n": fid}.items()):
            covered[place] += table.loc[name, "low"] <= truth <= table.loc[name, "high"]
    assert (covered >= 24).all()


def test_frechet_distance_is_the_analytic_one() -> None:
    a = normal(5000, 3, 1)
    whitened = (a - a.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(a.T))).T
    scale = np.array([2.0, 0.5, 1.0])
    expected = 3 * 0.7**2 + ((1 - scale) ** 2).sum()
    assert frechet_distance(whitened, whitened * scale + 0.7) == pytest.approx(expected)
    mix = np.random.default_rng(2).normal(size=(3, 3))
    b = normal(4000, 3, 5) @ mix
    from scipy.linalg import sqrtm

    ca, cb = np.cov(a.T), np.cov(b.T)
    plain = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(ca + cb - 2 * sqrtm(ca @ cb).real)
    assert frechet_distance(a, b) == pytest.approx(plain)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(np.zeros((4, 3)), np.ones((4, 3))) == pytest.approx(3)


def test_extrapolation_takes_the_bias_out() -> None:
    a, b = normal(600, 8, 1), normal(600, 8, 2, 0.3)
    truth = 8 * 0.3**2
    found = frechet_extrapolated(a, b)
    assert found.value - truth > 0.05
    assert abs(found.infinite - truth) < 0.5 * abs(found.value - truth)
    assert found.table["distance"].is_monotonic_decreasing or found.table["distance"].iloc[0] > found.value
    same = frechet_extrapolated(normal(600, 8, 3), normal(600, 8, 4))
    assert abs(same.infinite) < same.value / 2
    with pytest.raises(ValueError, match="needs 8"):
        frechet_extrapolated(a[:5], b)


def test_the_table_holds_real_against_real() -> None:
    plan = ResamplingDesign(np.arange(120) // 2, 100, draws=8, splits=8)
    table = fidelity_table(normal(120, 3, 1), normal(100, 3, 2, 1.0), plan).set_index("measure")
    assert list(table.index) == ["precision", "recall", "density", "coverage", "KID", "FID", "FID, infinite n"]
    assert (table["ceiling_low"] <= table["ceiling"]).all()
    assert (table["n"] == 100).all() and (table["n_ceiling"] == plan.half).all()
    assert table.loc["KID", "score_n"] > table.loc["KID", "ceiling_high"]
    assert table.loc["coverage", "score_n"] < table.loc["coverage", "ceiling_low"]
    assert table.loc["FID", "ceiling"] > table.loc["FID, infinite n", "ceiling"]
    assert table["better"].tolist() == ["higher"] * 4 + ["lower"] * 3


def images(n: int, seed: int = 0) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(n, 40, 32)), (0, 3, 3))
    return (2048 + 500 * noise / noise.std()).clip(0, 4095).astype(np.uint16)


def test_gray_features_see_place_and_texture_where_moments_do_not() -> None:
    first = images(5).astype(np.float32) / 4095
    flipped = first[:, ::-1, ::-1]
    a, b = gray_features(first), gray_features(flipped)
    assert a.shape == (5, 93)
    np.testing.assert_allclose(a[:, :13], b[:, :13], atol=1e-3)
    np.testing.assert_allclose(a[:, 13:], b[:, :12:-1], atol=1e-6)
    cells = first.astype(float).reshape(5, 10, 4, 8, 4).mean((2, 4)).reshape(5, -1)
    np.testing.assert_allclose(a[:, 13:], cells, atol=1e-6)
    constant = gray_features(np.zeros((2, 40, 32), np.float32))
    assert np.isfinite(constant).all()
    assert gray_features(np.random.default_rng(0).random((1, 5, 4)).astype(np.float32)).shape[0] == 1


def test_pixel_features_ignore_gain_and_offset() -> None:
    first = images(3).astype(np.float32) / 4095
    np.testing.assert_allclose(pixel_features(first), pixel_features(first * 0.7 + 0.1), atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(pixel_features(first), axis=1), 1)
    large = np.kron(first, np.ones((1, 4, 4), np.float32))
    np.testing.assert_allclose(pixel_features(large), pixel_features(first), atol=1e-5)
    assert (pixel_features(np.ones((1, 40, 32))) == 0).all()


def test_extract_does_not_depend_on_the_block_and_says_what_is_wrong() -> None:
    pictures = images(10)
    np.testing.assert_allclose(extract(pictures, 12, gray_features, block=3), extract(pictures, 12, gray_features))
    with pytest.raises(InputError, match="must give"):
        extract(pictures, 12, lambda x: x)
    with pytest.raises(InputError, match="not finite"):
        extract(pictures, 12, lambda x: np.full((len(x), 2), np.nan))
    with pytest.raises(ValueError, match="no image"):
        extract(pictures[:0], 12, gray_features)


def test_standardizer_leaves_constant_columns_alone() -> None:
    table = np.c_[normal(50, 2, 1, 5, 3), np.full(50, 7.0)]
    fitted = Standardizer.fit(table)
    out = fitted(table)
    np.testing.assert_allclose(out[:, :2].mean(0), 0, atol=1e-12)
    np.testing.assert_allclose(out[:, :2].std(0), 1)
    assert (out[:, 2] == 0).all() and fitted(table + 1)[0, 2] == 1


def test_torchscript_feature(tmp_path: Path) -> None:
    class Mean(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x.mean((1, 2, 3)), torch.full((x.shape[0],), float(x.shape[1]))], 1)

    torch.jit.script(Mean()).save(str(tmp_path / "mean.pt"))
    pictures = images(4)
    found = extract(pictures, 12, torchscript_feature(tmp_path / "mean.pt", channels=3, white=255.0))
    np.testing.assert_allclose(found[:, 0], pictures.mean((1, 2)) / 4095 * 255, rtol=1e-5)
    assert (found[:, 1] == 3).all()
    with pytest.raises(InputError, match="no file"):
        torchscript_feature(tmp_path / "none.pt")
    (tmp_path / "bad.pt").write_bytes(b"nothing")
    with pytest.raises(InputError, match="no TorchScript"):
        torchscript_feature(tmp_path / "bad.pt")


def slow_authenticity(train: np.ndarray, patients: np.ndarray, synthetic: np.ndarray) -> list[bool]:
    """By the definition of Alaa 2022, written out; other patients only."""
    found = []
    for g in synthetic:
        nearest = min(range(len(train)), key=lambda i: np.linalg.norm(train[i] - g))
        others = [k for k in range(len(train)) if patients[k] != patients[nearest]]
        reach = min(np.linalg.norm(train[k] - train[nearest]) for k in others)
        found.append(bool(np.linalg.norm(train[nearest] - g) > reach))
    return found


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_authenticity_equals_its_definition(seed: int, views: int) -> None:
    train, synthetic = normal(24, 2, seed), normal(30, 2, seed + 1)
    patients = np.arange(24) // views
    found = nearest_training(train, patients, synthetic)
    assert found.authentic.tolist() == slow_authenticity(train, patients, synthetic)
    assert (found.other >= found.distance).all()
    assert ((found.ratio > 1) == found.authentic).all()


def test_authenticity_by_hand() -> None:
    # On a line: training images at 0, 10 and 11. g = 2 is nearest to 0, whose neighbor is 10 away: a copy. g = 12.5 is
    # nearest to 11, whose neighbor is 1 away: authentic. Indexed by the synthetic image both would come out otherwise.
    train, patients = np.array([[0.0], [10.0], [11.0]]), np.arange(3)
    found = nearest_training(train, patients, np.array([[2.0], [12.5]]))
    assert found.index.tolist() == [0, 2] and found.reach.tolist() == [10, 1]
    assert found.authentic.tolist() == [False, True]


def test_the_audit_finds_copies_and_clears_fresh_images() -> None:
    train, held = normal(300, 6, 1), normal(200, 6, 2)
    patients = np.arange(300) // 2
    clean = audit(train, patients, held, normal(250, 6, 3))
    assert clean.authenticity[1] <= clean.baseline[2] and clean.baseline[1] <= clean.authenticity[2]
    assert clean.distance_ratio[1] < 1 < clean.distance_ratio[2] and clean.p > 0.01
    planted = np.concatenate([train[[7, 30]], train[[50]] + 1e-3, normal(197, 6, 3)])
    found = audit(train, patients, held, planted).worst(3)
    assert found["synthetic"].tolist() == [0, 1, 2] and found["training"].tolist() == [7, 30, 50]
    assert found["distance"].tolist()[:2] == [0, 0]
    copies = audit(train, patients, held, train[:200])
    assert copies.authenticity[0] == 0 and copies.distance_ratio[0] == 0 and copies.p < 1e-6
    assert copies.nearer[0] == 1
    assert len(copies.table()) == 4


def test_without_held_out_images_each_patient_is_held_out_in_turn() -> None:
    train, patients = normal(60, 3, 1), np.arange(60) // 3
    found = audit(train, patients, None, normal(40, 3, 2), bootstraps=50).held_out
    for row in range(60):
        rest = patients != patients[row]
        one = nearest_training(train[rest], patients[rest], train[[row]])
        assert np.flatnonzero(rest)[one.index[0]] == found.index[row]
        assert (one.distance[0], one.reach[0]) == pytest.approx((found.distance[row], found.reach[row]))


def test_degenerate_audits() -> None:
    train, patients = normal(20, 2, 1), np.arange(20)
    with pytest.raises(ValueError, match="2 patients or more"):
        audit(train, np.zeros(20), train, train)
    with pytest.raises(ValueError, match="3 patients or more"):
        audit(train, np.arange(20) // 10, None, train)
    with pytest.raises(ValueError, match="no held-out"):
        audit(train, patients, train[:0], train)
    with pytest.raises(ValueError, match="synthetic set has 0"):
        audit(train, patients, train, train[:0])
    with pytest.raises(ValueError, match="finite"):
        audit(train, patients, train, train * np.nan)
    same = audit(np.zeros((6, 2)), np.arange(6), np.zeros((4, 2)), np.zeros((4, 2)), bootstraps=20)
    assert same.authenticity[0] == 0 and same.distance_ratio[0] == 1
    alone = audit(train, patients, train[:1] + 1, train[:1])
    assert alone.authenticity[0] == 0


def test_pairs_figure() -> None:
    pictures = list(images(12) / 4095)
    figure = pairs_figure(pictures, pictures, [str(i) for i in range(12)])
    assert len(figure.axes) == 40


def test_pruning_drops_what_lies_out_and_nothing_else() -> None:
    rng = np.random.default_rng(0)
    values = np.concatenate([rng.normal(size=190), np.full(10, 50.0)])
    labels = values > 40
    table = pruning(np.abs(values), {"mean": lambda rows: float(values[rows].mean())}, artifacts=labels, seed=1)
    mean = table[table["score"] == "mean"].set_index("share")
    assert mean.loc[0.0, "value"] > 1 and abs(mean.loc[0.05, "value"]) < 0.3
    assert (mean["n"] == 160).all() and mean.loc[0.2, "kept"] == 160
    rate = table[table["score"] == "artifact rate"].set_index("share")
    assert rate.loc[0.0, "value"] == 0.05 and rate.loc[0.05, "value"] == 0
    assert rate.loc[0.0, "low"] < 0.05 < rate.loc[0.0, "high"]
    with pytest.raises(ValueError, match="between 0 and 1"):
        pruning(values, {}, shares=(1.0,))
    with pytest.raises(ValueError, match="is a number"):
        pruning(values * np.nan, {})
    with pytest.raises(ValueError, match="one an image"):
        pruning(values, {}, artifacts=labels[:3])
    assert (pruning(np.zeros(5), {"n": lambda rows: float(len(rows))})["value"] == 4).all()
