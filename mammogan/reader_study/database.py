"""Answers of a running study in SQLite: append-only, and on disk before they are acknowledged.

One connection writes, on a thread. Requests that wait while it commits share the next transaction, so that two hundred
readers cost one fsync and not two hundred (group commit).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import re
import secrets
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from mammogan.errors import StudyError
from mammogan.reader_study.design import RESPONSES, ReaderStudy
from mammogan.reader_study.requests import Answer, Questionnaire, RequestRefused
from mammogan.stats.responses import COLUMNS, TRAITS

T = TypeVar("T")
Reply = dict[str, object]  # an object of JSON
FORGED = "The token belongs to no session of this study."
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without letters that look like digits

OPEN, COUNT = (Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("responses.sql", "counts.sql"))


@contextmanager
def opening(folder: Path) -> Iterator[None]:
    """Turn an error of the disk or of SQLite into a StudyError that names the responses of the study in `folder`."""
    try:
        yield
    except (OSError, sqlite3.Error) as error:
        sentence = f"The responses {folder / RESPONSES} cannot be used ({error}); make it writable or restore a copy."
        raise StudyError(sentence) from error


def connect(folder: Path) -> sqlite3.Connection:
    """Open the responses of a study; a new file is readable by its owner alone.

    Raises:
        StudyError: the file cannot be made, read or written, or is not a database.
    """
    path = folder / RESPONSES
    with opening(folder):
        if not path.exists():
            path.touch(0o600)
        connection = sqlite3.connect(path, isolation_level=None, timeout=30, check_same_thread=False)
        connection.executescript(OPEN)
        if (found := connection.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
            raise sqlite3.DatabaseError(f"it is damaged: {found}")
    return connection


class Database:
    """The responses of one study while it is served; the server calls `start` and the methods after it by `submit`.

    Args:
        study: study that is served.

    Raises:
        StudyError: the responses cannot be opened, or belong to another study.
    """

    def __init__(self, study: ReaderStudy) -> None:
        self.study = study
        self._waiting: list[tuple[Callable[[], object], asyncio.Future]] = []
        self._writer: asyncio.Task[None] | None = None
        self._connection = connect(study.folder)
        self.secret = bytes.fromhex(self.fact("secret", secrets.token_hex(32)))
        _check_study(study, self.fact("study", study.id))

    def _row(self, query: str, *parameters: object) -> Any:  # SQLite knows the types of its values
        """Return the first row of the result of a query, or None."""
        return self._connection.execute(query, parameters).fetchone()

    def fact(self, name: str, value: str, renew: bool = False) -> str:
        """Return the stored value of a fact: the first one given, or with `renew` this one."""
        with opening(self.study.folder):
            insert = "INSERT OR REPLACE" if renew else "INSERT OR IGNORE"
            self._connection.execute(f"{insert} INTO facts VALUES (?, ?)", (name, value))
            return self._row("SELECT value FROM facts WHERE name = ?", name)[0]

    async def submit(self, call: Callable[[], T]) -> T:
        """Call a method of this object in a transaction; return its result when the transaction is on disk."""
        result: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((call, result))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())
        return await result

    async def _write(self) -> None:
        """Commit all calls that wait, together, until none waits."""
        while self._waiting:
            jobs, self._waiting = self._waiting, []
            outcomes = await asyncio.to_thread(self._commit, [call for call, _ in jobs])
            for (_, result), outcome in zip(jobs, outcomes, strict=True):
                if result.done():
                    continue  # the client went away; its answer is stored all the same
                if isinstance(outcome, Exception):
                    result.set_exception(outcome)
                else:
                    result.set_result(outcome)

    def _commit(self, calls: list[Callable[[], object]]) -> list[object]:
        """Make calls in one transaction; return the result or the exception of each when it is on disk."""
        outcomes: list[object] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for call in calls:
                self._connection.execute("SAVEPOINT call")
                try:
                    outcomes.append(call())
                except Exception as error:
                    if not self._connection.in_transaction:  # SQLite has given up all of it
                        raise
                    self._connection.execute("ROLLBACK TO call")  # one request harms no other
                    outcomes.append(error)
                self._connection.execute("RELEASE call")
            self._connection.execute("COMMIT")
        except Exception as error:  # a full disk, say: nothing of this transaction counts
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            return [error] * len(calls)
        return outcomes

    async def close(self) -> None:
        """Commit all calls that wait, and close the file."""
        if self._writer:
            await self._writer
        self._connection.close()

    def token(self, number: int | str) -> str:
        """Return the one token of a session, which is computed and never stored."""
        return f"{number}.{hmac.new(self.secret, str(number).encode(), 'sha256').hexdigest()}"

    def session_of(self, token: str) -> int:
        """Return the number of the session of a token.

        Raises:
            RequestRefused: the token was not issued here.
        """
        number = token.partition(".")[0]
        if not hmac.compare_digest(self.token(number).encode(), token.encode()):
            raise RequestRefused(FORGED, 401, "forged")
        return int(number)  # of digits, since its code is ours

    def reserve(self, key: str) -> Reply:
        """Give a tablet the session that it will begin with this key, so that it can fetch the pictures.

        Returns:
            The token, the names of the pictures, and whether the session may begin before the server knows the reader.
        """
        digest = hashlib.sha256(key.encode()).hexdigest()
        if (number := self._number(digest)) is None:
            number = self._next()
            self._connection.execute("INSERT INTO reservations VALUES (?, ?)", (number, digest))
        invited = self._row("SELECT 1 FROM invitations") is not None
        return {"token": self.token(number), "pairs": self._pairs(number), "open": not invited}

    def _number(self, digest: str) -> int | None:
        """Return the number of the session or the reservation of a key."""
        query = "SELECT number FROM sessions WHERE key = :key UNION SELECT number FROM reservations WHERE key = :key"
        row = self._connection.execute(query, {"key": digest}).fetchone()
        return row and row[0]

    def _next(self) -> int:
        """Return the next number of a session."""
        last = (f"(SELECT coalesce(max(number), 0) FROM {table})" for table in ("sessions", "reservations"))
        return self._row(f"SELECT max({', '.join(last)}) + 1")[0]

    def start(self, key: str, questionnaire: Questionnaire, reader: str) -> Reply:
        """Begin a session, or find the one that the same request has begun already.

        Raises:
            RequestRefused: the reader's code is unknown, was used as often as the study allows, or belongs to a reader
                who gave other answers.
        """
        digest = hashlib.sha256(key.encode()).hexdigest()
        row = self._row("SELECT number FROM sessions WHERE key = ?", digest)
        if row is None:
            reader = self._admit(reader)
            self._check_traits(reader, questionnaire)
            row = (self._number(digest) or self._next(),)
            session = (*row, digest, reader, _utc(), *vars(questionnaire).values())
            self._connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", session)
        return {"token": self.token(row[0]), **self.state(row[0])}

    def _has_reader(self, reader: str) -> bool:
        return self._row("SELECT 1 FROM sessions WHERE reader = ?", reader) is not None

    def _admit(self, reader: str) -> str:
        """Return the code of a reader, a new one for the empty text; raise RequestRefused if it may not begin."""
        if self._row("SELECT 1 FROM invitations") is not None:
            if self._row("SELECT 1 FROM invitations WHERE code = ?", reader) is None:
                raise RequestRefused("This test is by invitation; enter the code of yours.", 422, "unknown reader")
        elif not reader:
            while self._has_reader(reader := _code(6)):
                pass
        elif not self._has_reader(reader):
            raise RequestRefused("No reader has this code; correct it, or leave it empty.", 422, "unknown reader")
        query = "SELECT count(*) FROM sessions WHERE reader = ? AND number NOT IN (SELECT session FROM voids)"
        if 0 < self.study.attempts <= self._row(query, reader)[0]:
            sentence = f"This code has begun {self.study.attempts} tests, as many as the study allows."
            raise RequestRefused(sentence, 422, "too many attempts")
        return reader

    def _check_traits(self, reader: str, questionnaire: Questionnaire) -> None:
        """Raise RequestRefused if the reader's first test that counts began with other answers; years may pass."""
        query = (
            f"SELECT {', '.join(TRAITS)} FROM sessions WHERE reader = ? AND number NOT IN (SELECT session FROM voids)"
        )
        row = self._row(f"{query} ORDER BY number", reader)
        if row and row != tuple(getattr(questionnaire, name) for name in TRAITS):
            sentence = "Your first test under this code has other answers about you; correct them, or the code."
            raise RequestRefused(sentence, 422, "another reader")

    def state(self, number: int) -> Reply:
        """Return what a client may know of its session before the end."""
        row = self._row("SELECT reader FROM sessions WHERE number = ?", number)
        if row is None:  # a good token whose session is not on disk: the database was replaced
            raise RequestRefused(FORGED, 401, "forged")
        session = {"session": _name(number), "reader": row[0], "answered": self._answered(number)}
        return session | {"pairs": self._pairs(number)}

    def _pairs(self, number: int) -> list[list[str]]:
        return [[self._alias(number, name) for name in (pair.left, pair.right)] for pair in self.study.session(number)]

    def _alias(self, number: int, name: str) -> str:
        """Return the name under which a session shows a picture; other sessions show it under other names."""
        return f"{number}-{hmac.new(self.secret, f'picture {number} {name}'.encode(), 'sha256').hexdigest()[:16]}"

    def picture(self, alias: str) -> str | None:
        """Return the name of the picture that a session shows under an alias; None if no session does."""
        if not (match := re.fullmatch(r"([0-9]{1,9})-[0-9a-f]{16}", alias)):
            return None
        number = int(match[1])
        names = (name for pair in self.study.session(number) for name in (pair.left, pair.right))
        return next((name for name in names if hmac.compare_digest(self._alias(number, name), alias)), None)

    def _answered(self, number: int) -> int:
        return self._row("SELECT count(*) FROM answers WHERE session = ?", number)[0]

    def answer(self, number: int, answer: Answer) -> Reply:
        """Store an answer.

        Returns:
            {"answered": answers of the session so far, "again": whether this very answer was stored before}.

        Raises:
            RequestRefused: the question has another answer, or it is not the next one.
        """
        answered, question = self._answered(number), answer.question
        if 1 <= question <= answered:
            query = "SELECT key, chosen_side FROM answers WHERE session = ? AND question = ?"
            if self._row(query, number, question) != (answer.key, answer.chosen):
                raise RequestRefused(f"Question {question} is answered; an answer cannot be changed.", 409, "replayed")
            return {"answered": answered, "again": True}
        if question != answered + 1 or question > self.study.pairs:
            raise RequestRefused(f"Question {question} is not the next one.", 409, "out of order")
        row = (number, question, answer.key, answer.chosen, float(answer.seconds), _utc(answer.age), _utc())
        try:
            self._connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:  # the token of a reservation
            raise RequestRefused("The session has not begun.", 409, "out of order") from None
        return {"answered": answered + 1, "again": False}

    def result(self, number: int) -> Reply:
        """Return the truth of a session that is finished.

        Raises:
            RequestRefused: questions are open.
        """
        query = "SELECT chosen_side FROM answers WHERE session = ? ORDER BY question"
        rows = self._connection.execute(query, (number,)).fetchall()
        if len(rows) < self.study.pairs:
            raise RequestRefused("The results are shown when every question is answered.", 403, "too early")
        pairs = zip(self.study.session(number), rows, strict=True)
        return {"answers": [{"real_side": pair.real_side, "chosen_side": chosen} for pair, (chosen,) in pairs]}

    def counts(self) -> dict[str, int]:
        """Return the counts for the administrator: how many, never how well."""
        return dict(self._connection.execute(COUNT, {"pairs": self.study.pairs}).fetchall())

    def void(self, session: str, reason: str) -> None:
        """Void a session: the export leaves it out, and it is not one of its reader's attempts.

        Raises:
            StudyError: there is no such session, it is void already, or no reason is given.
        """
        number = int(session[1:]) if re.fullmatch("S[0-9]{1,9}", session) else 0
        if self._row("SELECT 1 FROM sessions WHERE number = ?", number) is None:
            raise StudyError(f"There is no session {session!r}; give a name of the export, as S00012.")
        if row := self._row("SELECT reason FROM voids WHERE session = ?", number):
            raise StudyError(f"The session {session} is void already ({row[0]}).")
        if not reason.strip():
            raise StudyError("A session is voided for a reason; state it.")
        with opening(self.study.folder):
            self._connection.execute("INSERT INTO voids VALUES (?, ?, ?)", (number, reason.strip(), _utc()))

    def invite(self, count: int) -> list[str]:
        """Return new codes of invitation. From the first one on, nobody begins a session without one."""
        codes = [_code(8) for _ in range(count)]
        with opening(self.study.folder):
            self._connection.executemany("INSERT INTO invitations VALUES (?, ?)", [(code, _utc()) for code in codes])
        return codes


