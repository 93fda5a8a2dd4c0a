"""Analysis of the answers of a two-alternative reader study, section by section, to a folder with a report.

Any CSV will do whose rows are answers with the columns reader, question and correct. What other columns allow (see
`responses.COLUMNS`) is done where they are there; the report says what is missing. Each section is a function of a
`StudyAnswers` that writes its numbers, tables and figures to `Results` and returns a part of the page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from scipy import stats

from mammogan.report import reader_figures, style
from mammogan.report.html import Part, Picture, Table, write_page
from mammogan.report.results import Results
from mammogan.stats import equivalence, proportions, rank_tests, score_distribution
from mammogan.stats.mixed import mixed_logistic
from mammogan.stats.responses import TRAITS, read_responses
from mammogan.types import Progress, no_progress

IMAGES = ("pair", "real_id", "synthetic_id")
TRAIT_NAMES = {
    "radiologist": ("radiologists", "others"),
    "board_certified": ("board certified", "trainees"),
    "breast_specialist": ("breast specialists", "other radiologists"),
    "screening": ("screening", "radiologists who do not screen"),
}
CLUSTER_NAMES = {"reader": "readers", "pair": "pairs", "real_id": "real images", "synthetic_id": "synthetic images"}
FAMILIES = (
    ("equivalence of all answers with guessing", "primary; one test, none adjusted"),
    ("rate of each group against one half", "Holm over the groups"),
    ("groups against each other", "Holm over the traits, all attempts and first attempts apart"),
    ("pairs of questions", "Holm over all pairs; unadjusted beside it, as in the paper"),
    ("everything else", "exploratory; P values are unadjusted and settle nothing"),
)


@dataclass
class StudyAnswers:
    """The answers of a study, and how it is to be analyzed.

    Attributes:
        table: one row an answer: session, reader, question, correct, and what other columns there are.
        margin: of equivalence with guessing, in rate of right answers, stated beforehand.
        simulations: data sets behind each Monte Carlo P.
        seed: of everything random.
        note: a sentence that every page and caption must carry, e.g. that the answers are a reconstruction.
        missing: {what cannot be done: why}; sections add to it.
        warnings: what does not hold, in sentences; sections add to it.
    """

    table: pd.DataFrame
    margin: float = 0.05
    simulations: int = 2000
    seed: int = 0
    note: str = ""
    missing: dict[str, str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def has(self, *columns: str) -> bool:
        return all(name in self.table and self.table[name].astype(str).str.len().gt(0).any() for name in columns)

    @property
    def sessions(self) -> pd.DataFrame:
        """One row a session: right, answers, reader, first (of its reader), and the traits."""
        groups = self.table.groupby("session", sort=False)
        made = groups.agg(reader=("reader", "first"), right=("correct", "sum"), answers=("correct", "size"))
        for trait in (*TRAITS, "years"):
            if trait in self.table:
                made[trait] = groups[trait].first()
        if "confirmed_at" in self.table:
            made = made.loc[groups["confirmed_at"].min().sort_values(kind="stable").index]
        made["first"] = ~made["reader"].duplicated()
        return made

    @property
    def complete(self) -> tuple[pd.DataFrame, int]:
        """Sessions that answered every question, and the number of questions."""
        sessions = self.sessions
        questions = int(self.table["question"].max())
        return sessions[sessions["answers"] == questions], questions

    def matrix(self) -> np.ndarray:
        """0/1 answers (complete sessions, questions)."""
        sessions, _ = self.complete
        wide = self.table.pivot(index="session", columns="question", values="correct")
        return wide.loc[sessions.index].to_numpy(np.int8)

    @cached_property
    def clusters(self) -> dict[str, np.ndarray]:
        """{factor: (n,) codes} of what answers share, where some of it came up more than once: the reader, images."""
        found = {}
        for name in ("reader", *IMAGES):
            codes = self.table[name].astype(str).to_numpy() if self.has(name) else np.empty(0)
            if 1 < len(np.unique(codes)) < 0.9 * len(codes):
                found[name] = codes
        if "pair" in found and {"real_id", "synthetic_id"} <= set(found):
            del found["pair"]  # the pair is given by its two images
        return found

    def clustered(
        self, rows: np.ndarray | None = None, names: Iterable[str] | None = None
    ) -> proportions.Clustered | None:
        """Rate of some answers with what they share as clusters; None where it cannot be had.

        Args:
            rows: (n,) which answers; all where it is None.
            names: of `clusters`; all of them where it is None.
        """
        rows = np.ones(len(self.table), bool) if rows is None else rows
        codes = [self.clusters[name][rows] for name in (self.clusters if names is None else names)]
        try:
            return proportions.clustered(self.table["correct"].to_numpy()[rows], codes, self.margin) if codes else None
        except ValueError:
            return None


def read_study(path: str | Path, **settings: Any) -> StudyAnswers:
    """Read a CSV of answers; see `responses.read_responses`."""
    return StudyAnswers(read_responses(path), **settings)


def demographics(study: StudyAnswers, results: Results) -> Part:
    """Who took part: readers, attempts, answers, and what readers say about themselves."""
    sessions = study.sessions
    first = sessions[sessions["first"]]
    for key, value, label in (
        ("readers", len(first), "readers"),
        ("sessions", len(sessions), "attempts"),
        ("repeats", len(sessions) - len(first), "repeated attempts"),
        ("answers", int(sessions["answers"].sum()), "answers"),
        ("complete", len(study.complete[0]), "attempts with every question answered"),
    ):
        results.value(key, value, label=label)
    rows = [["all", len(first), len(sessions), int(sessions["answers"].sum())]]
    for trait, (name, _) in TRAIT_NAMES.items():
        if study.has(trait):
            yes = sessions[sessions[trait] == "yes"]
            rows.append([name, int(yes["first"].sum()), len(yes), int(yes["answers"].sum())])
        else:
            study.missing[f"groups by {trait.replace('_', ' ')}"] = f"there is no column {trait}"
    table = pd.DataFrame(rows, columns=["group", "readers", "attempts", "answers"])
    results.table("demographics", table)
    tables = [_table("Readers, attempts and answers", table)]
    asked = {"all": first} | {
        name: first[first[trait] == "yes"] for trait, (name, _) in TRAIT_NAMES.items() if study.has(trait)
    }
    years = {name: group["years"].dropna() for name, group in asked.items() if "years" in group}
    rows = [[name, len(y), *y.quantile([0, 0.25, 0.5, 0.75, 1])] for name, y in years.items() if len(y)]
    if rows:
        header = ["group", "readers who say", "least", "lower quartile", "median", "upper quartile", "most"]
        tables.append(_table("Years of experience", results.table("years", pd.DataFrame(rows, columns=header))))
    else:
        study.missing["years of experience"] = "no reader states any"
    return Part("Who took part", (), tables)


def overall(study: StudyAnswers, results: Results) -> Part:
    """Can readers tell? The rate of right answers, whether answers hang together, equivalence, and sensitivity."""
    right, n = int(study.table["correct"].sum()), len(study.table)
    low, high = proportions.exact_interval(right, n)
    spread, warning = independence(study, results)
    results.value("rate", right / n, interval=(low, high), fmt=".3f", label="rate of right answers",
                  how=f"exact binomial interval, answers as independent. {warning}")  # fmt: skip
    results.value("p", proportions.binomial_p(right, n), fmt=".3g", label="P against one half", how="exact binomial")
    results.value("margin", study.margin, fmt=".3g", label="margin of equivalence", how="stated beforehand")
    p = equivalence.equivalence_p(right, n, study.margin)
    results.value("equivalence.p", p, fmt=".2g", label="P of equivalence", how="two one-sided exact binomial tests")
    sensitivity, bounds = proportions.d_prime(right, n)
    if np.isfinite(bounds).all():
        results.value("d_prime", sensitivity, interval=bounds, fmt=".2f", label="d'",
                      how="sqrt(2) z(rate), exact binomial interval")  # fmt: skip
    rows: list[list[Any]] = [
        ["answers as independent, exact binomial", right / n, low, high, proportions.binomial_p(right, n), p, 1.0]
    ]
    ways = [list(study.clusters)]
    if len(study.clusters) > 1 and "reader" in study.clusters:
        ways.insert(0, ["reader"])
    for names in ways:
        if (c := study.clustered(names=names)) is not None:
            shared = _listed(names)
            rows.append([f"{shared} as clusters, t", c.rate, c.low, c.high, c.p, c.p_equivalence, c.design_effect])
            low, high = c.low, c.high
    if (c := study.clustered()) is None:
        study.missing["an interval over clusters"] = "there are less than three of them, or all have the same rate"
    else:
        shared = _listed(study.clusters)
        results.value("clustered.rate", c.rate, interval=(c.low, c.high), fmt=".3f", label="rate of right answers",
                      how=f"t interval, {shared} as clusters")  # fmt: skip
        if c.low > 0 and c.high < 1:
            d, *bounds = np.sqrt(2) * stats.norm.ppf([c.rate, c.low, c.high])
            results.value("clustered.d_prime", d, interval=(bounds[0], bounds[1]), fmt=".2f", label="d'",
                          how=f"sqrt(2) z(rate), {shared} as clusters")  # fmt: skip
        results.value("clustered.equivalence.p", c.p_equivalence, fmt=".2g", label="P of equivalence, clusters",
                      how=f"two one-sided t tests, {shared} as clusters")  # fmt: skip
    header = ["method", "rate", "low", "high", "P against 1/2", "P of equivalence", "variance, of the binomial's"]
    table = pd.DataFrame(rows, columns=header)
    results.table("overall", table)
    verdict = (
        f"A rate outside one half ± {study.margin:g} can be excluded at 5 %."
        if rows[-1][5] <= 0.05
        else f"A rate outside one half ± {study.margin:g} cannot be excluded at 5 %."
    )
    if low > 0.5 or high < 0.5:
        verdict += " The rate differs from one half."
    return Part(
        "Can readers tell real from synthetic?",
        (
            verdict + " The verdict is that of the last row of the table.",
            warning,
            "A large P against one half is no evidence for guessing; a small P of equivalence is. The binomial row "
            "speaks of these readers and these images; the rows with clusters speak of others like them.",
        ),
        [
            _table("Rate of right answers with 95 % intervals", table),
            _table("Do answers hang together? Tarone's test", spread),
        ],
    )


def independence(study: StudyAnswers, results: Results) -> tuple[pd.DataFrame, str]:
    """Whether answers of one reader, or to one image, are more alike than by chance: (table, what that means)."""
    answers = study.table["correct"].to_numpy()
    rows, found = [], []
    for name, codes in study.clusters.items() if np.ptp(answers) else ():
        o = proportions.overdispersion(answers, codes)
        results.value(f"correlation.{name}", o.correlation, fmt=".3f", label=f"correlation of answers, same {name}",
                      how=f"intraclass, by moments; Tarone's test P = {o.p:.3f}")  # fmt: skip
        rows.append([CLUSTER_NAMES[name], o.clusters, len(answers) / o.clusters, o.correlation, o.p, o.detectable])
        if o.p <= 0.05:
            found.append(name)
    header = ["clusters", "number", "answers each", "intraclass correlation", "P", "found with 80 % power from"]
    table = pd.DataFrame(rows, columns=header)
    results.table("independence", table)
    if not found:
        text = "No overdispersion was found" if rows else "Whether answers hang together cannot be tested"
        return table, f"{text}; only the interval over clusters needs no such assumption."
    text = f"WARNING: {_listed(found)} differ by more than chance, so that the binomial interval is too narrow"
    if (c := study.clustered()) is None:
        study.warnings.append(f"{text}, and there are too few clusters for one that holds.")
        return table, study.warnings[-1]
    left = 100 * proportions.coverage_left(max(c.design_effect, 1.0))
    study.warnings.append(
        f"{text}: of other readers and images it covers about {left:.0f} %, not 95 %. Report {c.rate:.3f} "
        f"({c.low:.3f} to {c.high:.3f}), the interval over clusters."
    )
    return table, study.warnings[-1]


def distribution(study: StudyAnswers, results: Results) -> Part:
    """Scores of attempts: histogram and density, fit to a binomial, overdispersion, the best reader."""
    sessions, questions = study.complete
    scores = sessions["right"].to_numpy()
    if len(scores) < 3:
        study.missing["the distribution of scores"] = "fewer than three attempts answered every question"
        return Part("Scores", ("Fewer than three attempts are complete.",))
    counts = np.bincount(scores, minlength=questions + 1)
    expected = len(scores) * stats.binom.pmf(np.arange(questions + 1), questions, 0.5)
    data = pd.DataFrame({"right": np.arange(questions + 1), "attempts": counts, "by guessing": expected})
    groups = {"all": scores}
    for trait in ("radiologist", "breast_specialist"):
        if study.has(trait):
            yes, no = _split(sessions, trait)
            if len(yes) > 2 and len(no) > 2:
                groups |= dict(zip(TRAIT_NAMES[trait], (yes["right"].to_numpy(), no["right"].to_numpy()), strict=True))
    parts = [_figure(study, results, "scores", reader_figures.score_distribution(counts, questions, groups), data,
                     f"Left: right answers of {len(scores)} attempts, and what guessing gives. Right: "
                                   "kernel density estimates of the groups' rates (Silverman's bandwidth).",
                     "Histogram of right answers and densities of groups.")]  # fmt: skip
    rows: list[list[object]] = []
    try:
        fit = score_distribution.goodness_of_fit(scores, questions, simulations=study.simulations, seed=study.seed)
        results.value("fit.p", fit["p"], fmt=".3f", label="chi-square P, bins pooled to 5",
                      how=f"{fit['bins']} bins")  # fmt: skip
        results.value("fit.p_monte_carlo", fit["p_monte_carlo"], fmt=".3f", label="chi-square P, Monte Carlo",
                      how=f"{study.simulations} data sets")  # fmt: skip
        rows += [[f"chi-square, {fit['bins']} pooled bins: P", fit["p"]],
                 ["chi-square by Monte Carlo: P", fit["p_monte_carlo"]]]  # fmt: skip
    except ValueError as error:
        study.missing["the chi-square test of scores"] = str(error)
    beta = score_distribution.beta_binomial(scores, questions)
    results.value("overdispersion", beta.rho, fmt=".4f", label="overdispersion of scores",
                  how=f"beta-binomial intraclass correlation, P = {beta.p:.3f}")  # fmt: skip
    best = int(scores.max())
    expectation, probability = proportions.chance_of_best(len(scores), questions, best)
    results.value("best", best, label="best score", how=f"by guessing at least one such score: {probability:.2f}")
    rows += [["beta-binomial overdispersion", beta.rho], ["its P", beta.p], ["best score", best],
             ["attempts with it or better, by guessing", expectation],
             ["at least one, by guessing: probability", probability]]  # fmt: skip
    table = pd.DataFrame(rows, columns=["quantity", "value"])
    return Part("Scores of attempts", (), [_table("Do scores follow a binomial?", table)], parts)


def over_questions(study: StudyAnswers, results: Results) -> Part:
    """Do readers learn or tire? Rates by question and the paper's tests of them."""
    answers = study.matrix()
    attempts, questions = answers.shape
    if attempts < 2 or questions < 2 or answers.min() == answers.max():
        study.missing["tests over questions"] = "there are too few complete attempts, or all answers are the same"
        return Part("Over the questions", ("Too few complete attempts.",))
    right = answers.sum(0)
    bounds = np.array([proportions.exact_interval(int(k), attempts) for k in right])
    data = pd.DataFrame({"question": np.arange(1, questions + 1), "right": right, "rate": right / attempts,
                         "low": bounds[:, 0], "high": bounds[:, 1]})  # fmt: skip
    picture = _figure(study, results, "questions", reader_figures.question_rates(data), data,
                      f"Share of right answers by question, 95 % exact intervals, {attempts} attempts.",
                      "Points with error bars by question.")  # fmt: skip
    columns = list(answers.T)
    slope, p_trend = rank_tests.trend_p(right, attempts)
    tests: list[tuple[str, float]] = [
        ("Kruskal-Wallis over questions", rank_tests.kruskal_wallis(columns)),
        ("Cochran's Q, attempts as blocks", rank_tests.cochran_q(answers)),
        ("trend (Cochran-Armitage)", p_trend),
    ]
    for key, (name, p) in zip(("kruskal", "cochran", "trend"), tests, strict=True):
        results.value(f"questions.{key}.p", p, fmt=".3f", label=name + ", P")
    results.value("questions.slope", 100 * slope, fmt=".2f", unit="percentage points a question", label="slope")
    raw, holm = rank_tests.conover(columns), rank_tests.conover(columns, "holm")
    upper = np.triu_indices(questions, 1)
    pairs = pd.DataFrame({"question": upper[0] + 1, "against": upper[1] + 1, "P": raw[upper], "P (Holm)": holm[upper]})
    results.table("conover", pairs)
    results.value("questions.conover.smallest", float(raw[upper].min()), fmt=".3f", label="smallest Conover-Iman P",
                  how=f"unadjusted, of {len(pairs)} pairs")  # fmt: skip
    results.value("questions.conover.holm", float(holm[upper].min()), fmt=".3f", label="smallest Conover-Iman P, Holm",
                  how=f"family: {len(pairs)} pairs of questions")  # fmt: skip
    wide = pd.DataFrame(np.where(np.triu(np.ones_like(raw), 1) > 0, raw.round(3), np.nan)).astype(object)
    wide = wide.where(wide.notna(), "")
    wide.insert(0, "question", np.arange(1, questions + 1))
    wide.columns = ["question", *map(str, range(1, questions + 1))]
    return Part(
        "Over the questions",
        ("Learning would show as a slope, hard or easy places as differences.",),
        [_table("Tests over questions", pd.DataFrame(tests, columns=["test", "P"])),
         _table("Conover-Iman P values, unadjusted, as in Table 3 of the paper (with Holm in conover.csv)", wide)],
        [picture],
    )  # fmt: skip


