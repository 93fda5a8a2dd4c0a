"""Numbers and texts of the chapters in words, kept in numbers.toml (labels, formats, units, methods) and words.toml."""

from __future__ import annotations

import re
import string
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from typing import Any

from mammogan.report.results import Results, Value

RAISED = str.maketrans("-0123456789", "\u207b\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079")
Number = float | int | str | Sequence[float] | Value  # alone, with its interval as an `Estimate`, or as a `Value`


@cache
def words(name: str, file: str = "words.toml") -> dict[str, Any]:
    """Return a table of words.toml, or of another such file."""
    return tomllib.loads(files("mammogan.report").joinpath(file).read_text(encoding="utf-8"))[name]


class _Sentences(string.Formatter):
    """Format texts as `str.format` does.

    {name:P} is a P value: "P = 0.034", "P < 0.001"; {name:is|are} is the first word where the number rounds
    to 1, else the second.
    """

    def format_field(self, value: Any, format_spec: str) -> str:
        if format_spec == "P":
            return "P < 0.001" if value < 0.0005 else f"P = {value:.3f}"
        if "|" in format_spec:
            return format_spec.split("|")[round(value) != 1]
        return super().format_field(value, format_spec)


def filled(text: str, **facts: object) -> str:
    """Return a text of words.toml in one line, with facts in place of {names}; see `_Sentences` for formats."""
    return _Sentences().format(" ".join(text.split()), **facts)


def raised(number: str) -> str:
    """Return a formatted number with a minus sign, and with a power of ten in place of an exponent (9.2e-08)."""
    leading, _, power = number.partition("e")
    exponent = f" \N{MULTIPLICATION SIGN} 10{str(int(power)).translate(RAISED)}" if power else ""
    return leading.replace("-", "\N{MINUS SIGN}") + exponent


def grouped(number: int) -> str:
    """Return a whole number with its digits in groups of three, from five digits on."""
    return f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}") if abs(number) >= 10_000 else str(number)


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
        patterns = words(chapter, "numbers.toml").items()
        matches = ((re.fullmatch(re.escape(name).replace(r"\*", "(.+)"), key), entry) for name, entry in patterns)
        match, entry = next((pair for pair in matches if pair[0]), (None, []))
        if match is None:
            raise KeyError(f"numbers.toml has no words for {chapter}.{key}")
        fmt, _, unit = entry[0].partition(" ")
        label, how = (_Sentences().format(text, *match.groups(), **facts) for text in [*entry[1:], ""][:2])
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
