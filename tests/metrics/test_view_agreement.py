"""Agreement of views: planted pairs are told from shuffled ones, and the numbers are those of a slow plain count."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import wasserstein_distance

from mammogan.data.store import quantize
from mammogan.errors import ParameterError
from mammogan.metrics.view_agreement import (
    BOOTSTRAPS,
    FACTS,
    QUANTILES,
    agreement,
    compare_views,
    mismatched,
    quantiles,
    view_facts,
)


def breast(depth: float, gland: float, muscle: float = 0.0, size: tuple[int, int] = (160, 128)) -> np.ndarray:
    """Draw a half disc `depth` pixels deep with a bright band of 12 pixels at `gland`, and a muscle in the corner."""
    rows, columns = np.indices(size)
    image = 0.3 * (np.hypot((rows - 80) / 70, columns / depth) < 1)
    image[(image > 0) & (np.abs(columns - gland) < 6) & (np.abs(rows - 80) < 30)] = 0.9
    if muscle:
        image[(columns < muscle - 0.5 * rows) & (image > 0)] = 0.7
    return quantize(image, 12)


def test_facts_are_those_that_were_drawn() -> None:
    images = np.stack([breast(90, 40), breast(90, 40)[:, ::-1], breast(60, 20)])
    table = view_facts(images, 12, "CC")
    np.testing.assert_array_equal(table[0], table[1])  # whichever way the breast points
    area, share, line, profile = (table[0][columns] for columns in FACTS.values())
    assert np.exp(area[0]) == pytest.approx(np.pi / 2 * 70 * 90 / 160**2, rel=0.03)
    assert line[0] == pytest.approx(90 / 160, abs=0.01)
    assert share[0] == pytest.approx(11 * 59 / (np.pi / 2 * 66 * 86), rel=0.1)
    assert profile.mean() == pytest.approx(40.5 / 160, abs=0.002)
    moved = wasserstein_distance(table[0][FACTS["tissue profile"]], table[2][FACTS["tissue profile"]])
    assert moved == pytest.approx(20 / 160, abs=0.002)


def test_the_nipple_line_of_an_mlo_ends_at_the_muscle() -> None:
    image = breast(100, 70, muscle=50)[None]
    (as_cc,), (as_mlo,) = view_facts(image, 12, "CC"), view_facts(image, 12, "MLO")
    # The edge is the line x = 50 - y / 2, from which the nipple at (80, 100) is (100 - 10) / hypot(1, 1/2) away.
    assert as_cc[2] * 160 == pytest.approx(100, abs=1.5)
    assert as_mlo[2] * 160 == pytest.approx(90 / np.hypot(1, 0.5), abs=3)
    assert as_mlo[0] < as_cc[0]


def test_an_image_without_a_breast_has_facts() -> None:
    (facts,) = view_facts(np.zeros((1, 80, 64), np.uint16), 12, "MLO")
    np.testing.assert_allclose(facts, [np.log(1 / 80**2), *np.zeros(2 + QUANTILES)])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=9), st.lists(st.floats(0, 1), min_size=1, max_size=9))
def test_quantiles_give_the_earth_movers_distance(one: list[float], two: list[float]) -> None:
    weights = np.arange(1.0, len(one) + 1)
    distance = np.abs(quantiles(np.array(one), weights) - quantiles(np.array(two))).mean()
    # Each quantile stands for its mass; a step of either distribution may be off by one of them.
    assert distance == pytest.approx(wasserstein_distance(one, two, weights), abs=(len(one) + len(two)) / QUANTILES)


def test_more_points_than_quantiles_give_the_distance_closely() -> None:
    rng = np.random.default_rng(3)
    one, two, mass = rng.beta(2, 5, 4000), rng.beta(3, 3, 5000), rng.random(4000)
    distance = np.abs(quantiles(one, mass) - quantiles(two)).mean()
    assert distance == pytest.approx(wasserstein_distance(one, two, mass), rel=0.01)
    assert np.isnan(quantiles(np.empty(0))).all() and np.isnan(quantiles(one, 0 * mass)).all()


def plain_auc(cc: np.ndarray, mlo: np.ndarray, patients: list[int], drawn: list[int]) -> float:
    """Count, over breasts drawn with repetition, shuffled pairs that agree worse than a true one; ties are halves."""
    distance = [[float(np.mean(np.abs(a - b))) for b in mlo] for a in cc]
    won = total = 0.0
    for i in drawn:
        for j in drawn:
            for k in drawn:
                if patients[j] != patients[k]:
                    true, other = distance[i][i], distance[j][k]
                    won += 0.5 if abs(true - other) < 1e-9 else float(true < other)
                    total += 1
    return won / total if total else np.nan


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4))
def test_chance_and_interval_are_those_of_a_plain_count(seed: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    patients = np.append([0, 1], rng.integers(0, 4, 4))
    cc, mlo = (rng.integers(0, 5, (6, k)).astype(float) for _ in range(2))
    measured = agreement(cc, mlo, patients, seed)
    assert measured.auc.value == pytest.approx(plain_auc(cc, mlo, patients.tolist(), list(range(6))))
    owners = list(dict.fromkeys(patients.tolist()))
    picks = np.random.default_rng(seed).integers(len(owners), size=(BOOTSTRAPS, len(owners)))
    for draw, pick in list(zip(measured.draws, picks, strict=True))[:5]:
        rows = [row for owner in pick for row in np.flatnonzero(patients == owners[owner])]
        assert draw == pytest.approx(plain_auc(cc, mlo, patients.tolist(), rows), nan_ok=True)
    assert 0 <= measured.auc.low <= measured.auc.value <= measured.auc.high <= 1


def planted(n: int, noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return one measure of both views of n breasts, two per patient, and their patients."""
    rng = np.random.default_rng(seed)
    breast = rng.normal(size=(n, 1))
    return breast, breast + noise * rng.normal(size=(n, 1)), np.arange(n) // 2


