"""Responses of a reader study as a table: one row an answer. The application writes it, the analysis reads it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from mammogan.errors import TableError

SIDES = ("left", "right")
# What a reader says about himself, once a session; "yes", "no" or empty, the last one years of experience.
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
NEEDED = ("reader", "question", "correct")  # of a table from elsewhere; what else it has is checked and used
TEXT = ("session", "reader", "pair", "left", "right", "real_id", "synthetic_id")


def read_responses(path: str | Path) -> pd.DataFrame:
    """Read and check a CSV of responses: the application's, or any with the columns reader, question and correct.

    Returns:
        One row an answer, as `check` describes it.

    Raises:
        TableError: the file is missing or no CSV, or `check` finds something.
    """
    path = Path(path)
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    except OSError as error:
        raise TableError(f"The responses {path} cannot be read ({error.strerror}); give a CSV.") from None
    except (ValueError, pd.errors.ParserError, UnicodeDecodeError):
        raise TableError(f"{path} is no CSV in UTF-8; write it again as one.") from None
    return check(table)


def check(table: pd.DataFrame) -> pd.DataFrame:
    """Check responses given as text, and give them their types.

    A table with all `COLUMNS` is the application's: its sessions must be whole. Of others `NEEDED` must be there;
    without sessions each reader is one, and an optional column without any value counts as missing.

    Returns:
        One row an answer, sorted by session and question: `COLUMNS` in their order (others follow), question and
        correct int64, seconds and years float64 (years NaN where empty), confirmed_at datetime64[ns, UTC], the others
        str.

    Raises:
        TableError: a column is missing, there is no row, a value cannot be, an answer stands twice, a session
            misses a question before its last one or belongs to two readers, or contradicts itself.
    """
    if lost := [name for name in NEEDED if name not in table]:
        raise TableError(f"The responses have no column {lost[0]!r}; {', '.join(NEEDED)} are needed.")
    if table.empty:
        raise TableError("The responses hold no answer; wait for the first one.")
    whole = all(name in table for name in COLUMNS)
    void = [name for name in table if name not in NEEDED and (table[name].str.strip() == "").all()]
    table = table.drop(columns=[] if whole else void)
    if "session" not in table:
        table["session"] = table["reader"]
    known = [name for name in COLUMNS if name in table]
    table = table[[*known, *(name for name in table if name not in COLUMNS)]].copy()
    traits = [name for name in TRAITS if name in table]
    for name in TEXT:
        if name in table:
            _refuse(table, table[name].str.strip() == "", f"{name} is empty")
    for name in ("real_side", "chosen_side"):
        if name in table:
            _refuse(table, ~table[name].isin(SIDES), f"{name} is neither left nor right")
    for trait in traits:
        _refuse(table, ~table[trait].isin(("yes", "no", "")), f"{trait} is neither yes, no nor empty")
    for name in ("question", "correct", "seconds", "years"):
        if name not in table:
            continue
        numbers = pd.to_numeric(table[name].replace("", np.nan), errors="coerce")
        wrong = ~np.isfinite(numbers) | (numbers < 0)
        _refuse(table, wrong & (table[name] != "") if name == "years" else wrong, f"{name} is no number of 0 or more")
        if name in ("question", "correct"):
            _refuse(table, numbers != numbers.round(), f"{name} is no whole number")
            numbers = numbers.astype("int64")
        table[name] = numbers
    _refuse(table, table["question"] < 1, "question is no number of 1 or more")
    _refuse(table, table["correct"] > 1, "correct is neither 0 nor 1")
    if {"real_side", "chosen_side"} <= set(table):
        agree = table["real_side"] == table["chosen_side"]
        _refuse(table, table["correct"] != agree, "correct contradicts the sides")
    if "confirmed_at" in table:
        times = pd.to_datetime(table["confirmed_at"], format="ISO8601", utc=True, errors="coerce")
        _refuse(table, times.isna(), "confirmed_at is no time in ISO 8601")
        table["confirmed_at"] = times.astype("datetime64[ns, UTC]")
    for trait in traits:
        if "radiologist" in traits and trait != "radiologist":
            wrong = (table[trait] == "yes") & (table["radiologist"] != "yes")
            _refuse(table, wrong, f"{trait} is yes for no radiologist")
    if {"board_certified", "trainee"} <= set(traits):
        both = (table["board_certified"] == "yes") & (table["trainee"] == "yes")
        _refuse(table, both, "a trainee is board certified")
    twice = "the answer stands twice (tell attempts of one reader apart by a column session)"
    _refuse(table, table.duplicated(["session", "question"]), twice)
    table = table.sort_values(["session", "question"], kind="stable").reset_index(drop=True)
    if whole:
        counted = table.groupby("session").cumcount() + 1
        _refuse(table, table["question"] != counted, "a question before it has no answer")
    for name in ("reader", *traits, *({"years"} & set(table))):
        first = table.groupby("session")[name].transform(lambda values: values.iloc[0])
        differs = (table[name] != first) & ~(table[name].isna() & first.isna())
        _refuse(table, differs, f"{name} changes within the session")
    return table


def _refuse(table: pd.DataFrame, wrong: pd.Series, what: str) -> None:
    if wrong.any():
        row = table[wrong].iloc[0]
        where = f"session {row['session']!r}, question {row['question']}"
        raise TableError(f"The responses cannot be used: {what} ({where}); correct or remove the row.")
