"""Walk through an archive: every file once, in the same order on every machine, and why an entry is not read."""

import json
import os
import sqlite3
import stat
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import NamedTuple

from mammogan.data.dicom import is_dicom
from mammogan.errors import Reason, Refused

# Files that mammogan keeps next to a store, and folders that it writes or moves aside.
COMPANIONS = (".salt", ".refused.csv")
ASIDE = (".aside", ".mammogan.old")


class Entry(NamedTuple):
    """A file of an archive, or a folder or other entry that is not read."""

    path: Path
    refused: Refused | None = None  # why it is not read
    number: int = 0  # position of its source


def walk(sources: Iterable[Path], skip: Iterable[Path] = ()) -> Iterator[Path]:
    """Yield every file below the sources that can be read, see `survey`."""
    return (entry.path for entry in survey(sources, skip) if not entry.refused)


def dicom_files(sources: Iterable[Path]) -> Iterator[Path]:
    """Yield the files below the sources that are DICOM by their first bytes; names often do not tell.

    Files that cannot be read are passed over: the ingest names them.
    """
    for path in walk(sources):
        head = b""
        with suppress(OSError), path.open("rb") as file:
            head = file.read(132)
        if is_dicom(head):
            yield path


def survey(sources: Iterable[Path], skip: Iterable[Path] = ()) -> Iterator[Entry]:
    """Yield every file below the sources, in the same order on every machine, and each entry that is not read.

    Links to files are followed, and so are links to folders outside of the sources, once each. Hidden files and folders
    are not read. Stores of mammogan, and what it keeps next to them, are passed over.

    Args:
        sources: files and folders.
        skip: stores to pass over although they may not exist yet.
    """
    roots = [Path(source) for source in sources]
    skipped = {_real(f"{os.path.abspath(store)}{end}") for store in skip for end in ("", *COMPANIONS)}
    walker = _Walker([_real(root) for root in roots], skipped)
    for number, root in enumerate(roots):
        for entry in _flat(walker.entry(root, is_root=True)):
            yield entry._replace(number=number)


Steps = Iterator["Entry | Steps"]  # entries, and folders in the place of theirs


def _flat(steps: Steps) -> Iterator[Entry]:
    """Yield the entries of steps in order: generators in generators fail below a thousand folders."""
    stack = [steps]
    while stack:
        step = next(stack[-1], None)
        if step is None:
            stack.pop()
        elif isinstance(step, Entry):
            yield step
        else:
            stack.append(step)


class _Walker:
    def __init__(self, roots: list[str], skipped: set[str]) -> None:
        self.roots, self.skipped, self.names = roots, skipped, {os.path.basename(path) for path in skipped}
        self.linked: set[tuple[int, int]] = set()  # folders that were reached through links

    def entry(self, path: Path, is_root: bool = False, through_link: bool = False) -> Steps:
        if path.name in self.names and _real(path) in self.skipped:
            return
        try:
            is_link, status = path.is_symlink(), path.stat()
        except OSError as error:
            yield Entry(path, _not_read(path, error))
            return
        if stat.S_ISREG(status.st_mode):
            yield Entry(path)
        elif not stat.S_ISDIR(status.st_mode):
            yield Entry(path, Refused(Reason.SPECIAL, "The entry is a pipe, a socket or a device, not a file."))
        elif is_link and not is_root and self._is_read_anyway(path):
            yield Entry(path, Refused(Reason.LINK, "The link leads to a folder that is read anyway, or is above it."))
        elif (through_link or is_link) and (status.st_dev, status.st_ino) in self.linked:
            yield Entry(path, Refused(Reason.LINK, "The link leads to a folder that was read through another link."))
        elif is_root or not is_store(path):
            if (through_link or is_link) and not is_root:
                self.linked.add((status.st_dev, status.st_ino))
            yield self._folder(path, (through_link or is_link) and not is_root)

    def _is_read_anyway(self, path: Path) -> bool:
        """Return True for a folder that is within a source or contains one."""
        real = _real(path)
        return any(os.path.commonpath([real, root]) in (real, root) for root in self.roots)

    def _folder(self, folder: Path, through_link: bool) -> Steps:
        # The names are sorted in a database on disk, so that a folder of a million files needs no memory; a walk that
        # is broken off may be closed by another thread.
        with closing(sqlite3.connect("", check_same_thread=False)) as names:
            names.execute("CREATE TABLE names (name BLOB PRIMARY KEY) WITHOUT ROWID")
            try:
                with os.scandir(folder) as entries:
                    names.executemany("INSERT INTO names VALUES (?)", ((os.fsencode(e.name),) for e in entries))
            except OSError as error:
                yield Entry(folder, _not_read(folder, error))
                return
            for (encoded,) in names.execute("SELECT name FROM names ORDER BY name"):
                name = os.fsdecode(encoded)
                path = folder / name
                if name.startswith("."):
                    if not name.endswith(ASIDE):
                        yield Entry(path, Refused(Reason.HIDDEN, "The name begins with a dot; such files are hidden."))
                elif not _is_companion(path):
                    yield self.entry(path, through_link=through_link)


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _not_read(path: Path, error: OSError) -> Refused:
    if os.path.islink(path) and not isinstance(error, PermissionError):  # False where the path is too long
        return Refused(Reason.LINK, "The link leads nowhere or to itself.")
    return Refused(Reason.UNREADABLE, f"The file or folder cannot be read ({type(error).__name__}).")


def is_store(folder: Path) -> bool:
    """Return True for a store of this project, finished or not."""
    try:
        attributes = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))["attributes"]
        return str(attributes["format"]).startswith("mammogan-store-")
    except (OSError, ValueError, LookupError, TypeError):
        return False


def _is_companion(path: Path) -> bool:
    """Return True for a file that mammogan keeps next to a store."""
    return any(path.name.endswith(end) and is_store(path.with_name(path.name.removesuffix(end))) for end in COMPANIONS)
