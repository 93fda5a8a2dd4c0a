"""Mixed-effects logistic regression with crossed random effects: readers differ in skill, images in what they show.

Answers of one reader are correlated, and so are answers to one image; an analysis that counts them as independent
states too narrow an interval. The likelihood is Laplace's approximation (Breslow & Clayton 1993), as in lme4's `glmer`
(Bates et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import linalg, optimize, special, stats

from mammogan.errors import ParameterError
from mammogan.types import Estimate

SEPARATED = 10.0  # log odds: no study estimates odds of 20,000; the optimizer went there on its way to infinity


class Coefficient(NamedTuple):
    """Estimate of a fixed effect and its standard error, log odds."""

    estimate: float
    error: float


@dataclass(frozen=True)
class MixedFit:
    """A fitted model. P is half the tail of a chi-square with one degree of freedom (Self & Liang 1987)."""

    coefficients: dict[str, Coefficient]  # of the fixed effects
    deviations: dict[str, float]  # standard deviation of the random intercepts of each factor, log odds
    p: dict[str, float]  # of no differences between the levels of each factor, a null at the border
    modes: dict[str, dict[object, Coefficient]]  # deviation of each level of each factor, shrunk, log odds
    log_likelihood: float  # Laplace's approximation of the maximum
    converged: bool  # whether the optimizer converged

    def rate(self, level: float = 0.95, *, average: bool = False) -> Estimate:
        """Return the rate of right answers of a typical reader on a typical image, with its Wald interval.

        Args:
            level: confidence level.
            average: average over readers and images instead, with their deviations taken as known.
        """
        estimate, error = self.coefficients["intercept"]
        step = stats.norm.ppf(0.5 + level / 2) * error
        spread = np.sqrt(sum(s**2 for s in self.deviations.values())) if average else 0.0
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        odds = np.array([estimate, estimate - step, estimate + step])[:, None] + spread * nodes
        return Estimate(*map(float, special.expit(odds) @ weights / weights.sum()))

    def level_rate(self, factor: str, code: object, level: float = 0.95) -> Estimate:
        """Return the rate of one reader on a typical image, or of a typical reader on one image.

        The fewer the answers, the closer it is to the rate of all (an empirical Bayes estimate). The interval adds the
        errors of the intercept and of the mode, and leaves out their covariance, which would narrow it.
        """
        mode, error = self.modes[factor][code]
        intercept = self.coefficients["intercept"]
        odds, error = intercept.estimate + mode, float(np.hypot(intercept.error, error))
        step = stats.norm.ppf(0.5 + level / 2) * error
        return Estimate(*map(float, special.expit([odds, odds - step, odds + step])))


class _Laplace:
    """Minus twice the log likelihood at given fixed effects and deviations, the random effects integrated out.

    The information of the random effects is diagonal within a factor. The factor with the most levels is eliminated
    (its Schur complement), so that only a matrix of the other factors' levels is decomposed.
    """

    def __init__(self, y: np.ndarray, x: np.ndarray, factors: Mapping[str, np.ndarray]) -> None:
        self.y, self.x = y.astype(float), x
        levels, codes = zip(*(np.unique(values, return_inverse=True) for values in factors.values()), strict=True)
        sizes = [len(level) for level in levels]
        self.order = np.argsort(sizes)[::-1]  # factors by their number of levels, the largest first
        self.levels = {list(factors)[i]: levels[i] for i in self.order}
        self.sizes = [sizes[i] for i in self.order]
        starts = np.cumsum([0, *self.sizes])
        self.index = np.stack([codes[i] + start for i, start in zip(self.order, starts, strict=False)])  # (factors, n)
        self.u = np.zeros(starts[-1])

    def __call__(self, beta: np.ndarray, deviations: np.ndarray) -> float:
        scale, fixed, u = deviations[self.order], self.x @ beta, self.u
        value, mean = self._penalized(u, fixed, scale)
        for _ in range(50):
            gradient = self._gather(self.y - mean, scale) - u
            step, _ = self._solve(mean * (1 - mean), scale, gradient)
            size = 1.0
            while (new := self._penalized(u + size * step, fixed, scale))[0] > value + 1e-12 and size > 1e-6:
                size /= 2
            u, old, (value, mean) = u + size * step, value, new
            if old - value < 1e-10:
                break
        self.u = u
        return 2 * value + self._solve(mean * (1 - mean), scale, np.zeros_like(u))[1]

    def _gather(self, values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return sums of (n,) values over the answers of each level, times the scale of its factor; (levels,)."""
        return np.bincount(self.index.ravel(), np.outer(scale, values).ravel(), len(self.u))

    def _solve(self, weight: np.ndarray, scale: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
        """Solve with the information matrix Z' W Z + 1 of the random effects; return its log determinant, too."""
        large = self.sizes[0]
        diagonal, cross, root = self._decompose(weight, scale)
        scaled = cross / diagonal[:, None]
        rest = right[large:] - scaled.T @ right[:large]
        small = linalg.cho_solve((root, True), rest) if len(rest) else rest
        solution = np.concatenate([(right[:large] - cross @ small) / diagonal, small])
        return solution, float(np.log(diagonal).sum() + 2 * np.log(np.diag(root)).sum())

    def modes(self, beta: np.ndarray, deviations: np.ndarray) -> dict[str, dict[object, Coefficient]]:
        """Return the modes of the random effects and their standard errors given the rest, as `ranef` of lme4."""
        self(beta, deviations)
        scale = deviations[self.order]
        mean = self._penalized(self.u, self.x @ beta, scale)[1]
        diagonal, cross, root = self._decompose(mean * (1 - mean), scale)
        # The diagonal of the inverse, in blocks (Schur complement).
        inverse = linalg.cho_solve((root, True), np.eye(len(root))) if len(root) else root
        scaled = cross / diagonal[:, None]
        variance = np.concatenate([1 / diagonal + ((scaled @ inverse) * scaled).sum(1), np.diag(inverse)])
        each = np.repeat(scale, self.sizes)
        pairs = np.column_stack([each * self.u, each * np.sqrt(variance)])
        blocks = zip(self.levels.items(), np.split(pairs, np.cumsum(self.sizes)[:-1]), strict=True)
        return {
            name: {code: Coefficient(*map(float, pair)) for code, pair in zip(codes, block, strict=True)}
            for (name, codes), block in blocks
        }

    def _decompose(self, weight: np.ndarray, scale: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Decompose the information matrix: return its diagonal (largest), block (largest, rest) and root (rest, rest).

        The root is that of the Schur complement of the largest factor.
        """
        large, rest = self.sizes[0], len(self.u) - self.sizes[0]
        diagonal = 1 + self._gather(weight, scale**2)
        first = self.index[0]
        cross = np.zeros((large, rest))
        inner = np.diag(diagonal[large:])
        for i in range(1, len(scale)):
            i_index = self.index[i] - large
            joint = np.bincount(first * rest + i_index, scale[0] * scale[i] * weight, large * rest)
            cross += joint.reshape(large, rest)
            for j in range(1, i):
                joint = np.bincount(i_index * rest + self.index[j] - large, scale[i] * scale[j] * weight, rest * rest)
                inner += joint.reshape(rest, rest) + joint.reshape(rest, rest).T
        scaled = cross / diagonal[:large, None]
        return diagonal[:large], cross, np.linalg.cholesky(inner - cross.T @ scaled)

    def _penalized(self, u: np.ndarray, fixed: np.ndarray, scale: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the penalized minus log likelihood and the expected answers, (n,)."""
        eta = fixed + scale @ u[self.index]
        return _minus_log_likelihood(self.y, eta) + float(u @ u / 2), special.expit(eta)


def mixed_logistic(
    y: np.ndarray, factors: Mapping[str, np.ndarray], covariates: Mapping[str, np.ndarray] | None = None
) -> MixedFit:
    """Fit logit P(right) = intercept + covariates + one random intercept per factor, with crossed factors.

    Args:
        y: (n,) answers, 0 or 1.
        factors: (n,) codes by name, e.g. of readers and images.
        covariates: (n,) values by name of fixed effects other than the intercept.

    Raises:
        ParameterError: all answers are the same, a factor has one level or as many levels as answers, or a covariate
            or a factor separates right from wrong answers.
    """
    y = np.asarray(y)
    if y.min() == y.max():
        raise ParameterError("All answers are the same; a mixed model needs right and wrong ones.")
    for name, codes in factors.items():
        if not 1 < len(np.unique(codes)) < len(y):
            raise ParameterError(f"The factor {name!r} has one level, or no level twice; leave it out.")
    columns = {"intercept": np.ones(len(y)), **(covariates or {})}
    x = np.column_stack(list(columns.values())).astype(float)
    k = x.shape[1]

    def fit(names: list[str]) -> tuple[np.ndarray, float, bool]:
        plain = optimize.minimize(lambda beta: 2 * _minus_log_likelihood(y, x @ beta), np.zeros(k), method="BFGS")
        if not names:
            return plain.x, float(plain.fun), True
        laplace = _Laplace(y, x, {name: factors[name] for name in names})
        start = np.concatenate([plain.x, np.full(len(names), 0.3)])
        # The deviance is even in a deviation: no bounds are needed, the sign means nothing.
        result = optimize.minimize(
            lambda v: laplace(v[:k], np.abs(v[k:])), start, method="BFGS", options={"gtol": 1e-4, "eps": 1e-5}
        )
        return result.x, float(result.fun), bool(result.success or np.abs(result.jac).max() < 0.05)

    names = list(factors)
    best, deviance, converged = fit(names)
    p = {}
    for name in names:
        without = fit([other for other in names if other != name])[1]
        p[name] = float(stats.chi2.sf(max(without - deviance, 0.0), 1) / 2)
    deviations = np.abs(best[k:])
    # Covariates in units of their standard deviation, the intercept as it is.
    effects = np.abs(best[:k]) * np.where(x.std(0) > 0, x.std(0), 1.0)
    sizes = dict(zip([*columns, *names], [*effects, *deviations], strict=True))
    if max(sizes.values()) > SEPARATED:
        del sizes["intercept"]  # what separates answers drives it out, too
        raise ParameterError(
            f"Answers are separated (by {max(sizes, key=lambda name: sizes[name])!r}): right and wrong ones are told "
            "apart with hardly an exception, and the mixed model has no finite estimate; use the exact binomial and "
            "the interval over clusters."
        )
    laplace = _Laplace(y, x, factors)
    errors = np.sqrt(np.diag(np.linalg.inv(_curvature(lambda b: laplace(b, deviations), best[:k]) / 2)))
    coefficients = {name: Coefficient(float(b), float(e)) for name, b, e in zip(columns, best[:k], errors, strict=True)}
    modes = laplace.modes(best[:k], deviations)
    by_name = dict(zip(names, map(float, deviations), strict=True))
    return MixedFit(coefficients, by_name, p, modes, -deviance / 2, converged)


def _minus_log_likelihood(y: np.ndarray, eta: np.ndarray) -> float:
    """Return minus the log likelihood of answers (n,) given their log odds (n,)."""
    return float(np.logaddexp(0, eta).sum() - y @ eta)


def _curvature(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Return the second derivatives by central differences; (n, n)."""
    steps = np.eye(len(at)) * step

    def second(i: np.ndarray, j: np.ndarray) -> float:
        return sum(function(at + a * i + b * j) * a * b for a in (1, -1) for b in (1, -1)) / (4 * step**2)

    return np.array([[second(i, j) for j in steps] for i in steps])
