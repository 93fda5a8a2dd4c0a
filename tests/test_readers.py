"""Reader statistics against R and brute force, and the published counts against the printed tables."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import special, stats
from statsmodels.api import OLS

from mammogan.paper import printed, table3
from mammogan.stats import equivalence, proportions, rank_tests, score_distribution

R = json.loads(Path(__file__).with_name("r_reference.json").read_text())


@pytest.fixture(scope="module")
def successes() -> np.ndarray:
    return table3.reconstruct()


def test_the_counts_behind_table_3(successes: np.ndarray) -> None:
    assert successes.tolist() == R["successes"]
    assert successes.sum() == 312 + 340
    fit = table3.fit_of(successes)
    assert fit["equal"] == 41
    assert fit["largest"] <= 0.0015
    # Any other count at one question fits worse.
    for question, change in product(range(10), (-1, 1)):
        other = successes.copy()
        other[question] += change
        assert table3.fit_of(other)["squares"] > 10 * fit["squares"]


def test_conover_and_kruskal_equal_r(successes: np.ndarray) -> None:
    groups = list(rank_tests.answers_from_counts(successes, printed.ATTEMPTS).T)
    table = rank_tests.conover(groups)
    pairs = list(printed.TABLE3)
    np.testing.assert_allclose([table[pair] for pair in pairs], R["conover"], rtol=1e-9)
    np.testing.assert_allclose(
        [rank_tests.conover(groups, "holm")[pair] for pair in pairs], R["conover_holm"], rtol=1e-9
    )
    difference = np.array([abs(int(successes[a]) - int(successes[b])) for a, b in pairs])
    np.testing.assert_allclose(table3.conover_p(difference, successes), R["conover"], rtol=1e-9)
    assert rank_tests.kruskal_wallis(groups) == pytest.approx(R["kruskal"], rel=1e-9)
    assert table3.kruskal_p(successes) == pytest.approx(R["kruskal"], rel=1e-9)


def test_binomials_equal_r() -> None:
    for row in R["binomial"]:
        assert proportions.binomial_p(row["k"], row["n"]) == pytest.approx(row["p"], rel=1e-7)
        np.testing.assert_allclose(proportions.exact_interval(row["k"], row["n"]), [row["low"], row["high"]], atol=1e-9)
        assert equivalence.equivalence_p(row["k"], row["n"], 0.05) == pytest.approx(row["equivalence"], rel=1e-7)


def test_trend_and_cochran_equal_r(successes: np.ndarray) -> None:
    assert rank_tests.trend_p(successes, printed.ATTEMPTS)[1] == pytest.approx(R["trend"], rel=1e-9)
    assert rank_tests.cochran_q(np.array(R["cochran_answers"])) == pytest.approx(R["cochran"], rel=1e-9)
    np.testing.assert_allclose(rank_tests.holm(np.array(R["holm_raw"])), R["holm"], rtol=1e-12)


def test_totals_of_table_4() -> None:
    totals = {group.name: list(group.totals) for group in printed.TABLE4}
    assert totals["All participants"] == [654, 655]
    assert totals["Radiologists"] == [312]
    assert totals["Repeated efforts"] == [76]


@given(st.integers(1, 200), st.data())
def test_interval_holds_the_rate_and_inverts_the_test(trials: int, data: st.DataObject) -> None:
    successes = data.draw(st.integers(0, trials))
    low, high = proportions.exact_interval(successes, trials)
    assert 0 <= low <= successes / trials <= high <= 1
    if 0 < successes < trials:
        assert stats.binom.sf(successes - 1, trials, low) == pytest.approx(0.025)
        assert stats.binom.cdf(successes, trials, high) == pytest.approx(0.025)


def test_power_by_brute_force() -> None:
    trials, rate = 30, 0.7
    outcomes = stats.binom.pmf(range(trials + 1), trials, rate)
    found = sum(p for k, p in enumerate(outcomes) if stats.binomtest(k, trials).pvalue <= 0.05)
    assert equivalence.power_of_difference(trials, rate) == pytest.approx(found)
    equal = sum(
        p for k, p in enumerate(stats.binom.pmf(range(301), 300, 0.5)) if equivalence.equivalence_p(k, 300, 0.1) <= 0.05
    )
    assert equivalence.power_of_equivalence(300, 0.1) == pytest.approx(equal)


def test_goodness_of_fit_holds_its_level() -> None:
    rng = np.random.default_rng(0)
    draws = [rng.binomial(10, 0.5, 133) for _ in range(300)]
    p = [score_distribution.goodness_of_fit(scores, 10, simulations=1, seed=0)["p"] for scores in draws]
    assert np.mean(np.array(p) < 0.05) == pytest.approx(0.05, abs=0.04)
    skilled = score_distribution.goodness_of_fit(rng.binomial(10, 0.8, 133), 10, simulations=200, seed=0)
    assert skilled["p"] < 1e-6
    assert skilled["p_monte_carlo"] < 0.01
    with pytest.raises(ValueError, match="too few"):
        score_distribution.goodness_of_fit(np.array([5, 5]), 10, simulations=1, seed=0)


def test_overdispersion_is_found_where_it_is() -> None:
    rng = np.random.default_rng(1)
    same = score_distribution.beta_binomial(rng.binomial(10, 0.5, 400), 10)
    mixed = score_distribution.beta_binomial(rng.binomial(10, rng.beta(4, 4, 400)), 10)
    assert same.p > 0.05
    assert same.rho < 0.03
    assert mixed.p < 1e-6
    assert mixed.rho == pytest.approx(1 / 9, abs=0.04)
    assert mixed.rate == pytest.approx(0.5, abs=0.03)
    # It keeps its level: noise of the likelihood next to the border is no gain.
    p = [score_distribution.beta_binomial(rng.binomial(10, 0.5, 117), 10).p for _ in range(200)]
    assert np.mean(np.array(p) <= 0.05) < 0.1


def test_interval_over_clusters_equals_scipy_and_statsmodels() -> None:
    rng = np.random.default_rng(2)
    reader = np.repeat(np.arange(30), 8)
    y = (rng.random(240) < special.expit(rng.standard_normal(30)[reader])).astype(int)
    rates = y.reshape(30, 8).mean(1)
    c = proportions.clustered(y, [reader], 0.1)
    interval = stats.ttest_1samp(rates, 0.5).confidence_interval()
    assert (c.low, c.high) == pytest.approx((interval.low, interval.high))
    assert c.p == pytest.approx(stats.ttest_1samp(rates, 0.5).pvalue)
    below = stats.ttest_1samp(rates, 0.4, alternative="greater").pvalue
    above = stats.ttest_1samp(rates, 0.6, alternative="less").pvalue
    assert c.p_equivalence == pytest.approx(max(below, above))
    image = rng.integers(12, size=240)
    odds = rng.standard_normal(30)[reader] + rng.standard_normal(12)[image]
    y = (rng.random(240) < special.expit(odds)).astype(int)
    c = proportions.clustered(y, [reader, image], 0.1)
    both = np.stack([reader, image], 1)
    fit = OLS(y, np.ones(240)).fit(cov_type="cluster", cov_kwds={"groups": both, "df_correction": False})
    # statsmodels counts (n - 1) / (n - k) = 1 beside G / (G - 1), as we do.
    step = stats.t.ppf(0.975, 11) * fit.bse[0]
    assert (c.low, c.high) == pytest.approx((y.mean() - step, y.mean() + step))
    assert c.design_effect == pytest.approx(fit.bse[0] ** 2 * 240 / (y.mean() * (1 - y.mean())))
    # A third clustering that is the second one again changes nothing.
    assert proportions.clustered(y, [reader, image, image], 0.1).low == pytest.approx(c.low)
    for wrong in (([1, 1, 1], [0, 1, 2]), ([0, 1, 1], [0, 0, 1])):
        with pytest.raises(ValueError, match="cannot be made"):
            proportions.clustered(np.array(wrong[0]), [np.array(wrong[1])], 0.1)


def test_correlation_within_clusters_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    code, y = rng.integers(6, size=40), rng.integers(2, size=40)
    pairs = [(i, j) for i in range(40) for j in range(40) if i != j and code[i] == code[j]]
    products = [(y[i] - y.mean()) * (y[j] - y.mean()) for i, j in pairs]
    found = proportions.overdispersion(y, code)
    assert found.correlation == pytest.approx(np.mean(products) / y.var())
    assert found.p == pytest.approx(stats.norm.sf(found.correlation * np.sqrt(len(pairs) / 2)))
    with pytest.raises(ValueError, match="no cluster has two"):
        proportions.overdispersion(y, np.arange(40))
    # At the correlation that is called detectable, eight in ten studies find it.
    wide = proportions.overdispersion(np.arange(2000) % 2, np.arange(2000) // 10).detectable
    a = (1 - wide) / wide / 2
    rates = rng.beta(a, a, (300, 200))
    hits = [
        proportions.overdispersion(rng.random(2000) < np.repeat(r, 10), np.arange(2000) // 10).p <= 0.05 for r in rates
    ]
    assert np.mean(hits) == pytest.approx(0.8, abs=0.07)
    assert proportions.coverage_left(1) == pytest.approx(0.95)
    assert proportions.coverage_left(4) == pytest.approx(2 * stats.norm.cdf(0.98) - 1, abs=1e-4)


def test_sensitivity_and_chance() -> None:
    assert proportions.d_prime(50, 100)[0] == pytest.approx(0)
    assert proportions.d_prime(76, 100)[0] == pytest.approx(np.sqrt(2) * stats.norm.ppf(0.76))
    assert np.isfinite(proportions.d_prime(10, 10)[0])
    expected, at_least = proportions.chance_of_best(117, 10, 9)
    assert expected == pytest.approx(117 * 11 / 1024)
    assert at_least == pytest.approx(1 - (1013 / 1024) ** 117)


def test_impossible_counts_are_named() -> None:
    for call in (
        lambda: proportions.exact_interval(5, 4),
        lambda: proportions.binomial_p(0, 0),
        lambda: rank_tests.answers_from_counts([9], 8),
    ):
        with pytest.raises(ValueError, match="cannot be"):
            call()
    with pytest.raises(ValueError, match="margin"):
        equivalence.equivalence_p(5, 10, 0.6)