def groups(study: StudyAnswers, results: Results) -> Part:
    """Who did how well (Table 4), and whether groups differ (Kruskal-Wallis on scores)."""
    sessions = study.sessions
    parts = {"all": sessions}
    compared: list[dict[str, object]] = []
    for trait, names in TRAIT_NAMES.items():
        if not study.has(trait):
            continue
        for sample, chosen in (("all attempts", sessions), ("first attempts", sessions[sessions["first"]])):
            yes, no = _split(chosen, trait)
            if sample == "all attempts":
                parts |= {name: rows for name, rows in zip(names, (yes, no), strict=True) if len(rows)}
            if len(yes) and len(no) and len(pd.concat([yes, no])["right"].unique()) > 1:
                p = rank_tests.kruskal_wallis([(part["right"] / part["answers"]).to_numpy() for part in (yes, no)])
                compared.append({"groups": " against ".join(names), "sample": sample, "n": len(yes), "against": len(no),
                                 "P": p})  # fmt: skip
    if (~sessions["first"]).any():
        parts["repeated attempts"] = sessions[~sessions["first"]]
    table = equivalence.group_table(
        [(n, int(g["right"].sum()), int(g["answers"].sum())) for n, g in parts.items()], study.margin
    )
    table.insert(1, "attempts", [len(g) for g in parts.values()])
    table.insert(5, "sd", [float((g["right"] / g["answers"]).std(ddof=0)) for g in parts.values()])
    shared = _listed(study.clusters) if study.clusters else "none"
    over = {name: study.clustered(study.table["session"].isin(g.index).to_numpy()) for name, g in parts.items()}
    clusters = pd.DataFrame([[name, c.rate, c.low, c.high, c.p, c.p_equivalence] for name, c in over.items() if c],
                            columns=["group", "rate", "low", "high", "P", "P of equivalence"])  # fmt: skip
    for side in ("low", "high"):
        table[f"{side} (clusters)"] = table["group"].map(clusters.set_index("group")[side])
    caption = f"Rates of groups with 95 % intervals. Band: the margin of equivalence. Clusters: {shared}."
    pictures = [_figure(study, results, "groups", reader_figures.success_rates(table, study.margin), table,
                        caption, "Forest plot of groups.")]  # fmt: skip
    for row in table.itertuples():
        results.value(
            f"group.{str(row.group).replace(' ', '_')}",
            row.rate,
            interval=(row.low, row.high),
            fmt=".3f",
            label=str(row.group),
            how=f"{row.successes} of {row.trials}, SD of attempts {row.sd:.3f}",
        )
    shown = table.drop(columns=["low (clusters)", "high (clusters)"])
    tables = [_table("Groups (Table 4): rate, SD of attempts (1/n), exact interval; Holm over this table", shown)]
    if len(clusters):
        clusters.insert(5, "P (Holm)", rank_tests.holm(clusters["P"].to_numpy()))
        tables.append(_table(f"The same with {shared} as clusters, t; Holm over this table", clusters))
    if compared:
        frame = pd.DataFrame(compared)
        frame["P (Holm)"] = frame.groupby("sample")["P"].transform(lambda p: rank_tests.holm(p.to_numpy()))
        results.table("strata", frame)
        tables.append(_table("Groups against each other, Kruskal-Wallis on rates of attempts", frame))
    else:
        study.missing["groups against each other"] = "no trait splits the readers"
    return Part("Groups of readers", (), tables, pictures)


