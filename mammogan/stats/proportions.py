"""Proportions of right answers: intervals, overdispersion and goodness of fit, sensitivity."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats
from statsmodels.stats.proportion import proportion_confint

from mammogan.errors import ParameterError
from mammogan.types import Estimate

BINOMIAL = 1e-6  # overdispersion at which scores are binomial to the precision of their likelihood


def check_counts(successes: int, trials: int) -> None:
    """Check that the counts are possible.

    Raises:
        ParameterError: there are no trials, or more successes than trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ParameterError(f"{successes} successes in {trials} trials is impossible; check the counts.")


def exact_interval(successes: int, trials: int, level: float = 0.95) -> Estimate:
    """Return a proportion with its exact interval (Clopper & Pearson 1934)."""
    check_counts(successes, trials)
    low, high = proportion_confint(successes, trials, 1 - level, method="beta")
    # statsmodels leaves the bound at the edge of the range undefined in some releases.
    low, high = 0.0 if successes == 0 else low, 1.0 if successes == trials else high
    return Estimate(successes / trials, float(low), float(high))


def binomial_p(successes: int, trials: int, chance: float = 0.5) -> float:
    """Return the exact two-sided binomial P."""
    check_counts(successes, trials)
    return float(stats.binomtest(successes, trials, chance).pvalue)


@dataclass(frozen=True)
class Clustered:
    """Rate of right answers that are correlated within clusters, with its 95 % interval."""

    rate: float
    low: float
    high: float
    p: float  # two-sided, against 1/2
    p_equivalence: float  # of two one-sided tests
    design_effect: float  # variance of the rate over that of as many independent answers


@dataclass(frozen=True)
class EffectiveSample:
    """A rate of correlated answers as that of fewer independent ones (Korn & Graubard 1998, Surv. Methodol. 24:193).

    The binomial tails of Clopper & Pearson are taken at n_e = n / design effect answers, times the squared ratio of the
    quantiles of t with n - 1 and with `df` degrees of freedom, which pays for a variance that few clusters estimate
    badly; never at more than n answers. Bounds are therefore within 0 and 1, and an interval is never narrower than
    the exact binomial one, also where all clusters have the same rate.

    Attributes:
        rate, n: rate of right answers, and number of answers.
        design_effect: variance of the rate over that of n independent answers.
        df: degrees of freedom of that variance, the smallest number of clusters less one.
    """

    rate: float
    n: int
    design_effect: float
    df: int

    def size(self, tail: float) -> float:
        """Return n_e where one tail of the interval has this probability, at most 1/2."""
        if self.design_effect <= 0 or self.n < 2:
            return float(self.n)
        tail = min(tail, 0.499)  # both quantiles are 0 at 1/2
        ratio = special.stdtrit(self.n - 1, tail) / special.stdtrit(self.df, tail)
        return float(np.clip(self.n * ratio**2 / self.design_effect, 1e-6, self.n))

    def bounds(self, level: float = 0.95) -> tuple[float, float]:
        """Return the bounds of an interval of the rate."""
        n = self.size((1 - level) / 2)
        right, wrong = self.rate * n, (1 - self.rate) * n
        low = 0.0 if self.rate == 0 else special.betaincinv(right, wrong + 1, (1 - level) / 2)
        high = 1.0 if self.rate == 1 else special.betaincinv(right + 1, wrong, (1 + level) / 2)
        return float(low), float(high)

    def p_above(self, null: float) -> float:
        """Return the one-sided P against a rate of `null` or less: the tail at which the lower bound meets it."""

        def excess(log_tail: float) -> float:
            tail = np.exp(log_tail)
            n = self.size(tail)
            right = self.rate * n
            return (special.betainc(right, n - right + 1, null) if right > 0 else 1.0) - tail

        least, most = np.log(1e-100), np.log(0.5)
        if excess(most) >= 0:
            return float(excess(most) + 0.5)
        return float(np.exp(optimize.brentq(excess, least, most))) if excess(least) > 0 else float(np.exp(least))

    def p_below(self, null: float) -> float:
        """Return the one-sided P against a rate of `null` or more."""
        return EffectiveSample(1 - self.rate, self.n, self.design_effect, self.df).p_above(1 - null)

    def clustered(self, margin: float) -> Clustered:
        """Return the rate with its interval and P values; `margin` is that of equivalence with 1/2."""
        p = min(1.0, 2 * min(self.p_above(0.5), self.p_below(0.5)))
        p_equivalence = max(self.p_above(0.5 - margin), self.p_below(0.5 + margin))
        return Clustered(self.rate, *self.bounds(), p, p_equivalence, self.design_effect)


