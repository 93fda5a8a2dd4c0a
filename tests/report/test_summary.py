"""Summaries: never longer than ten lines, no claim without a number, every link leads to a section, and the rules."""

from __future__ import annotations

import re
from collections.abc import Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mammogan.report.results import Value
from mammogan.report.summary import (
    AGREES,
    DIFFERS,
    FARTHER,
    MOST,
    NEARER,
    Line,
    alignment_summary,
    standing,
    study_summary,
)

PAIRS = [f"scores.jsd.M{i}.M{j}.ratio" for i in range(1, 6) for j in range(i, 6)]
SCORES = [*PAIRS, *(f"features.{name}.ratio" for name in ("precision", "recall", "density", "coverage"))]
LARGER = [f"larger.M{i}" for i in range(1, 6)]
DISTANCES = ["swd.40x32.real.ratio", "swd.20x16.real.ratio", "spectrum.ratio"]
SECTIONS = {"images", "moments", "table1", "texture", "features", "memorization"}
STUDY = {"overall", "demographics", "distribution", "over_questions", "groups", "times", "next_study", "missing"}
STUDY |= {"roc", "agreement"}
SHARES = [f"memorization.{name}" for name in ("authenticity", "baseline", "nearer")]
numbers = st.floats(0, 50, allow_nan=False)
intervals = st.tuples(numbers, numbers, numbers).map(lambda three: Value(sorted(three)[1], sorted(three)[::2]))


def like_real(**changed: Value) -> dict[str, Value]:
    """Return values of two sets of real images, with some of them changed."""
    values = {key: Value(1.0, (0.9, 1.1)) for key in (*SCORES, *DISTANCES)}
    values |= {key: Value(0.7, (0.6, 0.8)) for key in SHARES[:2]} | {SHARES[2]: Value(0.05, (0.02, 0.1))}
    values |= {
        "levels.real": Value(240.0),
        "levels.synthetic": Value(240.0),
        "levels.difference": Value(0.0, (-0.1, 0.1)),
    }
    values |= {key: Value(0.5, (0.4, 0.6)) for key in LARGER}
    values |= {"median.M1.real": Value(0.2), "median.M1.synthetic": Value(0.3), "spectrum.top": Value(-12.0)}
    return values | {key.replace("__", "."): value for key, value in changed.items()}


def texts(values: Mapping[str, Value]) -> str:
    return "\n".join(line.text for line in alignment_summary(values, 60, "40 x 32"))


@settings(deadline=None, max_examples=200)
@given(st.dictionaries(st.sampled_from([*SCORES, *DISTANCES, *LARGER]), intervals), st.booleans(), st.data())
def test_a_summary_is_short_and_claims_nothing_without_a_number(
    ratios: dict[str, Value], searched: bool, data: st.DataObject
) -> None:
    values = dict(ratios)
    if searched:
        values |= {key: data.draw(intervals) for key in (*SHARES, "levels.difference")}
        values |= {key: data.draw(intervals) for key in ("levels.real", "levels.synthetic", "spectrum.top")}
    lines = alignment_summary(values, data.draw(st.integers(8, 5000)), "40 x 32")
    assert 3 <= len(lines) <= MOST
    assert all(re.search(r"\d", line.text) and line.link in SECTIONS for line in lines)
    assert all(not re.search(r"[{}]|\bnan\b", line.text) for line in lines)
    differing = any(line.status == DIFFERS for line in lines[1:])
    assert (lines[0].status == DIFFERS) == differing  # the verdict is that of its lines


@given(numbers, numbers, st.floats(0.1, 2), st.booleans())
def test_a_row_is_outside_where_its_interval_excludes_real_images(
    a: float, b: float, equal: float, higher: bool
) -> None:
    low, high = sorted([a, b])
    where = standing((low, high), equal, higher)
    assert bool(where) == (not low <= equal <= high)
    assert where != standing((low, high), equal, not higher) or not where
    assert standing((2.0, 3.0), 1.0, higher=False) == FARTHER
    assert standing((2.0, 3.0), 1.0) == NEARER
    assert not standing((float("nan"), float("nan")))


