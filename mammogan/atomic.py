"""Whole files and whole folders: written next to their place, flushed to disk, then renamed.

A kill at any moment leaves the old content or the new one, never a part of either.
"""

import errno
import fcntl
import json
import logging
import os
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from mammogan.errors import MammoganError, OutputError

log = logging.getLogger(__name__)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into one sentence that names `path` as what cannot be written.

    Where the error names a file elsewhere, which may be an input, the sentence is about that one.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        named = Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else path
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            disk = next(folder for folder in (_real(path), *_real(path).parents) if folder.is_mount())
            sentence = f"The disk of {path} is full; free space in {disk} and run the same command again."
        elif not _belongs(named, path):
            sentence = f"{named} cannot be read or written ({error.strerror or error}); correct that and run again."
        else:
            sentence = f"{path} cannot be written ({error.strerror or error}); correct that and run again."
        raise OutputError(sentence) from error


def _belongs(named: Path, path: Path) -> bool:
    """Return whether a file is `path`, above it, below it, or in a file or folder that is named after it."""
    place, whole = _real(named), _real(path)
    beside = [part.name for part in (place, *place.parents) if part.parent == whole.parent]
    return place in (whole, *whole.parents) or any(re.match(rf"\.?{re.escape(whole.name)}", name) for name in beside)


@contextmanager
def temporary_databases() -> Iterator[None]:
    """Turn the error of a temporary database of SQLite that fills its disk into one sentence; also a decorator.

    Raises:
        OutputError: the disk of temporary files is full.
    """
    try:
        yield
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode != sqlite3.SQLITE_FULL:
            raise
        folder = os.environ.get("SQLITE_TMPDIR") or os.environ.get("TMPDIR") or "/var/tmp"  # SQLite's own order
        sentence = f"The disk of {folder}, which holds temporary files, is full; free space there or set TMPDIR"
        raise OutputError(f"{sentence} to a folder elsewhere, and run the same command again.") from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing; see `writing`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def lock(file: IO[Any] | int, failure: MammoganError) -> None:
    """Lock an open file until it is closed, or raise `failure` where another process has locked it.

    Some network file systems have no locks; a warning says so, and the work goes on.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise failure from None
    except OSError as error:
        log.warning("The file system has no locks (%s); this is not checked: %s", error.strerror, failure)


def _real(path: Path) -> Path:
    """Return the path without links; a loop of links, which `Path.resolve` raises at, stays."""
    return Path(os.path.realpath(path))


def sibling(path: Path, end: str, start: str = "") -> Path:
    """Return a path next to `path`, with `start` and `end` around its name; "." has the name of its folder.

    Raises:
        OutputError: the path is the root of the file system, which has no name.
    """
    if path.name in ("", ".."):
        path = Path(os.path.abspath(path))
    if not path.name:
        raise OutputError(f"{path} is the root of the file system; give another folder.")
    return path.with_name(f"{start}{path.name}{end}")


def _aside(path: Path) -> Path:
    return sibling(path, ".aside", ".")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; when the block ends well, the file written there takes its place.

    Raises:
        OutputError: the file cannot be written; what was at `path` is still there.
    """
    aside = _aside(path)
    try:
        with writing(path):
            yield aside
            with aside.open("rb") as file:
                os.fsync(file.fileno())
            aside.replace(path)
    finally:
        with suppress(OSError):
            aside.unlink(missing_ok=True)


@contextmanager
def replacing_text(path: Path) -> Iterator[IO[str]]:
    """Yield a text file (UTF-8); when the block ends well, it takes the place of `path`. See `replacing`."""
    with replacing(path) as aside, aside.open("w", encoding="utf-8") as file:
        yield file
        file.flush()


def write_text(path: Path, content: str) -> None:
    """Write a text file (UTF-8) as a whole. See `replacing`."""
    with replacing_text(path) as file:
        file.write(content)


def write_json(path: Path, content: object) -> None:
    """Write `content` as JSON as a whole. See `replacing`.

    Raises:
        ValueError: a number is not finite.
    """
    write_text(path, json.dumps(content, indent=1, allow_nan=False) + "\n")


