"""Mixed-effects logistic regression with crossed random effects: readers differ in skill, images in what they show.

Answers of one reader hang together, and so do answers to one image; an analysis that counts them as independent states
too narrow an interval. The likelihood is Laplace's approximation (Breslow & Clayton 1993), as in lme4's `glmer`
(Bates et al. 2015).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy import linalg, optimize, special, stats


@dataclass(frozen=True)
class MixedFit:
    """A fitted model.

    Attributes:
        coefficients: {name: (estimate, standard error)} of the fixed effects, log odds.
        deviations: {factor: standard deviation of its random intercepts, log odds}.
        p: {factor: P of no differences between its levels}; the null lies at the border, so half the tail of a
            chi-square with one degree of freedom (Self & Liang 1987).
        log_likelihood: Laplace's approximation of the maximum.
        converged: whether the optimizer says so.
    """

    coefficients: dict[str, tuple[float, float]]
    deviations: dict[str, float]
    p: dict[str, float]
    log_likelihood: float
    converged: bool

    def rate(self, level: float = 0.95, *, average: bool = False) -> tuple[float, float, float]:
        """Rate of right answers and its Wald interval, of a typical reader on a typical image.

        Args:
            level: of the interval.
            average: over readers and images instead, their deviations taken as known.
        """
        estimate, error = self.coefficients["intercept"]
        step = stats.norm.ppf(0.5 + level / 2) * error
        spread = np.sqrt(sum(s**2 for s in self.deviations.values())) if average else 0.0
        nodes, weights = np.polynomial.hermite_e.hermegauss(40)
        odds = np.array([estimate, estimate - step, estimate + step])[:, None] + spread * nodes
        middle, low, high = special.expit(odds) @ weights / weights.sum()
        return float(middle), float(low), float(high)


class _Laplace:
    """Minus twice the log likelihood at given fixed effects and deviations, the random effects integrated out.

    The information of the random effects is diagonal within a factor. The factor with most levels is eliminated
    (its Schur complement), so that only a matrix of the other factors' levels is decomposed.
    """

    def __init__(self, y: np.ndarray, x: np.ndarray, factors: Mapping[str, np.ndarray]) -> None:
        self.y, self.x = y.astype(float), x
        codes = [np.unique(values, return_inverse=True)[1] for values in factors.values()]
        sizes = [int(code.max()) + 1 for code in codes]
        order = np.argsort(sizes)[::-1]
        self.place = np.argsort(order)  # where a factor's deviation goes
        self.sizes = [sizes[i] for i in order]
        starts = np.cumsum([0, *self.sizes])
        self.index = np.stack([codes[i] + start for i, start in zip(order, starts, strict=False)])  # (factors, n)
        self.u = np.zeros(starts[-1])

    def __call__(self, beta: np.ndarray, deviations: np.ndarray) -> float:
        scale = np.empty(len(deviations))
        scale[self.place] = deviations
        fixed, u = self.x @ beta, self.u
        value, mean = self._penalized(u, fixed, scale)
        for _ in range(50):
            weight = mean * (1 - mean)
            gradient = self._gather(self.y - mean, scale) - u
            step, _ = self._solve(weight, scale, gradient)
            size = 1.0
            while (new := self._penalized(u + size * step, fixed, scale))[0] > value + 1e-12 and size > 1e-6:
                size /= 2
            u, old, (value, mean) = u + size * step, value, new
            if old - value < 1e-10:
                break
        self.u = u
        return 2 * value + self._solve(mean * (1 - mean), scale, np.zeros_like(u))[1]

    def _gather(self, values: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Sums of (n,) values over the answers of each level, times its factor's scale; (levels,)."""
        return np.bincount(self.index.ravel(), np.outer(scale, values).ravel(), len(self.u))

    def _solve(self, weight: np.ndarray, scale: np.ndarray, right: np.ndarray) -> tuple[np.ndarray, float]:
        """(solution, log determinant) of the information matrix Z' W Z + 1 of the random effects."""
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
        root = np.linalg.cholesky(inner - cross.T @ scaled)
        small = linalg.cho_solve((root, True), right[large:] - scaled.T @ right[:large]) if rest else np.empty(0)
        solution = np.concatenate([(right[:large] - cross @ small) / diagonal[:large], small])
        return solution, float(np.log(diagonal[:large]).sum() + 2 * np.log(np.diag(root)).sum())

    def _penalized(self, u: np.ndarray, fixed: np.ndarray, scale: np.ndarray) -> tuple[float, np.ndarray]:
        """(penalized minus log likelihood, (n,) expected answers)."""
        eta = fixed + scale @ u[self.index]
        return float(np.logaddexp(0, eta).sum() - self.y @ eta + u @ u / 2), special.expit(eta)