def mixed_model(study: StudyAnswers, results: Results) -> Part:
    """Readers and images as crossed random effects."""
    factors = study.clusters
    if not set(factors) & set(IMAGES):
        why = "there is no column pair, real_id or synthetic_id, or hardly an image came up twice"
        study.missing["images as random effects"] = why
    y = study.table["correct"].to_numpy()
    if not factors or y.min() == y.max():
        study.missing["the mixed model"] = "all answers are the same, or no reader answered twice"
        return Part("Readers and images", ("No mixed model can be fitted.",))
    centered = study.table["question"].to_numpy() - study.table["question"].mean()
    fit = mixed_logistic(y, factors, {"question": centered} if np.ptp(centered) else None)
    middle, low, high = fit.rate()
    results.value("mixed.rate", middle, interval=(low, high), fmt=".3f", label="rate, mixed model",
                  how="typical reader and image; Laplace, Wald interval; crossed: " + ", ".join(factors))  # fmt: skip
    rows = [["rate of a typical reader on a typical image", middle, low, high],
            ["rate averaged over readers and images", *fit.rate(average=True)]]  # fmt: skip
    if "question" in fit.coefficients:
        b, e = fit.coefficients["question"]
        rows.append(["log odds a question (learning)", b, b - 1.96 * e, b + 1.96 * e])
        results.value("mixed.question", b, interval=(b - 1.96 * e, b + 1.96 * e), fmt=".3f",
                      label="log odds a question", how="mixed model")  # fmt: skip
    for name, deviation in fit.deviations.items():
        rows.append([f"SD between levels of {name}, log odds (P = {fit.p[name]:.3f})", deviation, "", ""])
        results.value(f"mixed.sd.{name}", deviation, fmt=".3f", label=f"SD between levels of {name}, log odds",
                      how=f"likelihood ratio P = {fit.p[name]:.3f}, halved at the border")  # fmt: skip
    text = [] if fit.converged else ["The optimizer did not converge; distrust these numbers."]
    table = pd.DataFrame(rows, columns=["quantity", "estimate", "low", "high"])
    results.table("mixed", table)
    return Part("Readers and images as random effects", text,
                [_table("Mixed-effects logistic regression, crossed random intercepts", table)])  # fmt: skip


