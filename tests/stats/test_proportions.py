"""Proportions against R, SciPy, statsmodels and brute force."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.api import OLS

from mammogan.errors import ParameterError
from mammogan.stats import proportions
from mammogan.stats.equivalence import equivalence_p
from mammogan.stats.proportions import beta_binomial

R = json.loads((Path(__file__).parents[1] / "r_reference.json").read_text())


def test_binomials_equal_r() -> None:
    for row in R["binomial"]:
        assert proportions.binomial_p(row["k"], row["n"]) == pytest.approx(row["p"], rel=1e-7)
        expected = [row["k"] / row["n"], row["low"], row["high"]]
        np.testing.assert_allclose(proportions.exact_interval(row["k"], row["n"]), expected, atol=1e-9)


@given(st.integers(1, 200), st.data())
def test_interval_holds_the_rate_and_inverts_the_test(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    rate, low, high = proportions.exact_interval(successes, trials)
    assert 0 <= low <= successes / trials == rate <= high <= 1
    if 0 < successes < trials:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(0.025)
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(0.025)


def test_impossible_counts_are_named() -> None:
    with pytest.raises(ParameterError, match="5 successes in 4 trials is impossible"):
        proportions.exact_interval(5, 4)
    with pytest.raises(ParameterError, match="0 successes in 0 trials is impossible"):
        proportions.binomial_p(0, 0)


def test_goodness_of_fit_holds_its_level() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.binomial(10, 0.5, 133) for _ in range(300)]
    p = [proportions.goodness_of_fit(scores, 10, simulations=1, seed=0).p for scores in draws]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.04)
    skilled = proportions.goodness_of_fit(rng.binomial(10, 0.8, 133), 10, simulations=200, seed=0)
    assert skilled.p < 1e-6
    assert skilled.p_monte_carlo < 0.01
    with pytest.raises(ParameterError, match="2 attempts are too few"):
        proportions.goodness_of_fit(np.array([5, 5]), 10, simulations=1, seed=0)


def test_beta_binomial_finds_overdispersion_where_it_is() -> None:
    rng = np.random.default_rng(1)
    same = proportions.beta_binomial(rng.binomial(10, 0.5, 400), 10)
    mixed = proportions.beta_binomial(rng.binomial(10, rng.beta(4, 4, 400)), 10)
    assert same.p > 0.05
    assert same.rho < 0.03
    assert mixed.p < 1e-6
    assert mixed.rho == pytest.approx(1 / 9, abs=0.04)
    assert mixed.rate == pytest.approx(0.5, abs=0.03)
    # It keeps its level: noise of the likelihood near the border is not a gain.
    p = [proportions.beta_binomial(rng.binomial(10, 0.5, 117), 10).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_interval_over_clusters_is_the_binomial_one_at_the_effective_number_of_answers() -> None:
    rng = np.random.default_rng(2)
    reader = np.repeat(np.arange(30), 8)
    y = (rng.random(240) < special.expit(rng.standard_normal(30)[reader])).astype(int)
    rates = y.reshape(30, 8).mean(1)
    c = proportions.clustered(y, [reader], 0.1)
    effect = rates.var(ddof=1) / 30 / (y.mean() * (1 - y.mean()) / 240)
    assert c.design_effect == pytest.approx(effect)

    def size(tail: float) -> float:
        return 240 / effect * (stats.t.isf(tail, 239) / stats.t.isf(tail, 29)) ** 2

    right, wrong = size(0.025) * np.array([y.mean(), 1 - y.mean()])
    expected = stats.beta.ppf(0.025, right, wrong + 1), stats.beta.ppf(0.975, right + 1, wrong)
    assert (c.low, c.high) == pytest.approx(expected)
    # P is the level whose interval ends at the null.
    for null, tail in ((0.5, c.p / 2), (0.4, proportions.EffectiveSample(y.mean(), 240, effect, 29).p_above(0.4))):
        right, wrong = size(tail) * np.array([y.mean(), 1 - y.mean()])
        ends = stats.beta.ppf(tail, right, wrong + 1), stats.beta.isf(tail, right + 1, wrong)
        assert np.abs(np.array(ends) - null).min() < 1e-9
    # With many readers it is the t interval of their rates.
    reader = np.repeat(np.arange(3000), 8)
    y = (rng.random(24000) < special.expit(rng.standard_normal(3000)[reader])).astype(int)
    rates, c = y.reshape(3000, 8).mean(1), proportions.clustered(y, [reader], 0.02)
    interval = stats.ttest_1samp(rates, 0.5).confidence_interval()
    assert (c.low, c.high) == pytest.approx((interval.low, interval.high), abs=2e-4)
    assert c.p == pytest.approx(stats.ttest_1samp(rates, 0.5).pvalue, abs=0.02)
    below = stats.ttest_1samp(rates, 0.48, alternative="greater").pvalue
    above = stats.ttest_1samp(rates, 0.52, alternative="less").pvalue
    assert c.p_equivalence == pytest.approx(max(below, above), abs=0.02)


def test_variance_over_crossed_clusters_equals_statsmodels() -> None:
    rng = np.random.default_rng(2)
    reader, image = np.repeat(np.arange(30), 8), rng.integers(12, size=240)
    odds = rng.standard_normal(30)[reader] + rng.standard_normal(12)[image]
    y = (rng.random(240) < special.expit(odds)).astype(int)
    c = proportions.clustered(y, [reader, image], 0.1)
    both = np.stack([reader, image], 1)
    fit = OLS(y, np.ones(240)).fit(cov_type="cluster", cov_kwds={"groups": both, "df_correction": False})
    # statsmodels multiplies by (n - 1) / (n - k) = 1 and G / (G - 1), as we do.
    assert c.design_effect == pytest.approx(fit.bse[0] ** 2 * 240 / (y.mean() * (1 - y.mean())))
    # A third clustering that is the second one again changes nothing.
    assert proportions.clustered(y, [reader, image, image], 0.1).low == pytest.approx(c.low)
    with pytest.raises(ParameterError, match="has one cluster"):
        proportions.clustered(np.array([0, 1, 1]), [np.zeros(3)], 0.1)


def test_clusters_of_one_rate_have_the_exact_interval() -> None:
    for readers in range(2, 9):
        for right in range(1, 10):
            y = np.tile([1] * right + [0] * (10 - right), readers)
            c = proportions.clustered(y, [np.repeat(np.arange(readers), 10)], 0.05)
            exact = stats.binomtest(right * readers, 10 * readers).proportion_ci()
            assert (c.low, c.high) == pytest.approx((exact.low, exact.high))
            # Twice the smaller tail: at a rate of 1/2 the null is symmetric, and this is the exact P.
            assert c.p == pytest.approx(stats.binomtest(right * readers, 10 * readers).pvalue)
            assert c.p_equivalence == pytest.approx(equivalence_p(right * readers, 10 * readers, 0.05))


@settings(deadline=None)
@given(st.integers(2, 6), st.integers(1, 12), st.data())
def test_intervals_over_clusters_are_within_0_and_1_and_hold_the_exact_one(
    readers: int, items: int, data: st.DataObject
) -> None:
    scores = data.draw(st.lists(st.integers(0, items), min_size=readers, max_size=readers))
    y = np.concatenate([np.arange(items) < score for score in scores]).astype(int)
    c = proportions.clustered(y, [np.repeat(np.arange(readers), items)], 0.05)
    exact = stats.binomtest(int(y.sum()), len(y)).proportion_ci()
    assert 0 <= c.low <= exact.low + 1e-9 and exact.high - 1e-9 <= c.high <= 1
    assert 0 < c.p <= 1 and 0 < c.p_equivalence <= 1
    assert (c.p <= 0.05) == (not c.low <= 0.5 <= c.high)


@pytest.mark.parametrize("readers", [2, 3, 5])
def test_intervals_of_few_readers_cover(readers: int) -> None:
    rng, covered, rejected = np.random.default_rng(readers), 0, 0
    for _ in range(300):
        rates = special.expit(0.6 * rng.standard_normal(readers))
        y = (rng.random((readers, 20)) < rates[:, None]).astype(int).ravel()
        c = proportions.clustered(y, [np.repeat(np.arange(readers), 20)], 0.05)
        covered += c.low <= 0.5 <= c.high
        rejected += c.p_equivalence <= 0.05
    assert covered / 300 >= 0.93 and rejected == 0


def test_beta_binomial_at_the_ends() -> None:
    for score in (0, 10):
        with pytest.raises(ParameterError, match="All answers are the same"):
            proportions.beta_binomial(np.full(30, score), 10)
    assert proportions.beta_binomial(np.full(4, 6), 10).rho == 0  # less varied than binomial scores, and not 4e-7
    # One wrong answer of 4000: a rate that the null may have, too.
    assert proportions.beta_binomial(np.r_[9, np.full(399, 10)], 10).p == pytest.approx(0.5, abs=0.01)


def test_correlation_within_clusters_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    code, y = rng.integers(6, size=40), rng.integers(2, size=40)
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j and code[i] == code[j]]
    products = [(y[i] - y.mean()) * (y[j] - y.mean()) for i, j in pairs]
    result = proportions.overdispersion(y, code)
    assert result.correlation == pytest.approx(np.mean(products) / y.var())
    assert result.p == pytest.approx(stats.norm.sf(result.correlation * np.sqrt(len(pairs) / 2)))
    with pytest.raises(ParameterError, match="no cluster has two"):
        proportions.overdispersion(y, np.arange(40))
    # At the correlation that is called detectable, eight in ten studies find it.
    wide = proportions.overdispersion(np.arange(2000) % 2, np.arange(2000) // 10).detectable
    a = (1 - wide) / wide / 2
    rates = rng.beta(a, a, (300, 200))
    hits = [
        proportions.overdispersion(rng.random(2000) < np.repeat(r, 10), np.arange(2000) // 10).p <= 0.05 for r in rates
    ]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.07)
    assert proportions.actual_coverage(1) == pytest.approx(0.95)
    assert proportions.actual_coverage(4) == pytest.approx(2 * stats.norm.cdf(0.98) - 1, abs=1e-4)


def test_sensitivity_and_chance() -> None:
    assert proportions.d_prime(50, 100).value == pytest.approx(0)
    estimate = proportions.d_prime(76, 100)
    assert estimate.value == pytest.approx(np.sqrt(2) * stats.norm.ppf(0.76))
    assert estimate.low < estimate.value < estimate.high
    assert np.isfinite(proportions.d_prime(10, 10).value)
    expected, at_least_one = proportions.chance_of_best(117, 10, 9)
    assert expected == pytest.approx(117 * 11 / 1024)
    assert at_least_one == pytest.approx(1 - (1013 / 1024) ** 117)


def test_attempts_of_one_question_have_no_overdispersion() -> None:
    with pytest.raises(ParameterError, match="an attempt has one question"):
        beta_binomial(np.array([0, 1, 1, 0, 1]), 1)