def mixed_logistic(
    y: np.ndarray, factors: Mapping[str, np.ndarray], covariates: Mapping[str, np.ndarray] | None = None
) -> MixedFit:
    """Fit logit P(right) = intercept + covariates + one random intercept a factor, the factors crossed as they are.

    Args:
        y: (n,) answers, 0 or 1.
        factors: {name: (n,) codes}, e.g. readers and images.
        covariates: {name: (n,) values} of fixed effects beside the intercept.

    Raises:
        ValueError: all answers are the same, or a factor has one level or as many levels as answers.
    """
    y = np.asarray(y)
    if y.min() == y.max():
        raise ValueError("All answers are the same; a mixed model cannot be fitted.")
    for name, codes in factors.items():
        if not 1 < len(np.unique(codes)) < len(y):
            raise ValueError(f"The factor {name!r} has one level, or no level twice; leave it out.")
    columns = {"intercept": np.ones(len(y)), **(covariates or {})}
    x = np.column_stack(list(columns.values())).astype(float)
    k = x.shape[1]

    def fit(names: list[str]) -> tuple[np.ndarray, float, bool]:
        if not names:
            return _plain(y, x)
        laplace = _Laplace(y, x, {name: factors[name] for name in names})
        start = np.concatenate([_plain(y, x)[0], np.full(len(names), 0.3)])
        # The deviance is even in a deviation: no bounds are needed, the sign means nothing.
        found = optimize.minimize(
            lambda v: laplace(v[:k], np.abs(v[k:])), start, method="BFGS", options={"gtol": 1e-4, "eps": 1e-5}
        )
        return found.x, float(found.fun), bool(found.success or np.abs(found.jac).max() < 0.05)

    names = list(factors)
    best, deviance, converged = fit(names)
    p = {}
    for name in names:
        without = fit([other for other in names if other != name])[1]
        p[name] = float(stats.chi2.sf(max(without - deviance, 0.0), 1) / 2)
    deviations = np.abs(best[k:])
    laplace = _Laplace(y, x, factors)
    errors = np.sqrt(np.diag(np.linalg.inv(_curvature(lambda b: laplace(b, deviations), best[:k]) / 2)))
    return MixedFit(
        {name: (float(b), float(e)) for name, b, e in zip(columns, best[:k], errors, strict=True)},
        dict(zip(names, map(float, deviations), strict=True)),
        p,
        -deviance / 2,
        converged,
    )


def _plain(y: np.ndarray, x: np.ndarray) -> tuple[np.ndarray, float, bool]:
    def deviance(beta: np.ndarray) -> float:
        eta = x @ beta
        return 2 * float(np.logaddexp(0, eta).sum() - y @ eta)

    found = optimize.minimize(deviance, np.zeros(x.shape[1]), method="BFGS")
    return found.x, float(found.fun), True


def _curvature(function: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-3) -> np.ndarray:
    """Second derivatives by central differences."""
    n = len(at)
    eye = np.eye(n) * step
    curve = np.empty((n, n))
    for i in range(n):
        for j in range(n):
            parts = (function(at + a * eye[i] + b * eye[j]) * a * b for a in (1, -1) for b in (1, -1))
            curve[i, j] = sum(parts) / (4 * step**2)
    return curve
