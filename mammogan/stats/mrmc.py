"""Area under the ROC curve of several readers and cases (MRMC), by the model of Obuchowski & Rockette.

Readers rate cases under one or several tests (modalities; here generators). The AUCs of readers are correlated because
they share cases: their covariances come from the jackknife over cases, and an analysis of variance with corrected
degrees of freedom generalizes to other readers and other cases (Obuchowski & Rockette 1995; Hillis 2007, Stat. Med.
26:596; Hillis, Obuchowski & Berbaum 2011, Acad. Radiol. 18:129). The method of Dorfman, Berbaum & Metz is the same
model with pseudovalues, and gives the same interval (Hillis et al. 2005).
"""

from __future__ import annotations

import itertools
from bisect import bisect_left
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import special, stats

from mammogan.errors import ParameterError
from mammogan.types import Estimate

COLUMNS = ("test", "reader", "case", "positive", "rating")  # of a table of ratings


@dataclass(frozen=True)
class ReaderAucs:
    """Empirical AUCs of readers and their covariances.

    Attributes:
        tests, readers: names.
        auc: (tests, readers).
        covariance: (tests, readers, tests, readers), from shared cases alone.
        cases: number of different cases, and below of those under each test.
        smallest: cases of the smaller class of the reader who has the fewest.
        left_out: readers without two positive and two negative cases under each test.
    """

    tests: list[str]
    readers: list[str]
    auc: np.ndarray
    covariance: np.ndarray
    cases: int
    cases_of_tests: list[int]
    smallest: int
    left_out: list[str]


def auc_interval(auc: float, step: float, smallest: int, level: float = 0.95) -> Estimate:
    """Return an AUC with its interval, symmetric in log odds.

    An AUC of 1 (or 0) has no standard error; its interval is that of as many right (wrong) answers as the smaller class
    has cases (Clopper & Pearson).

    Args:
        auc: area under the ROC curve.
        step: its standard error times a quantile.
        smallest: cases of the smaller class.
        level: confidence level, of an AUC of 0 or 1.
    """
    if auc in (0.0, 1.0):
        bound = ((1 - level) / 2) ** (1 / smallest)
        return Estimate(auc, bound if auc else 0.0, 1.0 if auc else 1 - bound)
    odds, slope = special.logit(auc), auc * (1 - auc)
    low, high = special.expit([odds - step / slope, odds + step / slope])
    return Estimate(auc, float(low), float(high))


@dataclass(frozen=True)
class Contrast:
    """An AUC averaged over readers, or a difference of two: both have an error of the same structure.

    Attributes:
        value: AUC, or difference of two AUCs.
        readers, cases: numbers of this study.
        mean_square: mean square of readers (of an AUC), or of tests by readers (of a difference).
        shared: covariance between readers that cases cause, Cov2, or Cov2 - Cov3; at least 0.
        own: rest of the error of one reader's value, Var - Cov2, or Var - Cov1 - (Cov2 - Cov3).
        tests: tests that the mean square is taken over; 1 for an AUC, 2 or more for a difference.
        smallest: cases of the smaller class, for an AUC of 0 or 1.
    """

    value: float
    readers: int
    cases: int
    mean_square: float
    shared: float
    own: float
    tests: int
    smallest: int

    @property
    def denominator(self) -> float:
        """Mean square that the value is compared with, which holds the variance due to cases, too.

        The mean square of readers is at least what cases alone cause: with three readers it is often less by chance.
        """
        return max(self.mean_square, self.own) + self.readers * self.shared

    @property
    def is_constant(self) -> bool:
        """Return True where nothing varies, neither between readers nor between cases."""
        return self.denominator <= 1e-12

    @property
    def error(self) -> float:
        """Standard error."""
        return float(np.sqrt(min(self.tests, 2) * self.denominator / self.readers))

    @property
    def df(self) -> float:
        """Degrees of freedom of the standard error (Hillis 2007)."""
        if self.mean_square <= 1e-12 * self.denominator:
            return np.inf
        of_mean_square = max(self.tests - 1, 1) * (self.readers - 1)
        return float(self.denominator**2 / (self.mean_square**2 / of_mean_square))

    @property
    def variance_of_readers(self) -> float:
        """Variance between readers that cases do not explain; at least 0."""
        return max(self.mean_square - self.own, 0.0)

    def interval(self, level: float = 0.95) -> Estimate:
        """Return the value with its interval: of an AUC on the scale of its log odds, of a difference symmetric.

        The symmetric interval of an AUC, which MRMCaov and RJafroc print, covers less for few cases at a high AUC
        (book/benchmarks.md); see `auc_interval`.

        Raises:
            ParameterError: nothing varies, at another AUC.
        """
        if self.is_constant:
            if self.tests > 1 or self.value not in (0.0, 1.0):
                raise ParameterError("The ratings vary neither between readers nor cases; an interval needs both.")
            return auc_interval(self.value, 0.0, self.smallest, level)
        step = stats.t.ppf(0.5 + level / 2, self.df) * self.error
        if self.tests > 1:
            return Estimate(self.value, float(max(self.value - step, -1.0)), float(min(self.value + step, 1.0)))
        return auc_interval(self.value, step, self.smallest, level)

    def p(self, null: float = 0.0) -> float:
        """Return the two-sided P against a value, 1/2 for the AUC of guessing, 0 for a difference; see `interval`."""
        if self.is_constant:
            return 1.0 if self.value == null else float(2 * 0.5**self.smallest)
        distance = self.value - null
        if self.tests == 1:
            distance = (special.logit(self.value) - special.logit(null)) * self.value * (1 - self.value)
        return float(2 * stats.t.sf(abs(distance) / self.error, self.df))

    def power(self, effect: float, readers: int, cases: int, level: float = 0.05) -> float:
        """Return the power of a study with these readers and cases to find an effect (Hillis et al. 2011).

        Errors due to cases are those of this study times its cases over the planned ones, at the same share of
        positives; the variance between readers is that found here.

        Args:
            effect: true AUC less 1/2, or true difference.
            readers, cases: numbers of the planned study.
            level: level of the two-sided test.

        Raises:
            ParameterError: nothing varies, so that nothing is known of a planned study.
        """
        if self.is_constant:
            raise ParameterError("The ratings vary neither between readers nor cases; the size of a study needs both.")
        scale = self.cases / cases
        mean_square = self.variance_of_readers + scale * max(self.own, 0.0)
        # The planned study compares no more than two tests.
        few = min(self.tests, 2)
        planned = replace(self, readers=readers, mean_square=mean_square, shared=scale * self.shared, tests=few)
        # A mean square of 0 has infinitely many degrees of freedom, which SciPy's noncentral F does not take.
        df = min(planned.df, 1e6)
        critical = stats.f.isf(level, 1, df)
        return float(stats.ncf.sf(critical, 1, df, (effect / planned.error) ** 2))


