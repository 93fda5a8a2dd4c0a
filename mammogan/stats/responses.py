"""Responses of a reader study as a table, one row per answer. The application writes it, the analysis reads it."""

from __future__ import annotations

import codecs
import csv
import io
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
# Columns of studies that ask for more, or show one image at a time in place of pair ... chosen_side and the two ids.
MORE_COLUMNS = {
    "confidence": "1 (a guess) ... 5 (certain) of the answer; other tables may have any scale from 0",
    "image": "blinded name of the picture",
    "image_id": "id of the image in its store",
    "is_synthetic": "yes or no: truth of the image",
    "answer": "real or synthetic; correct is 1 where it agrees with is_synthetic",
    "generator": "name of the generator of the synthetic image; empty for a real image",
    "again_answer": "second answer where the question was asked again, as one of those to the row's images; else empty",
    "checks_answered": "attention checks of the session that were answered",
    "checks_right": "and those of them that were right",
}
PAIR = ("pair", "left", "right", "real_side", "chosen_side", "real_id", "synthetic_id")
IMAGE = ("image", "image_id", "is_synthetic", "answer")
# The application's tables have all columns of one of these.
WHOLE = (set(COLUMNS), set(COLUMNS) - set(PAIR) | set(IMAGE))
NEEDED = ("reader", "question", "correct")  # of any table; its other columns are checked and used
CODES = ("session", "reader", "pair", "left", "right", "real_id", "synthetic_id", "image", "image_id")
CHOICES = {
    **dict.fromkeys(("real_side", "chosen_side"), (SIDES, "neither left nor right")),
    **dict.fromkeys(TRAITS, (("yes", "no", ""), "neither yes, no nor empty")),
    "is_synthetic": (("yes", "no"), "neither yes nor no"),
    "answer": (("real", "synthetic"), "neither real nor synthetic"),
    "again_answer": ((*SIDES, "real", "synthetic", ""), "neither a side, real, synthetic nor empty"),
}
# Truth as spreadsheets and pandas write it, also in German, French, Italian and Spanish.
TRUE, FALSE = ("true", "yes", "wahr", "vrai", "vero", "verdadero"), ("false", "no", "falsch", "faux", "falso")
TRUTH = {**dict.fromkeys(TRUE, "1"), **dict.fromkeys(FALSE, "0")}
SAID = {**dict.fromkeys((*TRUE, "1", "1.0"), "yes"), **dict.fromkeys((*FALSE, "0", "0.0"), "no")}
NUMBERS = ("question", "correct", "seconds", "years", "confidence", "checks_answered", "checks_right")
INVISIBLE = "[\u200b\u2060\ufeff]"  # zero-width space, word joiner, byte order mark
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs"}


def read_responses(path: str | Path) -> pd.DataFrame:
    """Read a table of responses, the application's or any with reader, question and correct; see `check_responses`.

    Tables as spreadsheets write them are read, too: in UTF-8 or, with its mark, UTF-16; separated by commas, semicolons
    or tabs, whichever gives the header the most columns; with a decimal comma where commas do not separate; with empty
    rows at the end.

    Raises:
        TableError: the file is missing or is not a CSV, or its rows fail a check.
    """
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise TableError(f"The responses {path} cannot be read ({error.strerror}); give a CSV.") from None
    marked = raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = raw.decode("utf-16" if marked else "utf-8-sig")
        first, _, rest = text.partition("\n")
        if first.lower().startswith("sep="):  # a line for spreadsheets
            first, text = rest.partition("\n")[0], rest
        separator = max(SEPARATORS, key=first.count)
        # pandas takes the first columns for row names where rows are longer than the header.
        header, *rows = csv.reader(io.StringIO(text, newline=None), delimiter=separator, skipinitialspace=True)
    except (ValueError, csv.Error):
        raise TableError(f"{path} is not a CSV in UTF-8; write it again as one.") from None
    names = [name.strip() or f"column {number}" for number, name in enumerate(header, 1)]
    names = [name.lower() if name.lower() in {*COLUMNS, *MORE_COLUMNS} else name for name in names]
    if twice := [name for name in names if names.count(name) > 1]:
        raise TableError(f"The responses {path} have two columns {twice[0]!r}; remove or rename one.")
    for number, row in enumerate(rows, 2):
        if any(cell.strip() for cell in row[len(names) :]):
            raise TableError(
                f"Row {number} of the responses {path} has {len(row)} cells, separated at {SEPARATORS[separator]}, and "
                f"the header {len(names)}; name every column."
            )
    cells = [[*row[: len(names)], *[""] * (len(names) - len(row))] for row in rows]
    table = pd.DataFrame(cells, columns=names, dtype=str)
    if missing := [name for name in NEEDED if name not in table]:
        seen = ", ".join(map(repr, table.columns[:8]))
        raise TableError(
            f"The responses {path} have no column {missing[0]!r}: separated at {SEPARATORS[separator]}, their columns "
            f"are {seen}; {', '.join(NEEDED)} are needed."
        )
    table = table[table.map(str.strip).ne("").any(axis=1)]
    for name in [name for name in NUMBERS if name in table and separator != ","]:
        table[name] = _decimal_points(name, table[name], separator)
    return check_responses(table)


