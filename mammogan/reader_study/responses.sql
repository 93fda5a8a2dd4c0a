-- Opens the responses of a study, and makes their tables where they are missing.

-- WAL with FULL: a commit returns when the log is on disk (sqlite.org/pragma.html#pragma_synchronous).
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;

BEGIN IMMEDIATE;

CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;

CREATE TABLE IF NOT EXISTS sessions (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,  -- SHA-256 of what the tablet drew, so that a repeated request starts no second session
    reader TEXT NOT NULL,
    started_at TEXT NOT NULL,
    radiologist TEXT NOT NULL, board_certified TEXT NOT NULL, trainee TEXT NOT NULL,
    breast_specialist TEXT NOT NULL, screening TEXT NOT NULL,
    years REAL
) STRICT;

-- Numbers of sessions whose pictures a tablet fetches while its reader has not begun yet.
CREATE TABLE IF NOT EXISTS reservations (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE  -- as in sessions
) STRICT;

CREATE INDEX IF NOT EXISTS readers ON sessions (reader);

CREATE TABLE IF NOT EXISTS answers (
    session INTEGER NOT NULL REFERENCES sessions (number),
    question INTEGER NOT NULL,
    key TEXT NOT NULL,  -- drawn by the tablet for this answer: tells a repeated request from another answer
    chosen_side TEXT NOT NULL CHECK (chosen_side IN ('left', 'right', 'real', 'synthetic')),
    seconds REAL NOT NULL,
    confirmed_at TEXT NOT NULL,
    received_at TEXT NOT NULL,
    PRIMARY KEY (session, question)
) STRICT, WITHOUT ROWID;

-- What else a tablet sent with an answer or, as question 0, at the start of a session; an object of JSON.
CREATE TABLE IF NOT EXISTS details (
    session INTEGER NOT NULL REFERENCES sessions (number),
    question INTEGER NOT NULL,
    content TEXT NOT NULL,
    PRIMARY KEY (session, question)
) STRICT, WITHOUT ROWID;

CREATE TABLE IF NOT EXISTS voids (
    session INTEGER PRIMARY KEY REFERENCES sessions (number),
    reason TEXT NOT NULL,
    voided_at TEXT NOT NULL
) STRICT;

-- Where there is one, only readers with a code of this table may begin a session.
CREATE TABLE IF NOT EXISTS invitations (code TEXT PRIMARY KEY, made_at TEXT NOT NULL) STRICT;

CREATE TRIGGER IF NOT EXISTS
    sessions_keep_UPDATE BEFORE UPDATE ON sessions BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    sessions_keep_DELETE BEFORE DELETE ON sessions BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    answers_keep_UPDATE BEFORE UPDATE ON answers BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    answers_keep_DELETE BEFORE DELETE ON answers BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    details_keep_UPDATE BEFORE UPDATE ON details BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    details_keep_DELETE BEFORE DELETE ON details BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    voids_keep_UPDATE BEFORE UPDATE ON voids BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

CREATE TRIGGER IF NOT EXISTS
    voids_keep_DELETE BEFORE DELETE ON voids BEGIN SELECT RAISE(ABORT, 'responses are append-only'); END;

COMMIT;
