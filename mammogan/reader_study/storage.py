"""The file of the responses: how it is opened, whose it is, and how it names sessions and moments."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mammogan.errors import StudyError
from mammogan.reader_study.design import RESPONSES, ReaderStudy

OPEN = Path(__file__).with_name("responses.sql").read_text(encoding="utf-8")


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


def check_study(study: ReaderStudy, fingerprint: str) -> None:
    """Raise a StudyError if responses with this fingerprint are not of the study."""
    if fingerprint != study.id:
        raise StudyError(f"The responses in {study.folder} belong to another study; give each its own folder.")


def session_name(number: int) -> str:
    """Return the name of a session in the table of answers, as S00012."""
    return f"S{number:05d}"


def utc(age: float = 0) -> str:
    """Return the time `age` seconds ago in whole seconds, ISO 8601."""
    return (datetime.now(UTC) - timedelta(seconds=min(age, 10**7))).isoformat(timespec="seconds")