def _decimal_points(name: str, values: pd.Series, separator: str) -> pd.Series:
    """Replace decimal commas by points, in a column of text.

    Raises:
        TableError: a comma may as well separate thousands.
    """
    commas, points = values[values.str.contains(",", regex=False)], values[values.str.contains(".", regex=False)]
    thousands = separator == "\t" and commas.str.fullmatch(r"\s*\d{1,3}(,\d{3})+\s*").all()
    if len(commas) and (len(points) or thousands):
        seen = " and ".join(map(repr, [commas.iloc[0], *points.iloc[:1]]))
        raise TableError(f"The column {name} has {seen}: a comma there is unclear; write numbers with a decimal point.")
    return values.str.replace(",", ".", regex=False)


def check_responses(table: pd.DataFrame) -> pd.DataFrame:
    """Check responses given as text, and give them their types.

    Codes and choices are trimmed, and choices may be in capitals; correct and the traits may be TRUE and FALSE, yes and
    no, or 1 and 0.

    A table with all `COLUMNS`, or those of single images (`WHOLE`), is the application's: its sessions must be whole.
    Other tables need `NEEDED` alone, and without sessions each reader is one. Other columns, as `MORE_COLUMNS`, are
    optional; one without any value counts as missing.

    Returns:
        One row per answer, sorted by session and question: `COLUMNS` in their order, then others; question and correct
        int64, seconds, years and confidence float64 (seconds and years NaN where empty), confirmed_at
        datetime64[ns, UTC], the others str.

    Raises:
        TableError: a column is missing, the table is empty, a value is impossible, an answer is there twice, a session
            lacks a question before its last one, belongs to two readers, or contradicts itself; the answers of the
            application are of two studies.
    """
    if missing := [name for name in NEEDED if name not in table]:
        raise TableError(f"The responses have no column {missing[0]!r}; {', '.join(NEEDED)} are needed.")
    if table.empty:
        raise TableError("The responses hold no answer; wait for the first one.")
    whole = next((columns for columns in WHOLE if columns <= set(table)), None)
    if whole and "study" in table and table["study"].nunique() > 1:
        first, second = table["study"].unique()[:2]
        raise TableError(f"The responses are of two studies ({first} and {second}); analyze each study alone.")
    optional = [name for name in table if name not in (whole or NEEDED)]
    table = table.drop(columns=[name for name in optional if (table[name].str.strip() == "").all()])
    if "session" not in table:
        table = table.assign(session=table["reader"])
    others = [name for name in table if name not in COLUMNS]
    table = table[[*(name for name in COLUMNS if name in table), *others]].copy()
    _normalize(table)
    _check_values(table, whole is not None)
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


def image_codes(table: pd.DataFrame) -> pd.Series:
    """Return a code per answer of the single image shown, (n,); ids of real and synthetic images may coincide."""
    kind = table["is_synthetic"].map({"yes": "synthetic", "no": "real"}) if "is_synthetic" in table else ""
    codes = kind + " " + table["image_id"]
    return (table["generator"] + " " + codes).str.strip() if "generator" in table else codes


