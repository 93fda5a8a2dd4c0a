"""Read what an earlier run kept: a file that is missing, damaged or of another kind is named in one sentence."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

from mammogan.errors import InputError

REPAIR = "restore the file, or write its folder again with the command that made it"


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name a file in the error where it is missing or does not hold what the code within takes from it.

    Raises:
        InputError: the code within found no file, text that it cannot read, no such key or column, or another type.
    """
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"There is no {path}; {REPAIR}.") from None
    except KeyError as error:
        raise InputError(f"{path} has no {error}; {REPAIR}.") from None
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        first = next(iter(str(error).splitlines()), "").rstrip(".")
        raise InputError(f"{path} cannot be read ({first}); {REPAIR}.") from None


def facts(path: Path, *names: str) -> dict[str, Any]:
    """Return the content of a JSON file that has some names; see `reading`."""
    with reading(path):
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if missing := [name for name in names if name not in content]:
            raise KeyError(missing[0])
        return dict(content)


def table(path: Path, numbers: Iterable[str] = (), texts: Iterable[str] = (), **options: Any) -> pd.DataFrame:
    """Return a CSV file that has some columns of numbers and of texts; `options` are those of pandas. See `reading`."""
    with reading(path):
        content: pd.DataFrame = pd.read_csv(path, **options)
        for name in texts:
            content[name] = content[name].astype(str)
        for name in numbers:
            content[name] = pd.to_numeric(content[name])
        return content