def test_real_images_are_alike() -> None:
    lines = alignment_summary(like_real(), 60, "40 x 32")
    assert {line.status for line in lines[:-2]} == {AGREES}
    assert lines[0].text.startswith("Alike as far as this comparison sees: 0 of 27 numbers")


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"swd__40x32__real__ratio": Value(5.2, (4.1, 6.3))},
            "the farthest, 40 x 32 pixels, is 5.20 (4.10 to 6.30) times",
        ),
        ({"spectrum__ratio": Value(9.0, (4.1, 16.3))}, "12.0 dB less power than in real images: blur"),
        (
            {"larger__M3": Value(0.3, (0.2, 0.4))},
            "1 of 5; M3 of a synthetic image is larger than that of a real one with a",
        ),
        ({"larger__M1": Value(0.6, (0.55, 0.7))}, "0.60 (0.55 to 0.70). Median brightness: 0.300 against 0.200"),
        ({"features__coverage__ratio": Value(0.2, (0.1, 0.3))}, "Variety is lacking: 1 of 2 numbers"),
        ({"features__precision__ratio": Value(0.2, (0.1, 0.3))}, "Realism differs: 1 of 2 numbers"),
        ({"memorization__authenticity": Value(0.1, (0.0, 0.2))}, "Copies: 0.10 (0.00 to 0.20)"),
        ({"memorization__nearer": Value(0.4, (0.3, 0.5))}, "0.40 (0.30 to 0.50) are very near"),
        ({"levels__difference": Value(-1.9, (-2.0, -1.8))}, "a difference of -1.90 (-2.00 to -1.80) bits"),
        ({key.replace(".", "__"): Value(0.5, (0.4, 0.6)) for key in PAIRS[:2]}, "2 of 15 pairs of moments score below"),
        ({key.replace(".", "__"): Value(1.5, (1.4, 1.6)) for key in PAIRS}, "as copies are: gray levels in 15 of 15"),
    ],
)
def test_each_difference_is_said_with_its_number(changed: dict[str, Value], said: str) -> None:
    lines = alignment_summary(like_real(**changed), 60, "40 x 32")
    assert lines[0].status == DIFFERS
    assert sum(said in line.text for line in lines) == 1


def test_one_pair_of_fifteen_is_chance_and_a_tenth_of_a_bit_is_little() -> None:
    little = {"levels__difference": Value(-0.1, (-0.15, -0.05)), "scores__jsd__M1__M2__ratio": Value(0.8, (0.7, 0.9))}
    assert "gray levels in 1 of 15 numbers" in texts(like_real(**little))
    assert alignment_summary(like_real(**little), 60, "40 x 32")[0].status == AGREES


def test_sets_that_are_too_alike_are_not_called_alike() -> None:
    copied = alignment_summary(like_real(memorization__authenticity=Value(0.0, (0.0, 0.1))), 60, "40 x 32")
    assert copied[0].text.startswith(
        "Too alike: about 100 % of the synthetic images are copies of real images, or nearly so."
    )
    near = alignment_summary(like_real() | dict.fromkeys(PAIRS, Value(1.5, (1.4, 1.6))), 60, "40 x 32")
    assert near[0].text.startswith("Too alike: 15 of 27 numbers are nearer")


def test_a_little_less_power_is_not_called_blur() -> None:
    far = {"spectrum__ratio": Value(9.0, (4.1, 16.3)), "spectrum__top": Value(-0.6)}
    assert "blur" not in texts(like_real(**far))


