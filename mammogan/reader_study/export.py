"""Reading the responses of a study: the table of answers, also while the study is served."""

from __future__ import annotations

import json
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pandas as pd

from mammogan.errors import StudyError
from mammogan.reader_study.design import RESPONSES, ReaderStudy
from mammogan.reader_study.drawing import OTHER_SIDE
from mammogan.reader_study.storage import check_study, connect, opening, session_name


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
                check_study(study, row[0])
            yield connection


def voids(study: ReaderStudy) -> dict[str, str]:
    """Return the reason of each void session, by the name of the session."""
    with _reading(study) as connection:
        return _voids(connection)


def _voids(connection: sqlite3.Connection) -> dict[str, str]:
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'voids'").fetchone():
        return {}  # written by an earlier version
    rows = connection.execute("SELECT session, reason FROM voids ORDER BY session").fetchall()
    return {session_name(number): reason for number, reason in rows}


def responses(study: ReaderStudy) -> pd.DataFrame:
    """Return the scored answers of a study but those of void sessions, also while it is served.

    Returns:
        The table of `mammogan.stats.responses`, with the further columns of `ReaderStudy.columns`. A question that was
        asked again has the second answer in its row; attention checks are counted per session.

    Raises:
        StudyError: there are no responses, they cannot be read, or they belong to another study.
    """
    with _reading(study) as connection:
        void = _voids(connection)
        details = _details(connection)
        connection.row_factory = sqlite3.Row
        rows: dict[int, list[sqlite3.Row]] = {}
        for row in connection.execute("SELECT * FROM answers JOIN sessions ON session = number ORDER BY 1, 2"):
            if session_name(row["session"]) not in void:
                rows.setdefault(row["session"], []).append(row)
    table = [entry for number, answers in rows.items() for entry in _entries(study, number, answers, details)]
    return pd.DataFrame(table, columns=list(study.columns), dtype=object)


def _details(connection: sqlite3.Connection) -> dict[tuple[int, int], dict[str, object]]:
    """Return what tablets sent with answers and sessions, by session and question."""
    if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'details'").fetchone():
        return {}  # written by an earlier version
    rows = connection.execute("SELECT * FROM details").fetchall()
    return {(row[0], row[1]): json.loads(row[2], object_hook=_not_computed) for row in rows}


def _not_computed(content: dict[str, object]) -> dict[str, object]:
    """Return what a tablet sent with an apostrophe before each text that a spreadsheet would compute."""
    return {
        name: f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
        for name, value in content.items()
    }


def _entries(
    study: ReaderStudy, number: int, answers: list[sqlite3.Row], details: dict[tuple[int, int], dict[str, object]]
) -> list[dict[str, object]]:
    """Return the scored answers of a session in the order shown."""
    asked = list(zip(study.session(number), answers, strict=False))  # a session that has not ended has fewer answers
    checks = [(question, row) for question, row in asked if question.role == "check"]
    again = {question.number: (question, row) for question, row in asked if question.role == "repeat"}
    session = details.get((number, 0), {})
    about: dict[str, object] = {
        **{name: value for name, value in session.items() if name not in ("questionnaire", "agent")},
        **_dictionary(session.get("questionnaire")),
        "session": session_name(number),
        "device": session.get("agent", ""),
        "complete": "yes" if len(answers) == study.questions else "no",
        "checks_answered": len(checks),
        "checks_right": sum(row["chosen_side"] == question.truth for question, row in checks),
        "study": study.id,
    }
    entries = []
    for question, row in asked:
        if question.role != "scored":
            continue
        entry = about | dict(row) | vars(question) | details.get((number, row["question"]), {})
        entry |= {"session": about["session"], "question": question.number, "seconds": round(row["seconds"], 3)}
        entry |= {"answer": row["chosen_side"], "correct": int(row["chosen_side"] == question.truth)}
        if question.number in again:
            repeat, second = again[question.number]
            chosen = second["chosen_side"]
            # The same image: in a repeat it may have been on the other side.
            entry["again_answer"] = chosen if repeat.truth == question.truth else OTHER_SIDE[chosen]
            entry["again_seconds"] = round(second["seconds"], 3)
            entry["again_confidence"] = details.get((number, second["question"]), {}).get("confidence")
        entries.append(entry)
    return entries


def _dictionary(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}
