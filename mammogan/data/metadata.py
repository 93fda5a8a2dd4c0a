"""Read facts about images without a DICOM header from tables in CSV."""

import codecs
import csv
import itertools
import json
import os
import re
import sqlite3
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

from mammogan.data.attributes import parse_view, plain
from mammogan.data.manifest import Label
from mammogan.errors import ParameterError, TableError

# The facts that a table may state, and the columns that are recognized for each.
COLUMNS: dict[str, list[str]] = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SEPARATORS = ",;\t|"
LONGEST = 32  # letters of a finding: it is a class, not a text
TABLES = (".csv", ".tsv")
LINE = 2**20  # characters; a file may have the name of a table, any size, and no lines
IMAGE_SUFFIX = re.compile(r"\.(dcm|dicom|png|jpe?g|tiff?|pgm|0)$", re.IGNORECASE)  # ".0" of a number, by spreadsheets
LOOSE = "\0"  # before names that hold whatever the capitals and the suffix; no name of a file has it
YEARS = re.compile(r"(\d+(?:[.,]\d+)?) ?(?:Y|YRS?|YEARS?)?", re.IGNORECASE)
MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
WORKBOOKS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # Excel
# A table without a header begins with data, which may name patients: numbers, files, views.
DATA = re.compile(r"\d{3}|\^|\.\w{3,4}$|^\W*$|^(l|r|left|right|[lr]?(cc|mlo))$", re.IGNORECASE)


@dataclass(frozen=True)
class LabelSource:
    """Source of the labels of an ingest."""

    table: Path | None = None  # CSV of pictures; None means those among the sources that look like one
    columns: Mapping[str, str] = field(default_factory=dict)  # {fact: name of its column}, see `Labels`
    assume: Mapping[str, str] = field(default_factory=dict)  # {fact: value} of all files, see `Labels`


class Labels:
    """Facts about files, from CSV tables; looked up by the end of a file's path.

    The rows are kept in a temporary database on disk, so that a table of a million rows needs no memory.

    Args:
        tables: CSV files with a header.
        columns: {fact: name of its column}, for names that `COLUMNS` lacks.
        assume: {fact: value} of every row and every file ({"view": "MLO"}).
        pass_over: keep tables that cannot be read to their end in `unused`, in place of an error.

    Attributes:
        unused: {table: sentence on why it was not used}.

    Raises:
        ParameterError: a fact is unknown.
        TableError: a table cannot be read, or lacks the columns file or view.
    """

    def __init__(
        self,
        tables: Iterable[Path],
        columns: Mapping[str, str] | None = None,
        assume: Mapping[str, str] | None = None,
        *,
        pass_over: bool = False,
    ) -> None:
        for option, facts in (("--column", columns or {}), ("--assume", assume or {})):
            if unknown := sorted(facts.keys() - COLUMNS.keys()):
                raise ParameterError(f"There is no fact {unknown[0]!r} for {option}; choose from {', '.join(COLUMNS)}.")
        self.assume = facts_of(assume or {})
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE rows (file TEXT PRIMARY KEY, facts TEXT) WITHOUT ROWID")
        self.unused: dict[Path, str] = {}
        for table in tables:
            try:
                with self._rows:  # all rows of a table or none
                    self._add(_rows_of(table, columns or {}, self.assume))
            except TableError as error:
                if not pass_over:
                    raise
                self.unused[table] = _nameless(error, table)

    def _add(self, rows: Iterable[tuple[str, str]]) -> None:
        for file, stated in rows:
            ends = {file, PurePosixPath(file).name}
            # Pictures are converted to other formats, and systems differ in capitals: also by these, but not first.
            loose = {LOOSE + name.lower() for end in ends for name in (end, IMAGE_SUFFIX.sub("", end)) if name}
            # Two files of one name in different folders: the bare name names neither.
            for key in (ends | loose) - {""}:
                self._rows.execute(
                    "INSERT INTO rows VALUES (?, ?) ON CONFLICT (file) DO UPDATE SET facts ="
                    " CASE WHEN facts = excluded.facts THEN facts ELSE NULL END",
                    (key, stated),
                )

    def get(self, path: Path) -> Label | None:
        """Return the facts of the row whose file is the longest end of the path; None without one.

        Tables often leave out the suffix or name another, or leave out all after a "_" (INbreast); the name as it is
        is tried first, then whatever its capitals.
        """
        # A name that is not UTF-8 is of the time of Latin-1.
        parts = tuple(_readable(part) for part in path.parts)
        ends = ["/".join(parts[start:]).lstrip("/") for start in range(max(len(parts) - 8, 0), len(parts))]
        names = [name for end in ends for name in (end, end.removesuffix(_readable(path.suffix)))]
        names.append(parts[-1].partition("_")[0])
        for name in (*names, *(LOOSE + name.lower() for name in names)):
            row = self._rows.execute("SELECT facts FROM rows WHERE file = ?", (name,)).fetchone()
            if row and row[0]:
                return json.loads(row[0])
        return self.assume.copy() or None


def _readable(name: str) -> str:
    encoded = os.fsencode(name)
    try:
        return encoded.decode()
    except UnicodeDecodeError:
        return encoded.decode("latin-1")