def ratings(table: pd.DataFrame) -> pd.DataFrame:
    """Return answers to single images as ratings, `mrmc.COLUMNS`: how certain a reader is that an image is synthetic.

    The rating is the confidence, negative where the answer is real; without confidences it is 1 or -1, and the AUC is
    the mean of sensitivity and specificity. Each generator is a test of its own, on the same real images.

    Args:
        table: checked responses with `IMAGE` (but image) and, where it was asked for, confidence and generator.
    """
    sign = table["answer"].map({"synthetic": 1.0, "real": -1.0})
    rating = sign * table["confidence"] if "confidence" in table else sign
    rows = pd.DataFrame({
        "test": table["generator"].replace("", "synthetic") if "generator" in table else "synthetic",
        "reader": table["reader"],
        "case": image_codes(table), "positive": table["is_synthetic"] == "yes", "rating": rating,
    })  # fmt: skip
    synthetic, real = rows[rows["positive"]], rows[~rows["positive"]]
    each = [real.assign(test=name) for name in synthetic["test"].unique()]
    return pd.concat([*each, synthetic], ignore_index=True)


def _normalize(table: pd.DataFrame) -> None:
    """Trim text and bring choices and truth to one spelling, in place."""
    for name in [name for name in (*CODES, *NUMBERS, "confirmed_at", "generator", *CHOICES) if name in table]:
        # One accented letter may be written as two characters, and some are not seen.
        table[name] = table[name].str.normalize("NFC").str.replace(INVISIBLE, "", regex=True).str.strip()
    for name in [name for name in ("correct", *CHOICES) if name in table]:
        words = TRUTH if name == "correct" else SAID if name in (*TRAITS, "is_synthetic") else {}
        table[name] = table[name].str.lower().replace(words)


def _check_values(table: pd.DataFrame, whole: bool) -> None:
    """Check every value by itself, and convert numbers and times in place; a whole table has all times."""
    for name in [name for name in CODES if name in table]:
        _refuse(table, table[name] == "", f"{name} is empty")
    for name in [name for name in CHOICES if name in table]:
        choices, wrong = CHOICES[name]
        _refuse(table, ~table[name].isin(choices), f"{name} is {wrong}", name)
    for name in [name for name in NUMBERS if name in table]:
        numbers = pd.to_numeric(table[name].replace("", np.nan), errors="coerce")
        bad = ~np.isfinite(numbers) | (numbers < 0)
        needed = "neither 0, 1, TRUE, FALSE, yes nor no" if name == "correct" else "not a number of 0 or more"
        given = table[name] != "" if name == "years" or (name == "seconds" and not whole) else True
        _refuse(table, bad & given, f"{name} is {needed}", name)
        if name in ("question", "correct"):
            _refuse(table, numbers != numbers.round(), f"{name} is not a whole number", name)
            numbers = numbers.astype("int64")
        table[name] = numbers
    _refuse(table, table["question"] < 1, "question is not a number of 1 or more")
    _refuse(table, table["correct"] > 1, "correct is neither 0 nor 1")
    if {"real_side", "chosen_side"} <= set(table):
        right = table["real_side"] == table["chosen_side"]
        _refuse(table, table["correct"] != right, "correct contradicts the sides")
    if {"is_synthetic", "answer"} <= set(table):
        right = (table["is_synthetic"] == "yes") == (table["answer"] == "synthetic")
        _refuse(table, table["correct"] != right, "correct contradicts answer and is_synthetic")
    if "confirmed_at" in table:
        times = pd.to_datetime(table["confirmed_at"], format="ISO8601", utc=True, errors="coerce")
        _refuse(table, times.isna(), "confirmed_at is not a time in ISO 8601", "confirmed_at")
        table["confirmed_at"] = times.astype("datetime64[ns, UTC]")


def _check_traits(table: pd.DataFrame) -> None:
    """Check the traits of readers: only radiologists have the other ones, and no trainee is board certified."""
    said = {name: table[name] == "yes" for name in TRAITS if name in table}
    for name, yes in said.items():
        if "radiologist" in said:
            _refuse(table, yes & ~said["radiologist"], f"{name} is yes, but radiologist is not")
    if {"board_certified", "trainee"} <= set(said):
        _refuse(table, said["board_certified"] & said["trainee"], "a trainee is board certified")


def _refuse(table: pd.DataFrame, rows: pd.Series, fault: str, column: str = "") -> None:
    """Raise an error that names the first of the rows (n,) that have a fault, and its value in a column."""
    if rows.any():
        first = table.loc[rows].iloc[0]
        row = f"session {first['session']!r}, question {first['question']}"
        row += f", {column} {str(first[column])!r}" if column else ""
        raise TableError(f"The responses cannot be used: {fault} ({row}); correct or remove the row.")
