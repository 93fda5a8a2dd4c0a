"""Distribution of scores: goodness of fit to a binomial, beta-binomial.

Answers are 0 or 1, one row an attempt and one column a question; counts of successes stand in where a test needs no
more than they hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats


def goodness_of_fit(scores: np.ndarray, questions: int, *, simulations: int, seed: int) -> dict[str, float]:
    """Do scores of attempts follow Bin(questions, 1/2)? Chi-square with pooled bins, and by Monte Carlo.

    Bins are pooled from both ends until each expects 5 attempts or more (Cochran 1954).

    Args:
        scores: (attempts,), right answers of each.
        questions: of an attempt.
        simulations: data sets drawn under the null for the Monte Carlo P, which needs no large counts.
        seed: of the simulations.

    Returns:
        statistic, p (asymptotic), p_monte_carlo, bins.
    """
    scores = np.asarray(scores)
    expected = len(scores) * stats.binom.pmf(np.arange(questions + 1), questions, 0.5)
    low = int(np.argmax(np.cumsum(expected) >= 5))
    high = questions - int(np.argmax(np.cumsum(expected[::-1]) >= 5))
    if expected.sum() < 10 or low >= high:  # fewer than two bins of five
        raise ValueError(f"{len(scores)} attempts are too few for a chi-square test; collect more.")
    pooled = np.bincount(np.clip(np.arange(questions + 1), low, high) - low, weights=expected)

    def statistic(values: np.ndarray) -> np.ndarray:
        """One value a row of (n, attempts) scores."""
        cell = np.clip(values, low, high) - low + len(pooled) * np.arange(len(values))[:, None]
        observed = np.bincount(cell.ravel(), minlength=len(values) * len(pooled)).reshape(len(values), -1)
        return ((observed - pooled) ** 2 / pooled).sum(1)

    rng = np.random.default_rng(seed)
    found = float(statistic(scores[None])[0])
    drawn = statistic(rng.binomial(questions, 0.5, (simulations, len(scores))))
    return {
        "statistic": found,
        "p": float(stats.chi2.sf(found, len(pooled) - 1)),
        "p_monte_carlo": (1 + int((drawn >= found - 1e-9).sum())) / (1 + simulations),
        "bins": len(pooled),
    }


@dataclass(frozen=True)
class BetaBinomial:
    """Beta-binomial fit of scores: mean rate, overdispersion rho (0 for binomial), and P of rho = 0."""

    rate: float
    rho: float
    p: float


def beta_binomial(scores: np.ndarray, questions: int) -> BetaBinomial:
    """Do readers differ in ability? Maximum likelihood of a beta-binomial against a binomial (Crowder 1978).

    The null lies at the border of the parameter space: P is half of the chi-square's tail (Self & Liang 1987).
    """
    score, readers = np.unique(np.asarray(scores), return_counts=True)

    def negative(parameters: np.ndarray) -> float:
        # Minus the log likelihood less the binomial coefficients, which are the same under both hypotheses.
        # Below 1e-6 it is binomial, and differences of huge logarithms are noise that a minimizer takes for a gain.
        rate, rho = special.expit(parameters[0]), max(special.expit(parameters[1]), 1e-6)
        a, b = rate * (1 - rho) / rho, (1 - rate) * (1 - rho) / rho
        return -float(readers @ (special.betaln(score + a, questions - score + b) - special.betaln(a, b)))

    right, trials = readers @ score, questions * readers.sum()
    rate = float(np.clip(right / trials, 1e-3, 1 - 1e-3))
    # A grid of rho finds the basin, also where the likelihood is flat towards 0.
    starts = [np.array([special.logit(rate), special.logit(rho)]) for rho in (0.0005, 0.005, 0.02, 0.1, 0.3)]
    best = optimize.minimize(negative, min(starts, key=negative), method="Nelder-Mead")
    plain = -float(special.xlogy(right, rate) + special.xlog1py(trials - right, -rate))
    gain = max(2 * (plain - best.fun), 0.0)
    fitted, rho = special.expit(best.x)
    return BetaBinomial(float(fitted), float(rho), float(stats.chi2.sf(gain, 1) / 2))
