"""The mixed model against lme4."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.stats.mixed import mixed_logistic

LME4 = json.loads((Path(__file__).parents[1] / "r_mixed.json").read_text())


def test_mixed_model_equals_lme4() -> None:
    y, readers, images, question = (np.array(LME4[name]) for name in ("y", "reader", "image", "question"))
    fit = mixed_logistic(y, {"reader": readers, "image": images}, {"question": question})
    assert fit.converged
    assert fit.log_likelihood == pytest.approx(LME4["log_likelihood"], abs=2e-3)
    np.testing.assert_allclose([c.estimate for c in fit.coefficients.values()], LME4["coefficients"], atol=5e-3)
    np.testing.assert_allclose([c.error for c in fit.coefficients.values()], LME4["errors"], rtol=0.05)
    assert fit.deviations["reader"] == pytest.approx(LME4["sd_reader"], abs=0.01)
    assert fit.deviations["image"] == pytest.approx(LME4["sd_image"], abs=0.01)
    for name in ("reader", "image"):
        gain = 2 * (LME4["log_likelihood"] - LME4[f"without_{name}"])
        assert fit.p[name] == pytest.approx(stats.chi2.sf(gain, 1) / 2, abs=2e-3)


def test_modes_and_their_errors_equal_ranef_of_lme4() -> None:
    y, readers, images, question = (np.array(LME4[name]) for name in ("y", "reader", "image", "question"))
    fit = mixed_logistic(y, {"reader": readers, "image": images}, {"question": question})
    for name in ("reader", "image"):
        modes = [fit.modes[name][code] for code in LME4[f"levels_{name}"]]
        assert len(modes) == len(fit.modes[name])
        np.testing.assert_allclose([mode.estimate for mode in modes], LME4[f"modes_{name}"], atol=5e-3)
        np.testing.assert_allclose([mode.error for mode in modes], LME4[f"mode_errors_{name}"], rtol=0.01)
    # Rates of readers are shrunk to that of all.
    raw = {code: y[readers == code].mean() for code in (LME4["levels_reader"][0], LME4["levels_reader"][1])}
    for code, rate in raw.items():
        shrunk = fit.level_rate("reader", code)
        assert shrunk.low < shrunk.value < shrunk.high
        assert abs(shrunk.value - fit.rate().value) < abs(rate - fit.rate().value)


def test_mixed_model_refuses_what_it_cannot_fit() -> None:
    with pytest.raises(ParameterError, match="the same"):
        mixed_logistic(np.ones(6), {"reader": np.arange(6) // 2})
    with pytest.raises(ParameterError, match="'reader' has one level, or no level twice"):
        mixed_logistic(np.array([0, 1, 0, 1]), {"reader": np.arange(4)})


def test_separated_answers_are_named() -> None:
    reader, question = np.repeat(np.arange(5), 4), np.tile(np.arange(4) - 1.5, 5)
    with pytest.raises(ParameterError, match=r"separated \(by .question.\)"):
        mixed_logistic((question < 0).astype(int), {"reader": reader}, {"question": question})
    with pytest.raises(ParameterError, match="separated"):
        mixed_logistic((reader % 2).astype(int), {"reader": reader}, {"question": question})


def test_separation_names_what_separates() -> None:
    # One wrong answer of 40, to the last question: rates fall off a cliff there, and the intercept goes with them.
    y, question = np.ones(40), np.tile(np.arange(10) - 4.5, 4)
    y[29] = 0
    with pytest.raises(ParameterError, match=r"separated \(by 'question'\)"):
        mixed_logistic(y, {"reader": np.repeat(np.arange(4), 10)}, {"question": question})
    pairs = np.tile(np.arange(10), 6)
    with pytest.raises(ParameterError, match=r"separated \(by 'pair'\)"):
        mixed_logistic((pairs < 3).astype(float), {"reader": np.repeat(np.arange(6), 10), "pair": pairs})