def times(study: StudyAnswers, results: Results) -> Part:
    """How long readers looked, and whether the quick answers are the wrong ones."""
    if not study.has("seconds"):
        study.missing["response times"] = "there is no column seconds"
        return Part("Response times", ("The answers carry no times.",))
    table = study.table[study.table["seconds"] > 0]
    right, wrong = (table.loc[table["correct"] == k, "seconds"] for k in (1, 0))
    quartiles = table["seconds"].quantile([0.25, 0.5, 0.75])
    results.value("seconds", float(quartiles[0.5]), fmt=".1f", unit="s", label="median time of an answer",
                  how=f"quartiles {quartiles[0.25]:.1f} and {quartiles[0.75]:.1f} s")  # fmt: skip
    rows = [["median, s", float(quartiles[0.5])]]
    if len(right) and len(wrong):
        p = float(stats.mannwhitneyu(right, wrong).pvalue)
        rows += [["median of right answers, s", right.median()], ["median of wrong answers, s", wrong.median()],
                 ["P of a difference (Mann-Whitney)", p]]  # fmt: skip
        results.value("seconds.p", p, fmt=".3f", label="right against wrong, P", how="Mann-Whitney")
    if table["question"].nunique() > 2:
        found = stats.spearmanr(table["question"], table["seconds"])
        rows += [["Spearman correlation of time and question", float(found.statistic)], ["its P", float(found.pvalue)]]
        results.value("seconds.trend", float(found.statistic), fmt=".2f", label="time over questions, Spearman",
                      how=f"P = {found.pvalue:.3g}; negative: readers hurry towards the end")  # fmt: skip
    picture = _figure(study, results, "times", reader_figures.response_times(table),
                      table[["question", "seconds", "correct"]],
                      "Time to each answer by question, right and wrong answers apart.",
                      "Box plots of response times.")  # fmt: skip
    return Part("Response times", ("Readers who gave up show as times that fall to a few seconds.",),
                [_table("Times", pd.DataFrame(rows, columns=["quantity", "value"]))], [picture])  # fmt: skip


