"""Facts about images without a DICOM header, from tables in CSV."""

from __future__ import annotations

import csv
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from mammogan.data.attributes import LATERALITIES
from mammogan.errors import TableError

# The facts that a table may state, and the names of columns under which each is looked for.
COLUMNS = {
    "file": ("file", "file_name", "filename", "path", "image"),
    "view": ("view", "view_position", "image_view"),
    "laterality": ("laterality", "side", "left_or_right"),
    "patient": ("patient", "patient_id"),
    "age": ("age",),
    "density": ("density", "breast_density"),
}


class Labels:
    """Facts about files, from CSV tables; looked up by the end of a file's path.

    The rows lie in a temporary database on disk, so that a table of a million rows takes no memory.

    Args:
        tables: CSV files with a header.
        columns: {fact: name of its column}, for names that `COLUMNS` does not know.
        assume: {fact: value} that holds for every row and every file ({"view": "MLO"}).

    Raises:
        TableError: a table lacks the columns file or view, or a fact is unknown.
    """

    def __init__(
        self,
        tables: Iterable[Path],
        columns: Mapping[str, str] | None = None,
        assume: Mapping[str, str] | None = None,
    ) -> None:
        for fact in (*(columns or {}), *(assume or {})):
            if fact not in COLUMNS:
                raise TableError(f"There is no fact {fact!r}; a table may state {', '.join(COLUMNS)}.")
        self.assume = facts_of(assume or {})
        self._rows = sqlite3.connect("")
        self._rows.execute("CREATE TABLE rows (file TEXT PRIMARY KEY, facts TEXT) WITHOUT ROWID")
        for table in tables:
            for file, facts in _rows_of(table, columns or {}, self.assume):
                # Two files of one name in different folders: the bare name names neither.
                for key in {file, PurePosixPath(file).name}:
                    self._rows.execute(
                        "INSERT INTO rows VALUES (?, ?) ON CONFLICT (file) DO UPDATE SET facts ="
                        " CASE WHEN facts = excluded.facts THEN facts ELSE NULL END",
                        (key, facts),
                    )
        self._rows.commit()

    def get(self, path: Path) -> dict[str, Any] | None:
        """The facts about a file: those of the row whose file is the longest end of the path; None without one.

        Tables often leave out the suffix; the name with it goes first.
        """
        parts = path.parts
        for start in range(max(len(parts) - 8, 0), len(parts)):
            end = "/".join(parts[start:]).lstrip("/")
            for name in (end, end.removesuffix(path.suffix)):
                row = self._rows.execute("SELECT facts FROM rows WHERE file = ?", (name,)).fetchone()
                if row and row[0]:
                    return json.loads(row[0])
        return dict(self.assume) or None


def _rows_of(table: Path, columns: Mapping[str, str], assume: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            header = reader.fieldnames or []
            named = {
                fact: next((n for n in ([columns[fact]] if fact in columns else names) if n in header), None)
                for fact, names in COLUMNS.items()
            }
            lacking = [fact for fact in ("file", "view") if not named[fact] and fact not in assume]
            if lacking or not named["file"]:
                raise TableError(
                    f"The table {table.name} has no column {' and '.join(lacking)} (it has {', '.join(header)}); "
                    f"name it with --column {lacking[0]}=NAME."
                )
            for row in reader:
                stated = {fact: row.get(name) or "" for fact, name in named.items() if name}
                name = stated.pop("file").replace("\\", "/").removeprefix("./").strip("/")
                yield name, json.dumps({**assume, **facts_of(stated)}, sort_keys=True)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TableError(f"The table {table.name} cannot be read ({type(error).__name__}); give a CSV.") from None


def is_labels(table: Path) -> bool:
    """True where a CSV has columns that `Labels` knows as file and view."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            header = set(next(csv.reader(file), []))
    except (OSError, UnicodeDecodeError, csv.Error):
        return False
    return bool(header & set(COLUMNS["file"])) and bool(header & set(COLUMNS["view"]))


def facts_of(stated: Mapping[str, str]) -> dict[str, Any]:
    """Values of a table in the store's terms; what cannot be read is left out.

    View "CC" or "MLO" (others are kept, to be refused by their name), laterality "L" or "R", density "A" to "D" (also
    from BI-RADS 1 to 4), age in years, patient as it stands.
    """
    value = {fact: str(text).strip() for fact, text in stated.items()}
    view, density, age = value.get("view", "").upper(), value.get("density", "").upper(), value.get("age", "")
    try:
        years = float(age)
    except ValueError:
        years = None
    density = dict(zip("1234", "ABCD", strict=True)).get(density[:1], density)
    facts = {
        "view": {"CRANIOCAUDAL": "CC", "MEDIOLATERAL OBLIQUE": "MLO"}.get(view, view),
        "laterality": LATERALITIES.get(value.get("laterality", "").upper()),
        "patient": value.get("patient"),
        "age": years if years is not None and 0 < years < 120 else None,
        "density": density if density in ("A", "B", "C", "D") else None,
    }
    return {fact: known for fact, known in facts.items() if known}
