"""Read facts about images without a DICOM header from tables in CSV."""

import csv
import json
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import cast

from mammogan.data.attributes import LATERALITIES, parse_view
from mammogan.data.manifest import Facts
from mammogan.errors import ParameterError, TableError

# The facts that a table may state, and the column names that are recognized for each.
COLUMNS = {
    "file": ("file", "file_name", "filename", "path", "image"),
    "view": ("view", "view_position", "image_view"),
    "laterality": ("laterality", "side", "left_or_right"),
    "patient": ("patient", "patient_id"),
    "age": ("age",),
    "density": ("density", "breast_density"),
}


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

    Raises:
        ParameterError: a fact is unknown.
        TableError: a table cannot be read, or lacks the columns file or view.
    """

    def __init__(
        self, tables: Iterable[Path], columns: Mapping[str, str] | None = None, assume: Mapping[str, str] | None = None
    ) -> None:
        for option, facts in (("--column", columns or {}), ("--assume", assume or {})):
            if unknown := sorted(facts.keys() - COLUMNS.keys()):
                raise ParameterError(f"There is no fact {unknown[0]!r} for {option}; choose from {', '.join(COLUMNS)}.")
        self.assume = facts_of(assume or {})
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE rows (file TEXT PRIMARY KEY, facts TEXT) WITHOUT ROWID")
        for table in tables:
            for file, stated in _rows_of(table, columns or {}, self.assume):
                # Two files of one name in different folders: the bare name names neither.
                for key in {file, PurePosixPath(file).name}:
                    self._rows.execute(
                        "INSERT INTO rows VALUES (?, ?) ON CONFLICT (file) DO UPDATE SET facts ="
                        " CASE WHEN facts = excluded.facts THEN facts ELSE NULL END",
                        (key, stated),
                    )
        self._rows.commit()

    def get(self, path: Path) -> Facts | None:
        """Return the facts of the row whose file is the longest end of the path; None without one.

        Tables often leave out the suffix; the name with its suffix is tried first.
        """
        # A name that is not UTF-8 is of the time of Latin-1.
        parts = tuple(_readable(part) for part in path.parts)
        for start in range(max(len(parts) - 8, 0), len(parts)):
            end = "/".join(parts[start:]).lstrip("/")
            for name in (end, end.removesuffix(_readable(path.suffix))):
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


def _rows_of(table: Path, columns: Mapping[str, str], assume: Facts) -> Iterator[tuple[str, str]]:
    """Yield (file, facts as JSON) of every row of a table."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            names = {**COLUMNS, **{fact: (name,) for fact, name in columns.items()}}
            named = {fact: next((name for name in names[fact] if name in header), None) for fact in COLUMNS}
            lacking = [fact for fact in ("file", "view") if not named[fact] and fact not in assume]
            if lacking:
                missing = f"The table {table.name} has no column {' and '.join(lacking)} (it has {', '.join(header)})"
                raise TableError(f"{missing}; name it with --column {lacking[0]}=NAME.")
            for row in reader:
                stated = {fact: row.get(name) or "" for fact, name in named.items() if name}
                name = stated.pop("file").replace("\\", "/").removeprefix("./").strip("/")
                yield name, json.dumps({**assume, **facts_of(stated)}, sort_keys=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"The table {table.name} cannot be read ({type(error).__name__}); give a CSV.") from None


def is_labels(table: Path) -> bool:
    """Return True for a CSV with columns that `Labels` recognizes as file and view."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(header & set(COLUMNS["file"])) and bool(header & set(COLUMNS["view"]))


def facts_of(stated: Mapping[str, str]) -> Facts:
    """Convert values of a table to the store's terms, without those that cannot be interpreted.

    View "CC" or "MLO" (others are kept, to be refused by name), laterality "L" or "R", density "A" to "D" (also from
    BI-RADS 1 to 4), age in years, patient unchanged.
    """
    value = {fact: str(text).strip() for fact, text in stated.items()}
    parsed, side = parse_view(value.get("view", ""))
    view, density, age = value.get("view", "").upper(), value.get("density", "").upper(), value.get("age", "")
    try:
        years = float(age)
    except ValueError:
        years = 0.0
    density = dict(zip("1234", "ABCD", strict=True)).get(density[:1], density)
    facts = {
        "view": parsed if parsed in ("CC", "MLO") else view,
        "laterality": LATERALITIES.get(value.get("laterality", "").upper()) or side,
        "patient": value.get("patient"),
        "age": years if 0 < years < 120 else None,
        "density": density if density in ("A", "B", "C", "D") else None,
    }
    return cast(Facts, {fact: converted for fact, converted in facts.items() if converted})