@settings(deadline=None)
@given(st.floats(0.05, 1.0), st.floats(0.3, 1.0), st.booleans())
def test_a_set_with_copies_is_too_alike_and_says_their_share(copied: float, baseline: float, exact: bool) -> None:
    copied = round(copied, 2)
    authentic = (1 - copied) * baseline
    shares = {"memorization.authenticity": Value(authentic, (authentic, authentic))}
    shares |= {"memorization.baseline": Value(baseline, (baseline, baseline))}
    shares |= {"shared": Value(100 * copied + 1e-6)} if exact else {}
    line = alignment_summary(like_real() | shares, 60, "40 x 32")[0]
    ending = "copies of real images, pixel by pixel" if exact else "copies of real images, or nearly so"
    assert line.text.startswith("Too alike: ") and ending in line.text and line.link == "memorization"
    assert f"{100 * copied:.0f} % of the synthetic images" in line.text
    changed = dict.fromkeys(PAIRS, Value(0.3, (0.2, 0.4)))
    both = alignment_summary(like_real() | shares | changed, 60, "40 x 32")[0].text
    assert both.startswith("Not alike: copies, gray levels.") and both.endswith(f"{ending}.")


def test_one_is_singular() -> None:
    values = like_real() | {PAIRS[0]: Value(0.3, (0.2, 0.4))}
    assert "1 of 27 numbers is farther" in texts(values)
    counts = {"readers": 1.0, "sessions": 1.0, "answers": 1.0, "complete": 1.0}
    values = answers_of(Value(0.6), "No.") | {key: Value(int(count)) for key, count in counts.items()}
    lines = {line.link: line.text for line in study_summary(values, {})}
    assert lines["demographics"] == "1 reader gave 1 answer in 1 attempt, of which 1 is complete."


def test_copies_come_first_where_everything_differs() -> None:
    worst = dict.fromkeys(SCORES, Value(0.1, (0.0, 0.2))) | dict.fromkeys(DISTANCES, Value(7.0, (6.0, 8.0)))
    values = like_real() | worst | {SHARES[0]: Value(0.1, (0.0, 0.2)), "levels.difference": Value(-2.0, (-2.1, -1.9))}
    lines = alignment_summary(values, 60, "40 x 32")
    assert lines[0].text.startswith("Not alike: copies, gray levels, texture, realism, variety, number of gray levels.")
    assert lines[-1].link == "memorization"
    assert len(lines) <= MOST


def answers_of(rate: Value, verdict: str, **changed: Value) -> dict[str, Value]:
    values = {"rate": rate, "clustered.rate": rate, "verdict": Value(verdict), "design_effect": Value(1.5)}
    values |= {key: Value(12) for key in ("readers", "sessions", "answers", "complete", "attempts.needed")}
    values |= {"power": Value(40.0), "margin": Value(0.05)}
    return values | {key.replace("__", "."): value for key, value in changed.items()}


GROUPS = ["group.all", "group.radiologists", "group.others"]
RATINGS = ["auc.A", "auc.B", "auc.difference.A.B", "agreement.alpha"]
P_VALUES = ["fit.p_monte_carlo", "questions.cochran.p", "questions.trend.p", "seconds.p"]


@settings(deadline=None)
@given(
    intervals,
    st.dictionaries(st.sampled_from([*GROUPS, *RATINGS]), intervals),
    st.dictionaries(st.sampled_from([*P_VALUES, "best", "questions.slope", "seconds"]), intervals),
    st.dictionaries(st.text(min_size=1, max_size=9), st.text()),
)
def test_the_summary_of_a_study_is_short_and_has_numbers(
    rate: Value, groups: dict[str, Value], tests: dict[str, Value], missing: dict[str, str]
) -> None:
    lines = study_summary(answers_of(rate, "There is no verdict: 3 readers.") | groups | tests, missing)
    assert 4 <= len(lines) <= MOST
    assert all(re.search(r"\d", line.text) and line.link in STUDY for line in lines)
    assert lines[-1].link == "next_study"


