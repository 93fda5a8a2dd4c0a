"""Responses of a reader study as a table, one row per answer. The application writes it, the analysis reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.errors import TableError

SIDES = ("left", "right")
# What readers say about themselves, once per session; "yes", "no" or empty.
TRAITS = ("radiologist", "board_certified", "trainee", "breast_specialist", "screening")
COLUMNS = {
    "session": "one attempt of one reader",
    "reader": "code of the person; the same in a repeated attempt",
    "question": "1 ... n, in the order shown",
    "pair": "code of the pair of images, whichever side they were on",
    "left": "blinded name of the picture at the left",
    "right": "blinded name of the picture at the right",
    "real_side": "left or right",
    "chosen_side": "left or right",
    "correct": "1 where both sides are the same, else 0",
    "seconds": "time that the pair was in sight until the answer was confirmed",
    "confirmed_at": "UTC, ISO 8601, whole seconds",
    **dict.fromkeys(TRAITS, "yes, no or empty"),
    "years": "years of experience, or empty",
    "real_id": "id of the real image in its store",
    "synthetic_id": "id of the synthetic image in its store",
}
NEEDED = ("reader", "question", "correct")  # of any table; its other columns are checked and used
CODES = ("session", "reader", "pair", "left", "right", "real_id", "synthetic_id")
CHOICES = {
    **dict.fromkeys(("real_side", "chosen_side"), (SIDES, "neither left nor right")),
    **dict.fromkeys(TRAITS, (("yes", "no", ""), "neither yes, no nor empty")),
}


def read_responses(path: str | Path) -> pd.DataFrame:
    """Read a CSV of responses, the application's or any with reader, question and correct; see `check_responses`.

    Raises:
        TableError: the file is missing or is not a CSV, or its rows fail a check.
    """
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise TableError(f"The responses {path} cannot be read ({error.strerror}); give a CSV.") from None
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError):
        raise TableError(f"{path} is not a CSV in UTF-8; write it again as one.") from None
    return check_responses(table)


def check_responses(table: pd.DataFrame) -> pd.DataFrame:
    """Check responses given as text, and give them their types.

    A table with all `COLUMNS` is the application's: its sessions must be whole. Other tables need `NEEDED` alone;
    without sessions each reader is one, and an optional column without any value counts as missing.

    Returns:
        One row per answer, sorted by session and question: `COLUMNS` in their order, then others; question and correct
        int64, seconds and years float64 (years NaN where empty), confirmed_at datetime64[ns, UTC], the others str.

    Raises:
        TableError: a column is missing, the table is empty, a value is impossible, an answer is there twice, a session
            lacks a question before its last one, belongs to two readers, or contradicts itself; the answers of the
            application are of two studies.
    """
    if missing := [name for name in NEEDED if name not in table]:
        raise TableError(f"The responses have no column {missing[0]!r}; {', '.join(NEEDED)} are needed.")
    if table.empty:
        raise TableError("The responses hold no answer; wait for the first one.")
    whole = set(COLUMNS) <= set(table)
    if whole and "study" in table and table["study"].nunique() > 1:
        first, second = table["study"].unique()[:2]
        raise TableError(f"The responses are of two studies ({first} and {second}); analyze each study alone.")
    if not whole:
        optional = [name for name in table if name not in NEEDED]
        table = table.drop(columns=[name for name in optional if (table[name].str.strip() == "").all()])
    if "session" not in table:
        table = table.assign(session=table["reader"])
    others = [name for name in table if name not in COLUMNS]
    table = table[[*(name for name in COLUMNS if name in table), *others]].copy()
    _check_values(table)
    _check_traits(table)
    twice = "the answer is there twice (tell attempts of one reader apart by a column session)"
    _refuse(table, table.duplicated(["session", "question"]), twice)
    table = table.sort_values(["session", "question"], kind="stable").reset_index(drop=True)
    if whole:
        counted = table.groupby("session").cumcount() + 1
        _refuse(table, table["question"] != counted, "a question before it has no answer")
    for name in [name for name in ("reader", *TRAITS, "years") if name in table]:
        first = table.groupby("session")[name].transform(lambda values: values.iloc[0])
        differs = (table[name] != first) & ~(table[name].isna() & first.isna())
        _refuse(table, differs, f"{name} changes within the session")
    return table


def _check_values(table: pd.DataFrame) -> None:
    """Check every value by itself, and convert numbers and times in place."""
    for name in [name for name in CODES if name in table]:
        _refuse(table, table[name].str.strip() == "", f"{name} is empty")
    for name in [name for name in CHOICES if name in table]:
        choices, wrong = CHOICES[name]
        _refuse(table, ~table[name].isin(choices), f"{name} is {wrong}")
    for name in [name for name in ("question", "correct", "seconds", "years") if name in table]:
        numbers = pd.to_numeric(table[name].replace("", np.nan), errors="coerce")
        bad = ~np.isfinite(numbers) | (numbers < 0)
        _refuse(table, bad & (table[name] != "") if name == "years" else bad, f"{name} is not a number of 0 or more")
        if name in ("question", "correct"):
            _refuse(table, numbers != numbers.round(), f"{name} is not a whole number")
            numbers = numbers.astype("int64")
        table[name] = numbers
    _refuse(table, table["question"] < 1, "question is not a number of 1 or more")
    _refuse(table, table["correct"] > 1, "correct is neither 0 nor 1")
    if {"real_side", "chosen_side"} <= set(table):
        right = table["real_side"] == table["chosen_side"]
        _refuse(table, table["correct"] != right, "correct contradicts the sides")
    if "confirmed_at" in table:
        times = pd.to_datetime(table["confirmed_at"], format="ISO8601", utc=True, errors="coerce")
        _refuse(table, times.isna(), "confirmed_at is not a time in ISO 8601")
        table["confirmed_at"] = times.astype("datetime64[ns, UTC]")


def _check_traits(table: pd.DataFrame) -> None:
    """Check the traits of readers: only radiologists have the other ones, and no trainee is board certified."""
    said = {name: table[name] == "yes" for name in TRAITS if name in table}
    for name, yes in said.items():
        if "radiologist" in said:
            _refuse(table, yes & ~said["radiologist"], f"{name} is yes, but radiologist is not")
    if {"board_certified", "trainee"} <= set(said):
        _refuse(table, said["board_certified"] & said["trainee"], "a trainee is board certified")


def _refuse(table: pd.DataFrame, rows: pd.Series, fault: str) -> None:
    """Raise an error that names the first of the rows (n,) that have a fault."""
    if rows.any():
        session, question = table.loc[rows, ["session", "question"]].iloc[0]
        row = f"session {session!r}, question {question}"
        raise TableError(f"The responses cannot be used: {fault} ({row}); correct or remove the row.")
