"""Authenticity by its definition, the audit of planted copies, and pruning."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.errors import ParameterError
from mammogan.metrics.memorization import audit, nearest_training, pruning


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