def test_the_summary_of_a_study_with_ratings_states_their_areas_and_the_agreement_of_readers() -> None:
    ratings = {"auc.A": Value(0.5, (0.45, 0.55)), "agreement.alpha": Value(0.1, (0.0, 0.2))}
    ratings["auc.difference.A.B"] = Value(0.3, (0.2, 0.4))

    def said(values: dict[str, Value]) -> dict[str, Line]:
        lines = study_summary(answers_of(Value(0.5, (0.45, 0.55)), "No.") | values, {})
        return {line.link: line for line in lines}

    one, two = said(ratings), said(ratings | {"auc.B": Value(0.8, (0.7, 0.9))})
    assert (one["roc"].status, two["roc"].status) == (AGREES, DIFFERS)
    assert "curve of 0.50 (0.45 to 0.55); one half" in one["roc"].text
    assert "of 0.50 (0.45 to 0.55) (A), 0.80 (0.70 to 0.90) (B)" in two["roc"].text
    assert "alpha 0.10 (0.00 to 0.20)" in one["agreement"].text


def test_the_verdict_of_a_study_comes_first() -> None:
    above = "The rate of right answers is above one half. A verdict needs every row of the table, at 5 %."
    lines = study_summary(
        answers_of(Value(0.62, (0.55, 0.69)), above), {"response times": "there is no column seconds"}
    )
    assert (lines[0].status, lines[0].link) == (DIFFERS, "overall")
    assert (
        lines[0].text == "The rate of right answers is above one half: 0.620 (0.550 to 0.690) of the answers are right."
    )
    assert "Analyses not done: 1, the first of them response times." in [line.text for line in lines]


def test_a_group_differs_where_both_of_its_intervals_exclude_one_half() -> None:
    rates = {"all": (0.6, 0.52, 0.68), "radiologists": (0.7, 0.6, 0.8)}
    values = {f"group.{name}": Value(rate, (low, high), label=name) for name, (rate, low, high) in rates.items()}
    values["over_clusters.group.all"] = Value(0.6, (0.4, 0.77), label="all, over clusters")
    small = {key: Value(1e-9) for key in ("questions.cochran.p", "questions.trend.p", "questions.slope")}
    lines = {line.link: line.text for line in study_summary(answers_of(Value(0.6), "No.") | values | small, {})}
    assert lines["groups"].startswith("1 of 2 groups of readers differs from one half; the highest is radiologists")
    assert "the lowest all with 0.60 (0.40 to 0.77)" in lines["groups"]
    assert "other: P < 0.001; from" in lines["over_questions"] and "(P < 0.001)" in lines["over_questions"]


def test_images_that_repeat_each_other_are_named() -> None:
    shares = {"repeated.synthetic": Value(95.0), "repeated.real": Value(0.0)}
    lines = alignment_summary(like_real() | shares, 60, "40 x 32")
    assert lines[0].text.startswith("Not alike: images that repeat each other. 0 of")
    assert any("95 % repeat another of their set pixel by pixel." in line.text for line in lines)
    assert "why do some repeat each other?" in lines[-1].text
    same = alignment_summary(like_real() | dict.fromkeys(shares, Value(5.0)), 60, "40 x 32")
    assert same == alignment_summary(like_real(), 60, "40 x 32")


def test_the_basis_of_a_study_names_what_answers_share() -> None:
    values = answers_of(Value(0.5, (0.4, 0.6)), "No.")
    said = [study_summary(values, {}, clusters)[2].text for clusters in ("readers", "")]
    assert said[0].endswith("(design effect 1.50, readers as clusters).")
    assert "image" not in said[0] and "no reader" in said[1]


def test_shifted_moments_are_not_said_twice() -> None:
    changed = {key.replace(".", "__"): Value(0.5, (0.4, 0.6)) for key in PAIRS}
    lines = alignment_summary(like_real(larger__M1=Value(0.8, (0.7, 0.9)), **changed), 60, "40 x 32")
    assert lines[0].text.startswith("Not alike: gray levels. 16 of 27 numbers")
    assert not any("shifted" in line.text for line in lines)