def next_study(study: StudyAnswers, results: Results) -> Part:
    """Power of this study, and the size of the next."""
    _, questions = study.complete
    c = study.clustered()
    effect = max(c.design_effect, 1.0) if c else 1.0
    n = int(len(study.table) / effect)
    results.value("design_effect", effect, fmt=".2f", label="design effect",
                  how="variance of the rate over clusters, of the binomial's; no less than 1")  # fmt: skip
    power = equivalence.power_of_equivalence(n, study.margin)
    results.value("power", 100 * power, fmt=".0f", unit="%", label="power of equivalence of this study",
                  how="if readers guess; answers divided by the design effect")  # fmt: skip
    rows = []
    for margin in sorted({0.03, 0.05, 0.1, study.margin}):
        needed = equivalence.answers_for_equivalence(margin, 0.9)
        rows.append([f"equivalence within ± {margin:g}", needed, int(np.ceil(needed * effect / questions))])
    for rate in (0.55, 0.6, 0.7):
        needed = equivalence.answers_for_difference(rate, 0.9)
        rows.append([f"difference, true rate {rate:g}", needed, int(np.ceil(needed * effect / questions))])
    table = pd.DataFrame(rows, columns=["to show with 90 % power", "independent answers", "attempts"])
    results.table("next", table)
    curves = equivalence.power_table(study.margin)
    picture = _figure(study, results, "power", reader_figures.power_curves(curves), curves,
                      "Power by number of independent answers, exact; level 5 %.",
                      "Power curves.")  # fmt: skip
    text = (
        f"Attempts are of {questions} questions and count how answers hang together here (design effect {effect:.2f}); "
        "more readers do not make up for few images."
    )
    return Part("The next study", (text,), [_table("Answers and attempts needed", table)], [picture])