def _check_study(study: ReaderStudy, fingerprint: str) -> None:
    if fingerprint != study.id:
        raise StudyError(f"The responses in {study.folder} belong to another study; give each its own folder.")


@contextmanager
def _reading(study: ReaderStudy) -> Iterator[sqlite3.Connection]:
    """Yield a connection that reads the responses of a study, also while it is served or in a read-only folder.

    Raises:
        StudyError: there are none, they cannot be read, or they belong to another study.
    """
    path = study.folder / RESPONSES
    if not path.exists():
        raise StudyError(f"There are no responses in {study.folder} yet; serve the study first.")
    with tempfile.TemporaryDirectory() as copy, opening(study.folder):
        try:
            connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, timeout=30)
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.OperationalError:  # the log of the database cannot be opened in a read-only folder
            for file in (path, path.with_name(f"{path.name}-wal")):
                if file.exists():
                    shutil.copyfile(file, Path(copy) / file.name)
            connection = connect(Path(copy))
        with closing(connection):
            if row := connection.execute("SELECT value FROM facts WHERE name = 'study'").fetchone():
                _check_study(study, row[0])
            yield connection


def voids(study: ReaderStudy) -> dict[str, str]:
    """Return the reason of each void session, by the name of the session."""
    with _reading(study) as connection:
        return _voids(connection)


