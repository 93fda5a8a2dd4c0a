"""Requests of a client: every field is checked."""

from __future__ import annotations

import pytest

from mammogan.reader_study.protocol import StudyProtocol
from mammogan.reader_study.requests import Answer, RequestRefused
from mammogan.stats.responses import TRAITS

ANSWER = {"question": 1, "chosen": "left", "seconds": 2.5, "age": 0, "key": "0" * 32}
PAPER = StudyProtocol().questionnaire
ABOUT = {"radiologist": "yes", "board_certified": "yes", "trainee": "no", "years": 7}


def test_whole_requests() -> None:
    assert Answer.of(ANSWER) == Answer(1, "left", 2.5, 0, "0" * 32)
    assert PAPER.check(ABOUT) == ABOUT
    assert PAPER.columns == (*TRAITS, "years")
    assert PAPER.check({"radiologist": "no"}) == {"radiologist": "no"}


@pytest.mark.parametrize(
    "change",
    [
        {"question": 1.0},
        {"question": True},
        {"question": None},
        {"chosen": "up"},
        {"chosen": ["left"]},
        {"seconds": -1},
        {"seconds": "1"},
        {"seconds": float("nan")},
        {"seconds": 10**8},
        {"age": float("inf")},
        {"age": False},
        {"key": "0" * 31},
        {"key": "G" * 32},
        {"key": 0},
        {"extra": 1},
    ],
)
def test_impossible_answers(change: dict[str, object]) -> None:
    with pytest.raises(RequestRefused) as refusal:
        Answer.of({**ANSWER, **change})
    assert (refusal.value.status, refusal.value.kind) == (422, "malformed")


@pytest.mark.parametrize(
    "content",
    [
        None,
        [],
        {},
        {"radiologist": ""},
        {"radiologist": "maybe"},
        {"radiologist": ["yes"]},
        {"radiologist": "no", "trainee": "yes"},
        {**ABOUT, "trainee": "yes"},
        {**ABOUT, "name": "x"},
        *({**ABOUT, "years": years} for years in (-1, 81, True, "7", float("nan"))),
    ],
)
def test_impossible_questionnaires(content: object) -> None:
    with pytest.raises(RequestRefused) as refusal:
        PAPER.check(content)
    assert (refusal.value.status, refusal.value.kind) == (422, "malformed")
