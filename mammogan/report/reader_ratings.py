"""Sections of the report on a reader study that need more than right and wrong: sides, ratings, shared images."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pandas as pd
from scipy import stats

from mammogan.errors import ParameterError
from mammogan.report import reader_figures
from mammogan.report.html import Table
from mammogan.report.numbers import Number, filled
from mammogan.report.reader_answers import CLUSTER_NAMES, IMAGES, StudyAnswers
from mammogan.report.reader_items import WORDS, Item, Section, TextFile, drawn, numbers
from mammogan.stats import agreement as agreeing
from mammogan.stats import detection, equivalence, mrmc, proportions, responses
from mammogan.stats.mixed import mixed_logistic

SIDES, ANSWERS = ("real_side", "chosen_side"), ("is_synthetic", "answer")
CHECKS = ("checks_answered", "checks_right")
EFFECTS = (0.55, 0.6, 0.7)  # AUCs that the next study may want to find
DIFFERENCE = 0.1  # and difference of two
READERS = (3, 5, 8, 12, 20)
PRIORS = {"any rate alike": 1.0, "rates near one half": 5.0, "rates very near one half": 20.0}
SHOWN = 10  # lowest and highest rows of a long table


def choices(study: StudyAnswers) -> Iterator[Item]:
    """Estimate sensitivity and criterion: of the left side where pairs are shown, of "synthetic" for single images."""
    table, pairs = study.table, study.has(*SIDES)
    if pairs:
        signal, said = table["real_side"] == "left", table["chosen_side"] == "left"
    else:
        signal, said = table["is_synthetic"] == "yes", table["answer"] == "synthetic"
    data = signal.to_numpy(), said.to_numpy(), table["reader"].to_numpy()
    share: tuple[float, float, float] = proportions.exact_interval(int(said.sum()), len(said))
    p = proportions.binomial_p(int(said.sum()), len(said))
    if table["reader"].nunique() > 1:
        c = proportions.clustered(data[1].astype(int), [data[2]], study.margin)
        share, p = (c.rate, c.low, c.high), c.p
    values: dict[str, Number] = {f"choice.{'left' if pairs else 'synthetic'}": share}
    try:
        found = detection.detection(*data, forced_choice=pairs)
        values |= {"choice.d_prime": found.d_prime, "choice.criterion": found.criterion}
    except ParameterError as error:
        study.missing["sensitivity and criterion"] = str(error)
    model = "choice of two, equal variances" if pairs else "yes or no, equal variances"
    yield numbers(values, WORDS["tables"]["choices"], p=p, model=model)
    yield filled(WORDS["reading_of_sides" if pairs else "reading_of_answers"])
    yield Table("", detection.by_reader(*data, forced_choice=pairs), "sensitivity")


def roc(study: StudyAnswers) -> Iterator[Item]:
    """Estimate the AUC of ratings of single images over readers and images, and size the next study."""
    rated = responses.ratings(study.table)
    try:
        aucs = mrmc.reader_aucs(rated)
        analysis = mrmc.obuchowski_rockette(aucs)
        intervals = {name: auc.interval() for name, auc in analysis.tests.items()}
    except ParameterError as error:
        study.missing["the area under the ROC curve"] = str(error)
        yield str(error)
        return
    yield filled(WORDS["reading_of_aucs"])
    if aucs.left_out:
        yield filled(WORDS["left_out"], readers=", ".join(aucs.left_out))
    described = [numbers({f"auc.{name}": intervals[name]}, p=c.p(0.5), of=c) for name, c in analysis.tests.items()]
    for names, c in analysis.differences.items():
        try:
            described.append(numbers({f"auc.difference.{'.'.join(names)}": c.interval()}, p=c.p(), of=c))
        except ParameterError as error:  # as where all answers are wrong: no two AUCs differ, and nothing varies
            study.missing[f"the difference in AUC of {' and '.join(names)}"] = str(error)
    yield from described
    yield Table(WORDS["tables"]["roc"], pd.concat([table.frame for table in described], ignore_index=True))
    by_reader = _by_reader(aucs, analysis)
    grouped = rated[rated["reader"].isin(aucs.readers)].groupby(["test", "reader"])
    curves = pd.concat([_curve(group) for _, group in grouped], ignore_index=True)
    yield drawn("roc", reader_figures.roc_curves(curves, by_reader), curves)
    yield Table("", by_reader, "aucs")
    rows = [(name, variance, WORDS["components"][name]) for name, variance in analysis.components.items()]
    components = pd.DataFrame(rows, columns=["component", "estimate", "meaning"])
    yield Table(WORDS["tables"]["components"], components, "components")
    try:
        yield Table(filled(WORDS["tables"]["sizes"]), sizes(analysis), "sizes")
    except ParameterError as error:
        study.missing["the size of the next study"] = str(error)
    yield TextFile("ratings.imrmc", mrmc.imrmc(rated, "Ratings of real (0) and synthetic (1) images"))


def sizes(analysis: mrmc.Analysis) -> pd.DataFrame:
    """Return the images needed by readers, for AUCs (from the first test) and, with two tests, a difference."""
    contrast = next(iter(analysis.tests.values()))
    wanted = [(f"AUC {auc:g}", contrast, auc - 0.5) for auc in EFFECTS]
    wanted += [(f"difference {DIFFERENCE:g}", less, DIFFERENCE) for less in list(analysis.differences.values())[:1]]
    table = pd.DataFrame({"readers": READERS})
    for name, of, effect in wanted:
        needed = [mrmc.cases_needed(of, effect, readers, 0.9) for readers in READERS]
        table[name] = [cases or "too few readers" for cases in needed]
    return table


def _by_reader(aucs: mrmc.ReaderAucs, analysis: mrmc.Analysis) -> pd.DataFrame:
    """Return the AUC of each reader with its interval for other images, and of all; test, reader, AUC, low, high."""
    rows: list[tuple[str, str, float, float, float]] = []
    for t, test in enumerate(aucs.tests):
        for j, reader in enumerate(aucs.readers):
            auc, error = float(aucs.auc[t, j]), float(np.sqrt(aucs.covariance[t, j, t, j]))
            rows.append((test, str(reader), *mrmc.auc_interval(auc, 1.96 * error, aucs.smallest)))
        rows.append((test, "all", *analysis.tests[test].interval()))
    return pd.DataFrame(rows, columns=["test", "reader", "AUC", "low", "high"])


def _curve(group: pd.DataFrame) -> pd.DataFrame:
    """Return the empirical ROC curve of the ratings of one reader, from (0, 0) to (1, 1)."""
    counts = pd.crosstab(-group["rating"], group["positive"])
    shares = (counts.cumsum() / counts.sum()).to_numpy()
    points = pd.DataFrame(np.vstack([[0.0, 0.0], shares]), columns=["false alarms", "hits"])
    return points.assign(test=group["test"].iloc[0], reader=group["reader"].iloc[0])


def confidence(study: StudyAnswers) -> Iterator[Item]:
    """Compare the confidence of right and wrong answers."""
    level, correct = study.table["confidence"], study.table["correct"]
    if level.nunique() > 10:
        level = pd.qcut(level, 5, duplicates="drop").astype(str)
    counts = correct.groupby(level).agg(["size", "sum"]).reset_index()
    rows = [
        (name, n, *proportions.exact_interval(int(right), int(n))) for name, n, right in counts.itertuples(index=False)
    ]
    yield filled(WORDS["reading_of_confidence"])
    table = pd.DataFrame(rows, columns=["confidence", "answers", "rate", "low", "high"])
    yield Table(WORDS["tables"]["levels"], table, "confidence")
    right, wrong = (study.table.loc[correct == kind, "confidence"] for kind in (1, 0))
    if len(right) and len(wrong):
        test = stats.mannwhitneyu(right, wrong)
        values = {"confidence.right": right.mean(), "confidence.wrong": wrong.mean()}
        values["confidence.auc"] = test.statistic / len(right) / len(wrong)
        yield numbers(values, WORDS["tables"]["confidence"], p=test.pvalue)


def shared_units(study: StudyAnswers) -> str:
    """Return the column of what several readers answered, "" where there is none."""
    for name in IMAGES:
        if study.has(name) and (study.table.groupby(name)["reader"].nunique() > 1).sum() > 1:
            return name
    return ""


def agreement(study: StudyAnswers) -> Iterator[Item]:
    """Estimate the agreement of readers on what several of them answered; a repeated answer of a reader is left out."""
    name = shared_units(study)
    codes = responses.image_codes(study.table) if name == "image_id" else study.table[name]
    said = study.table["answer"] if study.has("answer") else study.table["correct"]
    rows = pd.DataFrame({"reader": study.table["reader"], "unit": codes, "said": said})
    rows = rows.drop_duplicates(["reader", "unit"])
    units = CLUSTER_NAMES[name]
    try:
        found = agreeing.agreement(rows["unit"].to_numpy(), rows["said"].to_numpy(), seed=study.seed)
    except ParameterError as error:
        study.missing["agreement of readers"] = str(error)
        yield str(error)
        return
    yield filled(WORDS["reading_of_agreement"], units=units)
    values: dict[str, Number] = {"agreement.alpha": found.alpha}
    if found.kappa is not None:
        values["agreement.kappa"] = found.kappa
    yield numbers(values, WORDS["tables"]["agreement"], answers=found.answers, number=found.units, units=units)


def repeats(study: StudyAnswers) -> Iterator[Item]:
    """Estimate how often readers answer a repeated question as before, and name attempts that missed a check."""
    table = study.table
    first = "answer" if study.has("answer") else "chosen_side"
    if study.has("again_answer", first):
        asked = table[table["again_answer"] != ""]
        same = int((asked[first] == asked["again_answer"]).sum())
        yield filled(WORDS["reading_of_repeats"])
        share = proportions.exact_interval(same, len(asked))
        yield numbers({"repeats.same": share}, WORDS["tables"]["repeats"], same=same, asked=len(asked))
    if study.has(*CHECKS):
        checks = table.groupby("session")[[*CHECKS]].first()
        missed = checks.index[checks["checks_right"] < checks["checks_answered"]]
        text = "checks_missed" if len(missed) else "checks_right"
        yield filled(WORDS[text], asked=int(checks["checks_answered"].sum()), missed=", ".join(missed))


def evidence(study: StudyAnswers) -> Iterator[Item]:
    """Weigh guessing against other rates by Bayes factors, at the effective number of answers."""
    n, c = len(study.table), study.clustered()
    trials = n / max(c.design_effect, 1.0) if c else float(n)
    right = trials * float(study.table["correct"].mean())
    yield filled(WORDS["reading_of_evidence"], trials=trials, answers=n)
    method = "answers over the design effect" if c else "answers as independent"
    first = equivalence.bayes_factor(right, trials)
    within = equivalence.bayes_factor(right, trials, margin=study.margin)
    values: dict[str, Number] = {"bayes.guessing": first, "bayes.margin": within}
    yield numbers(values, WORDS["tables"]["evidence"], method=method, margin=study.margin)
    rows = [
        (name, *(equivalence.bayes_factor(right, trials, prior=prior, margin=m) for m in (0.0, study.margin)))
        for name, prior in PRIORS.items()
    ]
    columns = ["other rates expected", "one half against another rate", f"within ± {study.margin:g} against outside"]
    yield Table(WORDS["tables"]["priors"], pd.DataFrame(rows, columns=columns), "bayes")


def levels(study: StudyAnswers) -> Iterator[Item]:
    """Estimate the rate of each reader and of each image, shrunk by the mixed model."""
    y = study.table["correct"].to_numpy()
    yield filled(WORDS["reading_of_levels"])
    try:
        fit = mixed_logistic(y, study.clusters)
    except ParameterError as error:
        study.missing["shrunk rates of readers and images"] = str(error)
        yield f"{error} The intervals below are exact and not shrunk."
        fit = None
    for name, codes in study.clusters.items():
        counts = pd.DataFrame({"code": codes, "right": y}).groupby("code")["right"].agg(["size", "sum"])
        rows = [
            (code, n, right, right / n, *(fit.level_rate(name, code) if fit else proportions.exact_interval(right, n)))
            for code, n, right in counts.itertuples(name=None)
        ]
        columns = ["code", "answers", "right", "rate", "estimate", "low", "high"]
        table = pd.DataFrame(rows, columns=columns).sort_values("estimate", kind="stable", ignore_index=True)
        caption = CLUSTER_NAMES[name].capitalize()
        if fit:
            caption += f", which differ by a standard deviation of {fit.deviations[name]:.2f} in log odds"
        if len(table) > 2 * SHOWN:
            caption += f": the {SHOWN} lowest and {SHOWN} highest of {len(table)}, all in data/by_{name}.csv"
        yield Table("", table, f"by_{name}")
        yield Table(caption, pd.concat([table[:SHOWN], table[max(len(table) - SHOWN, SHOWN) :]]))


def sections(study: StudyAnswers) -> dict[str, Section]:
    """Return the sections that the columns of a study allow, by title."""
    applies = {
        choices: study.has(*SIDES) or study.has(*ANSWERS),
        roc: study.has(*ANSWERS, "image_id"),
        confidence: study.has("confidence"),
        agreement: bool(shared_units(study)),
        repeats: any(study.has(*c) for c in (("again_answer", SIDES[1]), ("again_answer", ANSWERS[1]), CHECKS)),
        evidence: True,
        levels: bool(study.clusters),
    }
    return {WORDS["more_sections"][section.__name__]: section for section, holds in applies.items() if holds}
