"""Simulated readers test the analysis: coverage of its intervals, false positives and power of its tests.

A simulated reader has a skill, learns or tires from question to question, and may give up after some of them and guess
from there on, as the paper's limitations describe; images differ in difficulty.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special

from mammogan.paper.table3 import conover_p
from mammogan.stats import equivalence, proportions, rank_tests
from mammogan.stats.mixed import mixed_logistic


@dataclass(frozen=True)
class Readers:
    """A population of readers and the study they take part in."""

    rate: float = 0.5  # of right answers of a typical reader on a typical image at the middle of the study
    ability: float = 0.0  # standard deviation of readers' log odds
    images: float = 0.0  # standard deviation of images' log odds; each question shows one of `pool` images
    learning: float = 0.0  # change of the log odds per question; negative for fatigue
    gave_up: float = 0.0  # share of readers who guess from a question on, drawn evenly from the second half
    readers: int = 117
    questions: int = 10  # per reader
    pool: int = 60  # number of images

    def draw(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the 0/1 answers of one study and the image of each, (readers, questions)."""
        rates, image = self.rates(rng)
        return (rng.random(rates.shape) < rates).astype(np.int8), image

    def rates(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Return the probability of each right answer in one study, and its image, (readers, questions)."""
        shape = self.readers, self.questions
        image = rng.integers(self.pool, size=shape)
        position = np.arange(self.questions) - (self.questions - 1) / 2
        skill = self.ability * rng.standard_normal((self.readers, 1))
        odds = special.logit(self.rate) + self.learning * position + skill
        odds = odds + self.images * rng.standard_normal(self.pool)[image]
        leaves = np.where(
            rng.random(self.readers) < self.gave_up,
            rng.integers(self.questions // 2, self.questions, self.readers),
            self.questions,
        )
        odds = np.where(np.arange(self.questions) >= leaves[:, None], 0.0, odds)
        return special.expit(odds), image

    def mean_rate(self, draws: int = 20_000) -> float:
        """Return the expected rate over readers, images and questions, by simulation with a seed of its own."""
        # A pool this large gives each answer an image of its own: one small pool has a mean of its own.
        many = replace(self, readers=draws, pool=10 * draws * self.questions)
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


def classical(answers: np.ndarray, image: np.ndarray, mean: float, seed: int) -> dict[str, bool]:
    """Return whether each test rejects at 5 % and each interval covers, without the mixed model.

    Args:
        answers: (readers, questions), 0 or 1.
        image: (readers, questions), image of each answer.
        mean: expected rate of right answers of the population of readers and images.
        seed: random seed of the Monte Carlo test.
    """
    readers, questions = answers.shape
    right, n = int(answers.sum()), answers.size
    scores = answers.sum(1)
    _, low, high = proportions.exact_interval(right, n)
    y, reader = answers.ravel(), np.repeat(np.arange(readers), questions)
    c = proportions.clustered(y, [reader], MARGIN)
    both = proportions.clustered(y, [reader, image.ravel()], MARGIN)
    groups = [scores[: readers // 2], scores[readers // 2 :]]
    columns = list(answers.T)
    successes = answers.sum(0)
    first, second = np.triu_indices(questions, 1)
    # The closed form for answers of 0 and 1; scikit-posthocs gives the same in a hundred times the time.
    pairs = conover_p(np.abs(successes[first] - successes[second]), successes, readers)
    fit = proportions.goodness_of_fit(scores, questions, simulations=199, seed=seed)
    return {
        "coverage: exact interval": low <= mean <= high,
        "coverage: interval over readers": c.low <= mean <= c.high,
        "coverage: interval over readers and images": both.low <= mean <= both.high,
        "exact binomial": proportions.binomial_p(right, n) <= 0.05,
        "over readers": c.p <= 0.05,
        "over readers and images": both.p <= 0.05,
        "equivalence, exact": equivalence.equivalence_p(right, n, MARGIN) <= 0.05,
        "equivalence, over readers": c.p_equivalence <= 0.05,
        "equivalence, over readers and images": both.p_equivalence <= 0.05,
        "Tarone, readers differ": proportions.overdispersion(y, reader).p <= 0.05,
        "Tarone, images differ": proportions.overdispersion(y, image.ravel()).p <= 0.05,
        "chi-square, pooled": fit.p <= 0.05,
        "chi-square, Monte Carlo": fit.p_monte_carlo <= 0.05,
        "beta-binomial, readers differ": proportions.beta_binomial(scores, questions).p <= 0.05,
        "Kruskal-Wallis, questions": rank_tests.kruskal_wallis(columns) <= 0.05,
        "Cochran's Q": rank_tests.cochran_q(answers) <= 0.05,
        "Cochran-Armitage trend": rank_tests.linear_trend(successes, readers)[1] <= 0.05,
        "Conover-Iman, any pair": pairs.min() <= 0.05,
        "Conover-Iman with Holm, any pair": len(pairs) * pairs.min() <= 0.05,  # the first step of Holm's method
        "Kruskal-Wallis, two groups": rank_tests.kruskal_wallis(groups) <= 0.05,
    }


def mixed(answers: np.ndarray, image: np.ndarray, mean: float, seed: int) -> dict[str, bool]:
    """Return whether the mixed model covers the mean rate and finds that readers, images and questions differ."""
    readers, questions = answers.shape
    factors = {"reader": np.repeat(np.arange(readers), questions), "image": image.ravel()}
    position = np.tile(np.arange(questions) - (questions - 1) / 2, readers)
    fit = mixed_logistic(answers.ravel(), factors, {"question": position})
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
    """Simulate studies; return one row per study and one column per interval or test.

    Args:
        name: name of the population; a study depends on it, its number and the seed alone.
        readers: the population.
        numbers: numbers of the studies.
        analysis: `classical`, or `mixed`, which needs half a second per study.
        seed: random seed.
    """
    mean = readers.mean_rate()
    rows = {
        number: analysis(*readers.draw(np.random.default_rng([seed, number, *name.encode()])), mean, number)
        for number in numbers
    }
    return pd.DataFrame.from_dict(rows, orient="index").astype(int)


def simulate(studies: int, *, scenarios: dict[str, Readers] | None = None, seed: int = 0) -> pd.DataFrame:
    """Return the share of simulated studies in which an interval covers or a test rejects at 5 %; no mixed model.

    Args:
        studies: number of studies per population.
        scenarios: populations by name; `SCENARIOS` where it is None.
        seed: random seed.

    Returns:
        One row per interval or test, one column per population.
    """
    chosen = (scenarios or SCENARIOS).items()
    return pd.DataFrame({name: outcomes(name, readers, range(studies), seed=seed).mean() for name, readers in chosen})


@dataclass(frozen=True)
class Raters:
    """Readers who rate single images on five levels of confidence, real to synthetic (Roe & Metz 1997).

    The evidence of an answer is separation * synthetic + reader + image + reader x image, each normal; standard
    deviations of reader's separation, image and rest are given, and those of the evidence sum to 1.
    """

    separation: float = 0.7  # mean evidence of synthetic images, in standard deviations of the evidence
    ability: float = 0.2  # standard deviation of readers' separation
    images: float = 0.5  # standard deviation of images
    readers: int = 5
    cases: int = 60  # half of them synthetic
    seen: float = 1.0  # share of the images that a reader sees
    levels: int = 0  # levels of the rating; 0: the evidence itself

    @property
    def auc(self) -> float:
        """Expected AUC of the evidence over readers and images."""
        return float(special.ndtr(self.separation / np.sqrt(2 + self.ability**2)))

    def draw(self, rng: np.random.Generator, test: str = "a") -> pd.DataFrame:
        """Return the ratings of one study, one row per rating: test, reader, case, positive, rating."""
        reader, case = (index.ravel() for index in np.indices((self.readers, self.cases)))
        positive = case % 2 == 1
        evidence = (self.separation + self.ability * rng.standard_normal(self.readers)[reader]) * positive
        evidence = evidence + self.images * rng.standard_normal(self.cases)[case]
        evidence = evidence + np.sqrt(1 - self.images**2) * rng.standard_normal(len(case))
        if self.levels:
            cuts = np.linspace(-1, 1, self.levels - 1) + self.separation / 2
            evidence = np.digitize(evidence, cuts).astype(float)
        names = np.char.add("x", case.astype(str))
        table = pd.DataFrame({"test": test, "reader": reader, "case": names, "positive": positive, "rating": evidence})
        return table[rng.random(len(table)) < self.seen].reset_index(drop=True)


def rated_answers(raters: Raters, seed: int, generators: dict[str, float] | None = None) -> pd.DataFrame:
    """Return a simulated study of single images with confidences, as `mammogan study analyse` reads it.

    Args:
        raters: readers and images; confidences are 1 to 5 by the distance of the evidence from its cut.
        seed: random seed.
        generators: {name: separation} where the synthetic images are of several; each has as many as one alone.
    """
    rng = np.random.default_rng(seed)
    drawn = [
        replace(raters, separation=d).draw(rng, name) for name, d in (generators or {"": raters.separation}).items()
    ]
    # All generators are shown among the real images of the first.
    table = pd.concat([drawn[0], *(part[part["positive"]] for part in drawn[1:])]).sample(frac=1, random_state=seed)
    evidence = table["rating"] - raters.separation / 2
    synthetic, said = table["positive"].to_numpy(), (evidence > 0).to_numpy()
    answers = pd.DataFrame({
        "reader": "r" + table["reader"].astype(str),
        "question": table.groupby("reader").cumcount() + 1,
        "image_id": table["case"],
        "is_synthetic": np.where(synthetic, "yes", "no"),
        "answer": np.where(said, "synthetic", "real"),
        "confidence": np.clip(np.ceil(np.abs(evidence) / 0.4), 1, 5).astype(int),
        "correct": (said == synthetic).astype(int),
    })  # fmt: skip
    if generators:
        answers["generator"] = np.where(synthetic, table["test"], "")
    return answers.astype(str).reset_index(drop=True)