def clustered(answers: np.ndarray, clusters: list[np.ndarray], margin: float) -> Clustered:
    """Return the rate with readers, or readers and images, as clusters; clusterings may be crossed.

    The variance is the multiway cluster-robust one (Cameron, Gelbach & Miller 2011): that of sums over clusters, added
    over clusterings, less that over their intersections, and so on; at least that of any clustering alone. Interval and
    P values are those of an `EffectiveSample` whose degrees of freedom are one less than the smallest number of
    clusters. Where all clusters have the same rate, they are those of the exact binomial; where all answers are the
    same, which says nothing about their correlation, the design effect counts as 1.

    Args:
        answers: (n,) 0 or 1.
        clusters: (n,) codes of each clustering, e.g. of readers and of images.
        margin: margin of equivalence with a rate of 1/2 (Schuirmann 1987).

    Raises:
        ParameterError: a clustering has one cluster.
    """
    y = np.asarray(answers, float)
    codes = [np.unique(values, return_inverse=True)[1] for values in clusters]
    sizes = [int(code.max()) + 1 for code in codes]
    if min(sizes) < 2:
        raise ParameterError("A clustering has one cluster; an interval over clusters needs two or more.")

    def variance(chosen: tuple[int, ...]) -> float:
        code = codes[chosen[0]]
        for other in chosen[1:]:
            code = np.unique(code * sizes[other] + codes[other], return_inverse=True)[1]
        sums = np.bincount(code, y - y.mean())
        return len(sums) / (len(sums) - 1) * float(sums @ sums) / len(y) ** 2

    numbers = range(len(codes))
    each = [variance((number,)) for number in numbers]
    crossed = [(-1) ** n * variance(chosen) for n in numbers[1:] for chosen in itertools.combinations(numbers, n + 1)]
    rate = float(y.mean())
    independent = rate * (1 - rate) / len(y)
    # Sums over clusters with one rate are rounding, not 0.
    effect = max(sum(each) + sum(crossed), *each) / independent if independent > 0 else 1.0
    return EffectiveSample(rate, len(y), effect if effect > 1e-9 else 0.0, min(sizes) - 1).clustered(margin)


@dataclass(frozen=True)
class Overdispersion:
    """Spread of clusters beyond chance (Tarone 1979)."""

    clusters: int  # number of clusters
    correlation: float  # intraclass, of answers, by moments
    p: float  # one-sided, of no correlation
    detectable: float  # correlation that a test at 5 % finds with a power of about 80 %; 1 where there is none


def overdispersion(answers: np.ndarray, clusters: np.ndarray) -> Overdispersion:
    """Test whether rates of clusters of any sizes are more spread than a binomial allows (Tarone 1979).

    Args:
        answers: (n,) 0 or 1.
        clusters: (n,) codes, e.g. of images.

    Raises:
        ParameterError: all answers are the same, or no cluster has two answers.
    """
    y, code = np.asarray(answers, float), np.unique(clusters, return_inverse=True)[1]
    size, rate = np.bincount(code), float(y.mean())
    pairs = float((size * (size - 1)).sum())
    if not 0 < rate < 1 or pairs == 0:
        raise ParameterError("All answers are the same, or no cluster has two; a test of their spread needs both.")
    excess = float(((np.bincount(code, y) - size * rate) ** 2).sum()) / (rate * (1 - rate)) - len(y)
    noise = np.sqrt(2 / pairs)  # of the correlation, where there is none
    others = float((size * size).sum() / size.sum()) - 1
    # The noise grows with the correlation, by 1 + others * correlation.
    shrunk = 1 - stats.norm.ppf(0.8) * noise * others
    detectable = (stats.norm.ppf(0.95) + stats.norm.ppf(0.8)) * noise / shrunk if shrunk > 0 else 1.0
    p = float(stats.norm.sf(excess / pairs / noise))
    return Overdispersion(len(size), excess / pairs, p, min(float(detectable), 1.0))


def actual_coverage(design_effect: float, level: float = 0.95) -> float:
    """Return the coverage of an interval for independent answers when answers have a design effect."""
    return float(1 - 2 * stats.norm.sf(stats.norm.ppf(0.5 + level / 2) / np.sqrt(design_effect)))


def d_prime(successes: int, trials: int) -> Estimate:
    """Return d' in two-alternative forced choice, sqrt(2) z(rate), with its exact interval (Macmillan & Creelman)."""
    rate, low, high = exact_interval(successes, trials)
    rate = float(np.clip(rate, 0.5 / trials, 1 - 0.5 / trials))  # finite where every answer is right or wrong
    return Estimate(*(float(np.sqrt(2) * stats.norm.ppf(value)) for value in (rate, low, high)))


