"""Numbers of the report on a reader study against SciPy, and intervals that do not hold."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from answers import QUESTIONS, READERS, answers, differing_images
from scipy import stats

from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_sections import distribution, over_questions, rates_by_question
from mammogan.report.reader_study import analyse
from mammogan.stats.responses import check_responses


def test_numbers_equal_scipy(tmp_path: Path) -> None:
    study = StudyAnswers(check_responses(answers().astype(str)), simulations=200, margin=0.2)
    folder = analyse(study, tmp_path).parent
    values = {key: entry["value"] for key, entry in json.loads((folder / "results.json").read_text()).items()}
    table = answers()
    right, n = int(table["correct"].sum()), len(table)
    test = stats.binomtest(right, n)
    assert values["study.rate"] == pytest.approx(right / n)
    assert values["study.p"] == pytest.approx(test.pvalue)
    matrix = table.pivot(index="session", columns="question", values="correct").to_numpy()
    assert values["study.questions.kruskal.p"] == pytest.approx(stats.kruskal(*matrix.T).pvalue)
    assert values["study.readers"] == READERS
    assert values["study.repeats"] == 1
    years = pd.read_csv(folder / "data" / "years.csv").set_index("group")
    said = [reader for reader in range(READERS) if reader % 5]
    assert years.loc["all"].tolist() == [len(said), *np.quantile(said, [0, 0.25, 0.5, 0.75, 1])]
    assert years.loc["radiologists", "most"] == 13
    assert values["study.seconds"] == pytest.approx(table["seconds"].median())
    scores = table.groupby(["session", "radiologist"])["correct"].mean().reset_index()
    groups = [scores.loc[scores["radiologist"] == value, "correct"] for value in ("yes", "no")]
    strata = pd.read_csv(folder / "data" / "strata.csv")
    assert strata["P"].iloc[0] == pytest.approx(stats.kruskal(*groups).pvalue)
    assert (strata["P (Holm)"] >= strata["P"]).all()


@pytest.mark.slow
def test_intervals_that_do_not_hold_are_marked(tmp_path: Path) -> None:
    warned = {}
    for spread in (0.0, 0.9):
        study = StudyAnswers(check_responses(differing_images(spread)), simulations=99)
        page = analyse(study, tmp_path / str(spread)).read_text()
        values = json.loads((tmp_path / str(spread) / "results.json").read_text())
        warned[spread] = "real images differ by more than chance" in page
        assert ("too narrow" in values["study.rate"]["how"]) is warned[spread]
        both = values["study.clustered.rate"]
        assert both["how"] == "t interval, readers and real images as clusters"
    assert warned == {0.0: False, 0.9: True}
    width, wider = (np.ptp(values[f"study.{key}"]["interval"]) for key in ("rate", "clustered.rate"))
    assert wider > 1.5 * width
    low, high = both["interval"]
    assert f"Report {both['value']:.3f} ({low:.3f} to {high:.3f})" in page
    assert len(study.warnings) == 1
    assert study.warnings[0] in page
    spread_of = pd.read_csv(tmp_path / "0.9" / "data" / "independence.csv").set_index("clusters")
    assert spread_of.loc["real images", "P"] < 0.001 < 0.05 < spread_of.loc["readers", "P"]
    groups = pd.read_csv(tmp_path / "0.9" / "data" / "groups.csv").iloc[0]
    assert groups["low (clusters)"] == pytest.approx(low)
    design = values["study.design_effect"]["value"]
    assert design == pytest.approx(
        (wider / 2 / stats.t.ppf(0.975, 24)) ** 2 / (both["value"] * (1 - both["value"]) / 800)
    )


def test_two_attempts_have_no_distribution_and_equal_answers_no_tests() -> None:
    few = StudyAnswers(check_responses(answers().iloc[: 2 * QUESTIONS].astype(str)))
    assert list(distribution(few)) == ["Fewer than three attempts are complete."]
    alike = StudyAnswers(check_responses(answers()[["reader", "session", "question"]].assign(correct=1).astype(str)))
    assert list(over_questions(alike)) == ["Too few complete attempts."]
    assert {"the distribution of scores"} == set(few.missing)
    assert {"tests over questions"} == set(alike.missing)


def test_rates_by_question() -> None:
    table = rates_by_question(np.array([3, 10]), 10)
    assert table["rate"].tolist() == [0.3, 1.0]
    expected = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert (table["low"][0], table["high"][0]) == pytest.approx((expected.low, expected.high))
    assert table["high"][1] == 1
