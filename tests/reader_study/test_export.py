"""The table of answers of designed studies: what it holds, what is left out, and that the analysis reads it."""

from __future__ import annotations

import json
import secrets
from pathlib import Path

import numpy as np
import pytest
from study import needs_viewer

from mammogan.atomic import write_json
from mammogan.data.store import StoreWriter
from mammogan.errors import ParameterError, StudyError
from mammogan.reader_study.build import StudySettings, build
from mammogan.reader_study.database import Database
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses
from mammogan.reader_study.protocol import Consent, StudyProtocol
from mammogan.reader_study.questionnaire import Questionnaire
from mammogan.reader_study.requests import Answer, Opening, RequestRefused
from mammogan.report.reader_answers import StudyAnswers
from mammogan.stats.responses import check_responses

from study import ovals  # isort: skip

pytestmark = needs_viewer
SPECIALIST = {"radiologist": "yes", "board_certified": "yes", "trainee": "no", "years": 7}


@pytest.fixture(scope="module")
def sets(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Twelve real images and twelve of each of two generators, half of them of each view."""
    folder = tmp_path_factory.mktemp("sets")
    for name in ("real", "early", "late"):
        with StoreWriter(folder / name, 40, 32, 12, {"by": "test"}) as writer:
            for number, image in enumerate(ovals(12, 40, 32)):
                writer.accept(image, id=f"image-{number}", view="CC" if number % 2 else "MLO")
    return [folder / name for name in ("real", "early", "late")]


def take(study: ReaderStudy, answered: int | None = None, wrong: bool = False, **opening: object) -> dict:
    """Take the test; return what the tablet received before the end."""
    database = Database(study)
    about = {"questionnaire": SPECIALIST, "reader": "", "agent": "Browser/1", "tablet": "A1B2", "screen": "9 x 9, 2"}
    begun = database.start(Opening(secrets.token_hex(16), **{**about, **opening}))
    number = int(str(begun["token"]).partition(".")[0])
    other = {"left": "right", "right": "left", "real": "synthetic", "synthetic": "real"}
    for place, question in enumerate(study.session(number)[:answered], 1):
        chosen = other[question.truth] if wrong else question.truth
        level = {"confidence": 1 + place % 5} if study.protocol.confidence else {}
        looked = {"zoom": 2.5, "zooms": 3, "windows": 0, "changes": 1}
        database.answer(
            number, Answer(place, chosen, 2.0, 0.0, secrets.token_hex(16), comment="=2+3", looked=looked, **level)
        )
    database._connection.close()
    return begun


def test_single_images_of_two_generators(sets: list[Path], tmp_path: Path) -> None:
    consent = Consent("2", "Read this.")
    protocol = StudyProtocol(
        show="images", confidence=True, practice=2, repeats=2, checks=2, strata=("view",), replace=False, comments=True,
        consent=consent,
    )  # fmt: skip
    study = build(sets[0], sets[1:], tmp_path / "study", StudySettings(pairs=8, protocol=protocol))
    assert study.generators == ("early", "late")
    assert len(study.checks) == 8
    assert ReaderStudy.open(study.folder) == study
    for turn in range(3):
        begun = take(study, consent="2", display={"dark": "yes", "bright": "no"}, wrong=turn == 2)
        # Nothing that the tablet got tells a repeat, a check, practice or the truth: each picture has its own name.
        names = [name for pair in begun["pairs"] for name in pair]
        assert len(names) == len(set(names)) == study.questions == 14
        assert set(begun) == {"token", "session", "reader", "answered", "pairs"}
        assert not any(word in json.dumps(begun) for word in ("repeat", "check", "practice", "synthetic"))
    take(study, 6, consent="2")
    table = responses(study)
    assert list(table.columns) == list(study.columns)
    assert table.groupby("session")["question"].apply(list).tolist()[:3] == [list(range(1, 9))] * 3
    assert table["complete"].tolist() == ["yes"] * 24 + ["no"] * (len(table) - 24)
    assert set(table["comment"]) == {"'=2+3"}
    assert set(table["consent_version"]) == {"2"}
    assert set(table["zoom"]) == {2.5}
    assert table[["tablet", "device", "screen"]].drop_duplicates().to_numpy().tolist() == [
        ["A1B2", "Browser/1", "9 x 9, 2"]
    ]
    whole = table[table["session"].isin(["S00001", "S00002", "S00003"])]
    assert whole.groupby("session")[["checks_answered", "checks_right"]].first().to_numpy().tolist() == [
        [2, 2],
        [2, 2],
        [2, 0],
    ]
    again = whole[whole["again_answer"].notna()]
    assert len(again) == 6
    assert (again["again_answer"] == again["answer"]).all()
    assert (again["question"] <= 4).all()
    # The analysis reads it, and `check` finds the truth of each session.
    answers = check_responses(whole.fillna("").astype(str))
    study.check(answers)
    assert answers.groupby("session")["correct"].mean().tolist() == [1, 1, 0]
    assert set(answers.loc[answers["is_synthetic"] == "yes", "generator"]) == {"early", "late"}
    found = StudyAnswers(answers, 0.05, 99, 0)
    assert found.has("confidence")
    assert found.has("is_synthetic")
    with pytest.raises(RequestRefused, match="consent to its present text"):
        take(study)


def test_the_answer_to_a_repeat_is_a_side_of_the_first_time(sets: list[Path], tmp_path: Path) -> None:
    """A reader who finds the real image each time agrees with himself, on whichever side it is."""
    protocol = StudyProtocol(repeats=5, confidence=True)
    study = build(sets[0], sets[1], tmp_path / "study", StudySettings(pairs=10, secret=1, protocol=protocol))
    take(study)
    take(study, wrong=True)
    asked = [question for number in (1, 2) for question in study.session(number) if question.role == "repeat"]
    first = {(q.left, q.right) for number in (1, 2) for q in study.session(number) if q.role == "scored"}
    assert {(q.left, q.right) in first for q in asked} == {True, False}  # some have changed sides
    table = responses(study)
    again = table[table["again_answer"].notna()]
    assert len(again) == 10
    assert (again["again_answer"] == again["chosen_side"]).all()
    assert again["again_confidence"].notna().all()


def test_answers_must_be_of_the_kind_that_the_study_asks_for(sets: list[Path], tmp_path: Path) -> None:
    settings = StudySettings(pairs=2, protocol=StudyProtocol(confidence=True))
    study = build(sets[0], sets[1], tmp_path / "study", settings)
    database = Database(study)
    database.start(Opening("0" * 32, SPECIALIST, ""))
    for chosen, confidence in (("left", None), ("real", 3)):
        with pytest.raises(RequestRefused, match="no answer to the question of this study"):
            database.answer(1, Answer(1, chosen, 1.0, 0.0, "1" * 32, confidence))
    database.answer(1, Answer(1, "left", 1.0, 0.0, "1" * 32, 3, comment="not asked for"))
    table = responses(study)
    assert table["confidence"].tolist() == [3]
    assert "comment" not in table


def test_an_own_questionnaire_and_a_closed_study(sets: list[Path], tmp_path: Path) -> None:
    own = [
        {"name": "radiologist", "text": "?", "choices": {"yes": "Y", "no": "N"}},
        {"name": "country", "text": "?", "length": "9"},
        {"name": "cases", "text": "?", "number": ["0", "9"]},
    ]
    protocol = StudyProtocol(questionnaire=Questionnaire.of(own, "en"))
    study = build(sets[0], sets[1], tmp_path / "study", StudySettings(pairs=2, protocol=protocol))
    take(study, questionnaire={"radiologist": "yes", "country": "Malta", "cases": 4})
    take(study, questionnaire={"radiologist": "yes", "country": "=A1", "cases": 4}, agent="@SUM(A1)")
    table = responses(study)
    assert table[["radiologist", "board_certified", "country", "cases"]].iloc[0].tolist() == ["yes", "", "Malta", 4]
    assert table[["country", "device"]].iloc[-1].tolist() == ["'=A1", "'@SUM(A1)"]  # a spreadsheet computes neither
    check_responses(table.fillna("").astype(str))
    database = Database(study)
    reserved = database.reserve("a" * 32)
    database.close_study(True)
    with pytest.raises(RequestRefused, match="is closed") as refused:
        database.reserve("b" * 32)
    assert (refused.value.status, refused.value.kind) == (403, "closed")
    assert database.reserve("a" * 32) == reserved
    with pytest.raises(RequestRefused, match="is closed"):
        database.start(Opening("a" * 32, {"radiologist": "no"}, ""))
    # A reader who began without a network before it was closed is not lost.
    assert database.start(Opening("a" * 32, {"radiologist": "no"}, "", age=60))["token"] == reserved["token"]
    database.close_study(False)
    assert database.reserve("b" * 32)["token"]


@pytest.mark.parametrize(
    ("options", "settings", "error", "sentence"),
    [
        ({"strata": ("density",)}, {}, StudyError, "The real images have no density"),
        ({"replace": False}, {"pairs": 13}, StudyError, "may show 13 real images, and the pool has 12"),
        (
            {"replace": False, "strata": ("view",), "practice": 2},
            {"pairs": 12},
            StudyError,
            "of CC, and the pool has 6",
        ),
        ({"repeats": 6}, {}, ParameterError, "6 repeats of 10 questions are impossible"),
        ({"strata": ("view",)}, {"pool": 1}, StudyError, "The pool of real images has none of"),
    ],
)
def test_designs_that_cannot_be_built(
    sets: list[Path], tmp_path: Path, options: dict, settings: dict, error: type, sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        build(sets[0], sets[1], tmp_path / "study", StudySettings(**settings, protocol=StudyProtocol(**options)))
    assert not (tmp_path / "study").exists()


def test_generators_need_names(sets: list[Path], tmp_path: Path) -> None:
    with pytest.raises(StudyError, match="'early' is not the name of one generator"):
        build(sets[0], [sets[1], sets[1]], tmp_path / "study", StudySettings())


def test_a_study_of_an_earlier_version_is_as_it_was(sets: list[Path], tmp_path: Path) -> None:
    """The fingerprint and the sessions of a study without a protocol are those of the version that built it."""
    study = build(sets[0], sets[1], tmp_path / "study", StudySettings(pairs=3, secret=5))
    content = json.loads((study.folder / "study.json").read_text())
    assert content.pop("protocol") == {}
    write_json(study.folder / "study.json", content)
    old = ReaderStudy.open(study.folder)
    assert old == study
    rng = np.random.default_rng([5, 2, 1])
    real, synthetic, swapped = (rng.integers(count, size=3) for count in (12, 12, 2))
    order = rng.permutation(3)
    assert [pair.real_id for pair in old.session(1)] == [old.real[real[place]][1] for place in order]
    assert [pair.synthetic_id for pair in old.session(1)] == [old.synthetic[synthetic[place]][1] for place in order]
    assert [pair.real_side for pair in old.session(1)] == [("left", "right")[swapped[place]] for place in order]
