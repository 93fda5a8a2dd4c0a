"""Answers of a running study in SQLite: append-only, and on disk before they are acknowledged.

One connection writes, on a thread. Requests that wait while it commits share the next transaction, so that two hundred
readers cost one fsync and not two hundred (group commit).
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import re
import secrets
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

from mammogan.errors import StudyError
from mammogan.reader_study.design import ReaderStudy
from mammogan.reader_study.requests import Answer, Opening, RequestRefused
from mammogan.reader_study.storage import check_study, connect, opening, session_name, utc
from mammogan.stats.responses import SIDES, TRAITS

T = TypeVar("T")
Reply = dict[str, object]  # an object of JSON
FORGED = "The token belongs to no session of this study."
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # without letters that look like digits

KEPT = {*TRAITS, "years"}  # answers about the reader that have columns of their own
COUNT, PROGRESS = (
    Path(__file__).with_name(f"{name}.sql").read_text(encoding="utf-8") for name in ("counts", "progress")
)


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
        check_study(study, self.fact("study", study.id))

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
            self._check_open()
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

    def start(self, opening: Opening) -> Reply:
        """Begin a session, or find the one that the same request has begun already.

        Raises:
            RequestRefused: the reader's code is unknown, was used as often as the study allows, or belongs to a reader
                who gave other answers; the questionnaire or the consent is not that of the study; the study is closed.
        """
        digest = hashlib.sha256(opening.key.encode()).hexdigest()
        row = self._row("SELECT number FROM sessions WHERE key = ?", digest)
        if row is None:
            answers = self.study.protocol.questionnaire.check(opening.questionnaire)
            wanted = self.study.protocol.consent
            if wanted and opening.consent != wanted.version:
                raise RequestRefused("This study begins with the consent to its present text.", 422, "no consent")
            self._check_open(opening.age)
            reader = self._admit(opening.reader)
            self._check_traits(reader, answers)
            row = (self._number(digest) or self._next(),)
            traits = [answers.get(name) or "" for name in TRAITS]
            session = (*row, digest, reader, utc(opening.age), *traits, answers.get("years"))
            self._connection.execute("INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", session)
            details: dict[str, object] = {name: getattr(opening, name) for name in ("tablet", "screen", "agent")}
            if wanted:
                details |= {"consent_version": wanted.version, "consented_at": utc(opening.consented)}
            details |= {f"display_{name}": seen for name, seen in (opening.display or {}).items()}
            details["questionnaire"] = {name: value for name, value in answers.items() if name not in KEPT}
            self._keep(row[0], 0, details)
        return {"token": self.token(row[0]), **self.state(row[0])}

    def _keep(self, number: int, question: int, details: dict[str, object]) -> None:
        """Store the details of an answer or, as question 0, of a session."""
        content = json.dumps({name: value for name, value in details.items() if value not in (None, "", {})})
        if content != "{}":
            self._connection.execute("INSERT INTO details VALUES (?, ?, ?)", (number, question, content))

    def _check_open(self, age: float = 0) -> None:
        """Raise RequestRefused if the study was closed before a moment `age` seconds ago."""
        if (closed := self.closed_at()) and closed <= utc(age):
            raise RequestRefused("The study is closed; no test begins now.", 403, "closed")

    def closed_at(self) -> str:
        """Return the time at which the study was closed; empty while it is open."""
        row = self._row("SELECT value FROM facts WHERE name = 'closed'")
        return row[0] if row else ""

    def close_study(self, close: bool) -> None:
        """Close the study to new sessions, or open it again; sessions that have begun go on."""
        with opening(self.study.folder):
            if close:
                self._connection.execute("INSERT OR IGNORE INTO facts VALUES ('closed', ?)", (utc(),))
            else:
                self._connection.execute("DELETE FROM facts WHERE name = 'closed'")

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

    def _check_traits(self, reader: str, answers: Mapping[str, object]) -> None:
        """Raise RequestRefused if the reader's first test that counts began with other answers; years may pass."""
        query = (
            f"SELECT {', '.join(TRAITS)} FROM sessions WHERE reader = ? AND number NOT IN (SELECT session FROM voids)"
        )
        row = self._row(f"{query} ORDER BY number", reader)
        if row and row != tuple(answers.get(name) or "" for name in TRAITS):
            sentence = "Your first test under this code has other answers about you; correct them, or the code."
            raise RequestRefused(sentence, 422, "another reader")

    def state(self, number: int) -> Reply:
        """Return what a client may know of its session before the end."""
        row = self._row("SELECT reader FROM sessions WHERE number = ?", number)
        if row is None:  # a good token whose session is not on disk: the database was replaced
            raise RequestRefused(FORGED, 401, "forged")
        session = {"session": session_name(number), "reader": row[0], "answered": self._answered(number)}
        return session | {"pairs": self._pairs(number)}

    def _pairs(self, number: int) -> list[list[str]]:
        """Return the aliases of the pictures of each question."""
        aliases = iter(self._aliases(number))
        return [[next(aliases)[0] for _ in question.names] for question in self.study.session(number)]

    def _aliases(self, number: int) -> Iterator[tuple[str, str]]:
        """Yield the alias and the name of each picture that a session shows, in their order.

        Other sessions show a picture under other aliases, and so does a session that shows it again: a repeat must not
        be known by its name.
        """
        times: Counter[str] = Counter()
        for name in (name for question in self.study.session(number) for name in question.names):
            text = f"picture {number} {name}" + " again" * times[name]
            times[name] += 1
            yield f"{number}-{hmac.new(self.secret, text.encode(), 'sha256').hexdigest()[:16]}", name

    def picture(self, alias: str) -> str | None:
        """Return the name of the picture that a session shows under an alias; None if no session does."""
        if not (match := re.fullmatch(r"([0-9]{1,9})-[0-9a-f]{16}", alias)):
            return None
        aliases = self._aliases(int(match[1]))
        return next((name for shown, name in aliases if hmac.compare_digest(shown, alias)), None)

    def _answered(self, number: int) -> int:
        return self._row("SELECT count(*) FROM answers WHERE session = ?", number)[0]

    def answer(self, number: int, answer: Answer) -> Reply:
        """Store an answer.

        Returns:
            {"answered": answers of the session so far, "again": whether this very answer was stored before}.

        Raises:
            RequestRefused: the question has another answer, or it is not the next one; the answer lacks what the study
                asks for, or is to another kind of question.
        """
        protocol = self.study.protocol
        choices = SIDES if protocol.show == "pairs" else ("real", "synthetic")
        if answer.chosen not in choices or protocol.confidence == (answer.confidence is None):
            raise RequestRefused("This is no answer to the question of this study.")
        answered, question = self._answered(number), answer.question
        if 1 <= question <= answered:
            query = "SELECT key, chosen_side FROM answers WHERE session = ? AND question = ?"
            if self._row(query, number, question) != (answer.key, answer.chosen):
                raise RequestRefused(f"Question {question} is answered; an answer cannot be changed.", 409, "replayed")
            return {"answered": answered, "again": True}
        if question != answered + 1 or question > self.study.questions:
            raise RequestRefused(f"Question {question} is not the next one.", 409, "out of order")
        row = (number, question, answer.key, answer.chosen, float(answer.seconds), utc(answer.age), utc())
        try:
            self._connection.execute("INSERT INTO answers VALUES (?, ?, ?, ?, ?, ?, ?)", row)
        except sqlite3.IntegrityError:  # the token of a reservation
            raise RequestRefused("The session has not begun.", 409, "out of order") from None
        comment = answer.comment if protocol.comments else ""
        self._keep(number, question, {"confidence": answer.confidence, "comment": comment, **(answer.looked or {})})
        return {"answered": answered + 1, "again": False}

    def result(self, number: int) -> Reply:
        """Return the truth of a session that is finished.

        Raises:
            RequestRefused: questions are open.
        """
        query = "SELECT chosen_side FROM answers WHERE session = ? ORDER BY question"
        rows = self._connection.execute(query, (number,)).fetchall()
        if len(rows) < self.study.questions:
            raise RequestRefused("The results are shown when every question is answered.", 403, "too early")
        truth = "real_side" if self.study.protocol.show == "pairs" else "is_synthetic"
        return {
            "answers": [
                {truth: getattr(question, truth), "chosen_side": chosen, "role": question.role}
                for question, (chosen,) in zip(self.study.session(number), rows, strict=True)
            ]
        }

    def progress(self) -> list[dict[str, object]]:
        """Return the progress of the newest sessions for the administrator, without any result."""
        rows = self._connection.execute(PROGRESS).fetchall()
        return [
            {
                "session": session_name(row[0]),
                **dict(zip(("tablet", "screen", "started", "answered", "last", "void"), row[1:], strict=True)),
            }
            for row in rows
        ]

    def counts(self) -> dict[str, int]:
        """Return the counts for the administrator: how many, never how well."""
        return dict(self._connection.execute(COUNT, {"questions": self.study.questions}).fetchall())

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
            self._connection.execute("INSERT INTO voids VALUES (?, ?, ?)", (number, reason.strip(), utc()))

    def invite(self, count: int) -> list[str]:
        """Return new codes of invitation. From the first one on, nobody begins a session without one."""
        codes = [_code(8) for _ in range(count)]
        with opening(self.study.folder):
            self._connection.executemany("INSERT INTO invitations VALUES (?, ?)", [(code, utc()) for code in codes])
        return codes


def _code(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
