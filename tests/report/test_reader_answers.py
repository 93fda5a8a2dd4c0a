"""What answers share, and who has a trait."""

from __future__ import annotations

from answers import QUESTIONS, READERS, answers

from mammogan.report.reader_answers import StudyAnswers, listed, split_by
from mammogan.stats.responses import check_responses


def test_sessions_clusters_and_traits() -> None:
    study = StudyAnswers(check_responses(answers().astype(str)))
    assert study.has("real_id", "years")
    assert not study.has("screening")
    sessions, questions = study.complete
    assert (len(sessions), questions) == (READERS + 1, QUESTIONS)
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
