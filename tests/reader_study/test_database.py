"""Responses in SQLite: appended only, all or none of a transaction, and the first acceptable answer of a question."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import sqlite3
import tempfile
from contextlib import closing
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from study import answer_rows, blank_study, needs_viewer
from typer.testing import CliRunner

from mammogan.cli.study import app
from mammogan.errors import StudyError, TableError
from mammogan.reader_study.database import Database
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.export import responses, voids
from mammogan.reader_study.requests import Answer, Opening, RequestRefused
from mammogan.reader_study.storage import connect
from mammogan.stats.responses import check_responses

pytestmark = needs_viewer
NOBODY = {"radiologist": "no"}


@pytest.fixture
def study(tmp_path: Path) -> ReaderStudy:
    return blank_study(tmp_path / "study")


def test_a_fact_is_stored_once(study: ReaderStudy) -> None:
    database = Database(study)
    assert database.fact("password", "a:1") == "a:1"
    assert database.fact("password", "b:2") == "a:1"
    assert Database(study).fact("password", "c:3", renew=True) == "c:3"
    assert database.fact("password", "d:4") == "c:3"


def test_responses_are_append_only_and_bound_to_their_study(study: ReaderStudy) -> None:
    async def one_answer() -> None:
        database = Database(study)
        await database.submit(lambda: database.start(Opening("0" * 32, NOBODY, "")))
        await database.submit(lambda: database.answer(1, Answer(1, "left", 1.0, 0.0, "1" * 32)))
        await database.close()

    asyncio.run(one_answer())
    with closing(connect(study.folder)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)  # FULL
        for statement in ("UPDATE answers SET chosen_side = 'right'", "DELETE FROM answers", "DELETE FROM sessions",
                          "UPDATE sessions SET radiologist = 'yes'"):  # fmt: skip
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                connection.execute(statement)
    assert answer_rows(study) == [(1, 1, "left")]
    with pytest.raises(StudyError, match="belong to another study"):
        Database(replace(study, seed=1))


async def answered(study: ReaderStudy) -> None:
    """Answer the first question of two sessions."""
    database = Database(study)
    for number in (1, 2):
        await database.submit(lambda key=f"{number:032x}": database.start(Opening(key, NOBODY, "")))
        await database.submit(partial(database.answer, number, Answer(1, "left", 1.0, 0.0, "1" * 32)))
    await database.close()


def test_answers_of_another_study_are_neither_exported_nor_checked(study: ReaderStudy, tmp_path: Path) -> None:
    asyncio.run(answered(study))
    other = blank_study(tmp_path / "other", pairs=3)
    with pytest.raises(StudyError, match=r"There are no responses in .*other yet"):
        responses(other)
    table = check_responses(responses(study).fillna("").astype(str))
    assert set(table["study"]) == {study.id}
    study.check(table)
    with pytest.raises(TableError, match=r"not of the study .*other; give the study that they were exported from"):
        other.check(table)
    with pytest.raises(TableError, match="the images of session S00001 are others there"):
        other.check(table.drop(columns="study"))  # exported by an earlier version
    with pytest.raises(TableError, match="no column 'left'"):
        other.check(table.drop(columns=["study", "left"]))
    mixed = pd.concat([table, table.assign(session="S00009", study=other.id)]).astype({"years": object})
    with pytest.raises(TableError, match="of two studies"):
        check_responses(mixed.fillna("").astype(str))
    shutil.copy(study.folder / "responses.sqlite", other.folder)
    with pytest.raises(StudyError, match="belong to another study"):
        responses(other)


def test_a_void_session_is_kept_and_not_exported(study: ReaderStudy) -> None:
    asyncio.run(answered(study))
    database = Database(study)
    database.void("S00002", "shown at the booth")
    for session, reason, sentence in (
        ("S00002", "again", r"void already \(shown at the booth\)"),
        ("S00003", "x", "no session 'S00003'"),
        ("2", "x", "no session '2'"),
        ("S00001", " ", "for a reason"),
    ):
        with pytest.raises(StudyError, match=sentence):
            database.void(session, reason)
    assert responses(study)["session"].tolist() == ["S00001"]
    assert voids(study) == {"S00002": "shown at the booth"}
    assert len(answer_rows(study)) == 2
    with closing(connect(study.folder)) as connection, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        connection.execute("DELETE FROM voids")


def test_the_command_line_closes_and_reopens(study: ReaderStudy) -> None:
    def call(command: str) -> str:
        result = CliRunner().invoke(app, [command, str(study.folder)])
        assert result.exit_code == 0
        return result.stdout.strip()

    served = Database(study)  # as the server has it open
    assert call("close") == f"The study {study.folder} is closed"
    closed = served.closed_at()
    with pytest.raises(RequestRefused, match="is closed"):
        served.reserve("b" * 32)
    call("close")
    assert served.closed_at() == closed
    assert call("reopen") == f"The study {study.folder} is open"
    assert served.reserve("b" * 32)["token"]


def test_responses_of_earlier_versions_and_of_read_only_folders_are_read(
    study: ReaderStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(answered(study))
    with closing(connect(study.folder)) as connection:
        connection.executescript("DROP TABLE voids; DROP TABLE invitations; DROP TABLE details")
    assert len(responses(study)) == 2
    opened = sqlite3.connect

    def read_only(path: object, **options: Any) -> sqlite3.Connection:
        if str(study.folder) in str(path):  # as if its log could not be made
            return opened("file:/nowhere/responses.sqlite?mode=ro", uri=True)
        return opened(path, **options)

    monkeypatch.setattr(sqlite3, "connect", read_only)
    assert len(responses(study)) == 2


def test_a_failed_transaction_acknowledges_nothing(study: ReaderStudy) -> None:
    async def outcomes() -> list[object]:
        database = Database(study)
        await database.submit(lambda: database.start(Opening("0" * 32, NOBODY, "")))
        # As on a full disk: nothing of the transaction counts, and the error is that of every call.
        calls = (lambda: database.answer(1, Answer(1, "left", 1.0, 0.0, "1" * 32)), lambda: full(database))
        return await asyncio.gather(*(database.submit(call) for call in calls), return_exceptions=True)

    def full(database: Database) -> None:
        database._connection.execute("ROLLBACK")
        raise sqlite3.OperationalError("database or disk is full")

    assert [type(outcome) for outcome in asyncio.run(outcomes())] == [sqlite3.OperationalError] * 2
    assert answer_rows(study) == []


def test_a_code_stays_with_the_reader_who_described_himself_first(study: ReaderStudy) -> None:
    database = Database(study)
    keys = (f"{number:032x}" for number in range(9))
    first = {"radiologist": "yes", "board_certified": "yes", "trainee": "no", "years": 12}
    code = database.start(Opening(next(keys), first, ""))["reader"]
    assert database.start(Opening(next(keys), first | {"years": 13}, code))["reader"] == code
    trainee = first | {"board_certified": "no", "trainee": "yes", "years": 1}
    with pytest.raises(RequestRefused, match="other answers about you") as refused:
        database.start(Opening(next(keys), trainee, code))
    assert (refused.value.status, refused.value.kind) == (422, "another reader")
    for session in ("S00001", "S00002"):  # what does not count does not bind
        database.void(session, "the answers about the reader were wrong")
    assert database.start(Opening(next(keys), trainee, code))["reader"] == code


def test_one_call_that_fails_harms_no_other(study: ReaderStudy) -> None:
    async def outcomes() -> list[object]:
        database = Database(study)
        await database.submit(lambda: database.start(Opening("0" * 32, NOBODY, "")))
        sent = [Answer(number, "left", 1.0, 0.0, f"{number:032x}") for number in (1, 2)]
        calls = (
            partial(database.answer, 1, sent[0]),
            lambda: (database.answer(1, sent[1]), 1 / 0),  # fails after it has written
            lambda: database.start(Opening("\ud800", NOBODY, "")),
            partial(database.answer, 1, sent[1]),
        )
        return await asyncio.gather(*(database.submit(call) for call in calls), return_exceptions=True)

    first, broken, poisoned, second = asyncio.run(outcomes())
    assert (first, second) == ({"answered": 1, "again": False}, {"answered": 2, "again": False})
    assert isinstance(broken, ZeroDivisionError)
    assert isinstance(poisoned, UnicodeEncodeError)
    assert answer_rows(study) == [(1, 1, "left"), (1, 2, "left")]


def test_a_client_that_leaves_takes_no_answer_along(study: ReaderStudy) -> None:
    async def leave() -> list[object]:
        database = Database(study)
        await database.submit(lambda: database.start(Opening("0" * 32, NOBODY, "")))
        sent = [Answer(number, "left", 1.0, 0.0, f"{number:032x}") for number in (1, 2)]
        requests = [asyncio.create_task(database.submit(partial(database.answer, 1, answer))) for answer in sent]
        await asyncio.sleep(0)
        requests[0].cancel()
        outcomes = await asyncio.gather(*requests, return_exceptions=True)
        await database.close()
        return outcomes

    gone, stored = asyncio.run(leave())
    assert isinstance(gone, asyncio.CancelledError)
    assert stored == {"answered": 2, "again": False}
    assert answer_rows(study) == [(1, 1, "left"), (1, 2, "left")]


def test_what_cannot_be_opened_is_a_sentence(study: ReaderStudy) -> None:
    path = study.folder / "responses.sqlite"
    path.write_text("no database at all, but long enough to be read as a header of one" * 20)
    with pytest.raises(StudyError, match=r"responses.sqlite cannot be used .*not a database"):
        Database(study)
    path.unlink()
    asyncio.run(answered(study))
    path.write_bytes(path.read_bytes()[:9000])  # its end was lost
    for use in (Database, responses):
        with pytest.raises(StudyError, match=r"responses.sqlite cannot be used .*restore a copy"):
            use(study)
    path.unlink()
    path.mkdir()
    with pytest.raises(StudyError, match="make it writable"):
        connect(study.folder)


@cache
def three_questions() -> Database:
    """Return a database that every example of the test below uses."""
    return Database(blank_study(Path(tempfile.mkdtemp()) / "study", pairs=3))


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["left", "right"]), st.integers(0, 2)), max_size=12))
def test_whatever_arrives_each_question_has_its_first_answer(requests: list[tuple[int, str, int]]) -> None:
    """Against a model: the stored answers are those of the first acceptable request for each next question."""
    database = three_questions()
    session = database.start(Opening(secrets.token_hex(16), NOBODY, ""))
    number = int(str(session["token"]).partition(".")[0])
    model: list[tuple[str, str]] = []
    for question, chosen, key in requests:
        sent = Answer(question, chosen, 1.0, 0.0, f"{key:032x}")
        repeated = question <= len(model) and model[question - 1] == (chosen, sent.key)
        new = question == len(model) + 1 and question <= 3
        try:
            done = database.answer(number, sent)
        except RequestRefused:
            assert not repeated
            assert not new
            continue
        assert done == {"answered": len(model) + new, "again": repeated}
        assert repeated or new
        if new:
            model.append((chosen, sent.key))
    query = "SELECT chosen_side, key FROM answers WHERE session = ? ORDER BY question"
    assert database._connection.execute(query, (number,)).fetchall() == model
