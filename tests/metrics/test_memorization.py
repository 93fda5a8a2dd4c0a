"""Authenticity by its definition, the audit of planted copies, and pruning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.metrics import memorization
from mammogan.metrics.features import mirrored
from mammogan.metrics.memorization import audit, nearest_training, pruning
from mammogan.types import Size


def normal(n: int, d: int, seed: int, shift: float = 0.0, scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(shift, scale, (n, d))


def slow_authenticity(train: np.ndarray, patients: np.ndarray, synthetic: np.ndarray) -> list[bool]:
    """By the definition of Alaa 2022, written out; other patients only."""
    authentic = []
    for g in synthetic:
        nearest = min(range(len(train)), key=lambda i: np.linalg.norm(train[i] - g))
        others = [k for k in range(len(train)) if patients[k] != patients[nearest]]
        reach = min(np.linalg.norm(train[k] - train[nearest]) for k in others)
        authentic.append(bool(np.linalg.norm(train[nearest] - g) > reach))
    return authentic


@given(st.integers(0, 1000), st.integers(1, 3))
@settings(max_examples=20, deadline=None)
def test_authenticity_equals_its_definition(seed: int, views: int) -> None:
    train, synthetic = normal(24, 2, seed), normal(30, 2, seed + 1)
    patients = np.arange(24) // views
    nearest = nearest_training(train, patients, synthetic)
    assert nearest.authentic.tolist() == slow_authenticity(train, patients, synthetic)
    assert (nearest.other >= nearest.distance).all()
    assert ((nearest.ratio > 1) == nearest.authentic).all()


def test_authenticity_by_hand() -> None:
    # On a line: training images at 0, 10 and 11. g = 2 is nearest to 0, whose neighbor is 10 away: a copy. g = 12.5 is
    # nearest to 11, whose neighbor is 1 away: authentic. Indexed by the synthetic image both would come out otherwise.
    train, patients = np.array([[0.0], [10.0], [11.0]]), np.arange(3)
    nearest = nearest_training(train, patients, np.array([[2.0], [12.5]]))
    assert nearest.index.tolist() == [0, 2] and nearest.reach.tolist() == [10, 1]
    assert nearest.authentic.tolist() == [False, True]


def test_the_audit_finds_copies_and_clears_fresh_images() -> None:
    train, held = normal(300, 6, 1), normal(200, 6, 2)
    patients = np.arange(300) // 2
    clean = audit(train, patients, held, normal(250, 6, 3))
    assert clean.authenticity.low <= clean.baseline.high and clean.baseline.low <= clean.authenticity.high
    assert clean.distance_ratio.low < 1 < clean.distance_ratio.high and clean.p > 0.01
    planted = np.concatenate([train[[7, 30]], train[[50]] + 1e-3, normal(197, 6, 3)])
    worst = audit(train, patients, held, planted).worst(3)
    assert worst["synthetic"].tolist() == [0, 1, 2] and worst["training"].tolist() == [7, 30, 50]
    assert worst["distance"].tolist()[:2] == [0, 0]
    copies = audit(train, patients, held, train[:200])
    assert copies.authenticity.value == 0 and copies.distance_ratio.value == 0 and copies.p < 1e-6
    assert copies.nearer.value == 1
    assert len(copies.table()) == 4


def patients_of(rng: np.random.Generator, patients: int, views: int, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    """Return images that are near those of their patient, and their patients."""
    group = np.repeat(np.arange(patients), views)
    return rng.normal(size=(patients, d))[group] + 0.3 * rng.normal(size=(len(group), d)), group


@pytest.mark.slow
@pytest.mark.parametrize("held", [True, False])
def test_p_values_are_uniform_and_intervals_cover_where_patients_have_several_images(
    held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memorization, "BOOTSTRAPS", 100)
    audits, naive = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        (train, patients), (unseen, unseen_patients) = patients_of(rng, 40, 4), patients_of(rng, 20, 4)
        other = unseen if held else None
        one = audit(train, patients, other, patients_of(rng, 60, 1)[0], held_out_patients=unseen_patients, seed=seed)
        audits.append(one)
        distances = one.synthetic.distance, one.held_out.distance
        naive.append(stats.mannwhitneyu(*distances, alternative="less").pvalue)
    p = np.array([one.p for one in audits])
    assert (p <= 0.05).mean() <= 0.1 <= (np.array(naive) <= 0.05).mean()
    assert stats.kstest(p, "uniform").pvalue > 0.01
    assert np.mean([one.nearer.low <= 0.05 <= one.nearer.high for one in audits]) >= 0.9
    assert np.mean([one.distance_ratio.low <= 1 <= one.distance_ratio.high for one in audits]) >= 0.85


def test_p_of_independent_images_is_that_of_mann_and_whitney() -> None:
    train, held = normal(200, 6, 1), normal(150, 6, 2)
    for shift in (0.0, 0.15, 0.3):
        one = audit(train, np.arange(200), held, normal(150, 6, 3) * (1 - shift))
        expected = stats.mannwhitneyu(one.synthetic.distance, one.held_out.distance, alternative="less").pvalue
        assert np.log10(one.p) == pytest.approx(np.log10(expected), abs=0.15 + 0.25 * abs(np.log10(expected)))


def test_variants_of_an_image_count_as_one() -> None:
    rng = np.random.default_rng(4)
    train, patients = rng.normal(size=(40, 12)), np.arange(40) // 2
    planted = np.concatenate([train[[3, 9]].reshape(2, 4, 3)[:, :, ::-1].reshape(2, -1), rng.normal(size=(20, 12))])
    flips = mirrored(Size(4, 3))
    worst = audit(train, patients, None, planted, variants=flips).worst(2)
    assert worst["training"].tolist() == [3, 9] and (worst["distance"] == 0).all()
    assert audit(train, patients, None, planted).worst(2)["distance"].min() > 0.5
    # By brute force, for one image.
    nearest = nearest_training(train, patients, planted, variants=flips)
    every = np.array([[np.linalg.norm(v[0] - t) for t in train] for v in flips(planted[5:6])]).min(0)
    assert (nearest.index[5], nearest.distance[5]) == (every.argmin(), pytest.approx(every.min()))
    others = patients != patients[nearest.index[5]]
    assert nearest.other[5] == pytest.approx(every[others].min())
    own = np.array([[np.linalg.norm(v[0] - t) for t in train] for v in flips(train[nearest.index[5:6]])]).min(0)
    assert nearest.reach[5] == pytest.approx(own[others].min())


def test_of_many_training_images_some_are_held_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memorization, "CONTROLS", 30)
    one = audit(normal(80, 3, 1), np.arange(80) // 2, None, normal(20, 3, 2))
    assert len(one.held_out.index) == 30 and one.p > 0.01


def test_without_held_out_images_each_patient_is_held_out_in_turn() -> None:
    train, patients = normal(60, 3, 1), np.arange(60) // 3
    controls = audit(train, patients, None, normal(40, 3, 2)).held_out
    for row in range(60):
        rest = patients != patients[row]
        one = nearest_training(train[rest], patients[rest], train[[row]])
        assert np.flatnonzero(rest)[one.index[0]] == controls.index[row]
        assert (one.distance[0], one.reach[0]) == pytest.approx((controls.distance[row], controls.reach[row]))


def test_degenerate_audits() -> None:
    train, patients = normal(20, 2, 1), np.arange(20)
    with pytest.raises(ParameterError, match="2 patients or more"):
        audit(train, np.zeros(20), train, train)
    with pytest.raises(ParameterError, match="3 patients or more"):
        audit(train, np.arange(20) // 10, None, train)
    with pytest.raises(ParameterError, match="held-out set has 0 images"):
        audit(train, patients, train[:0], train)
    with pytest.raises(ParameterError, match="synthetic set has 0"):
        audit(train, patients, train, train[:0])
    with pytest.raises(ParameterError, match="has the value nan"):
        audit(train, patients, train, train * np.nan)
    same = audit(np.zeros((6, 2)), np.arange(6), np.zeros((4, 2)), np.zeros((4, 2)))
    assert same.authenticity.value == 0 and same.distance_ratio.value == 1
    alone = audit(train, patients, train[:1] + 1, train[:1])
    assert alone.authenticity.value == 0


def test_held_out_images_of_one_patient_show_nothing() -> None:
    rng = np.random.default_rng(0)
    sets = (rng.normal(size=(n, 4)) for n in (30, 2, 40))
    train, held_out, synthetic = sets
    result = audit(train, np.arange(30) // 3, held_out, synthetic, held_out_patients=np.zeros(2, int))
    assert result.p == 1
    for share in (result.nearer, result.baseline):
        assert share.low < 1e-9
        assert share.high > 1 - 1e-9


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
    with pytest.raises(ParameterError, match="has the value nan"):
        pruning(values * np.nan, {})
    with pytest.raises(ParameterError, match="200 images and 3 labels; give one per image"):
        pruning(values, {}, artifacts=labels[:3])
    assert (pruning(np.zeros(5), {"n": lambda rows: float(len(rows))})["value"] == 4).all()
