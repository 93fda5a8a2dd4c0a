"""What answers share, and who has a trait."""

from __future__ import annotations

import numpy as np
import pandas as pd
from answers import QUESTIONS, READERS, answers

from mammogan.report.reader_answers import StudyAnswers, listed, split_by
from mammogan.stats.responses import check_responses


def test_sessions_clusters_and_traits() -> None:
    study = StudyAnswers(check_responses(answers().astype(str)))
    assert study.has("real_id", "years")
    assert not study.has("screening")
    sessions = study.complete
    assert (len(sessions), study.questions, study.none_complete) == (READERS + 1, QUESTIONS, "")
    assert (~sessions["first"]).sum() == 1
    assert study.matrix().shape == (READERS + 1, QUESTIONS)
    assert list(study.clusters) == ["reader", "real_id", "synthetic_id"]
    assert listed(study.clusters) == "readers, real images and synthetic images"
    assert listed(["reader"]) == "readers"
    for trait, without in (("radiologist", "no"), ("board_certified", "yes"), ("breast_specialist", "yes")):
        yes, rest = split_by(sessions, trait)
        assert len(yes) and len(rest)
        assert not set(yes.index) & set(rest.index)
        assert set(rest["radiologist"]) == {without}


def test_rates_without_clusters_are_none() -> None:
    one = answers().iloc[:QUESTIONS][["reader", "question", "correct"]]
    assert StudyAnswers(check_responses(one.astype(str))).clustered() is None


def test_questions_per_attempt_are_those_of_complete_attempts() -> None:
    rng = np.random.default_rng(0)

    def study(numbers: list[np.ndarray]) -> StudyAnswers:
        rows = [(f"r{n}", q, int(rng.integers(2))) for n, chosen in enumerate(numbers) for q in chosen]
        return StudyAnswers(check_responses(pd.DataFrame(rows, columns=["reader", "question", "correct"]).astype(str)))

    # The number of an item as question: nobody answers all 40.
    items = study([1 + rng.permutation(40)[:10] for _ in range(20)])
    assert (items.questions, len(items.complete), items.matrix().shape[0]) == (10, 0, 0)
    assert items.none_complete.startswith(
        "No attempt is complete: 40 questions (numbers 1 to 40) in all, and 10 in an attempt. "
    )
    # Numbers with gaps are still ten questions.
    gaps = study([np.arange(1, 20, 2)] * 6 + [np.arange(1, 10, 2)] * 20)
    assert (gaps.questions, len(gaps.complete), gaps.none_complete) == (10, 6, "")
    assert gaps.matrix().shape == (6, 10)


def test_the_first_attempt_says_who_a_reader_is() -> None:
    table = answers().astype(str)
    again = table["session"] == table["session"].max()  # the second attempt of r0
    said = table.assign(radiologist=table["radiologist"].where(~again, "yes"), years=table["years"].where(~again, "7"))
    study = StudyAnswers(check_responses(said))
    radiologists, others = split_by(study.sessions, "radiologist")
    assert not set(radiologists["reader"]) & set(others["reader"])
    assert set(study.sessions.loc[study.sessions["reader"] == "r0", "radiologist"]) == {"no"}
    assert study.warnings == [
        "Attempts of one reader state different radiologist (r0); the first one counts.",
    ]
    assert StudyAnswers(check_responses(table)).warnings == []
