"""Whole files and whole folders: written next to their place, flushed to disk, then renamed.

A kill at any moment leaves the old content or the new one, never a part of either.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from mammogan.errors import OutputError


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn an OSError of the block into one sentence that names `path` as what cannot be written.

    Raises:
        OutputError: the block raised an OSError.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            sentence = f"The disk of {path} is full; free space there and run the same command again."
        else:
            sentence = f"{path} cannot be written ({error.strerror or error}); correct that and run again."
        raise OutputError(sentence) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it, where they are missing; see `writing`."""
    with writing(path):
        path.mkdir(parents=True, exist_ok=True)


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.aside")


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


@contextmanager
def replacing_folder(path: Path) -> Iterator[Path]:
    """Yield an empty temporary folder next to `path`; when the block ends well, it takes the place of `path`.

    The folder that was there is moved away first and deleted last. An earlier attempt that was killed is cleared.

    Raises:
        OutputError: the folder cannot be written; what was at `path` is still there.
    """
    aside, old = _aside(path), path.with_name(f".{path.name}.old")
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