@contextmanager
def _opened(table: Path) -> Iterator[Iterator[list[str]]]:
    """Open a table as spreadsheets write it, in UTF-8, Latin-1 or UTF-16; the first row is the header.

    Raises:
        TableError: the file cannot be read, or is a workbook.
    """
    try:
        with table.open("rb") as raw:
            head = raw.read(LINE)
            if head.startswith(WORKBOOKS):
                raise TableError(f"The table {table.name} is a workbook of Excel; save it as CSV.")
            if len(head) == LINE and b"\n" not in head and b"\r" not in head:
                raise TableError(f"The table {table.name} cannot be read (its lines do not end); give a CSV.")
            encoding = _encoding(raw, head[:4])
        with table.open(newline="", encoding=encoding) as file:
            lines = iter(partial(file.readline, LINE), "")
            first = next(lines, "")
            if first.lower().startswith("sep="):  # a line for spreadsheets
                first = next(lines, "")
            separator = max(SEPARATORS, key=first.count)
            yield csv.reader(itertools.chain([first], lines), delimiter=separator, skipinitialspace=True)
    except (OSError, UnicodeError, csv.Error) as error:
        raise TableError(f"The table {table.name} cannot be read ({type(error).__name__}); give a CSV.") from None


def _encoding(raw: BinaryIO, head: bytes) -> str:
    """Return UTF-16 by its mark or its zeros, UTF-8 if all of a file can be decoded so, else Latin-1."""
    if head[:2] in MARKS:
        return "utf-16"
    if b"\0\0" in (head[::2], head[1::2]):  # of the first two letters
        return "utf-16-le" if head[0] else "utf-16-be"
    decoder = codecs.getincrementaldecoder("utf-8")()
    raw.seek(0)
    try:
        while block := raw.read(2**20):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8-sig"


def _normal(name: str) -> str:
    return re.sub(r"[\W_]+", "", name).lower()


def _named(header: list[str], columns: Mapping[str, str]) -> dict[str, int]:
    """Return {fact: position of its column} of a header."""
    positions = {_normal(name): position for position, name in reversed(list(enumerate(header)))}
    exact = {name: position for position, name in enumerate(header)}
    named = {}
    for fact, known in COLUMNS.items():
        wanted = columns.get(fact)
        if wanted is not None:
            position = exact.get(wanted, positions.get(_normal(wanted)))
        else:
            position = next((positions[name] for name in known if name in positions), None)
        if position is not None:
            named[fact] = position
    return named


def _lacking(header: list[str], named: Mapping[str, int], assume: Label) -> str:
    """Return what to say of a table of labels that lacks columns, or "" of one that lacks none."""
    lacking = [fact for fact in ("file", "view") if fact not in named and fact not in assume]
    if not lacking:
        return ""
    shown = ", ".join(plain(name) for name in header)
    is_header = bool(named) or not any(map(DATA.search, header))
    seen = f"it has {shown}" if is_header else "it begins with data"
    if not any(header):
        seen = "it is empty"
    advice = f"name it with --column {lacking[0]}=NAME"
    if lacking == ["view"]:
        advice += ", or state it for all files, as --assume view=MLO"
    return f"has no column {' and '.join(lacking)} ({seen}); {advice}."


def _rows_of(table: Path, columns: Mapping[str, str], assume: Label) -> Iterator[tuple[str, str]]:
    """Yield (file, facts as JSON) of every row of a table."""
    with _opened(table) as rows:
        header = [name.strip() for name in next(rows, [])]
        named = _named(header, columns)
        if lacking := _lacking(header, named, assume):
            raise TableError(f"The table {table.name} {lacking}")
        for row in rows:
            stated = {fact: row[position].strip() for fact, position in named.items() if position < len(row)}
            name = stated.pop("file", "").replace("\\", "/").removeprefix("./").strip("/")
            yield name, json.dumps({**assume, **facts_of(stated)}, sort_keys=True)


def _nameless(error: TableError, table: Path) -> str:
    """Return the sentence of an error without the name of its table, which may name a patient."""
    return str(error).replace(f" {table.name}", "")


def is_labels(table: Path, source: LabelSource | None = None) -> bool:
    """Return True for a table with columns that `Labels` recognizes as file and view, or whose view is assumed."""
    return table.suffix.lower() in TABLES and not why_no_labels(table, source or LabelSource())


def why_no_labels(table: Path, source: LabelSource) -> str:
    """Return a sentence on why a table is not one of labels, or ""; without its name, which may name a patient."""
    try:
        with _opened(table) as rows:
            header = [name.strip() for name in next(rows, [])]
    except TableError as error:
        return _nameless(error, table)
    lacking = _lacking(header, _named(header, source.columns), facts_of(source.assume))
    return f"The table {lacking}" if lacking else ""


def facts_of(stated: Mapping[str, str]) -> Label:
    """Convert values of a table to the store's terms, without those that cannot be interpreted.

    View "CC" or "MLO" (others are kept, to be refused by name), laterality "L" or "R", density "A" to "D" (also from
    BI-RADS 1 to 4), age in years, finding in small letters and short, patient unchanged.
    """
    value = {fact: str(text).strip() for fact, text in stated.items()}
    parsed, side = parse_view(value.get("view", ""))
    view, age = value.get("view", "").upper(), value.get("age", "")
    stated_years = YEARS.fullmatch(age)
    years = float(stated_years[1].replace(",", ".")) if stated_years else 0.0
    # "C", "3", "3.0", "DENSITY C", "ACR c" or "3 - heterogeneously dense".
    graded = re.search(r"(?:^|[ _(-])([A-D1-4])(?!\w)", value.get("density", "").upper())
    facts = {
        "view": parsed if parsed in ("CC", "MLO") else view,
        "laterality": parse_view(value.get("laterality", ""))[1] or side,
        "patient": value.get("patient"),
        "age": years if 0 < years < 120 else None,
        "density": dict(zip("1234", "ABCD", strict=True)).get(graded[1], graded[1]) if graded else None,
        "finding": plain(value.get("finding", "")).lower()[:LONGEST],
        "modality": value.get("modality", "").upper(),
    }
    return cast(Label, {fact: converted for fact, converted in facts.items() if converted})