SECTIONS: tuple[Callable[[StudyAnswers, Results], Part], ...] = (
    demographics, overall, distribution, over_questions, groups, mixed_model, times, next_study,
)  # fmt: skip


class _Unpainted(Results):
    """Results whose figures nobody looks at."""

    def figure(self, name: str, figure: Figure, data: pd.DataFrame) -> Figure:
        return figure


def spread(
    studies: Iterable[StudyAnswers], sections: Sequence[Callable[[StudyAnswers, Results], Part]]
) -> pd.DataFrame:
    """How far numbers of sections differ between studies, e.g. between data sets that one reconstruction allows.

    Returns:
        One row a number: key, label, lowest, median, highest.
    """
    numbers: dict[str, list[float]] = {}
    labels: dict[str, str] = {}
    with TemporaryDirectory() as folder:
        for study in studies:
            results = _Unpainted(folder, "spread")
            for section in sections:
                section(study, results)
                plt.close("all")
            for key, entry in results.entries.items():
                labels[key] = entry["label"]
                for end, value in enumerate([entry["value"], *entry.get("interval", ())]):
                    numbers.setdefault(key + ("", ", low", ", high")[end], []).append(value)
    rows = [
        [key, labels[key.split(",")[0]], min(values), float(np.median(values)), max(values)]
        for key, values in numbers.items()
    ]
    return pd.DataFrame(rows, columns=["key", "number", "lowest", "median", "highest"])


