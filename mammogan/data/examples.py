"""Write the list of examples of refused files, by names that a user can find: it is kept apart from the store."""

import csv
import os
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from mammogan.atomic import replacing_text, sibling, writing
from mammogan.errors import OutputError

EXAMPLES = 3  # names of files per reason
HEADER = "reason,files,file"


def refused_path(store: Path) -> Path:
    """Return the list of examples of refused files, next to the store: names of files may identify patients."""
    return sibling(store, ".refused.csv")


def readable(path: Path) -> str:
    """Return a relative path as text for a terminal and a spreadsheet: escaped, and never a formula."""
    name = os.fsencode(path).decode(errors="backslashreplace")
    name = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
    return f"./{name}" if name.startswith(("=", "+", "-", "@")) else name


def write_examples(path: Path, counts: Counter[str], examples: Mapping[str, list[str]]) -> None:
    """Write a table that only its owner can read: reason, number of files, and up to `EXAMPLES` of their names.

    Raises:
        OutputError: the table cannot be written, or what is there is not one.
    """
    with writing(path):
        if os.path.lexists(path) and (path.is_symlink() or not path.read_bytes().startswith(HEADER.encode())):
            raise OutputError(f"{path} is not a list that this command wrote, and is not replaced; give another store.")
    with replacing_text(path) as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(f"{HEADER}\r\n")
        rows = csv.writer(file)
        for reason, count in counts.most_common():
            rows.writerows((reason, count, name) for name in examples.get(reason, []))
