"""Labels, formats, units and methods of the numbers of the chapters, kept in numbers.toml."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files

from mammogan.report.results import Results, Value

Number = float | int | str | Sequence[float] | Value  # alone, with its interval as an `Estimate`, or as a `Value`


@cache
def _words(chapter: str) -> dict[str, list[str]]:
    return tomllib.loads(files("mammogan.report").joinpath("numbers.toml").read_text(encoding="utf-8"))[chapter]


def described(chapter: str, numbers: Mapping[str, Number], **facts: object) -> dict[str, Value]:
    """Return numbers by key as values with the words of their chapter.

    Args:
        chapter: table of numbers.toml.
        numbers: {key: number, text, (number, low, high), or a value that has also the paper's number}.
        facts: numbers and names in the words.

    Raises:
        KeyError: a key has no words.
    """
    values = {}
    for key, number in numbers.items():
        patterns = ((re.escape(name).replace(r"\*", "(.+)"), words) for name, words in _words(chapter).items())
        matches = ((match, words) for pattern, words in patterns if (match := re.fullmatch(pattern, key)))
        match, words = next(matches, (None, []))
        if match is None:
            raise KeyError(f"numbers.toml has no words for {chapter}.{key}")
        fmt, _, unit = words[0].partition(" ")
        label, how = (text.format(*match.groups(), **facts) for text in [*words[1:], ""][:2])
        if isinstance(number, Sequence) and not isinstance(number, str):
            number = Value(number[0], number[1:])
        value = number if isinstance(number, Value) else Value(number)
        if isinstance(value.value, str):  # a text in place of a number, such as "not known"
            fmt = unit = ""
        values[key] = replace(value, fmt=fmt, unit=unit, label=label, how=how)
    return values


def keep(results: Results, numbers: Mapping[str, Number], **facts: object) -> None:
    """Keep numbers in the results of a chapter, with the words of that chapter; see `described`."""
    results.keep(described(results.chapter, numbers, **facts))