def analyse(study: StudyAnswers, out: str | Path, *, chapter: str = "study", progress: Progress = no_progress) -> Path:
    """Run every section and write report.html, results.json, figures/ and data/ to a folder.

    Args:
        study: the answers.
        out: folder to write to.
        chapter: first part of the keys in results.json.
        progress: counts "sections".

    Returns:
        The report.
    """
    style.apply_style()
    results = Results(out, chapter)
    parts = []
    for number, section in enumerate(SECTIONS):
        progress("sections", number, len(SECTIONS), section.__name__.replace("_", " "))
        parts.append(section(study, results))
        plt.close("all")
    results.save()
    said = [[what, why] for what, why in study.missing.items()]
    parts += [
        Part("Families of tests", (), [Table("What is adjusted for what", ("family", "adjustment"), FAMILIES)]),
        Part(
            "What could not be done",
            () if said else ("Everything was done.",),
            [Table("Missing", ("what", "why"), said)],
        ),
    ]
    lead = [line for line in (study.note,) if line]
    sessions = study.sessions
    lead.append(
        f"{len(study.table)} answers, {len(sessions)} attempts, {sessions['reader'].nunique()} readers. The margin of "
        f"equivalence is ± {study.margin:g}; seed {study.seed}, {study.simulations} simulations."
    )
    data = sorted(path.relative_to(out).as_posix() for path in Path(out).glob("data/*.csv"))
    return write_page(Path(out) / "report.html", "Reader study", lead, parts, ["results.json", *data])