def test_planted_pairs_are_told_from_shuffled_ones() -> None:
    cc, mlo, patients = planted(80, 0.3)
    true = agreement(cc, mlo, patients)
    assert true.auc.low > 0.8 and true.correlation > 0.9 and true.true < true.other
    rows = mismatched(patients, 1)
    assert sorted(rows) == list(range(80)) and (patients[rows] != patients).all()
    shuffled = agreement(cc, mlo[rows], patients)
    assert shuffled.auc.low < 0.5 < shuffled.auc.high
    difference = shuffled.less(true)
    assert difference.high < -0.2 and difference.value == shuffled.auc.value - true.auc.value
    # The same pairs without noise: nothing varies, and the interval is that of 40 right answers.
    exact = agreement(cc, cc, patients)
    assert exact.auc == (1.0, pytest.approx(0.025 ** (1 / 40)), 1.0)


@pytest.mark.slow
def test_the_interval_covers() -> None:
    # Differences of two views are N(0, .5) if they are of one breast and N(0, sqrt 2.25) otherwise: the chance that
    # the first is smaller is 1 - 2 / pi arctan(1 / 3).
    truth = 1 - 2 / np.pi * np.arctan(0.5 / 1.5)
    held = [agreement(*planted(60, 0.5, seed), seed).auc for seed in range(60)]
    hits = sum(low <= truth <= high for _, low, high in held)
    assert hits >= 51  # 57 expected; 50 or fewer of 60 happen once in 400 times
    assert np.mean([value for value, _, _ in held]) == pytest.approx(truth, abs=0.02)


def test_views_without_the_measure_are_left_out() -> None:
    cc, mlo, patients = planted(12, 0.1)
    some = cc.copy()
    some[:4] = np.nan
    found = compare_views({"a": cc, "b": some, "c": np.full((12, 1), np.nan)}, dict.fromkeys("abc", mlo), patients)
    assert {name: each.pairs for name, each in found.items()} == {"a": 12, "b": 8}
    np.testing.assert_array_equal(found["b"].draws, agreement(cc[4:], mlo[4:], patients[4:]).draws)


def test_too_few_patients_are_refused() -> None:
    with pytest.raises(ParameterError, match="two patients or more"):
        agreement(np.zeros((3, 1)), np.zeros((3, 1)), np.zeros(3))
    with pytest.raises(ParameterError, match="2 CC views and 3 MLO views"):
        agreement(np.zeros((2, 1)), np.zeros((3, 1)), np.arange(3))
    with pytest.raises(ParameterError, match="pairs of more patients"):
        mismatched(np.array([0, 0, 1]))
