"""Reader studies before and after the paper, kept in studies.toml as far as their sources could be read."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import NamedTuple


class Rate(NamedTuple):
    """Right answers of a group of readers, as a source states them."""

    name: str
    right: int
    answers: int


class Study(NamedTuple):
    """One work, with what could be read of it."""

    key: str  # of the reference in book/references.bib
    model: str
    size: str  # pixels
    readers: str
    result: str
    read: str  # what of it could be read
    rates: tuple[Rate, ...] = ()


def studies() -> tuple[Study, ...]:
    """Return the works in the order of their years."""
    content = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
    return tuple(
        Study(**{**facts, "rates": tuple(Rate(**rate) for rate in facts.get("rates", ()))})
        for facts in content["studies"]
    )