def chance_of_best(readers: int, questions: int, score: int) -> tuple[float, float]:
    """Return the expected number of guessing readers with `score` or more, and the probability of at least one."""
    each = float(stats.binom.sf(score - 1, questions, 0.5))
    return readers * each, 1 - (1 - each) ** readers


@dataclass(frozen=True)
class GoodnessOfFit:
    """Chi-square test over pooled bins."""

    statistic: float
    p: float  # asymptotic
    p_monte_carlo: float
    bins: int


def goodness_of_fit(scores: np.ndarray, questions: int, *, simulations: int, seed: int) -> GoodnessOfFit:
    """Test whether scores of attempts follow Bin(questions, 1/2), by chi-square with pooled bins.

    Bins are pooled from both ends until each expects 5 attempts or more (Cochran 1954).

    Args:
        scores: (attempts,), right answers of each.
        questions: questions per attempt.
        simulations: data sets drawn under the null for the Monte Carlo P, which needs no large counts.
        seed: random seed of the simulations.

    Raises:
        ParameterError: there are too few attempts for two bins.
    """
    scores = np.asarray(scores)
    expected = len(scores) * stats.binom.pmf(np.arange(questions + 1), questions, 0.5)
    low = int(np.argmax(np.cumsum(expected) >= 5))
    high = questions - int(np.argmax(np.cumsum(expected[::-1]) >= 5))
    if expected.sum() < 10 or low >= high:  # fewer than two bins of five
        raise ParameterError(f"{len(scores)} attempts are too few for a chi-square test; collect more.")
    pooled = np.bincount(np.clip(np.arange(questions + 1), low, high) - low, weights=expected)

    def statistic(values: np.ndarray) -> np.ndarray:
        """Return one value per row of (n, attempts) scores."""
        cell = np.clip(values, low, high) - low + len(pooled) * np.arange(len(values))[:, None]
        observed = np.bincount(cell.ravel(), minlength=len(values) * len(pooled)).reshape(len(values), -1)
        return ((observed - pooled) ** 2 / pooled).sum(1)

    rng = np.random.default_rng(seed)
    observed = float(statistic(scores[None])[0])
    drawn = statistic(rng.binomial(questions, 0.5, (simulations, len(scores))))
    p_monte_carlo = (1 + int((drawn >= observed - 1e-9).sum())) / (1 + simulations)
    return GoodnessOfFit(observed, float(stats.chi2.sf(observed, len(pooled) - 1)), p_monte_carlo, len(pooled))


@dataclass(frozen=True)
class BetaBinomial:
    """Beta-binomial fit of scores: mean rate, overdispersion rho (0 for binomial), and P of rho = 0."""

    rate: float
    rho: float
    p: float


def beta_binomial(scores: np.ndarray, questions: int) -> BetaBinomial:
    """Fit a beta-binomial to scores by maximum likelihood and test it against a binomial (Crowder 1978).

    The null is at the border of the parameter space: P is half of the chi-square's tail (Self & Liang 1987).

    Raises:
        ParameterError: all answers are right, all are wrong, or attempts have one question: every overdispersion is
            then as likely as any other.
    """
    if questions < 2 or not 0 < np.sum(scores) < questions * len(scores):
        raise ParameterError(
            "All answers are the same, or an attempt has one question; an overdispersion of scores needs right and "
            "wrong answers to two questions or more."
        )
    score, readers = np.unique(np.asarray(scores), return_counts=True)

    def negative(parameters: np.ndarray) -> float:
        # Minus the log likelihood without the binomial coefficients, which are the same under both hypotheses.
        # Below 1e-6 it is binomial, and differences of huge logarithms are noise that a minimizer mistakes for a gain.
        rate, rho = special.expit(parameters[0]), max(special.expit(parameters[1]), BINOMIAL)
        a, b = rate * (1 - rho) / rho, (1 - rate) * (1 - rho) / rho
        return -float(readers @ (special.betaln(score + a, questions - score + b) - special.betaln(a, b)))

    right, trials = readers @ score, questions * readers.sum()
    rate = float(right / trials)
    # A grid of rho finds the basin, also where the likelihood is flat toward 0.
    starts = [np.array([special.logit(rate), special.logit(rho)]) for rho in (0.0005, 0.005, 0.02, 0.1, 0.3)]
    best = optimize.minimize(negative, min(starts, key=negative), method="Nelder-Mead")
    plain = -float(special.xlogy(right, rate) + special.xlog1py(trials - right, -rate))
    gain = max(2 * (plain - best.fun), 0.0)
    fitted, rho = special.expit(best.x)
    return BetaBinomial(float(fitted), float(rho) if rho > BINOMIAL else 0.0, float(stats.chi2.sf(gain, 1) / 2))