def _old(path: Path) -> Path:
    return sibling(path, ".mammogan.old", ".")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `path`; when the block ends well, it takes the place of `path`.

    The folder that was there is moved away first and deleted last. An earlier attempt that was killed is cleared. Of a
    link, the folder that it names is replaced.

    Raises:
        OutputError: the folder cannot be written; what was at `path` is still there.
    """
    path = _real(path)
    aside, old = _aside(path), _old(path)
    try:
        with writing(path):
            if old.exists() and not path.exists():  # an attempt was killed between its two renames
                old.rename(path)
            for left in (aside, old):
                shutil.rmtree(left, ignore_errors=True)
            aside.mkdir(parents=True)
            yield aside
            if path.exists():
                path.rename(old)
            aside.rename(path)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)


# Folders that a command may delete: those that it can have made itself, and nothing else.


@dataclass(frozen=True)
class FolderKind:
    """A kind of folder that a command writes, and what it is recognized by.

    Attributes:
        noun: its name in a message, as "a store".
        mark: a file in it.
        holds: returns True for the content of this file (UTF-8) if the command can have written it.
        files: regular expression of the paths of all files and empty folders in it, relative to it; any other one is
            the user's.
        lock: a file in it that is locked while the folder is written; "" for none.
    """

    noun: str
    mark: str
    holds: Callable[[str], bool]
    files: str
    lock: str = ""

    def made(self, folder: Path) -> bool:
        """Return True if a folder bears the mark of this kind."""
        mark = folder / self.mark
        try:
            return mark.is_file() and not mark.is_symlink() and self.holds(mark.read_text(encoding="utf-8"))
        except (OSError, ValueError, LookupError, AttributeError, TypeError):  # somebody else's mark may hold anything
            return False


def _contents(folder: Path) -> Iterator[str]:
    """Yield the paths of all files, links and empty folders below a folder, relative to it."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and any(path.iterdir()):
            yield from (f"{path.name}/{inner}" for inner in _contents(path))
        else:
            yield path.name


SYSTEM = r"\.DS_Store|Thumbs\.db|desktop\.ini"  # files that file managers leave in every folder


def check_replaceable(
    path: Path, kinds: Sequence[FolderKind], inputs: Iterable[Path] = (), another: str = "give another folder"
) -> None:
    """Check that an existing folder may be deleted: a command of this package made it, and nothing else is in it.

    Args:
        path: an existing file or folder.
        kinds: kinds of folders that the command makes.
        inputs: files and folders that the command reads; existing or not.
        another: what to do instead, for the message.

    Raises:
        OutputError: `path` is a link, a file, an input, within an input or around one, a folder of another kind, holds
            a file of the user, or is being written.
    """
    if path.is_symlink():
        raise OutputError(f"{path} is a link, which is not replaced; {another}.")
    if not path.is_dir():
        raise OutputError(f"{path} cannot be written (it is a file); {another}.")
    whole, here = _real(path), _real(Path.cwd())
    if whole in (_real(Path.home()), here, *here.parents):
        raise OutputError(f"{path} holds the folder in which you work or your home, and is not replaced; {another}.")
    for given in inputs:
        source = _real(given)
        if source == whole:
            raise OutputError(f"{path} is also an input, which is only read; {another}.")
        if whole in source.parents:
            raise OutputError(f"{path} holds the input {given}, which is only read; {another}.")
        if source in whole.parents:
            raise OutputError(f"{path} is within the input {given}, which is only read; {another}.")
    with writing(path):
        if not any(path.iterdir()):
            return
    kind = next((kind for kind in kinds if kind.made(path)), None)
    if kind is None:
        nouns = " or ".join(kind.noun for kind in kinds)
        raise OutputError(f"{path} is not {nouns} that this command made, and is not replaced; {another}.")
    pattern = re.compile(rf"(?:{kind.files})|(?:.*/)?(?:{SYSTEM}|\..*\.aside)")
    with writing(path):
        strange = next((name for name in _contents(path) if not pattern.fullmatch(name)), "")
    if strange:
        raise OutputError(f"{path / strange} would be lost with {path}, and it is not part of it; {another}.")
    if kind.lock and (path / kind.lock).is_file():
        with writing(path), (path / kind.lock).open("rb") as file:
            lock(file, OutputError(f"Another process writes to {path}; wait for it or stop it."))


@contextmanager
def renewing_folder(
    path: Path, kinds: Sequence[FolderKind], inputs: Iterable[Path] = (), force: bool = False
) -> Iterator[None]:
    """With `force`, move an existing folder away while the block writes a new one in its place, and delete it last.

    When the block fails, the old folder is put back. When the block is interrupted, the new folder stays, for commands
    that continue it, and the old one is kept until a later block ends well.

    Args:
        path: folder that the block writes.
        kinds, inputs: see `check_replaceable`.
        force: replace what is there; otherwise the block decides what to do with it.

    Raises:
        OutputError: what is there must not be deleted, see `check_replaceable`.
    """
    target = _real(path)
    old = _old(target)
    with writing(path):
        exists = path.exists() or path.is_symlink()
        old.exists()  # raises where its name is too long
    if force and exists:
        check_replaceable(path, kinds, inputs)
    with writing(path):
        if force and exists:
            # The old folder of an attempt that was killed is older, but whole; what that attempt wrote is not.
            shutil.rmtree(target) if old.exists() else target.rename(old)
    try:
        yield
    except BaseException as error:
        if old.exists() and (not target.exists() or (force and isinstance(error, Exception))):
            shutil.rmtree(target, ignore_errors=True)
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