def _voids(connection: sqlite3.Connection) -> dict[str, str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'voids'").fetchone():
        return {}  # written by an earlier version
    rows = connection.execute("SELECT session, reason FROM voids ORDER BY session").fetchall()
    return {_name(number): reason for number, reason in rows}


def responses(study: ReaderStudy) -> pd.DataFrame:
    """Return all answers of a study but those of void sessions, also while it is served.

    Returns:
        The table of `mammogan.stats.responses`, with the fingerprint of the study as the column study.

    Raises:
        StudyError: there are no responses, they cannot be read, or they belong to another study.
    """
    columns = ["session", "question", "chosen_side", "seconds", "confirmed_at", "reader", *TRAITS, "years"]
    query = f"SELECT {', '.join(columns)} FROM answers JOIN sessions ON session = number ORDER BY session, question"
    with _reading(study) as connection:
        void = _voids(connection)
        rows = [row for row in connection.execute(query) if _name(row[0]) not in void]
    sessions = {number: study.session(number) for number in dict.fromkeys(row[0] for row in rows)}
    table = pd.DataFrame([vars(sessions[number][question - 1]) for number, question, *_ in rows], columns=list(COLUMNS))
    table[columns] = pd.DataFrame(rows, columns=columns)
    table["correct"] = (table["chosen_side"] == table["real_side"]).astype(int)
    table["seconds"] = [round(seconds, 3) for seconds in table["seconds"]]
    table["session"] = [_name(number) for number in table["session"]]
    return table.assign(study=study.id)


def _code(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))


def _name(number: int) -> str:
    return f"S{number:05d}"


def _utc(age: float = 0) -> str:
    """Return the time `age` seconds ago in whole seconds, ISO 8601."""
    return (datetime.now(UTC) - timedelta(seconds=min(age, 10**7))).isoformat(timespec="seconds")
