"""Whole files and whole folders: written next to their place, flushed to disk, then renamed.

A kill at any moment leaves the old content or the new one, never a part of either.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from mammogan.errors import OutputError


def unwritable(path: Path, error: OSError) -> OutputError:
    """Return the error of a file or folder that cannot be written, in one sentence."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"The disk of {path} is full; free space there and run the same command again.")
    return OutputError(f"{path} cannot be written ({error.strerror or error}); correct that and run again.")


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


def flush(path: Path) -> None:
    """Wait until the content of a file is on disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`; when the block ends well, the file written there takes its place.

    Raises:
        OutputError: the file cannot be written; what was at `path` is still there.
    """
    aside = _aside(path)
    try:
        yield aside
        flush(aside)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise unwritable(path, error) from error
    except BaseException:
        aside.unlink(missing_ok=True)
        raise


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


def write_json(path: Path, content: Any) -> None:
    """Write `content` as JSON as a whole; NaN and infinity are refused. See `replacing`.

    Raises:
        ValueError: a number is not finite.
    """
    with replacing_text(path) as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `path`; when the block ends well, it takes the place of `path`.

    The folder that was there is moved away first and deleted last. An earlier attempt that was killed is cleared.

    Raises:
        OutputError: the folder cannot be written; what was at `path` is still there.
    """
    aside, old = _aside(path), path.with_name(f".{path.name}.old")
    try:
        if old.exists() and not path.exists():  # an attempt was killed between its two renames
            old.rename(path)
        for left in (aside, old):
            shutil.rmtree(left, ignore_errors=True)
        aside.mkdir(parents=True)
        yield aside
        if path.exists():
            path.rename(old)
        aside.rename(path)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise unwritable(path, error) from error
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into the one sentence that says that `path` cannot be written."""
    try:
        yield
    except OSError as error:
        raise unwritable(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing.

    Raises:
        OutputError: it cannot be made.
    """
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)
