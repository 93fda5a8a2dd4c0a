"""Answers of a running study in SQLite: append-only, and on disk before they are acknowledged.

One connection writes, on a thread. Requests that wait while it commits share the next transaction, so that two hundred
readers cost one fsync and not two hundred (group commit).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import secrets
import sqlite3
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
        sentence = f"The responses {folder / RESPONSES} cannot be opened ({error}); check that they are writable."
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
        if self.fact("study", study.id) != study.id:
            raise StudyError(f"The responses in {study.folder} belong to another study; give each its own folder.")

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
                try:
                    outcomes.append(call())
                except RequestRefused as refusal:  # raised before anything is written
                    outcomes.append(refusal)
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

    def start(self, key: str, questionnaire: Questionnaire, reader: str) -> Reply:
        """Begin a session, or find the one that the same request has begun already.

        Raises:
            RequestRefused: the reader's code is unknown.
        """
        digest = hashlib.sha256(key.encode()).hexdigest()
        row = self._row("SELECT number FROM sessions WHERE key = ?", digest)
        if row is None:
            if reader and not self._has_reader(reader):
                raise RequestRefused("No reader has this code; correct it, or leave it empty.", 422, "unknown reader")
            row = self._row("SELECT coalesce(max(number), 0) + 1 FROM sessions")
            session = (*row, digest, reader or self._new_reader(), _utc(), *vars(questionnaire).values())
            self._connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", session)
        return {"token": self.token(row[0]), **self.state(row[0])}

    def _has_reader(self, reader: str) -> bool:
        return self._row("SELECT 1 FROM sessions WHERE reader = ?", reader) is not None

    def _new_reader(self) -> str:
        while True:
            code = "".join(secrets.choice(ALPHABET) for _ in range(6))
            if not self._has_reader(code):
                return code

    def state(self, number: int) -> Reply:
        """Return what a client may know of its session before the end."""
        row = self._row("SELECT reader FROM sessions WHERE number = ?", number)
        if row is None:  # a good token whose session is not on disk: the database was replaced
            raise RequestRefused(FORGED, 401, "forged")
        pairs = [[pair.left, pair.right] for pair in self.study.session(number)]
        return {"session": _name(number), "reader": row[0], "answered": self._answered(number), "pairs": pairs}

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
        self._connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
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


def responses(study: ReaderStudy) -> pd.DataFrame:
    """Return all answers of a study, also while it is served, as the table of `mammogan.stats.responses`."""
    columns = ["session", "question", "chosen_side", "seconds", "confirmed_at", "reader", *TRAITS, "years"]
    query = f"SELECT {', '.join(columns)} FROM answers JOIN sessions ON session = number ORDER BY session, question"
    with opening(study.folder), closing(connect(study.folder)) as connection:
        rows = connection.execute(query).fetchall()
    sessions = {number: study.session(number) for number in dict.fromkeys(row[0] for row in rows)}
    table = pd.DataFrame([vars(sessions[number][question - 1]) for number, question, *_ in rows], columns=list(COLUMNS))
    table[columns] = pd.DataFrame(rows, columns=columns)
    table["correct"] = (table["chosen_side"] == table["real_side"]).astype(int)
    table["seconds"] = [round(seconds, 3) for seconds in table["seconds"]]
    table["session"] = [_name(number) for number in table["session"]]
    return table


def _name(number: int) -> str:
    return f"S{number:05d}"


def _utc(age: float = 0) -> str:
    """Return the time `age` seconds ago in whole seconds, ISO 8601."""
    return (datetime.now(UTC) - timedelta(seconds=min(age, 10**7))).isoformat(timespec="seconds")
