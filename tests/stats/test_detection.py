"""Sensitivity and criterion against a probit regression, known observers and simulated readers."""

from __future__ import annotations

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.stats.detection import by_reader, detection


def answers(d_prime: float, criterion: float, readers: int, each: int, seed: int) -> tuple[np.ndarray, ...]:
    """Return signal, said and reader of observers with equal variances, a sensitivity and a criterion."""
    rng = np.random.default_rng(seed)
    reader = np.repeat(np.arange(readers), each)
    signal = np.arange(len(reader)) % 2 == 0
    said = rng.standard_normal(len(reader)) + np.where(signal, d_prime, -d_prime) / 2 > criterion
    return signal, said, reader


def test_one_reader_equals_a_probit_regression() -> None:
    signal, said, reader = answers(1.0, 0.3, 1, 60, 0)
    (d, d_low, d_high), (c, c_low, c_high) = detection(signal, said, reader)
    counts = [[(said & kind).sum() + 0.5, (~said & kind).sum() + 0.5] for kind in (signal, ~signal)]
    design = [[1, 0.5], [1, -0.5]]
    fit = sm.GLM(np.array(counts), np.array(design), sm.families.Binomial(sm.families.links.Probit())).fit()
    assert (d, -c) == pytest.approx((fit.params[1], fit.params[0]), abs=1e-6)
    z = stats.norm.ppf(0.975)
    widths = ((c_high - c_low) / 2 / z, (d_high - d_low) / 2 / z)
    assert widths == pytest.approx(tuple(fit.bse), rel=1e-5)
    row = by_reader(signal, said, reader).iloc[0]
    assert row[["d'", "criterion"]].tolist() == pytest.approx([d, c])
    assert row[["SE of criterion", "SE of d'"]].tolist() == pytest.approx(list(fit.bse), rel=1e-5)
    assert row["hits"] == said[signal].mean()


def test_a_forced_choice_has_sqrt_2_and_a_side() -> None:
    signal, said, reader = answers(1.0, -0.5, 40, 400, 1)
    yes_no, choice = (detection(signal, said, reader, forced_choice=forced) for forced in (False, True))
    assert yes_no.d_prime.value == pytest.approx(1.0, abs=0.05)
    assert choice.d_prime == pytest.approx(np.array(yes_no.d_prime) / np.sqrt(2))
    assert choice.criterion == pytest.approx(yes_no.criterion)
    assert choice.criterion.value == pytest.approx(-0.5, abs=0.05)  # "left" is chosen too often
    # Without bias, d' of the choice is sqrt(2) z of the rate of right answers (Macmillan & Creelman 2005, chapter 7).
    signal, said, reader = answers(1.0, 0.0, 40, 400, 2)
    rate = (signal == said).mean()
    found = detection(signal, said, reader, forced_choice=True).d_prime.value
    assert found == pytest.approx(np.sqrt(2) * stats.norm.ppf(rate), abs=0.01)


def test_readers_who_differ_widen_the_interval() -> None:
    signal, said, reader = answers(1.0, 0.0, 20, 100, 3)
    biased = np.where(reader % 2 == 0, said | (np.arange(len(said)) % 3 == 0), said & (np.arange(len(said)) % 3 > 0))
    alike, differ = (detection(signal, given, reader).criterion for given in (said, biased))
    one = detection(signal, biased, np.zeros_like(reader)).criterion
    assert np.ptp(differ) > 2 * np.ptp(alike)
    assert np.ptp(differ) > 2 * np.ptp(one)
    # Readers who agree by accident do not narrow it.
    signal, readers = np.tile([True, False], 20), np.repeat(np.arange(10), 4)
    together, independent = (detection(signal, signal, codes).d_prime for codes in (readers, np.zeros(40)))
    assert np.ptp(together) >= np.ptp(independent) - 1e-12


def test_extreme_answers_are_finite_and_one_kind_is_refused() -> None:
    signal = np.tile([True, False], 10)
    found = detection(signal, signal, np.repeat([0, 1], 10))
    assert np.isfinite(np.concatenate(found)).all()
    assert found.criterion.value == pytest.approx(0)
    with pytest.raises(ParameterError, match="of one kind"):
        detection(np.ones(4, bool), np.ones(4, bool), np.arange(4))
    # A reader who saw one kind is left out of the table, and two such readers have no jackknife.
    table = by_reader(np.array([True, True, True, False]), np.array([True, False, True, False]), np.array([0, 0, 1, 1]))
    assert table["reader"].tolist() == [1]
    apart = detection(
        np.array([True, True, False, False]), np.array([True, False, True, False]), np.array([0, 0, 1, 1])
    )
    assert np.isfinite(np.concatenate(apart)).all()