@dataclass(frozen=True)
class Analysis:
    """Analysis of variance of readers' AUCs.

    Attributes:
        components: variances of reader, test x reader and error, and covariances 1 (same reader, other test), 2 (other
            reader, same test) and 3 (both other); those that need two tests only where there are two.
        tests: {name: AUC}, each from its own ratings.
        differences: {(name, name): first AUC less second}.
    """

    components: dict[str, float]
    tests: dict[str, Contrast]
    differences: dict[tuple[str, str], Contrast]


def reader_aucs(ratings: pd.DataFrame) -> ReaderAucs:
    """Compute the empirical AUC of each reader under each test, and their covariances by the jackknife over cases.

    Readers need not rate the same cases: only shared cases make their AUCs correlated. Several ratings of one case by
    one reader under one test are averaged.

    Args:
        ratings: `COLUMNS`: names of test, reader and case, whether the case is positive, and the rating; higher is
            more positive.

    Raises:
        ParameterError: fewer than two readers have two positive and two negative cases under each test, or a case is
            positive and negative.
    """
    kinds = ratings.groupby("case")["positive"].nunique()
    if (kinds > 1).any():
        case = kinds.idxmax()
        raise ParameterError(f"The case {case!r} is positive in one row and negative in another; correct the table.")
    means = ratings.groupby(["test", "reader", "case", "positive"], sort=True)["rating"].mean().reset_index()
    counts = means.groupby(["reader", "test", "positive"]).size().unstack(["test", "positive"], fill_value=0)
    tests = sorted(means["test"].unique())
    needed = counts.reindex(columns=pd.MultiIndex.from_product([tests, [False, True]]), fill_value=0)
    enough = needed.min(axis=1) >= 2
    readers = sorted(enough.index[enough])
    if len(readers) < 2:
        raise ParameterError(
            "Fewer than two readers rated two positive and two negative cases under each test; an AUC over readers "
            "needs two such readers."
        )
    means = means[means["reader"].isin(readers)]
    cases = pd.Index(means["case"].unique())
    auc = np.empty((len(tests), len(readers)))
    moved = np.zeros((len(tests), len(readers), len(cases)))  # change of the AUC where a case is left out
    for (test, reader), group in means.groupby(["test", "reader"]):
        at = tests.index(test), readers.index(reader)
        auc[at], change = _left_out(group["rating"].to_numpy(float), group["positive"].to_numpy(bool))
        moved[(*at, cases.get_indexer(group["case"]))] = change
    flat = moved.reshape(-1, len(cases))
    covariance = (len(cases) - 1) / len(cases) * flat @ flat.T
    smallest = int(needed.loc[readers].min(axis=None))
    shape = auc.shape + auc.shape
    left_out = sorted(enough.index[~enough])
    of_tests = means.groupby("test")["case"].nunique().tolist()
    return ReaderAucs(tests, readers, auc, covariance.reshape(shape), len(cases), of_tests, smallest, left_out)


