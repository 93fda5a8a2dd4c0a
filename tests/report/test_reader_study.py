"""The report on a reader study: every section, numbers against SciPy, intervals that do not hold, several studies."""

from __future__ import annotations

import json
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from answers import QUESTIONS, READERS, answers, differing_images
from scipy import stats

from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_study import (
    SECTIONS,
    analyse,
    distribution,
    over_questions,
    overall,
    rates_by_question,
    spread,
    write_section,
)
from mammogan.report.results import Results
from mammogan.stats.proportions import exact_interval
from mammogan.stats.responses import NEEDED, check_responses


def test_the_report_holds_every_section(tmp_path: Path) -> None:
    study = StudyAnswers(check_responses(answers().astype(str)), simulations=200, margin=0.2)
    page = analyse(study, tmp_path).read_text()
    for title in (*SECTIONS, "Families of tests"):
        assert f"<h2>{title}</h2>" in page
    for name in ("scores", "questions", "groups", "times", "power"):
        assert f'src="figures/{name}.png"' in page
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 5000
    assert "nan" not in page.lower().replace("nan<", "")


def test_three_columns_are_enough(tmp_path: Path) -> None:
    table = answers().iloc[: READERS * QUESTIONS][list(NEEDED)].astype(str)
    study = StudyAnswers(check_responses(table), simulations=99)
    page = analyse(study, tmp_path / "out", chapter="other").read_text()
    assert {"response times", "images as random effects", "groups against each other"} <= set(study.missing)
    assert "there is no column seconds" in page
    assert "other.rate" in json.loads((tmp_path / "out" / "results.json").read_text())


def test_numbers_of_several_studies_and_the_note_they_carry(tmp_path: Path) -> None:
    tables = [check_responses(differing_images(size)) for size in (0.0, 0.9)]
    table = spread([StudyAnswers(t) for t in tables], [overall]).set_index("key")
    rates = sorted(t["correct"].mean() for t in tables)
    assert table.loc["rate", ["lowest", "highest"]].tolist() == pytest.approx(rates)
    low = [exact_interval(t["correct"].sum(), 800).low for t in tables]
    assert table.loc["rate, low", ["lowest", "highest"]].tolist() == pytest.approx(sorted(low))
    results = Results(tmp_path, "chapter")
    study = StudyAnswers(tables[0], note="A note.", simulations=99)
    part = write_section(distribution, study, results.part("again"))
    assert part.pictures[0].caption.startswith("A note. ")
    assert plt.gcf().get_suptitle() == "A note."
    plt.close("all")
    assert (tmp_path / "figures" / "again_scores.png").exists()
    results.save()
    assert "chapter.again.fit.p" in json.loads((tmp_path / "results.json").read_text())


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
    for size in (0.0, 0.9):
        study = StudyAnswers(check_responses(differing_images(size)), simulations=99)
        page = analyse(study, tmp_path / str(size)).read_text()
        values = json.loads((tmp_path / str(size) / "results.json").read_text())
        warned[size] = "real images differ by more than chance" in page
        assert ("too narrow" in values["study.rate"]["how"]) is warned[size]
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
