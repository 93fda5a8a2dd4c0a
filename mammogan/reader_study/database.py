"""Answers of a running study in SQLite: append-only, and on disk before they are acknowledged.

One thread holds the only writing connection. Requests that wait while it commits are taken together into the next
transaction, so that two hundred readers cost one fsync and not two hundred (group commit).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import os
import queue
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd

from mammogan.reader_study.design import RESPONSES, ReaderStudy
from mammogan.stats.responses import COLUMNS, TRAITS

T = TypeVar("T")
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # no letter that is taken for a digit
GATHER = 256  # requests a transaction at most

SCHEMA = """
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE sessions (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,  -- SHA-256 of what the tablet drew, so that a repeated request starts no second session
    reader TEXT NOT NULL,
    started_at TEXT NOT NULL,
    radiologist TEXT NOT NULL, board_certified TEXT NOT NULL, trainee TEXT NOT NULL,
    breast_specialist TEXT NOT NULL, screening TEXT NOT NULL,
    years REAL
) STRICT;
CREATE INDEX readers ON sessions (reader);
CREATE TABLE answers (
    session INTEGER NOT NULL REFERENCES sessions (number),
    question INTEGER NOT NULL,
    key TEXT NOT NULL,  -- drawn by the tablet for this answer: tells a repeated request from another answer
    chosen_side TEXT NOT NULL CHECK (chosen_side IN ('left', 'right')),
    seconds REAL NOT NULL,
    confirmed_at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (session, question)
) STRICT, WITHOUT ROWID;
""" + "".join(
    f"CREATE TRIGGER {table}_keep_{event} BEFORE {event} ON {table}"
    f" BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;\n"
    for table in ("sessions", "answers")
    for event in ("UPDATE", "DELETE")
)


class RequestRefused(Exception):
    """A request that is refused.

    Attributes:
        status: of HTTP.
        kind: for the log and the counts.
    """

    def __init__(self, status: int, kind: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Questionnaire:
    """What a reader says about himself; "yes", "no" or "", and years of experience."""

    radiologist: str
    board_certified: str = ""
    trainee: str = ""
    breast_specialist: str = ""
    screening: str = ""
    years: float | None = None

    @classmethod
    def of(cls, given: Any) -> Questionnaire:
        """Check what a client sent.

        Raises:
            RequestRefused: unknown or missing fields, or values that cannot be.
        """
        if not isinstance(given, dict) or not set(given) <= {*TRAITS, "years"} or not given.get("radiologist"):
            raise RequestRefused(422, "malformed", "The questionnaire is not complete.")
        if any(given.get(name, "") not in ("yes", "no", "") for name in TRAITS):
            raise RequestRefused(422, "malformed", "The questionnaire holds an answer that is neither yes nor no.")
        years = given.get("years")
        if years is not None and (
            isinstance(years, bool) or not isinstance(years, int | float) or not 0 <= years <= 80
        ):
            raise RequestRefused(422, "malformed", "Years of experience lie between 0 and 80.")
        if given["radiologist"] == "no" and any(given.get(name, "") for name in TRAITS[1:]):
            raise RequestRefused(422, "malformed", "Only radiologists are asked about their training.")
        if given.get("board_certified") == given.get("trainee") == "yes":
            raise RequestRefused(422, "malformed", "A trainee is not board certified yet.")
        return cls(**given)


@dataclass(frozen=True)
class Answer:
    """One confirmed answer as a client sends it.

    Attributes:
        question: 1 ... n.
        chosen: "left" or "right".
        seconds: time that the pair was in sight.
        age: seconds since the answer was confirmed: a tablet's clock may be wrong, its differences are not.
        key: drawn by the client for this answer.
    """

    question: int
    chosen: str
    seconds: float
    age: float
    key: str

    @classmethod
    def of(cls, given: Any) -> Answer:
        """Check what a client sent.

        Raises:
            RequestRefused: unknown or missing fields, or values that cannot be.
        """
        if not isinstance(given, dict) or set(given) != {"question", "chosen", "seconds", "age", "key"}:
            raise RequestRefused(422, "malformed", "An answer has question, chosen, seconds, age and key.")
        whole = isinstance(given["question"], int) and not isinstance(given["question"], bool)
        if not whole or given["chosen"] not in ("left", "right") or not is_key(given["key"]):
            raise RequestRefused(422, "malformed", "The answer's question, side or key cannot be.")
        for name in ("seconds", "age"):
            number = given[name]
            if isinstance(number, bool) or not isinstance(number, int | float) or not 0 <= number < 10**8:
                raise RequestRefused(422, "malformed", f"The answer's {name} cannot be.")
        return cls(**given)


def is_key(text: Any) -> bool:
    """True for 128 random bits as 32 hexadecimal digits."""
    return isinstance(text, str) and len(text) == 32 and set(text) <= set("0123456789abcdef")


def connect(folder: Path) -> sqlite3.Connection:
    """Open the responses of a study, and make them where they are missing; readable to their owner alone."""
    path = folder / RESPONSES
    if not path.exists():
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=30)
    # WAL with FULL: a commit returns when the log is on disk (sqlite.org/pragma.html#pragma_synchronous).
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("BEGIN IMMEDIATE")
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'answers'").fetchone():
        for statement in _statements(SCHEMA):
            connection.execute(statement)
    connection.execute("COMMIT")
    return connection


def _statements(script: str) -> Iterator[str]:
    """Single statements: `executescript` would commit before the first one."""
    waiting = ""
    for line in script.splitlines(keepends=True):
        waiting += line
        if sqlite3.complete_statement(waiting):
            yield waiting
            waiting = ""


class Database:
    """The responses of one study while it is served.

    Args:
        study: the study.

    Raises:
        RequestRefused: never here; the methods that `submit` runs raise it for what they refuse.
    """

    def __init__(self, study: ReaderStudy) -> None:
        self.study = study
        self._waiting: queue.SimpleQueue[tuple[Callable[[], Any], asyncio.Future, asyncio.AbstractEventLoop] | None]
        self._waiting = queue.SimpleQueue()
        self._connection = connect(study.folder)
        self.secret = bytes.fromhex(self._fact("secret", lambda: secrets.token_hex(32)))
        known = self._fact("study", lambda: study.id)
        if known != study.id:
            raise ValueError(f"The responses in {study.folder} belong to another study; give each its own folder.")
        self._connection.close()
        self._thread = threading.Thread(target=self._work, name="responses", daemon=True)
        self._thread.start()

    def _fact(self, name: str, make: Callable[[], str]) -> str:
        self._connection.execute("INSERT OR IGNORE INTO facts VALUES (?, ?)", (name, make()))
        return self._connection.execute("SELECT value FROM facts WHERE name = ?", (name,)).fetchone()[0]

    def password(self, hashed: str, renew: bool) -> tuple[str, bool]:
        """The kept hash of the administrator's password, and whether it is the given one because none was kept."""
        with closing(connect(self.study.folder)) as connection:
            kept = connection.execute("SELECT value FROM facts WHERE name = 'password'").fetchone()
            if kept and not renew:
                return kept[0], False
            connection.execute("INSERT OR REPLACE INTO facts VALUES ('password', ?)", (hashed,))
            return hashed, True

    async def submit(self, job: Callable[[], T]) -> T:
        """Run a method of this object on the writing thread; it returns when its transaction is on disk."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future = loop.create_future()
        self._waiting.put((job, future, loop))
        return await future

    def close(self) -> None:
        """Commit what waits and stop."""
        self._waiting.put(None)
        self._thread.join()

    def _work(self) -> None:
        self._connection = connect(self.study.folder)
        with closing(self._connection):
            going = True
            while going:
                jobs = [self._waiting.get()]
                while jobs[-1] is not None and len(jobs) < GATHER and not self._waiting.empty():
                    jobs.append(self._waiting.get())
                going = jobs[-1] is not None
                self._commit([job for job in jobs if job is not None])

    def _commit(self, jobs: list[tuple[Callable[[], Any], asyncio.Future, asyncio.AbstractEventLoop]]) -> None:
        """Run jobs in one transaction, and say to all that they are done only when it is on disk."""
        outcomes: list[tuple[Any, Exception | None]] = []
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for job, _, _ in jobs:
                try:
                    outcomes.append((job(), None))
                except RequestRefused as refusal:  # raised before anything is written
                    outcomes.append((None, refusal))
            self._connection.execute("COMMIT")
        except Exception as error:  # a full disk, say: nothing of this transaction counts
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            outcomes = [(None, error)] * len(jobs)
        by_loop: dict[asyncio.AbstractEventLoop, list] = {}
        for (_, future, loop), outcome in zip(jobs, outcomes, strict=True):
            by_loop.setdefault(loop, []).append((future, *outcome))
        for loop, done in by_loop.items():
            if not loop.is_closed():
                loop.call_soon_threadsafe(_resolve, done)

    def token(self, number: int) -> str:
        """The one token of a session; it is worked out, not kept."""
        return f"{number}.{hmac.new(self.secret, str(number).encode(), 'sha256').hexdigest()}"

    def session_of(self, token: str) -> int:
        """Number of the session that a token belongs to.

        Raises:
            RequestRefused: the token was not issued here.
        """
        number = token.partition(".")[0]
        if not (number.isascii() and number.isdecimal() and len(number) < 16) or not hmac.compare_digest(
            self.token(int(number)), token
        ):
            raise RequestRefused(401, "forged", "The token belongs to no session of this study.")
        return int(number)

    def start(self, key: str, questionnaire: Questionnaire, reader: str) -> dict[str, Any]:
        """Begin a session, or find the one that the same request has begun already.

        Raises:
            RequestRefused: the reader's code is unknown.
        """
        digest = hashlib.sha256(key.encode()).hexdigest()
        row = self._connection.execute("SELECT number, reader FROM sessions WHERE key = ?", (digest,)).fetchone()
        if row is None:
            known = reader and self._connection.execute("SELECT 1 FROM sessions WHERE reader = ?", (reader,)).fetchone()
            if reader and not known:
                raise RequestRefused(422, "unknown reader", "No reader has this code; correct it, or leave it empty.")
            reader = reader or self._new_reader()
            number = self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM sessions").fetchone()[0]
            self._connection.execute(
                "INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (number, digest, reader, _now().isoformat(timespec="seconds"), *asdict(questionnaire).values()),
            )
            row = (number, reader)
        return {"token": self.token(row[0]), **self.state(row[0])}

    def _new_reader(self) -> str:
        while True:
            code = "".join(secrets.choice(ALPHABET) for _ in range(6))
            if not self._connection.execute("SELECT 1 FROM sessions WHERE reader = ?", (code,)).fetchone():
                return code

    def state(self, number: int) -> dict[str, Any]:
        """What a client may know of its session before the end."""
        row = self._connection.execute("SELECT reader FROM sessions WHERE number = ?", (number,)).fetchone()
        if row is None:  # a good token whose session is not on disk: the database was replaced
            raise RequestRefused(401, "forged", "The token belongs to no session of this study.")
        pairs = [[pair.left, pair.right] for pair in self.study.session(number)]
        return {"session": _name(number), "reader": row[0], "answered": self._answered(number), "pairs": pairs}

    def _answered(self, number: int) -> int:
        return self._connection.execute("SELECT count(*) FROM answers WHERE session = ?", (number,)).fetchone()[0]

    def answer(self, number: int, answer: Answer) -> dict[str, Any]:
        """Keep an answer.

        Returns:
            {"answered": answers of the session so far, "again": whether this very answer had been kept before}.

        Raises:
            RequestRefused: the question has another answer, or it is not the next one.
        """
        answered = self._answered(number)
        if 1 <= answer.question <= answered:
            kept = self._connection.execute(
                "SELECT key, chosen_side FROM answers WHERE session = ? AND question = ?", (number, answer.question)
            ).fetchone()
            if kept != (answer.key, answer.chosen):
                raise RequestRefused(
                    409, "replayed", f"Question {answer.question} is answered; an answer cannot be changed."
                )
            return {"answered": answered, "again": True}
        if answer.question != answered + 1 or answer.question > self.study.pairs:
            raise RequestRefused(409, "out of order", f"Question {answer.question} is not the next one.")
        now = _now()
        confirmed = now - timedelta(seconds=min(answer.age, 10**7))
        times = [moment.isoformat(timespec="seconds") for moment in (confirmed, now)]
        self._connection.execute(
            "INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)",
            (number, answer.question, answer.key, answer.chosen, float(answer.seconds), *times),
        )
        return {"answered": answered + 1, "again": False}

    def result(self, number: int) -> dict[str, Any]:
        """The truth of a session that is at its end.

        Raises:
            RequestRefused: questions are open.
        """
        rows = self._connection.execute(
            "SELECT chosen_side FROM answers WHERE session = ? ORDER BY question", (number,)
        ).fetchall()
        if len(rows) < self.study.pairs:
            raise RequestRefused(403, "too early", "The results are shown when every question is answered.")
        pairs = zip(self.study.session(number), rows, strict=True)
        return {"answers": [{"real_side": pair.real_side, "chosen_side": chosen} for pair, (chosen,) in pairs]}

    def counts(self) -> dict[str, int]:
        """What the administrator sees: how many, never how well."""
        query = self._connection.execute
        counts = {
            "Sessions begun": query("SELECT count(*) FROM sessions").fetchone()[0],
            "Sessions finished": query(
                "SELECT count(*) FROM (SELECT 1 FROM answers GROUP BY session HAVING count(*) = ?)", (self.study.pairs,)
            ).fetchone()[0],
            "Readers": query("SELECT count(DISTINCT reader) FROM sessions").fetchone()[0],
            "Answers": query("SELECT count(*) FROM answers").fetchone()[0],
        }
        for trait in TRAITS:
            label = f"Sessions with {trait.replace('_', ' ')}: yes"
            counts[label] = query(f"SELECT count(*) FROM sessions WHERE {trait} = 'yes'").fetchone()[0]
        return counts


def responses(study: ReaderStudy) -> pd.DataFrame:
    """All answers of a study as the table of `mammogan.stats.responses`; also while it is served."""
    with closing(connect(study.folder)) as connection:
        rows = connection.execute(
            "SELECT session, question, chosen_side, seconds, confirmed_at, reader, "
            f"{', '.join(TRAITS)}, years FROM answers JOIN sessions ON session = number ORDER BY session, question"
        ).fetchall()
    table: list[dict[str, Any]] = []
    drawn: list[Any] = []
    for number, question, chosen, seconds, confirmed, reader, *about in rows:
        drawn = study.session(number) if question == 1 else drawn
        pair = drawn[question - 1]
        table.append(
            {
                **vars(pair),
                "session": _name(number),
                "reader": reader,
                "question": question,
                "chosen_side": chosen,
                "correct": int(chosen == pair.real_side),
                "seconds": round(seconds, 3),
                "confirmed_at": confirmed,
                **dict(zip((*TRAITS, "years"), about, strict=True)),
            }
        )
    return pd.DataFrame(table, columns=list(COLUMNS))


def _resolve(done: list[tuple[asyncio.Future, Any, Exception | None]]) -> None:
    for future, value, error in done:
        if future.cancelled():
            continue
        if error is None:
            future.set_result(value)
        else:
            future.set_exception(error)


def _name(number: int) -> str:
    return f"S{number:05d}"


def _now() -> datetime:
    return datetime.now(UTC)