def _split(sessions: pd.DataFrame, trait: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Sessions with a trait and those without: of all readers for radiologist, else of radiologists alone."""
    yes = sessions[sessions[trait] == "yes"]
    if trait == "radiologist":
        return yes, sessions[sessions[trait] == "no"]
    if trait == "board_certified" and "trainee" in sessions:
        return yes, sessions[sessions["trainee"] == "yes"]
    # A radiologist who is no breast specialist is not asked about screening.
    rest = sessions[sessions[trait] != "yes"]
    if "radiologist" in sessions:
        rest = rest[rest["radiologist"] == "yes"]
    return yes, rest


def _listed(clusters: Iterable[str]) -> str:
    *others, last = (CLUSTER_NAMES[name] for name in clusters)
    return f"{', '.join(others)} and {last}" if others else last


def _table(caption: str, frame: pd.DataFrame) -> Table:
    rows = frame.astype(object).to_numpy().tolist()
    return Table(caption, [str(name).replace("_", " ") for name in frame.columns], rows)


def _figure(
    study: StudyAnswers, results: Results, name: str, figure: Figure, data: pd.DataFrame, caption: str, alt: str
) -> Picture:
    if study.note:
        figure.suptitle(study.note, y=1.01, va="bottom", fontsize=8)
    results.figure(name, figure, data)
    return Picture(f"figures/{name}.png", alt, f"{study.note} {caption}".strip())
