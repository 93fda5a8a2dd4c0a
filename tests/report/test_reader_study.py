"""The report on a reader study: every section, numbers against SciPy, intervals that do not hold, several studies."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from answers import QUESTIONS, READERS, answers, differing_images
from scipy import stats

from mammogan.report.reader_answers import StudyAnswers
from mammogan.report.reader_figures import question_rates, response_times
from mammogan.report.reader_items import spread, write_section
from mammogan.report.reader_study import (
    SECTIONS,
    analyse,
    distribution,
    mixed_model,
    over_questions,
    overall,
    rates_by_question,
    verdict,
)
from mammogan.report.results import Results
from mammogan.stats.proportions import Clustered, exact_interval
from mammogan.stats.responses import NEEDED, check_responses


@pytest.mark.slow
def test_the_report_holds_every_section(tmp_path: Path) -> None:
    study = StudyAnswers(check_responses(answers().astype(str)), simulations=200, margin=0.2)
    page = analyse(study, tmp_path).read_text()
    for title in (*SECTIONS, "Families of tests"):
        assert f">{title}</h2>" in page
    for name in ("scores", "questions", "groups", "times", "power"):
        assert f'src="figures/{name}.png"' in page
        assert (tmp_path / "figures" / f"{name}.png").stat().st_size > 5000
    assert "nan" not in page.lower().replace("nan<", "")


@pytest.mark.slow
def test_three_columns_are_enough(tmp_path: Path) -> None:
    table = answers().iloc[: READERS * QUESTIONS][list(NEEDED)].astype(str)
    study = StudyAnswers(check_responses(table), simulations=99)
    page = analyse(study, tmp_path / "out", chapter="other").read_text()
    assert {"response times", "images as random effects", "groups against each other"} <= set(study.missing)
    assert "there is no column seconds" in page
    assert "other.rate" in json.loads((tmp_path / "out" / "results.json").read_text())


@pytest.mark.parametrize(("seconds", "missing"), [("5", "the trend of times"), ("0", "response times")])
@pytest.mark.slow
def test_times_that_are_all_alike_leave_out_what_needs_more(tmp_path: Path, seconds: str, missing: str) -> None:
    study = StudyAnswers(check_responses(answers().astype(str).assign(seconds=seconds)), simulations=99)
    analyse(study, tmp_path)
    results = json.loads((tmp_path / "results.json").read_text())
    assert missing in study.missing
    assert "study.seconds.trend" not in results
    assert ("study.seconds" in results) == (seconds == "5")


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
    assert part.figure.path == tmp_path / "figures" / "again_scores.png" and part.figure.path.is_file()
    assert "<!-- A note. -->" in part.figure.path.with_suffix(".svg").read_text()
    results.save()
    assert "chapter.again.fit.p" in json.loads((tmp_path / "results.json").read_text())


@pytest.mark.slow
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
    for deviation in (0.0, 0.9):
        study = StudyAnswers(check_responses(differing_images(deviation)), simulations=99)
        page = analyse(study, tmp_path / str(deviation)).read_text()
        values = json.loads((tmp_path / str(deviation) / "results.json").read_text())
        warned[deviation] = "real images differ by more than chance" in page
        assert ("too narrow" in values["study.rate"]["how"]) is warned[deviation]
        both = values["study.clustered.rate"]
        assert both["how"].endswith(", readers and real images as clusters")
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
    n = 800 / design * (stats.t.ppf(0.975, 799) / stats.t.ppf(0.975, 24)) ** 2
    right = n * both["value"]
    assert (low, high) == pytest.approx(
        (stats.beta.ppf(0.025, right, n - right + 1), stats.beta.ppf(0.975, right + 1, n - right))
    )


def test_two_attempts_have_no_distribution_and_equal_answers_no_tests() -> None:
    few = StudyAnswers(check_responses(answers().iloc[: 2 * QUESTIONS].astype(str)))
    assert list(distribution(few)) == ["Fewer than three attempts have 6 answers."]
    alike = StudyAnswers(check_responses(answers()[["reader", "session", "question"]].assign(correct=1).astype(str)))
    assert list(over_questions(alike)) == [
        "Questions cannot be compared: all answers of complete attempts, 90 in number, are the same."
    ]
    assert {"the distribution of scores"} == set(few.missing)
    assert len(list(distribution(alike))) == 2
    assert alike.missing.pop("the overdispersion of scores").startswith("All answers are the same")
    assert {"tests over questions"} == set(alike.missing)


def test_rates_by_question() -> None:
    table = rates_by_question(np.array([3, 10]), 10)
    assert table["rate"].tolist() == [0.3, 1.0]
    expected = stats.binomtest(3, 10).proportion_ci(method="exact")
    assert (table["low"][0], table["high"][0]) == pytest.approx((expected.low, expected.high))
    assert table["high"][1] == 1


def table_of(answers: np.ndarray) -> StudyAnswers:
    """Return a study of answers (readers, questions)."""
    reader, question = np.indices(answers.shape)
    columns = {"reader": reader, "question": question + 1, "correct": answers}
    return StudyAnswers(check_responses(pd.DataFrame({k: v.ravel() for k, v in columns.items()}).astype(str)))


@pytest.mark.slow
def test_readers_of_one_score_and_a_pilot_have_a_report_and_no_verdict(tmp_path: Path) -> None:
    for name, study in (
        ("same", table_of(np.tile([1] * 6 + [0] * 4, (4, 1)))),
        ("pilot", table_of(np.repeat([[1], [0], [1]], 2, 1))),
    ):
        page = analyse(study, tmp_path / name).read_text()
        assert "There is no verdict" in page and "1e-1" not in page
    values = json.loads((tmp_path / "same" / "results.json").read_text())
    exact = stats.binomtest(24, 40).proportion_ci()
    assert values["study.clustered.rate"]["interval"] == pytest.approx([exact.low, exact.high])
    assert "study.questions.cochran.p" in json.loads((tmp_path / "pilot" / "results.json").read_text())


def test_high_rates_stay_within_one_and_are_above_one_half(tmp_path: Path) -> None:
    study = table_of(np.array([[1] * 10, [1] * 10, [1] * 9 + [0], [1] * 10]))
    texts = [item for item in overall(study) if isinstance(item, str)]
    assert texts[0].startswith("The rate of right answers is above one half.")
    assert study.clustered().high <= 1
    assert [item[:25] for item in mixed_model(study)] == ["Answers are separated (by"]
    assert set(study.missing) == {"images as random effects", "the mixed model"}
    # Every attempt answers each question alike: no spread for tests of pairs.
    constant = table_of(np.tile([1, 0, 1], (5, 1)))
    plt.close("all")
    list(over_questions(constant))
    assert list(constant.missing) == ["tests of pairs of questions"]


def test_a_verdict_needs_every_row() -> None:
    above, wide = Clustered(0.6, 0.55, 0.65, 0.01, 1, 1), Clustered(0.6, 0.4, 0.8, 0.3, 1, 1)
    same, below = Clustered(0.5, 0.47, 0.53, 1, 0.01, 1), Clustered(0.48, 0.47, 0.49, 0.01, 0.01, 1)
    assert verdict([above, above], 0.05).startswith("The rate of right answers is above one half. A verdict")
    assert verdict([above, wide], 0.05).startswith("There is no verdict")
    assert "another does not" in verdict([above, wide], 0.05)
    assert verdict([same, same], 0.05).startswith("The rate of right answers is equivalent to one half")
    assert verdict([same, wide], 0.05).startswith("There is no verdict")
    assert "below one half, and it is within one half ± 0.05" in verdict([below, below], 0.05)
    assert verdict([above], 0.05).endswith("nothing is known about others.")


def test_many_questions_leave_room_for_their_labels() -> None:
    questions = np.arange(1, 91)
    rates = pd.DataFrame({"question": questions, "rate": 0.5, "low": 0.4, "high": 0.6})
    seconds = pd.DataFrame({"question": np.repeat(questions, 4), "seconds": np.tile([1.0, 2, 3, 4], 90)})
    for figure in (question_rates(rates), response_times(seconds.assign(correct=np.arange(360) % 2))):
        figure.canvas.draw()
        labels = figure.axes[0].get_xticklabels()
        assert [label.get_text() for label in labels][:3] == ["1", "6", "11"]
        boxes = [label.get_window_extent() for label in labels]
        assert all(left.x1 < right.x0 for left, right in pairwise(boxes))
        plt.close(figure)