def _left_out(rating: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """Return the empirical AUC, and its change where each case is left out, (cases,), by midranks (Sun & Xu 2014)."""
    m, n = int(positive.sum()), int((~positive).sum())
    ranks = stats.rankdata(rating)
    share = np.empty(len(rating))  # of the cases of the other class that a case is rated right against
    share[positive] = (ranks[positive] - stats.rankdata(rating[positive])) / n
    share[~positive] = 1 - (ranks[~positive] - stats.rankdata(rating[~positive])) / m
    auc = float(share[positive].mean())
    return auc, (auc - share) / (np.where(positive, m, n) - 1)


def obuchowski_rockette(aucs: ReaderAucs) -> Analysis:
    """Estimate variance components, AUCs and their differences, for other readers and other cases."""
    t, j = aucs.auc.shape
    same_test, same_reader = np.eye(t, dtype=bool)[:, None, :, None], np.eye(j, dtype=bool)[None, :, None, :]
    covariance = aucs.covariance

    def mean(where: np.ndarray) -> float:
        return float(covariance[np.broadcast_to(where, covariance.shape)].mean())

    error, cov2 = mean(same_test & same_reader), mean(same_test & ~same_reader)
    of_readers = t * float(np.var(aucs.auc.mean(0), ddof=1))
    components = {"error": error, "cov2": cov2}
    differences = {}
    if t > 1:
        cov1, cov3 = mean(~same_test & same_reader), mean(~same_test & ~same_reader)
        residual = aucs.auc - aucs.auc.mean(0) - aucs.auc.mean(1, keepdims=True) + aucs.auc.mean()
        mean_square = float((residual**2).sum()) / ((t - 1) * (j - 1))
        shared = max(cov2 - cov3, 0.0)
        own = error - cov1 - shared
        components |= {"reader": (of_readers - mean_square) / t - cov1 + cov3, "test x reader": mean_square - own}
        components |= {"cov1": cov1, "cov3": cov3}
        about = (j, aucs.cases, mean_square, shared, own, t, aucs.smallest)
        for a, b in itertools.combinations(range(t), 2):
            value = float(aucs.auc[a].mean() - aucs.auc[b].mean())
            differences[aucs.tests[a], aucs.tests[b]] = Contrast(value, *about)
    else:
        components["reader"] = of_readers - error + max(cov2, 0.0)
    tests = {name: _one_test(aucs, number) for number, name in enumerate(aucs.tests)}
    return Analysis(components, tests, differences)


def _one_test(aucs: ReaderAucs, number: int) -> Contrast:
    """Return the AUC under one test, from its own ratings."""
    auc, covariance = aucs.auc[number], aucs.covariance[number, :, number]
    j = len(auc)
    error = float(np.trace(covariance)) / j
    shared = max(float(covariance.sum() - np.trace(covariance)) / (j * (j - 1)), 0.0)
    spread = float(np.var(auc, ddof=1))
    cases = aucs.cases_of_tests[number]
    return Contrast(float(auc.mean()), j, cases, spread, shared, error - shared, 1, aucs.smallest)


def cases_needed(contrast: Contrast, effect: float, readers: int, power: float, most: int = 20_000) -> int | None:
    """Return the cases, to the next ten, that find an effect with `power`; None where `most` do not.

    More cases do not make up for few readers where readers differ.
    """
    sizes = range(10, most + 1, 10)
    enough = bisect_left(sizes, power, key=lambda cases: contrast.power(effect, readers, cases))
    return sizes[enough] if enough < len(sizes) else None


def imrmc(ratings: pd.DataFrame, title: str) -> str:
    """Return ratings as text that iMRMC reads (https://github.com/DIDSR/iMRMC, user manual, "Input file").

    A header with the numbers of readers (NR), negative and positive cases (N0, N1) and modalities (NM); then the truth,
    one row per case; then one row per rating: reader, case, modality, score. Several ratings of one case by one
    reader are averaged. Names lose their commas and blanks, which iMRMC would read as separators.

    Args:
        ratings: see `reader_aucs`.
        title: first line, of two characters or more (iMRMC ends at a shorter one).

    Raises:
        ParameterError: two names differ only in commas and blanks.
    """
    named = ratings.copy()
    for name in ("test", "reader", "case"):
        named[name] = ratings[name].astype(str).str.replace(r"[,\s]+", "_", regex=True)
        if named[name].nunique() < ratings[name].nunique():
            raise ParameterError(f"Two names of a {name} differ only in commas and blanks; rename one for iMRMC.")
    means = named.groupby(["reader", "case", "test"], sort=False)["rating"].mean()
    truth = named.drop_duplicates("case").set_index("case")["positive"]
    positives, readers, tests = int(truth.sum()), named["reader"].nunique(), named["test"].nunique()
    header = {"NR": readers, "N0": len(truth) - positives, "N1": positives, "NM": tests}
    lines = [" ".join(title.split()), *(f"{key}: {value}" for key, value in header.items()), "BEGIN DATA:"]
    lines += [f"-1,{case},truth,{int(positive)}" for case, positive in truth.items()]
    lines += [f"{reader},{case},{test},{rating:g}" for (reader, case, test), rating in means.items()]
    return "\n".join(lines) + "\n"
