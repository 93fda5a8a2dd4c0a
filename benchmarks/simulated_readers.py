"""Simulated readers prove the analysis: coverage of its intervals, false positives and power of its tests.

A simulated reader has a skill, learns or tires from question to question, and may give up after some of them and guess
from there on, as the paper's limitations describe; images differ in how telling they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import special

from mammogan.paper.table3 import conover_p
from mammogan.stats import equivalence, proportions, rank_tests, score_distribution
from mammogan.stats.mixed import mixed_logistic


@dataclass(frozen=True)
class Readers:
    """A population of readers and the study they take part in.

    Attributes:
        rate: of right answers of a typical reader on a typical image at the middle of the study.
        ability: standard deviation of readers' log odds.
        images: standard deviation of images' log odds; each question shows one of `pool` images.
        learning: change of the log odds a question; negative for fatigue.
        gave_up: share of readers who guess from a question on, drawn evenly from the second half.
        readers: number of readers.
        questions: of each.
        pool: number of images.
    """

    rate: float = 0.5
    ability: float = 0.0
    images: float = 0.0
    learning: float = 0.0
    gave_up: float = 0.0
    readers: int = 117
    questions: int = 10
    pool: int = 60

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """0/1 answers (readers, questions) of one study, and which image each question showed."""
        rates, shown = self.rates(rng)
        return (rng.random(rates.shape) < rates).astype(np.int8), shown

    def rates(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Probability of a right answer (readers, questions) in one study, and which image each question showed."""
        shape = self.readers, self.questions
        shown = rng.integers(self.pool, size=shape)
        place = np.arange(self.questions) - (self.questions - 1) / 2
        odds = special.logit(self.rate) + self.learning * place + self.ability * rng.standard_normal((self.readers, 1))
        odds = odds + self.images * rng.standard_normal(self.pool)[shown]
        leaves = np.where(
            rng.random(self.readers) < self.gave_up,
            rng.integers(self.questions // 2, self.questions, self.readers),
            self.questions,
        )
        odds = np.where(np.arange(self.questions) >= leaves[:, None], 0.0, odds)
        return special.expit(odds), shown

    def mean_rate(self, draws: int = 20_000) -> float:
        """Expected rate of right answers over readers, images and questions, by simulation with a seed of its own."""
        # A pool this large gives each answer an image of its own: one small pool has a mean of its own.
        many = Readers(**{**self.__dict__, "readers": draws, "pool": 10 * draws * self.questions})
        return float(many.rates(np.random.default_rng(12345))[0].mean())


SCENARIOS = {
    "all guess": Readers(),
    "readers differ": Readers(ability=0.6),
    "images differ": Readers(images=0.6),
    "both differ": Readers(ability=0.6, images=0.6),
    "some can tell": Readers(rate=0.55, ability=0.3),
    "readers learn": Readers(learning=0.08),
    "readers tire": Readers(rate=0.6, learning=-0.08),
    "a third gave up": Readers(rate=0.6, ability=0.3, gave_up=1 / 3),
    "just not equivalent": Readers(rate=0.55),
}


MARGIN = 0.05  # of equivalence, in every simulated study
Analysis = Callable[[np.ndarray, np.ndarray, float, int], dict[str, bool]]


def classical(answers: np.ndarray, shown: np.ndarray, mean: float, seed: int) -> dict[str, bool]:
    """Every test and interval of the analysis but the mixed model on one study: does it reject at 5 %, does it cover?

    Args:
        answers: (readers, questions), 0 or 1.
        shown: image of each answer.
        mean: expected rate of right answers of the population of readers and images.
        seed: of the Monte Carlo test.
    """
    readers, questions = answers.shape
    right, n = int(answers.sum()), answers.size
    scores = answers.sum(1)
    low, high = proportions.exact_interval(right, n)
    y, reader = answers.ravel(), np.repeat(np.arange(readers), questions)
    c = proportions.clustered(y, [reader], MARGIN)
    both = proportions.clustered(y, [reader, shown.ravel()], MARGIN)
    groups = [scores[: readers // 2], scores[readers // 2 :]]
    columns = list(answers.T)
    successes = answers.sum(0)
    first, second = np.triu_indices(questions, 1)
    # The closed form for answers of 0 and 1; scikit-posthocs gives the same and takes a hundred times as long.
    pairs = conover_p(np.abs(successes[first] - successes[second]), successes, readers)
    fit = score_distribution.goodness_of_fit(scores, questions, simulations=199, seed=seed)
    return {
        "coverage: exact interval": low <= mean <= high,
        "coverage: t interval over readers": c.low <= mean <= c.high,
        "coverage: t interval over readers and images": both.low <= mean <= both.high,
        "exact binomial": proportions.binomial_p(right, n) <= 0.05,
        "t over readers": c.p <= 0.05,
        "t over readers and images": both.p <= 0.05,
        "equivalence, exact": equivalence.equivalence_p(right, n, MARGIN) <= 0.05,
        "equivalence, t over readers": c.p_equivalence <= 0.05,
        "equivalence, t over readers and images": both.p_equivalence <= 0.05,
        "Tarone, readers differ": proportions.overdispersion(y, reader).p <= 0.05,
        "Tarone, images differ": proportions.overdispersion(y, shown.ravel()).p <= 0.05,
        "chi-square, pooled": fit["p"] <= 0.05,
        "chi-square, Monte Carlo": fit["p_monte_carlo"] <= 0.05,
        "beta-binomial, readers differ": score_distribution.beta_binomial(scores, questions).p <= 0.05,
        "Kruskal-Wallis, questions": rank_tests.kruskal_wallis(columns) <= 0.05,
        "Cochran's Q": rank_tests.cochran_q(answers) <= 0.05,
        "Cochran-Armitage trend": rank_tests.trend_p(successes, readers)[1] <= 0.05,
        "Conover-Iman, any pair": pairs.min() <= 0.05,
        "Conover-Iman with Holm, any pair": len(pairs) * pairs.min() <= 0.05,  # the first step of Holm's method
        "Kruskal-Wallis, two groups": rank_tests.kruskal_wallis(groups) <= 0.05,
    }


def mixed(answers: np.ndarray, shown: np.ndarray, mean: float, seed: int) -> dict[str, bool]:
    """The mixed model on one study: is the mean rate covered, do readers, images and questions differ?"""
    readers, questions = answers.shape
    factors = {"reader": np.repeat(np.arange(readers), questions), "image": shown.ravel()}
    place = np.tile(np.arange(questions) - (questions - 1) / 2, readers)
    fit = mixed_logistic(answers.ravel(), factors, {"question": place})
    _, low, high = fit.rate(average=True)
    slope, error = fit.coefficients["question"]
    return {
        "coverage: mixed model, averaged": low <= mean <= high,
        "mixed model, readers differ": fit.p["reader"] <= 0.05,
        "mixed model, images differ": fit.p["image"] <= 0.05,
        "mixed model, slope over questions": abs(slope) > 1.96 * error,
    }


def outcomes(
    name: str, readers: Readers, numbers: Iterable[int], *, analysis: Analysis = classical, seed: int = 0
) -> pd.DataFrame:
    """What each of some simulated studies found: one row a study, one column an interval or test.

    Args:
        name: of the population; a study depends on it, its number and the seed alone.
        readers: the population.
        numbers: of the studies.
        analysis: `classical`, or `mixed`, which takes half a second a study.
        seed: of everything random.
    """
    mean = readers.mean_rate()
    rows = {
        number: analysis(*readers.draw(np.random.default_rng([seed, number, *name.encode()])), mean, number)
        for number in numbers
    }
    return pd.DataFrame.from_dict(rows, orient="index").astype(int)


def simulate(studies: int, *, scenarios: dict[str, Readers] | None = None, seed: int = 0) -> pd.DataFrame:
    """Share of simulated studies in which each interval covers and each test rejects at 5 %; all but the mixed model.

    Args:
        studies: a population.
        scenarios: populations by name; `SCENARIOS` where it is None.
        seed: of everything random.

    Returns:
        One row an interval or test, one column a population.
    """
    chosen = (scenarios or SCENARIOS).items()
    return pd.DataFrame({name: outcomes(name, readers, range(studies), seed=seed).mean() for name, readers in chosen})
