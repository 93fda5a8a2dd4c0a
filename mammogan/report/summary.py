"""Summaries of reports: at most ten lines, written from the numbers by the rules of this module, each with a link.

A number of a comparison is *outside* where its interval excludes what two sets of real images have: a ratio of 1 to
their score, a difference of 0, or a chance of one half that one is larger. A question *differs* where more than a tenth
of its numbers are outside; its line quotes the one that is farthest out. Every line has a number. The sentences are in
words.toml.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from mammogan.report.numbers import filled, words
from mammogan.report.results import Results, Value

MOST = 10  # lines
FARTHER, NEARER = "farther than real images", "nearer than real images"  # from real images, on average
DIFFERS, AGREES, NOTE = "differs", "agrees", "note"  # status of a line
BY_CHANCE = 0.05  # share of images that are nearer to the training set than 95 % of real images
LEVEL = 0.05  # of P values
DECIBELS = 1.0  # of power by which fine frequencies must differ to be called blur or noise
CHANCE = 0.5  # that a moment of one real image is larger than that of another
BITS = 0.5  # by which the gray levels used must differ to be called different
Values = Mapping[str, Value]
# Questions of a comparison by name: the section with the evidence, and patterns of keys of ratios whose groups name the
# row, with True where higher is closer; None stands for chances, which are farther on either side of one half.
QUESTIONS: dict[str, tuple[str, dict[str, bool | None]]] = {
    "moments": ("moments", {r"larger\.(M\d)": None}),
    "gray levels": ("table1", {r"scores\.jsd\.(M\d)\.(M\d)\.ratio": True}),
    "texture": ("texture", {r"swd\.(\d+x\d+)\.real\.ratio": False, r"(spectrum)\.ratio": False}),
    "realism": ("features", {r"features\.(precision|density)\.ratio": True}),
    "variety": ("features", {r"features\.(recall|coverage)\.ratio": True}),
}


AUDIT = ("authenticity", "baseline", "nearer")  # keys of the search for copies
NAMES = {"spectrum": "the mean spectrum"}  # of rows, where the key does not say it
LINKS = {"levels": "texture", "none": "images"}  # sections of what is no section


@dataclass(frozen=True)
class Line:
    """A line of a summary.

    Attributes:
        status: `DIFFERS`, `AGREES` or `NOTE`.
        text: sentence with at least one number.
        link: name of the section with the evidence.
    """

    status: str
    text: str
    link: str


def standing(interval: Sequence[float], equal: float = 1.0, higher: bool | None = True) -> str:
    """Return `FARTHER` or `NEARER` where an interval excludes what two sets of real images have, otherwise nothing.

    Args:
        interval: low and high of a ratio or a difference; NaN where there is none.
        equal: what two sets of real images have: 1, 0 for a difference, `CHANCE` for a chance.
        higher: whether higher is closer; None where both sides are farther.
    """
    low, high = interval
    if not (high < equal or low > equal):
        return ""
    return FARTHER if higher is None or (high < equal) == higher else NEARER


@dataclass(frozen=True)
class Answer:
    """What the numbers say on a question.

    Attributes:
        name, link: see `QUESTIONS`.
        rows: {name of a row: its ratio}.
        outside: {standing: names of these rows, the farthest out first}.
    """

    name: str
    link: str
    rows: Mapping[str, Value]
    outside: Mapping[str, Sequence[str]]

    def more(self, where: str) -> bool:
        """Return whether more than a tenth of the rows have this standing."""
        return 10 * len(self.outside[where]) > len(self.rows)

    def count(self, where: str) -> str:
        """Return the number of rows with this standing in words."""
        return f"{self.name} in {len(self.outside[where])} of {len(self.rows)} numbers"


def answers(values: Values) -> list[Answer]:
    """Return the answers to the questions that the values of a comparison, by key, have ratios on."""
    given = []
    for question, (link, patterns) in QUESTIONS.items():
        rows: dict[str, Value] = {}
        outside: dict[str, list[str]] = {FARTHER: [], NEARER: []}
        for pattern, higher in patterns.items():
            equal = CHANCE if higher is None else 1.0
            for key, value in values.items():
                match = re.fullmatch(pattern, key)
                if match and value.interval:
                    name = " and ".join(dict.fromkeys(match.groups()))
                    name = NAMES.get(name, re.sub(r"^(\d+)x(\d+)$", r"\1 x \2 pixels", name))
                    rows[name] = value
                    if where := standing(value.interval, equal, higher):
                        outside[where].append(name)
        for names in outside.values():
            names.sort(key=lambda name: -_remoteness(float(rows[name].value), equal))
        if rows:
            given.append(Answer(question, link, rows, outside))
    return given


def _remoteness(value: float, equal: float) -> float:
    """Return how far a ratio is from 1, in logarithms, or a chance from one half."""
    return abs(value - equal) if equal == CHANCE else abs(float(np.log(max(value, 1e-9))))


def quoted(value: Value, spec: str = "z.2f") -> str:
    """Return a number with its interval as text."""
    low, high = value.interval or (value.value, value.value)
    return f"{value.value:{spec}} ({low:{spec}} to {high:{spec}})"


def alignment_summary(values: Values, n: int, size: str) -> list[Line]:
    """Return the summary of a comparison of two sets of images.

    Args:
        values: values of its sections by key.
        n, size: images per side, and their size in pixels.
    """
    text, given = words("summary")["alignment"], answers(values)
    apart = [answer for answer in given if answer.more(FARTHER)]
    alike = [answer for answer in given if answer not in apart]
    nearer = [answer for answer in given if answer.more(NEARER)]
    if any(answer.name == "gray levels" for answer in apart):  # which says what the moments one by one would say
        apart = [answer for answer in apart if answer.name != "moments"]
    lines = [_difference(answer, values, text) for answer in apart]
    for status, key, where, some in ((AGREES, "agree", FARTHER, alike), (DIFFERS, "nearer", NEARER, nearer)):
        if some:
            named = ", ".join(answer.count(where) for answer in some)
            lines.append(Line(status, filled(text[key], named=named), some[0].link))
    copies, levels = _copies(values, text, n), list(_levels(values, text))
    within, expected = (float(values.get(f"repeated.{kind}", Value(0)).value) for kind in ("synthetic", "real"))
    if within > expected:
        copies = replace(copies, text=f"{copies.text} {filled(text['repeated'], within=within)}")
    lines += [copies, *levels]
    kinds = {answer.name: answer.link for answer in apart}
    if any(line.status == DIFFERS for line in levels):
        kinds["number of gray levels"] = "levels"
    if within > expected:
        kinds["images that repeat each other"] = "images"
    repeated = copies.status == DIFFERS
    case = "differ" if kinds else "copies" if repeated else "nearer" if nearer else "alike"
    if repeated:  # they make every other number too good, and are to be looked at first
        kinds = {"copies": copies.link, **kinds}
    first = next(iter(kinds.values()), "none")
    place = LINKS.get(first, first)
    facts = {"n": n, "size": size, "rows": sum(len(answer.rows) for answer in given), "named": ", ".join(kinds)}
    farther, near = (sum(len(answer.outside[where]) for answer in given) for where in (FARTHER, NEARER))
    facts |= {"farther": farther, "nearer": near, "rare": 100 * min(3 / n, 1.0)}  # the rule of three
    facts["copied"] = _copied(values, text) if repeated else ""
    scores = [value for answer in given if answer.name == "gray levels" for value in answer.rows.values()]
    facts["spread"] = 100 * float(np.median([np.ptp(value.interval or (0.0,)) / 2 for value in scores] or [0.0]))
    verdict = filled(text["verdict"][case], **facts)
    if repeated and case == "differ":
        verdict = f"{verdict} {filled(text['verdict']['too'], **facts)}"
    return [
        Line(AGREES if case == "alike" else DIFFERS, verdict, place),
        *lines,
        Line(NOTE, filled(text["blind"], **facts), "images"),
        Line(NOTE, filled(text["next"][first], **facts), place),
    ][:MOST]


def keep_lines(results: Results, lines: list[Line]) -> list[Line]:
    """Keep lines of a summary in results, as `summary.01` and so on with the section as the method; return them."""
    for number, line in enumerate(lines, 1):
        results.value(f"summary.{number:02d}", line.text, label=line.status, how=line.link)
    return lines


def _difference(answer: Answer, values: Values, text: Mapping[str, str]) -> Line:
    """Return the line on a question that differs, with its farthest row."""
    name = answer.outside[FARTHER][0]
    facts = {"name": name, "ratio": quoted(answer.rows[name]), "outside": len(answer.outside[FARTHER])}
    parts = [filled(text[answer.name], **facts, rows=len(answer.rows))]
    brighter = answer.name == "gray levels" or "M1" in answer.outside[FARTHER]
    if brighter and "median.M1.real" in values:
        medians = {kind: values[f"median.M1.{kind}"].value for kind in ("real", "synthetic")}
        parts.append(filled(text["brightness"], **medians))
    if answer.name == "texture" and "spectrum.top" in values:
        top = float(values["spectrum.top"].value)
        kind = "finer" if top >= DECIBELS else "coarser" if top <= -DECIBELS else ""
        parts += [filled(text[kind], top=abs(top))] if kind else []
    return Line(DIFFERS, " ".join(parts), answer.link)


def _copies(values: Values, text: Mapping[str, str], n: int) -> Line:
    """Return the line on copies: fewer authentic images than among real ones, or more that are very near."""
    if "memorization.authenticity" not in values:
        return Line(NOTE, filled(text["unsearched"], n=n), "images")
    authentic, baseline, near = (values[f"memorization.{key}"] for key in AUDIT)
    fewer = (authentic.interval or (0, 1))[1] < (baseline.interval or (0, 1))[0]
    found = fewer or (near.interval or (0, 1))[0] > BY_CHANCE
    facts = {"authentic": quoted(authentic), "baseline": quoted(baseline), "near": quoted(near)}
    return Line(DIFFERS if found else AGREES, filled(text["copied" if found else "original"], **facts), "memorization")


def _copied(values: Values, text: Mapping[str, str]) -> str:
    """Return in words which share of the synthetic images are copies: pixel by pixel, or an estimate if that is more.

    Copies are not authentic and very near. The others are authentic as often as unseen real images are, and very near
    as often as by chance: each of the two shares gives an estimate.
    """
    authentic, baseline, near = (float(values[f"memorization.{key}"].value) for key in AUDIT)
    exact = float(values.get("shared", Value(0)).value)
    estimate = 100 * max(1 - authentic / baseline if baseline else 0.0, (near - BY_CHANCE) / (1 - BY_CHANCE))
    return filled(text["exact copies" if exact >= estimate else "near copies"], share=max(exact, estimate))


def _levels(values: Values, text: Mapping[str, str]) -> Iterable[Line]:
    """Yield the line on the gray levels that images use."""
    change = values.get("levels.difference")
    if change is not None and change.interval:
        differ = bool(standing(change.interval, equal=0.0)) and abs(float(change.value)) >= BITS
        key = "levels" if differ else "as many"
        facts: dict[str, object] = {kind: values[f"levels.{kind}"].value for kind in ("real", "synthetic")}
        facts["bits"] = quoted(change, "+z.2f")
        yield Line(DIFFERS if differ else AGREES, filled(text[key], **facts), LINKS["levels"])


def study_summary(values: Values, missing: Mapping[str, str], clusters: str = "") -> list[Line]:
    """Return the summary of the analysis of a reader study.

    Args:
        values: values of its sections by key.
        missing: {analysis that was left out: reason}.
        clusters: what several answers share, as "readers and images"; "" where nothing is.
    """
    text = words("summary")["study"]
    rate = values.get("clustered.rate", values["rate"])
    verdict = str(values["verdict"].value).split(". ")[0].rstrip(".")
    side = standing(rate.interval or (0, 1), equal=0.5)
    status = NOTE if verdict.startswith("There is no verdict") else DIFFERS if side else AGREES
    facts: dict[str, object] = {key: values[key].value for key in ("readers", "sessions", "answers", "complete")}
    lines = [
        Line(status, filled(text["verdict"], verdict=verdict, rate=quoted(rate, "z.3f")), "overall"),
        Line(NOTE, filled(text["basis"], **facts), "demographics"),
    ]
    effect = float(values["design_effect"].value)
    independent = float(values["answers"].value) / effect
    facts |= {"shared": f"{clusters} as clusters" if clusters else "no reader or image is known to have two answers"}
    lines.append(Line(NOTE, filled(text["independent"], effect=effect, independent=independent, **facts), "overall"))
    lines += [*_groups(values, text), *_ratings(values, text), *_tests(values, text)]
    last = []
    if missing:
        named = next(iter(missing))
        last.append(Line(NOTE, filled(text["missing"], count=len(missing), named=named), "missing"))
    needed = {key: values[key].value for key in ("power", "margin")}
    last.append(Line(NOTE, filled(text["next"], needed=values["attempts.needed"].value, **needed), "next_study"))
    return lines[: MOST - len(last)] + last


def _groups(values: Values, text: Mapping[str, str]) -> Iterable[Line]:
    """Yield the line on groups of readers: it differs where more than a tenth of them do from one half.

    A group differs where both of its intervals exclude one half. The line quotes that over clusters, if there is one.
    """
    exact = {key: value for key, value in values.items() if key.startswith("group.")}
    if len(exact) > 1:
        over = {key: values.get(f"over_clusters.{key}", value) for key, value in exact.items()}
        groups = {value.label: replace(over[key], label=value.label) for key, value in exact.items()}
        ordered = sorted(groups, key=lambda name: float(groups[name].value))
        both = ((exact[key], over[key]) for key in exact)
        differ = [key for key in both if all(standing(each.interval or (0, 1), equal=0.5) for each in key)]
        facts: dict[str, object] = {"count": len(groups), "differ": len(differ)}
        for end, name in (("low", ordered[0]), ("high", ordered[-1])):
            facts |= {end: name, f"{end}_rate": quoted(groups[name])}
        status = DIFFERS if 10 * len(differ) > len(groups) else AGREES
        yield Line(status, filled(text["groups"], **facts), "groups")


def _ratings(values: Values, text: Mapping[str, str]) -> Iterable[Line]:
    """Yield lines on the AUC of ratings, which differs where it is not one half, and on the agreement of readers."""
    areas = {key.removeprefix("auc."): value for key, value in values.items() if key.startswith("auc.")}
    areas = {name: value for name, value in areas.items() if not name.startswith("difference.")}
    if areas:
        named = [f"{quoted(area)} ({name})" if len(areas) > 1 else quoted(area) for name, area in areas.items()]
        differ = any(standing(area.interval or (0, 1), equal=0.5) for area in areas.values())
        yield Line(DIFFERS if differ else AGREES, filled(text["ratings"], areas=", ".join(named)), "roc")
    if alpha := values.get("agreement.alpha"):
        yield Line(NOTE, filled(text["agreement"], alpha=quoted(alpha)), "agreement")


def _tests(values: Values, text: Mapping[str, str]) -> Iterable[Line]:
    """Yield lines on the tests of scores, questions and times: one differs where a P is .05 or less."""
    tests = {
        "distribution": ["fit.p_monte_carlo", "best"],
        "over_questions": ["questions.cochran.p", "questions.trend.p", "questions.slope"],
        "times": ["seconds.p", "seconds"],
    }
    for section, keys in tests.items():
        if all(key in values for key in keys):
            facts = {key.replace(".", "_"): values[key].value for key in keys}
            small = any(float(values[key].value) <= LEVEL for key in keys if ".p" in key)
            yield Line(DIFFERS if small else AGREES, filled(text[section], **facts), section)
