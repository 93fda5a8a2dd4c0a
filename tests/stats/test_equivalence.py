"""Equivalence against R and brute force."""

from __future__ import annotations

import json
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy import integrate, stats

from mammogan.errors import ParameterError
from mammogan.stats import equivalence
from mammogan.stats.equivalence import bayes_factor

R = json.loads((Path(__file__).parents[1] / "r_reference.json").read_text())


def test_two_one_sided_tests_equal_r() -> None:
    for row in R["binomial"]:
        assert equivalence.equivalence_p(row["k"], row["n"], 0.05) == pytest.approx(row["equivalence"], rel=1e-7)


def test_power_by_brute_force() -> None:
    trials, rate = 30, 0.7
    outcomes = stats.binom.pmf(range(trials + 1), trials, rate)
    power = sum(p for k, p in enumerate(outcomes) if stats.binomtest(k, trials).pvalue <= 0.05)
    assert equivalence.power_of_difference(trials, rate) == pytest.approx(power)
    equal = sum(
        p for k, p in enumerate(stats.binom.pmf(range(301), 300, 0.5)) if equivalence.equivalence_p(k, 300, 0.1) <= 0.05
    )
    assert equivalence.power_of_equivalence(300, 0.1) == pytest.approx(equal)


def test_sizes_of_the_next_study() -> None:
    needed = equivalence.answers_for_equivalence(0.1, 0.9)
    assert equivalence.power_of_equivalence(needed, 0.1) >= 0.9 > equivalence.power_of_equivalence(needed - 20, 0.1)
    needed = equivalence.answers_for_difference(0.7, 0.9)
    assert equivalence.power_of_difference(needed, 0.7) >= 0.9 > equivalence.power_of_difference(needed - 20, 0.7)
    with pytest.raises(ParameterError, match="one half"):
        equivalence.answers_for_difference(0.5, 0.9)


def test_impossible_margins_and_counts_are_named() -> None:
    with pytest.raises(ParameterError, match=r"margin of equivalence 0\.6 around 0\.5 is impossible"):
        equivalence.equivalence_p(5, 10, 0.6)
    with pytest.raises(ParameterError, match="7 successes in 5 trials is impossible"):
        equivalence.group_table([("all", 7, 5)], 0.05)


def test_table_of_groups() -> None:
    table = equivalence.group_table([("all", 652, 1330), ("some", 40, 60)], 0.05).set_index("group")
    row = table.loc["some"]
    assert row["rate"] == pytest.approx(2 / 3)
    assert row["p"] == pytest.approx(stats.binomtest(40, 60).pvalue)
    assert row["p_holm"] == pytest.approx(min(2 * row["p"], 1))
    assert row["p_equivalence"] == equivalence.equivalence_p(40, 60, 0.05)
    assert list(equivalence.power_table(0.05).columns[:2]) == ["answers", "equivalence within 0.05"]


def test_bayes_factors_equal_integrals() -> None:
    for successes, trials, prior in ((652, 1330, 1.0), (9, 10, 1.0), (0, 7, 2.5), (62.3, 80.5, 10.0)):
        kernel = stats.beta(successes + 1, trials - successes + 1).pdf  # the likelihood, up to a constant
        weight = stats.beta(prior, prior).pdf
        near = [0.5, max(min(successes / trials, 0.999), 0.001)]

        def mass(low: float, high: float, kernel=kernel, weight=weight, near=near) -> float:
            return integrate.quad(lambda rate: kernel(rate) * weight(rate), low, high, points=near, limit=200)[0]

        assert bayes_factor(successes, trials, prior=prior) == pytest.approx(kernel(0.5) / mass(0, 1), rel=1e-6)
        inside, outside = mass(0.45, 0.55), mass(0, 0.45) + mass(0.55, 1)
        odds = np.diff(stats.beta(prior, prior).cdf([0.45, 0.55]))[0]
        expected = inside / outside / (odds / (1 - odds))
        assert bayes_factor(successes, trials, prior=prior, margin=0.05) == pytest.approx(expected, rel=1e-5)


def test_bayes_factors_speak_for_and_against_guessing() -> None:
    # 115 of 200: P = .04, and yet hardly evidence against 1/2 (Lindley's paradox).
    assert stats.binomtest(115, 200).pvalue < 0.05
    assert bayes_factor(115, 200) == pytest.approx(1.197, abs=1e-3)
    assert bayes_factor(100, 200) > 10
    assert bayes_factor(150, 200) < 1e-8
    assert bayes_factor(0, 1e5) == 0
    for arguments in ((3, 2), (-1, 5), (0, 0)):
        with pytest.raises(ParameterError, match="check the counts"):
            bayes_factor(*arguments)
    with pytest.raises(ParameterError, match="margin in"):
        bayes_factor(1, 2, margin=0.5)


@pytest.mark.parametrize("successes", [0, 1, 3, 40, 77, 80])
def test_a_bayes_factor_has_no_side_and_is_never_zero(successes: int) -> None:
    def below(x: Fraction) -> Fraction:
        """Return the beta distribution function, in whole numbers a sum of binomial probabilities."""
        return sum((math.comb(81, k) * x**k * (1 - x) ** (81 - k) for k in range(successes + 1, 82)), Fraction(0))

    inside = below(Fraction(11, 20)) - below(Fraction(9, 20))
    expected = float(inside / (1 - inside) * 9)  # the odds of a uniform distribution are 1 to 9
    assert bayes_factor(successes, 80, margin=0.05) == pytest.approx(expected, rel=1e-9)
    assert bayes_factor(successes, 80, margin=0.05) == pytest.approx(bayes_factor(80 - successes, 80, margin=0.05))
