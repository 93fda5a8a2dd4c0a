"""Report on a reader study: sections of paragraphs, numbers, tables and figures, as a page or in a chapter.

Any table of answers with the columns reader, question and correct can be analyzed. Optional columns
(`responses.COLUMNS`) are used where they exist; what could not be done without them is noted in `StudyAnswers.missing`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.report import reader_figures, reader_ratings, style
from mammogan.report.html import Part, Table, write_page
from mammogan.report.numbers import Number, filled
from mammogan.report.reader_answers import CLUSTER_NAMES, IMAGES, TRAIT_NAMES, StudyAnswers, listed, split_by
from mammogan.report.reader_items import WORDS, Item, Section, drawn, marked, numbers, write_section
from mammogan.report.results import Results
from mammogan.report.summary import keep_lines, study_summary
from mammogan.stats import equivalence, proportions, rank_tests
from mammogan.stats.mixed import mixed_logistic
from mammogan.types import Progress, counted, no_progress

INTERVAL = ["rate", "low", "high"]


def demographics(study: StudyAnswers) -> Iterator[Item]:
    """Count readers, attempts and answers, and summarize what readers say about themselves."""
    sessions = study.sessions
    first = sessions[sessions["first"]]
    counts = {"readers": len(first), "sessions": len(sessions), "repeats": len(sessions) - len(first)}
    yield numbers({**counts, "answers": int(sessions["answers"].sum()), "complete": len(study.complete)})
    if study.none_complete:
        yield study.none_complete
    groups = {"all": sessions}
    for trait, (name, _) in TRAIT_NAMES.items():
        if study.has(trait):
            groups[name] = sessions[sessions[trait] == "yes"]
        else:
            study.missing[f"groups by {trait.replace('_', ' ')}"] = f"there is no column {trait}"
    rows = [(name, int(g["first"].sum()), len(g), int(g["answers"].sum())) for name, g in groups.items()]
    table = pd.DataFrame(rows, columns=["group", "readers", "attempts", "answers"])
    yield Table("Readers, attempts and answers", table, "demographics")
    years = {name: g.loc[g["first"], "years"].dropna() for name, g in groups.items() if "years" in g}
    spans = [(name, len(y), *y.quantile([0, 0.25, 0.5, 0.75, 1])) for name, y in years.items() if len(y)]
    if spans:
        columns = ["group", "readers who say", "least", "lower quartile", "median", "upper quartile", "most"]
        yield Table("Years of experience", pd.DataFrame(spans, columns=columns), "years")
    else:
        study.missing["years of experience"] = "no reader states any"


def overall(study: StudyAnswers) -> Iterator[Item]:
    """Estimate the rate of right answers, test it against guessing, and test it for equivalence with guessing."""
    right, n = int(study.table["correct"].sum()), len(study.table)
    p, p_equivalence = proportions.binomial_p(right, n), equivalence.equivalence_p(right, n, study.margin)
    exact = proportions.Clustered(*proportions.exact_interval(right, n), p, p_equivalence, 1.0)
    correlations, tarone, warning = independence(study)
    yield from correlations
    method = f"exact binomial interval, answers as independent. {warning}"
    yield numbers({**estimates(exact), "p": p, "margin": study.margin}, method=method)
    methods = {"answers as independent, exact binomial": exact}
    for names in (["reader"], list(study.clusters)):
        if set(names) <= set(study.clusters) and (clustered := study.clustered(names=names)) is not None:
            methods[f"{listed(names)} as clusters"] = clustered
    if (clustered := study.clustered()) is None:
        study.missing["an interval over clusters"] = "no two readers answered, or no reader or image has two answers"
    else:
        yield numbers(estimates(clustered, "clustered."), clusters=listed(study.clusters))
    yield numbers({"verdict": (said := verdict(list(methods.values()), study.margin))})
    yield said
    yield warning
    yield filled(WORDS["reading"])
    rows = [(name, *vars(estimate).values()) for name, estimate in methods.items()]
    columns = ["method", *INTERVAL, "P against 1/2", "P of equivalence", "variance, of the binomial's"]
    yield Table("Rate of right answers with 95 % intervals", marked(pd.DataFrame(rows, columns=columns)), "overall")
    yield Table("Are answers correlated? Tarone's test", tarone, "independence")


def verdict(methods: Sequence[proportions.Clustered], margin: float) -> str:
    """Return what all rows of the table of rates allow to say: a difference from one half, equivalence, or neither.

    Args:
        methods: the exact binomial, and the same rate with clusters, if there are any.
        margin: margin of equivalence.
    """
    above, below = all(m.low > 0.5 for m in methods), all(m.high < 0.5 for m in methods)
    equivalent = all(m.p_equivalence <= 0.05 for m in methods)
    within = f"within one half ± {margin:g}"
    if above or below:
        text = f"The rate of right answers is {'above' if above else 'below'} one half"
        text += f", and it is {within}." if equivalent else "."
    elif equivalent:
        text = f"The rate of right answers is equivalent to one half: it is {within}."
    else:
        text = f"There is no verdict: these answers show neither a rate above or below one half nor one {within}."
    if len(methods) == 1:
        return f"{text} This holds for these readers and these images; nothing is known about others."
    alone = [m.low > 0.5 or m.high < 0.5 or m.p_equivalence <= 0.05 for m in methods]
    if any(alone) and not (above or below or equivalent):
        text += " One row of the table shows one of them, another does not."
    return f"{text} A verdict needs every row of the table, at 5 %."


def estimates(c: proportions.Clustered, prefix: str = "") -> dict[str, Number]:
    """Return rate, sensitivity (where its interval is finite) and P of equivalence."""
    values: dict[str, Number] = {f"{prefix}rate": (c.rate, c.low, c.high)}
    if c.low > 0 and c.high < 1:
        values[f"{prefix}d_prime"] = tuple(np.sqrt(2) * stats.norm.ppf([c.rate, c.low, c.high]))
    return {**values, f"{prefix}equivalence.p": c.p_equivalence}


def independence(study: StudyAnswers) -> tuple[list[Table], pd.DataFrame, str]:
    """Test whether answers of one reader, or to one image, are more alike than by chance.

    Returns:
        Correlations, their table, and the verdict; a correlation is also added to the warnings of the study.
    """
    answers, correlated, rows, correlations = study.table["correct"].to_numpy(), [], [], []
    for name, codes in study.clusters.items() if np.ptp(answers) else ():
        o = proportions.overdispersion(answers, codes)
        correlations.append(numbers({f"correlation.{name}": o.correlation}, p=o.p))
        rows.append((CLUSTER_NAMES[name], o.clusters, len(answers) / o.clusters, o.correlation, o.p, o.detectable))
        correlated += [name] if o.p <= 0.05 else []
    columns = ["clusters", "number", "answers each", "intraclass correlation", "P", "found with 80 % power from"]
    table = pd.DataFrame(rows, columns=columns)
    if not correlated:
        outcome = "No overdispersion was found" if rows else "The correlation of answers cannot be tested"
        return correlations, table, filled(WORDS["independent"], outcome=outcome)
    if c := study.clustered():
        coverage = 100 * proportions.actual_coverage(max(c.design_effect, 1.0))
        text = filled(WORDS["correlated"], clusters=listed(correlated), coverage=coverage, **vars(c))
    else:
        text = filled(WORDS["too_few"], clusters=listed(correlated))
    study.warnings.append(text)
    return correlations, table, text


def distribution(study: StudyAnswers) -> Iterator[Item]:
    """Compare the scores of attempts with a binomial distribution, and draw them (Figure 7)."""
    sessions, questions = study.sessions, study.questions
    sessions = sessions[sessions["answers"] == questions]
    scores = sessions["right"].to_numpy()
    if len(scores) < 3:
        study.missing["the distribution of scores"] = f"fewer than three attempts have {counted(questions, 'answer')}"
        yield f"Fewer than three attempts have {counted(questions, 'answer')}."
        return
    counts, cells = np.bincount(scores, minlength=questions + 1), np.arange(questions + 1)
    guessing = len(scores) * stats.binom.pmf(cells, questions, 0.5)
    groups = {"all": scores}
    for trait in ("radiologist", "breast_specialist"):
        halves = split_by(sessions, trait) if study.has(trait) else ()
        if halves and min(map(len, halves)) > 2:
            groups |= {name: half["right"].to_numpy() for name, half in zip(TRAIT_NAMES[trait], halves, strict=True)}
    table = pd.DataFrame({"right": cells, "attempts": counts, "by guessing": guessing})
    yield drawn("scores", reader_figures.score_distribution(table, groups), table, attempts=len(scores))
    values: dict[str, Number] = {}
    facts: dict[str, object] = {}
    try:
        fit = proportions.goodness_of_fit(scores, questions, simulations=study.simulations, seed=study.seed)
        values = {"fit.p": fit.p, "fit.p_monte_carlo": fit.p_monte_carlo}
        facts = {"bins": fit.bins, "simulations": study.simulations}
    except ValueError as error:
        study.missing["the chi-square test of scores"] = str(error)
    best = int(scores.max())
    expected, probability = proportions.chance_of_best(len(scores), questions, best)
    values["best"] = best
    facts |= {"expected": expected, "probability": probability}
    try:
        beta = proportions.beta_binomial(scores, questions)
        values["overdispersion"], facts["p"] = beta.rho, beta.p
    except ParameterError as error:
        study.missing["the overdispersion of scores"] = str(error)
    yield numbers(values, "Do scores follow a binomial distribution?", **facts)


def rates_by_question(right: np.ndarray, attempts: int) -> pd.DataFrame:
    """Return the rate of right answers of each question with its exact interval.

    Args:
        right: (questions,) right answers.
        attempts: answers per question.
    """
    rows = [(k, n, *proportions.exact_interval(int(n), attempts)) for k, n in enumerate(right, 1)]
    return pd.DataFrame(rows, columns=["question", "right", *INTERVAL])


def over_questions(study: StudyAnswers) -> Iterator[Item]:
    """Test the rates of right answers over the questions for learning, fatigue and difficulty."""
    answers = study.matrix()
    attempts, questions = answers.shape
    if attempts < 2 or questions < 2 or answers.min() == answers.max():
        if answers.size and answers.min() == answers.max():
            why = f"all answers of complete attempts, {answers.size} in number, are the same"
        else:
            why = f"{counted(attempts, 'attempt')} answered all questions, {questions} in number"
        study.missing["tests over questions"] = why
        yield f"Questions cannot be compared: {why}."
        return
    yield "Learning would show as a slope, hard or easy questions as differences."
    right, columns = answers.sum(0), list(answers.T)
    rates = rates_by_question(right, attempts)
    yield drawn("questions", reader_figures.question_rates(rates), rates, attempts=attempts)
    slope, trend = rank_tests.linear_trend(right, attempts)
    tests = {"kruskal": rank_tests.kruskal_wallis(columns), "cochran": rank_tests.cochran_q(answers), "trend": trend}
    yield numbers({f"questions.{name}.p": p for name, p in tests.items()}, "Tests over questions")
    yield numbers({"questions.slope": 100 * slope})
    try:
        raw, holm = rank_tests.conover(columns), rank_tests.conover(columns, "holm")
    except ParameterError:
        study.missing["tests of pairs of questions"] = "all attempts answered each question alike"
        return
    upper = np.triu_indices(questions, 1)
    pairs = pd.DataFrame({"question": upper[0] + 1, "against": upper[1] + 1, "P": raw[upper], "P (Holm)": holm[upper]})
    yield Table("", pairs, "conover")
    smallest = {"smallest": float(raw[upper].min()), "holm": float(holm[upper].min())}
    yield numbers({f"questions.conover.{key}": p for key, p in smallest.items()}, pairs=len(pairs))
    wide = pairs.pivot(index="question", columns="against", values="P").round(3).astype(object).fillna("").reset_index()
    yield Table("Conover-Iman P values, unadjusted, as in Table 3 of the paper (with Holm in conover.csv)", wide)


def groups(study: StudyAnswers) -> Iterator[Item]:
    """Estimate the rate of each group of readers (Table 4), and compare groups (Kruskal-Wallis on scores)."""
    strata, compared = compared_groups(study)
    counts = [(name, int(g["right"].sum()), int(g["answers"].sum())) for name, g in strata.items()]
    exact = equivalence.group_table(counts, study.margin)
    exact.insert(1, "attempts", [len(g) for g in strata.values()])
    exact.insert(5, "sd", [float((g["right"] / g["answers"]).std(ddof=0)) for g in strata.values()])
    shared = listed(study.clusters) if study.clusters else "none"
    over = {name: study.clustered(study.table["session"].isin(g.index).to_numpy()) for name, g in strata.items()}
    rows = [(name, c.rate, c.low, c.high, c.p, c.p_equivalence) for name, c in over.items() if c]
    clusters = pd.DataFrame(rows, columns=["group", *INTERVAL, "P", "P of equivalence"])
    table = exact.join(clusters.set_index("group")[["low", "high"]].add_suffix(" (clusters)"), on="group")
    yield drawn("groups", reader_figures.success_rates(table, study.margin), table, clusters=shared)
    for row in table.itertuples():
        key, counted = f"group.{row.group.replace(' ', '_')}", f"{row.successes} of {row.trials}"
        yield numbers({key: (row.rate, row.low, row.high)}, name=row.group, counts=counted, sd=row.sd)
        if c := over[row.group]:
            yield numbers({f"over_clusters.{key}": (c.rate, c.low, c.high)}, name=row.group, clusters=shared)
    yield Table("Groups (Table 4): rate, SD of attempts (1/n), exact interval; Holm over this table", marked(exact))
    if len(clusters):
        clusters.insert(5, "P (Holm)", rank_tests.holm(clusters["P"].to_numpy()))
        yield Table(f"The same with {shared} as clusters; Holm over this table", marked(clusters))
    if len(compared):
        compared["P (Holm)"] = compared.groupby("sample")["P"].transform(lambda p: rank_tests.holm(p.to_numpy()))
        yield Table("Groups against each other, Kruskal-Wallis on rates of attempts", compared, "strata")
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


def mixed_model(study: StudyAnswers) -> Iterator[Item]:
    """Fit a logistic regression with readers and images as crossed random effects."""
    factors, y, question = study.clusters, study.table["correct"].to_numpy(), study.table["question"].to_numpy()
    if not set(factors) & set(IMAGES):
        why = "there is no column pair, real_id or synthetic_id, or hardly an image was shown twice"
        study.missing["images as random effects"] = why
    if not factors or y.min() == y.max():
        alike = "all answers are the same" if y.min() == y.max() else ""
        study.missing["the mixed model"] = alike or "no two readers answered, or no reader or image has two answers"
        yield "No mixed model can be fitted."
        return
    centered = question - question.mean()
    try:
        fit = mixed_logistic(y, factors, {"question": centered} if np.ptp(centered) else None)
    except ParameterError as error:
        study.missing["the mixed model"] = str(error)
        yield str(error)
        return
    if not fit.converged:
        yield "The optimizer did not converge; distrust these numbers."
    parts = [numbers({"mixed.rate": fit.rate()}, factors=", ".join(factors))]
    if "question" in fit.coefficients:
        b, se = fit.coefficients["question"]
        parts.append(numbers({"mixed.question": (b, b - 1.96 * se, b + 1.96 * se)}))
    parts += [numbers({f"mixed.sd.{name}": sd}, p=fit.p[name]) for name, sd in fit.deviations.items()]
    yield from parts
    values = [value for part in parts for value in part.values.values()]
    rows = [(f"{value.label} ({value.how})", value.value, *(value.interval or ("", ""))) for value in values]
    rows.insert(1, ("rate averaged over readers and images", *fit.rate(average=True)))
    table = pd.DataFrame(rows, columns=["quantity", "estimate", "low", "high"])
    yield Table("Mixed-effects logistic regression, crossed random intercepts", table, "mixed")


def times(study: StudyAnswers) -> Iterator[Item]:
    """Summarize response times, and compare those of right and wrong answers."""
    timed = study.has("seconds")
    table = study.table.loc[study.table["seconds"] > 0, ["question", "seconds", "correct"]] if timed else study.table
    if not timed or table.empty:
        study.missing["response times"] = "no time is above 0" if timed else "there is no column seconds"
        yield "The answers carry no times."
        return
    yield "Readers who gave up show as times that fall to a few seconds."
    right, wrong = (table.loc[table["correct"] == k, "seconds"] for k in (1, 0))
    low, median, high = (float(q) for q in table["seconds"].quantile([0.25, 0.5, 0.75]))
    values, facts = {"seconds": median}, {"low": low, "high": high}
    if len(right) and len(wrong):
        values["seconds.p"] = float(stats.mannwhitneyu(right, wrong).pvalue)
        facts |= {"right": right.median(), "wrong": wrong.median()}
    if table["seconds"].nunique() == 1:
        study.missing["the trend of times"] = "all times are alike"
    elif table["question"].nunique() > 2:
        values["seconds.trend"], facts["p"] = map(float, stats.spearmanr(table["question"], table["seconds"]))
    yield drawn("times", reader_figures.response_times(table), table)
    yield numbers(values, "Times", **facts)


def next_study(study: StudyAnswers) -> Iterator[Item]:
    """Compute the power of this study and the size of the next one."""
    c, questions = study.clustered(), study.questions
    effect = max(c.design_effect, 1.0) if c else 1.0
    power = equivalence.power_of_equivalence(int(len(study.table) / effect), study.margin)
    yield numbers({"design_effect": effect, "power": 100 * power})
    median = " (the median; none is complete)" if study.none_complete else ""
    yield filled(WORDS["next"], questions=questions, median=median, effect=effect)
    margins, rates = sorted({0.03, 0.05, 0.1, study.margin}), (0.55, 0.6, 0.7)
    needed = {f"equivalence within ± {m:g}": equivalence.answers_for_equivalence(m, 0.9) for m in margins}
    needed |= {f"difference, true rate {r:g}": equivalence.answers_for_difference(r, 0.9) for r in rates}
    table = pd.DataFrame(needed.items(), columns=["to show with 90 % power", "independent answers"])
    table["attempts"] = np.ceil(table["independent answers"] * effect / questions).astype(int)
    yield numbers({"attempts.needed": int(table.loc[margins.index(study.margin), "attempts"])})
    yield Table("Answers and attempts needed", table, "next")
    curves = equivalence.power_table(study.margin)
    yield drawn("power", reader_figures.power_curves(curves), curves)


FUNCTIONS = (demographics, overall, distribution, over_questions, groups, mixed_model, times, next_study)
SECTIONS: dict[str, Section] = {WORDS["sections"][section.__name__]: section for section in FUNCTIONS}


def analyse(study: StudyAnswers, out: str | Path, *, chapter: str = "study", progress: Progress = no_progress) -> Path:
    """Run every section and write report.html, results.json, figures/ and data/ to a folder.

    Args:
        study: answers and settings.
        out: folder to write to.
        chapter: first part of the keys in results.json.
        progress: counts "sections".

    Returns:
        The report.
    """
    style.apply_style()
    results, parts = Results(out, chapter), []
    sections = SECTIONS | reader_ratings.sections(study)
    for number, (title, section) in enumerate(sections.items()):
        progress("sections", number, len(sections), title)
        parts.append(write_section(section, study, results, title))
        plt.close("all")
    shared = listed(study.clusters) if study.clusters else ""
    summary = keep_lines(results, study_summary(results.values(), study.missing, shared))
    results.save()
    adjustments = pd.DataFrame(WORDS["adjustment"].items(), columns=["family", "adjustment"])
    missing = pd.DataFrame(study.missing.items(), columns=["what", "why"])
    parts += [
        Part("Families of tests", tables=[Table("Adjustment of each family", adjustments)]),
        Part(
            "What was not done",
            () if study.missing else ("Every analysis was done.",),
            [Table("Missing", missing)],
            name="missing",
        ),
    ]
    counts = {"answers": len(study.table), "attempts": len(study.sessions), "readers": study.table["reader"].nunique()}
    settings = {name: getattr(study, name) for name in ("margin", "seed", "simulations")}
    lead = [*filter(None, [study.note]), filled(WORDS["lead"], **counts, **settings)]
    data = sorted(path.relative_to(out).as_posix() for path in Path(out).glob("data/*"))
    return write_page(Path(out) / "report.html", "Reader study", lead, parts, ["results.json", *data], summary)
