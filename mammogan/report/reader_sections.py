"""Sections of the report on a reader study, each an iterator of paragraphs, numbers, tables and figures.

Optional columns of the answers (`responses.COLUMNS`) are used where they exist; what could not be done without them is
noted in `StudyAnswers.missing`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.report import reader_figures
from mammogan.report.html import Picture
from mammogan.report.reader_answers import CLUSTER_NAMES, IMAGES, TRAIT_NAMES, StudyAnswers, listed, split_by
from mammogan.report.results import Value
from mammogan.stats import equivalence, proportions, rank_tests
from mammogan.stats.mixed import mixed_logistic


class Numbers(NamedTuple):
    """Numbers by key, and the caption of their table; without a caption they are kept and not shown."""

    values: dict[str, Value]
    caption: str = ""


class Rows(NamedTuple):
    """A table with a caption, without which it is kept and not shown; NAME.csv where it has a name."""

    data: pd.DataFrame
    caption: str = ""
    name: str = ""


Section = Callable[[StudyAnswers], Iterator[str | Numbers | Rows | Picture]]


def demographics(study: StudyAnswers) -> Iterator[Numbers | Rows]:
    """Count readers, attempts and answers, and summarize what readers say about themselves."""
    sessions = study.sessions
    first = sessions[sessions["first"]]
    yield Numbers(
        {
            "readers": Value(len(first), label="readers"),
            "sessions": Value(len(sessions), label="attempts"),
            "repeats": Value(len(sessions) - len(first), label="repeated attempts"),
            "answers": Value(int(sessions["answers"].sum()), label="answers"),
            "complete": Value(len(study.complete[0]), label="attempts with every question answered"),
        }
    )
    groups = {"all": sessions}
    for trait, (name, _) in TRAIT_NAMES.items():
        if study.has(trait):
            groups[name] = sessions[sessions[trait] == "yes"]
        else:
            study.missing[f"groups by {trait.replace('_', ' ')}"] = f"there is no column {trait}"
    counts = [(name, int(g["first"].sum()), len(g), int(g["answers"].sum())) for name, g in groups.items()]
    table = pd.DataFrame(counts, columns=["group", "readers", "attempts", "answers"])
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
    yield Numbers(
        {
            **estimates(exact, "", f"exact binomial interval, answers as independent. {warning}"),
            "p": Value(p, fmt=".3g", label="P against one half", how="exact binomial"),
            "margin": Value(study.margin, fmt=".3g", label="margin of equivalence", how="stated beforehand"),
        }
    )
    methods = {"answers as independent, exact binomial": exact}
    for names in (["reader"], list(study.clusters)):
        if set(names) <= set(study.clusters) and (clustered := study.clustered(names=names)) is not None:
            methods[f"{listed(names)} as clusters, t"] = clustered
    if (clustered := study.clustered()) is None:
        study.missing["an interval over clusters"] = "there are fewer than three clusters, or all have the same rate"
    else:
        yield Numbers(estimates(clustered, "clustered.", f"t interval, {listed(study.clusters)} as clusters"))
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


def estimates(c: proportions.Clustered, prefix: str, how: str) -> dict[str, Value]:
    """Return rate, sensitivity (where its interval is finite) and P of equivalence as values of a section."""
    values = {"rate": Value(c.rate, (c.low, c.high), fmt=".3f", label="rate of right answers", how=how)}
    if c.low > 0 and c.high < 1:
        d, *bounds = np.sqrt(2) * stats.norm.ppf([c.rate, c.low, c.high])
        values["d_prime"] = Value(d, bounds, fmt=".2f", label="d' = sqrt(2) z(rate)", how=how)
    label = "P of equivalence, two one-sided tests"
    values["equivalence.p"] = Value(c.p_equivalence, fmt=".2g", label=label, how=how)
    return {f"{prefix}{key}": value for key, value in values.items()}


def independence(study: StudyAnswers) -> tuple[Numbers, pd.DataFrame, str]:
    """Test whether answers of one reader, or to one image, are more alike than by chance.

    Returns:
        Correlations, their table, and the verdict; a correlation is also added to the warnings of the study.
    """
    answers, correlated, rows, values = study.table["correct"].to_numpy(), [], [], {}
    for name, codes in study.clusters.items() if np.ptp(answers) else ():
        o = proportions.overdispersion(answers, codes)
        label, how = f"correlation of answers, same {name}", f"intraclass, by moments; Tarone's test P = {o.p:.3f}"
        values[f"correlation.{name}"] = Value(o.correlation, fmt=".3f", label=label, how=how)
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
    values = {}
    try:
        fit = proportions.goodness_of_fit(scores, questions, simulations=study.simulations, seed=study.seed)
        how, label = f"{study.simulations} data sets", "chi-square P, Monte Carlo"
        values["fit.p"] = Value(fit.p, fmt=".3f", label="chi-square P, bins pooled to 5", how=f"{fit.bins} bins")
        values["fit.p_monte_carlo"] = Value(fit.p_monte_carlo, fmt=".3f", label=label, how=how)
    except ValueError as error:
        study.missing["the chi-square test of scores"] = str(error)
    beta, best = proportions.beta_binomial(scores, questions), int(scores.max())
    expectation, probability = proportions.chance_of_best(len(scores), questions, best)
    how = f"beta-binomial intraclass correlation, P = {beta.p:.3f}"
    values["overdispersion"] = Value(beta.rho, fmt=".4f", label="overdispersion of scores", how=how)
    how = f"by guessing {expectation:.2f} such scores or higher, at least one with a probability of {probability:.2f}"
    values["best"] = Value(best, label="best score", how=how)
    yield Numbers(values, "Do scores follow a binomial distribution?")


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
    tests = {
        "questions.kruskal.p": Value(kruskal, fmt=".3f", label="Kruskal-Wallis over questions, P"),
        "questions.cochran.p": Value(cochran, fmt=".3f", label="Cochran's Q, attempts as blocks, P"),
        "questions.trend.p": Value(trend, fmt=".3f", label="trend (Cochran-Armitage), P"),
    }
    yield Numbers(tests, "Tests over questions")
    raw, holm = rank_tests.conover(columns), rank_tests.conover(columns, "holm")
    upper = np.triu_indices(questions, 1)
    pairs = pd.DataFrame({"question": upper[0] + 1, "against": upper[1] + 1, "P": raw[upper], "P (Holm)": holm[upper]})
    yield Rows(pairs, name="conover")
    p, adjusted, unit = float(raw[upper].min()), float(holm[upper].min()), "percentage points per question"
    smallest = f"smallest Conover-Iman P of {len(pairs)} pairs of questions"
    yield Numbers(
        {
            "questions.slope": Value(100 * slope, fmt=".2f", unit=unit, label="slope over questions"),
            "questions.conover.smallest": Value(p, fmt=".3f", label=f"{smallest}, unadjusted"),
            "questions.conover.holm": Value(adjusted, fmt=".3f", label=f"{smallest}, Holm"),
        }
    )
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
    values = {}
    for row in table.itertuples():
        how = f"{row.successes} of {row.trials}, SD of attempts {row.sd:.3f}"
        value = Value(row.rate, (row.low, row.high), fmt=".3f", label=row.group, how=how)
        values[f"group.{row.group.replace(' ', '_')}"] = value
    yield Numbers(values)
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
    middle, *bounds = fit.rate()
    label, how = "rate of a typical reader on a typical image", f"Laplace, Wald interval; crossed: {', '.join(factors)}"
    values = {"mixed.rate": Value(middle, bounds, fmt=".3f", label=label, how=how)}
    if "question" in fit.coefficients:
        b, error = fit.coefficients["question"]
        bounds, label = [b - 1.96 * error, b + 1.96 * error], "log odds per question"
        values["mixed.question"] = Value(b, bounds, fmt=".3f", label=label, how="learning or fatigue")
    for name, deviation in fit.deviations.items():
        label, how = f"SD between levels of {name}, log odds", f"likelihood ratio P = {fit.p[name]:.3f}"
        values[f"mixed.sd.{name}"] = Value(deviation, fmt=".3f", label=label, how=f"{how}, halved at the border")
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
    how = f"quartiles {low:.1f} and {high:.1f} s"
    values = {"seconds": Value(median, fmt=".1f", unit="s", label="median time of an answer, s", how=how)}
    if len(right) and len(wrong):
        p = float(stats.mannwhitneyu(right, wrong).pvalue)
        how = f"Mann-Whitney; medians {right.median():.1f} s (right) and {wrong.median():.1f} s (wrong)"
        values["seconds.p"] = Value(p, fmt=".3f", label="right against wrong answers, P", how=how)
    if table["question"].nunique() > 2:
        rho, p = (float(number) for number in stats.spearmanr(table["question"], table["seconds"]))
        label, how = "Spearman correlation of time and question", f"P = {p:.3g}; negative: readers hurry toward the end"
        values["seconds.trend"] = Value(rho, fmt=".2f", label=label, how=how)
    caption, data = "Time to each answer by question, right and wrong apart.", table[["question", "seconds", "correct"]]
    yield Picture("times", reader_figures.response_times(table), caption, data, "Box plots of response times.")
    yield Numbers(values, "Times")


def next_study(study: StudyAnswers) -> Iterator[str | Numbers | Rows | Picture]:
    """Compute the power of this study and the size of the next one."""
    c, questions = study.clustered(), study.complete[1]
    effect = max(c.design_effect, 1.0) if c else 1.0
    power = equivalence.power_of_equivalence(int(len(study.table) / effect), study.margin)
    how = "variance of the rate over clusters, relative to the binomial's; at least 1"
    why = "if readers guess; answers divided by the design effect"
    label = "power of equivalence of this study"
    yield Numbers(
        {
            "design_effect": Value(effect, fmt=".2f", label="design effect", how=how),
            "power": Value(100 * power, fmt=".0f", unit="%", label=label, how=why),
        }
    )
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
