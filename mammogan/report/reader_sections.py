"""Sections of the report on a reader study, each an iterator of paragraphs, numbers, tables and figures.

Optional columns of the answers (`responses.COLUMNS`) are used where they exist; what could not be done without them is
noted in `StudyAnswers.missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.report import reader_figures
from mammogan.report.html import Picture, Table
from mammogan.report.numbers import Number, described
from mammogan.report.reader_answers import CLUSTER_NAMES, IMAGES, TRAIT_NAMES, StudyAnswers, listed, split_by
from mammogan.report.results import Value
from mammogan.stats import equivalence, proportions, rank_tests
from mammogan.stats.mixed import mixed_logistic


class Numbers(NamedTuple):
    """Numbers by key, and the caption of their table; without a caption they are kept and not shown."""

    values: dict[str, Value]
    caption: str = ""

    @property
    def table(self) -> Table:
        """Their table, without the columns that hold nothing."""
        rows = [(value.label, value.plain, *(value.interval or ("", "")), value.how) for value in self.values.values()]
        data = pd.DataFrame(rows, columns=["quantity", "value", "low", "high", "how"], dtype=object)
        return Rows(data.loc[:, (data != "").any()], self.caption).table


class Rows(NamedTuple):
    """A table with a caption, without which it is kept and not shown; NAME.csv where it has a name."""

    data: pd.DataFrame
    caption: str = ""
    name: str = ""

    @property
    def table(self) -> Table:
        """The table of a page; cells may break into lines."""
        header = [str(name).replace("_", " ") for name in self.data]
        return Table(self.caption, header, self.data.astype(object).to_numpy().tolist())


def numbers(values: Mapping[str, Number], caption: str = "", **facts: object) -> Numbers:
    """Return numbers with the words of a reader study; see `numbers.described`."""
    return Numbers(described("study", values, **facts), caption)


Section = Callable[[StudyAnswers], Iterator[str | Numbers | Rows | Picture]]


def demographics(study: StudyAnswers) -> Iterator[Numbers | Rows]:
    """Count readers, attempts and answers, and summarize what readers say about themselves."""
    sessions = study.sessions
    first = sessions[sessions["first"]]
    counts = {"readers": len(first), "sessions": len(sessions), "repeats": len(sessions) - len(first)}
    yield numbers({**counts, "answers": int(sessions["answers"].sum()), "complete": len(study.complete[0])})
    groups = {"all": sessions}
    for trait, (name, _) in TRAIT_NAMES.items():
        if study.has(trait):
            groups[name] = sessions[sessions[trait] == "yes"]
        else:
            study.missing[f"groups by {trait.replace('_', ' ')}"] = f"there is no column {trait}"
    rows = [(name, int(g["first"].sum()), len(g), int(g["answers"].sum())) for name, g in groups.items()]
    table = pd.DataFrame(rows, columns=["group", "readers", "attempts", "answers"])
    yield Rows(table, "Readers, attempts and answers", "demographics")
    years = {name: g.loc[g["first"], "years"].dropna() for name, g in groups.items() if "years" in g}
    spans = [(name, len(y), *y.quantile([0, 0.25, 0.5, 0.75, 1])) for name, y in years.items() if len(y)]
    if spans:
        columns = ["group", "readers who say", "least", "lower quartile", "median", "upper quartile", "most"]
        yield Rows(pd.DataFrame(spans, columns=columns), "Years of experience", "years")
    else:
        study.missing["years of experience"] = "no reader states any"


def overall(study: StudyAnswers) -> Iterator[str | Numbers | Rows]:
    """Estimate the rate of right answers, test it against guessing, and test it for equivalence with guessing."""
    right, n = int(study.table["correct"].sum()), len(study.table)
    p, p_equivalence = proportions.binomial_p(right, n), equivalence.equivalence_p(right, n, study.margin)
    exact = proportions.Clustered(*proportions.exact_interval(right, n), p, p_equivalence, 1.0)
    correlations, tarone, warning = independence(study)
    yield correlations
    method = f"exact binomial interval, answers as independent. {warning}"
    yield numbers({**estimates(exact), "p": p, "margin": study.margin}, method=method)
    methods = {"answers as independent, exact binomial": exact}
    for names in (["reader"], list(study.clusters)):
        if set(names) <= set(study.clusters) and (clustered := study.clustered(names=names)) is not None:
            methods[f"{listed(names)} as clusters, t"] = clustered
    if (clustered := study.clustered()) is None:
        study.missing["an interval over clusters"] = "there are fewer than three clusters, or all have the same rate"
    else:
        yield numbers(estimates(clustered, "clustered."), clusters=listed(study.clusters))
    last = list(methods.values())[-1]
    verdict = f"A rate outside one half ± {study.margin:g} can{'' if last.p_equivalence <= 0.05 else 'not'} be excluded"
    differs = " The rate differs from one half." if last.low > 0.5 or last.high < 0.5 else ""
    yield f"{verdict} at 5 %.{differs} The verdict is that of the last row of the table."
    yield warning
    yield (
        "A large P against one half is not evidence of guessing; a small P of equivalence is. The binomial row holds "
        "for these readers and these images; the rows with clusters also hold for others like them."
    )
    rows = [(name, m.rate, m.low, m.high, m.p, m.p_equivalence, m.design_effect) for name, m in methods.items()]
    columns = ["method", "rate", "low", "high", "P against 1/2", "P of equivalence", "variance, of the binomial's"]
    yield Rows(pd.DataFrame(rows, columns=columns), "Rate of right answers with 95 % intervals", "overall")
    yield Rows(tarone, "Are answers correlated? Tarone's test", "independence")


def estimates(c: proportions.Clustered, prefix: str = "") -> dict[str, Number]:
    """Return rate, sensitivity (where its interval is finite) and P of equivalence."""
    values: dict[str, Number] = {f"{prefix}rate": (c.rate, c.low, c.high)}
    if c.low > 0 and c.high < 1:
        values[f"{prefix}d_prime"] = tuple(np.sqrt(2) * stats.norm.ppf([c.rate, c.low, c.high]))
    return {**values, f"{prefix}equivalence.p": c.p_equivalence}


def independence(study: StudyAnswers) -> tuple[Numbers, pd.DataFrame, str]:
    """Test whether answers of one reader, or to one image, are more alike than by chance.

    Returns:
        Correlations, their table, and the verdict; a correlation is also added to the warnings of the study.
    """
    answers, correlated, rows = study.table["correct"].to_numpy(), [], []
    values: dict[str, Value] = {}
    for name, codes in study.clusters.items() if np.ptp(answers) else ():
        o = proportions.overdispersion(answers, codes)
        values |= described("study", {f"correlation.{name}": o.correlation}, p=o.p)
        rows.append((CLUSTER_NAMES[name], o.clusters, len(answers) / o.clusters, o.correlation, o.p, o.detectable))
        correlated += [name] if o.p <= 0.05 else []
    columns = ["clusters", "number", "answers each", "intraclass correlation", "P", "found with 80 % power from"]
    table = pd.DataFrame(rows, columns=columns)
    if not correlated:
        text = "No overdispersion was found" if rows else "The correlation of answers cannot be tested"
        return Numbers(values), table, f"{text}; only the interval over clusters does not assume independent answers."
    text = f"WARNING: {listed(correlated)} differ by more than chance, so that the binomial interval is too narrow"
    if (c := study.clustered()) is None:
        text += ", and there are too few clusters for one that holds."
    else:
        left = 100 * proportions.actual_coverage(max(c.design_effect, 1.0))
        text += (
            f": for other readers and images it covers about {left:.0f} %, not 95 %. Report {c.rate:.3f} "
            f"({c.low:.3f} to {c.high:.3f}), the interval over clusters."
        )
    study.warnings.append(text)
    return Numbers(values), table, text


def distribution(study: StudyAnswers) -> Iterator[str | Numbers | Picture]:
    """Compare the scores of attempts with a binomial distribution, and draw them (Figure 7)."""
    sessions, questions = study.complete
    scores = sessions["right"].to_numpy()
    if len(scores) < 3:
        study.missing["the distribution of scores"] = "fewer than three attempts answered every question"
        yield "Fewer than three attempts are complete."
        return
    counts, cells = np.bincount(scores, minlength=questions + 1), np.arange(questions + 1)
    expected = len(scores) * stats.binom.pmf(cells, questions, 0.5)
    groups = {"all": scores}
    for trait in ("radiologist", "breast_specialist"):
        halves = split_by(sessions, trait) if study.has(trait) else ()
        if halves and min(map(len, halves)) > 2:
            groups |= {name: half["right"].to_numpy() for name, half in zip(TRAIT_NAMES[trait], halves, strict=True)}
    yield Picture(
        "scores",
        reader_figures.score_distribution(counts, questions, groups),
        f"Left: right answers of {len(scores)} attempts, and those expected of guessing. Right: kernel density "
        "estimates of the rates of each group (Silverman's bandwidth).",
        pd.DataFrame({"right": cells, "attempts": counts, "by guessing": expected}),
        "Histogram of right answers and densities of groups.",
    )
    values: dict[str, Number] = {}
    facts: dict[str, object] = {}
    try:
        fit = proportions.goodness_of_fit(scores, questions, simulations=study.simulations, seed=study.seed)
        values = {"fit.p": fit.p, "fit.p_monte_carlo": fit.p_monte_carlo}
        facts = {"bins": fit.bins, "simulations": study.simulations}
    except ValueError as error:
        study.missing["the chi-square test of scores"] = str(error)
    beta, best = proportions.beta_binomial(scores, questions), int(scores.max())
    expected, probability = proportions.chance_of_best(len(scores), questions, best)
    values |= {"overdispersion": beta.rho, "best": best}
    facts |= {"p": beta.p, "expected": expected, "probability": probability}
    yield numbers(values, "Do scores follow a binomial distribution?", **facts)


def rates_by_question(right: np.ndarray, attempts: int) -> pd.DataFrame:
    """Return the rate of right answers of each question with its exact interval.

    Args:
        right: (questions,) right answers.
        attempts: answers per question.
    """
    rows = [(k, n, *proportions.exact_interval(int(n), attempts)) for k, n in enumerate(right, 1)]
    return pd.DataFrame(rows, columns=["question", "right", "rate", "low", "high"])


def over_questions(study: StudyAnswers) -> Iterator[str | Numbers | Rows | Picture]:
    """Test the rates of right answers over the questions for learning, fatigue and difficulty."""
    answers = study.matrix()
    attempts, questions = answers.shape
    if attempts < 2 or questions < 2 or answers.min() == answers.max():
        study.missing["tests over questions"] = "there are too few complete attempts, or all answers are the same"
        yield "Too few complete attempts."
        return
    yield "Learning would show as a slope, hard or easy questions as differences."
    right, columns = answers.sum(0), list(answers.T)
    rates = rates_by_question(right, attempts)
    caption = f"Share of right answers by question, 95 % exact intervals, {attempts} attempts."
    alt = "Points with error bars by question."
    yield Picture("questions", reader_figures.question_rates(rates), caption, rates, alt)
    slope, trend = rank_tests.linear_trend(right, attempts)
    kruskal, cochran = rank_tests.kruskal_wallis(columns), rank_tests.cochran_q(answers)
    tests = {"questions.kruskal.p": kruskal, "questions.cochran.p": cochran, "questions.trend.p": trend}
    yield numbers(tests, "Tests over questions")
    raw, holm = rank_tests.conover(columns), rank_tests.conover(columns, "holm")
    upper = np.triu_indices(questions, 1)
    pairs = pd.DataFrame({"question": upper[0] + 1, "against": upper[1] + 1, "P": raw[upper], "P (Holm)": holm[upper]})
    yield Rows(pairs, name="conover")
    smallest = {"smallest": float(raw[upper].min()), "holm": float(holm[upper].min())}
    values = {f"questions.conover.{key}": p for key, p in smallest.items()}
    yield numbers({"questions.slope": 100 * slope, **values}, pairs=len(pairs))
    wide = pd.DataFrame(np.where(np.triu(np.ones_like(raw), 1) > 0, raw.round(3), np.nan)).astype(object)
    wide = wide.where(wide.notna(), "").set_axis(rates["question"].astype(str), axis=1)
    wide.insert(0, "question", rates["question"])
    yield Rows(wide, "Conover-Iman P values, unadjusted, as in Table 3 of the paper (with Holm in conover.csv)")


def groups(study: StudyAnswers) -> Iterator[Numbers | Rows | Picture]:
    """Estimate the rate of each group of readers (Table 4), and compare groups (Kruskal-Wallis on scores)."""
    strata, compared = compared_groups(study)
    counts = [(name, int(g["right"].sum()), int(g["answers"].sum())) for name, g in strata.items()]
    exact = equivalence.group_table(counts, study.margin)
    exact.insert(1, "attempts", [len(g) for g in strata.values()])
    exact.insert(5, "sd", [float((g["right"] / g["answers"]).std(ddof=0)) for g in strata.values()])
    shared = listed(study.clusters) if study.clusters else "none"
    over = {name: study.clustered(study.table["session"].isin(g.index).to_numpy()) for name, g in strata.items()}
    rows = [(name, c.rate, c.low, c.high, c.p, c.p_equivalence) for name, c in over.items() if c]
    clusters = pd.DataFrame(rows, columns=["group", "rate", "low", "high", "P", "P of equivalence"])
    bounds = clusters.set_index("group")[["low", "high"]].add_suffix(" (clusters)")
    table = exact.join(bounds, on="group")
    caption = f"Rates of groups with 95 % intervals. Band: the margin of equivalence. Clusters: {shared}."
    figure = reader_figures.success_rates(table, study.margin)
    yield Picture("groups", figure, caption, table, "Forest plot of groups.")
    for row in table.itertuples():
        key, counted = f"group.{row.group.replace(' ', '_')}", f"{row.successes} of {row.trials}"
        yield numbers({key: (row.rate, row.low, row.high)}, name=row.group, counts=counted, sd=row.sd)
    yield Rows(exact, "Groups (Table 4): rate, SD of attempts (1/n), exact interval; Holm over this table")
    if len(clusters):
        clusters.insert(5, "P (Holm)", rank_tests.holm(clusters["P"].to_numpy()))
        yield Rows(clusters, f"The same with {shared} as clusters, t; Holm over this table")
    if len(compared):
        compared["P (Holm)"] = compared.groupby("sample")["P"].transform(lambda p: rank_tests.holm(p.to_numpy()))
        yield Rows(compared, "Groups against each other, Kruskal-Wallis on rates of attempts", "strata")
    else:
        study.missing["groups against each other"] = "no trait splits the readers"


def compared_groups(study: StudyAnswers) -> tuple[dict[str, pd.DataFrame], pd.DataFrame]:
    """Return the sessions of each group of readers, and P values between the two groups of each trait."""
    sessions, rows = study.sessions, []
    strata = {"all": sessions}
    for trait, names in TRAIT_NAMES.items():
        if not study.has(trait):
            continue
        halves, firsts = split_by(sessions, trait), split_by(sessions[sessions["first"]], trait)
        strata |= {name: half for name, half in zip(names, halves, strict=True) if len(half)}
        for sample, (yes, no) in (("all attempts", halves), ("first attempts", firsts)):
            if len(yes) and len(no) and pd.concat([yes, no])["right"].nunique() > 1:
                p = rank_tests.kruskal_wallis([(half["right"] / half["answers"]).to_numpy() for half in (yes, no)])
                rows.append((" against ".join(names), sample, len(yes), len(no), p))
    if (~sessions["first"]).any():
        strata["repeated attempts"] = sessions[~sessions["first"]]
    return strata, pd.DataFrame(rows, columns=["groups", "sample", "n", "against", "P"])


def mixed_model(study: StudyAnswers) -> Iterator[str | Numbers | Rows]:
    """Fit a logistic regression with readers and images as crossed random effects."""
    factors, y, question = study.clusters, study.table["correct"].to_numpy(), study.table["question"].to_numpy()
    if not set(factors) & set(IMAGES):
        why = "there is no column pair, real_id or synthetic_id, or hardly an image was shown twice"
        study.missing["images as random effects"] = why
    if not factors or y.min() == y.max():
        study.missing["the mixed model"] = "all answers are the same, or no reader answered twice"
        yield "No mixed model can be fitted."
        return
    centered = question - question.mean()
    fit = mixed_logistic(y, factors, {"question": centered} if np.ptp(centered) else None)
    if not fit.converged:
        yield "The optimizer did not converge; distrust these numbers."
    values = described("study", {"mixed.rate": fit.rate()}, factors=", ".join(factors))
    if "question" in fit.coefficients:
        b, error = fit.coefficients["question"]
        values |= described("study", {"mixed.question": (b, b - 1.96 * error, b + 1.96 * error)})
    for name, deviation in fit.deviations.items():
        values |= described("study", {f"mixed.sd.{name}": deviation}, p=fit.p[name])
    yield Numbers(values)
    rows = [(f"{value.label} ({value.how})", value.value, *(value.interval or ("", ""))) for value in values.values()]
    rows.insert(1, ("rate averaged over readers and images", *fit.rate(average=True)))
    table = pd.DataFrame(rows, columns=["quantity", "estimate", "low", "high"])
    yield Rows(table, "Mixed-effects logistic regression, crossed random intercepts", "mixed")


def times(study: StudyAnswers) -> Iterator[str | Numbers | Picture]:
    """Summarize response times, and compare those of right and wrong answers."""
    if not study.has("seconds"):
        study.missing["response times"] = "there is no column seconds"
        yield "The answers carry no times."
        return
    yield "Readers who gave up show as times that fall to a few seconds."
    table = study.table[study.table["seconds"] > 0]
    right, wrong = (table.loc[table["correct"] == k, "seconds"] for k in (1, 0))
    low, median, high = (float(q) for q in table["seconds"].quantile([0.25, 0.5, 0.75]))
    values, facts = {"seconds": median}, {"low": low, "high": high}
    if len(right) and len(wrong):
        values["seconds.p"] = float(stats.mannwhitneyu(right, wrong).pvalue)
        facts |= {"right": right.median(), "wrong": wrong.median()}
    if table["question"].nunique() > 2:
        values["seconds.trend"], facts["p"] = map(float, stats.spearmanr(table["question"], table["seconds"]))
    caption, data = "Time to each answer by question, right and wrong apart.", table[["question", "seconds", "correct"]]
    yield Picture("times", reader_figures.response_times(table), caption, data, "Box plots of response times.")
    yield numbers(values, "Times", **facts)


def next_study(study: StudyAnswers) -> Iterator[str | Numbers | Rows | Picture]:
    """Compute the power of this study and the size of the next one."""
    c, questions = study.clustered(), study.complete[1]
    effect = max(c.design_effect, 1.0) if c else 1.0
    power = equivalence.power_of_equivalence(int(len(study.table) / effect), study.margin)
    yield numbers({"design_effect": effect, "power": 100 * power})
    yield (
        f"An attempt has {questions} questions, and the correlation of answers found here is taken into account "
        f"(design effect {effect:.2f}); more readers do not make up for few images."
    )
    margins, rates = sorted({0.03, 0.05, 0.1, study.margin}), (0.55, 0.6, 0.7)
    needed = {f"equivalence within ± {m:g}": equivalence.answers_for_equivalence(m, 0.9) for m in margins}
    needed |= {f"difference, true rate {r:g}": equivalence.answers_for_difference(r, 0.9) for r in rates}
    rows = [(what, answers, int(np.ceil(answers * effect / questions))) for what, answers in needed.items()]
    columns = ["to show with 90 % power", "independent answers", "attempts"]
    yield Rows(pd.DataFrame(rows, columns=columns), "Answers and attempts needed", "next")
    curves, caption = equivalence.power_table(study.margin), "Power by number of independent answers; exact, level 5 %."
    yield Picture("power", reader_figures.power_curves(curves), caption, curves, "Power curves.")
