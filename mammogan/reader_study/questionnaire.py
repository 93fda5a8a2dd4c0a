"""Questionnaires: what a reader is asked, as a YAML file states it, and which answers are possible.

An item of the file has a name, a text, and one of these: `choices`, each with its text; `number`, the smallest and the
largest; `length`, of free text. `when` shows it after certain choices only. Of an item with `columns`, each column of
the export is "yes" if its choice was taken, else "no". Texts are strings, or strings by language.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import yaml

from mammogan.errors import InputError, ParameterError
from mammogan.reader_study.requests import LOOKED, RequestRefused, is_number, printable
from mammogan.stats.responses import COLUMNS, MORE_COLUMNS, TRAITS

Value = str | float | None
DEFAULT = Path(__file__).with_name("questionnaire.yaml")  # the paper's
KEYS = {"name", "text", "choices", "number", "length", "when", "columns"}
OWN = (
    "started_at",
    "received_at",
    "complete",
    "tablet",
    "device",
    "screen",
    "consent_version",
    "consented_at",
    "comment",
)
TAKEN = {*COLUMNS, *MORE_COLUMNS, *OWN, *LOOKED, "study", "number", "role", "key", "agent"} - {*TRAITS, "years"}
STARTS = ("display_", "again_", "checks_")  # of other columns of the export
LONGEST = 200  # characters of a free text
ROOM = 3000  # bytes of all answers: less than `bodies.MAX_BODY` by what a request has besides


class _OneKeyOnce(yaml.BaseLoader):
    """A loader that refuses a key that a mapping has twice (YAML 1.2, 3.2.1.3); PyYAML drops the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if keys.count(key.value) > 1:
                raise yaml.MarkedYAMLError(problem=f"{key.value} is there twice", problem_mark=key.start_mark)
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> object:
    """Return the content of a YAML file, in which every scalar is text: yes and no are no truth values here.

    Raises:
        InputError: the file cannot be read or is not YAML.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8-sig"), Loader=_OneKeyOnce)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give a YAML file.") from None
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError) as error:
        raise InputError(f"{path} is not YAML ({' '.join(str(error).split())}); correct it.") from None


def in_language(text: object, language: str) -> str:
    """Return a text in a language: the text itself, or that of the language, of English, or the first one.

    Raises:
        ParameterError: it is neither a text nor texts by language.
    """
    if isinstance(text, Mapping) and text:
        text = text.get(language) or text.get("en") or next(iter(text.values()))
    if not isinstance(text, str) or not text.strip():
        raise ParameterError(f"{text!r} is not a text; write one, or one per language, as {{en: ..., de: ...}}.")
    return text


@dataclass(frozen=True)
class Questionnaire:
    """Items of a questionnaire in one language, as the application gets them.

    Raises:
        ParameterError: an item is incomplete or contradicts another one.
    """

    items: tuple[dict[str, object], ...]

    @classmethod
    def of(cls, content: object, language: str) -> Questionnaire:
        """Return the questionnaire that a YAML file states."""
        if not isinstance(content, Sequence) or isinstance(content, str) or not content:
            raise ParameterError("A questionnaire is a list of items with name and text; correct it.")
        items: list[dict[str, object]] = []
        for item in content:
            items.append(_checked(item, {str(each["name"]): each for each in items if "columns" not in each}, language))
        columns = [column for item in items for column in _columns(item)]
        if twice := [column for column in columns if columns.count(column) > 1]:
            raise ParameterError(f"The questionnaire asks twice for {twice[0]}; give each item its own name.")
        if sum(bool({"board_certified", "trainee"} & {*_columns(item)}) for item in items) > 1:
            raise ParameterError("No trainee is board certified; ask both as columns of one question, as the paper.")
        if "radiologist" in columns:
            for item in items:
                if set(_columns(item)) & {*TRAITS[1:]} and item.get("when") != {"radiologist": "yes"}:
                    raise ParameterError(f"Ask {item['name']} of radiologists alone, with when: {{radiologist: yes}}.")
        if (most := sum(map(_bytes, items))) > ROOM:
            raise ParameterError(f"Answers may have {most} bytes, and a request has room for {ROOM}; ask for less.")
        return cls(tuple(items))

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """Columns of the export, in the order of the questions."""
        return tuple(column for item in self.items for column in _columns(item))

    def check(self, content: object) -> dict[str, Value]:
        """Return the answers of a request, by column; raise RequestRefused for unknown or impossible ones."""
        if not isinstance(content, dict) or not set(content) <= set(self.columns):
            raise RequestRefused("The questionnaire is not complete.")
        # Tablets type narrow spaces before punctuation, and joiners within a sign: the reader cannot mend them.
        content = {
            name: printable(value.replace("\n", " ")) if isinstance(value, str) else value
            for name, value in content.items()
        }
        for item in self.items:
            given = [content[column] for column in _columns(item) if content.get(column) not in (None, "")]
            when = item.get("when")
            asked = not isinstance(when, dict) or all(content.get(name) == value for name, value in when.items())
            if given and not asked:
                raise RequestRefused(f"The question {item['name']} is not asked after these answers.")
            if "choices" in item and not when and not given:
                raise RequestRefused("The questionnaire is not complete.")
            if not all(_possible(item, value) for value in given) or given.count("yes") > 1:
                raise RequestRefused(f"The answer to the question {item['name']} is impossible.")
        return content


@cache
def papers_questionnaire(language: str) -> Questionnaire:
    """Return the questionnaire of the paper."""
    return Questionnaire.of(read_yaml(DEFAULT), language)


def _columns(item: Mapping[str, object]) -> list[str]:
    columns = item.get("columns")
    return list(columns) if isinstance(columns, list | tuple) else [str(item["name"])]


def _possible(item: Mapping[str, object], value: object) -> bool:
    if isinstance(number := item.get("number"), list):
        return is_number(value) and number[0] <= value <= number[1]
    if not isinstance(value, str):
        return False
    if isinstance(length := item.get("length"), int):
        return len(value) <= length
    choices = item.get("choices")
    return value in (("yes", "no") if "columns" in item else choices if isinstance(choices, dict) else ())


def _bytes(item: Mapping[str, object]) -> int:
    """Return the bytes that the answers to an item may have in a request, in UTF-8."""
    choices, length = item.get("choices"), item.get("length", 24)
    assert isinstance(length, int)
    longest = max((len(value.encode()) for value in choices), default=0) if isinstance(choices, dict) else 3 * length
    return sum(len(column) + len('"": "", ') + longest for column in _columns(item))


def _checked(item: object, before: Mapping[str, Mapping[str, object]], language: str) -> dict[str, object]:
    """Return an item with its texts in one language and its numbers as numbers.

    Args:
        item: as the file states it.
        before: items before it by name, of those that have one column.
        language: language of the texts.
    """
    if not isinstance(item, Mapping) or not {"name", "text"} <= set(item) <= KEYS:
        raise ParameterError(f"An item of a questionnaire has name, text and some of {', '.join(sorted(KEYS))}.")
    name = item["name"]
    if not re.fullmatch("[a-z][a-z0-9_]{0,31}", str(name)):
        raise ParameterError(f"The name {name!r} of a question is no column; use small letters, digits and _.")
    kinds = [kind for kind in ("choices", "number", "length") if kind in item]
    if len(kinds) != 1:
        raise ParameterError(f"The question {name} has {len(kinds)} of choices, number and length; give one of them.")
    checked: dict[str, object] = {"name": name, "text": in_language(item["text"], language)}
    try:
        if kinds == ["choices"]:
            checked["choices"] = {value: in_language(text, language) for value, text in item["choices"].items()}
        elif kinds == ["number"]:
            low, high = (float(number) for number in item["number"])
            if not (math.isfinite(low) and math.isfinite(high) and low < high):
                raise ParameterError(f"The question {name} has no number from {low:g} to {high:g}; correct its limits.")
            checked["number"] = [low, high]
        else:
            checked["length"] = int(item["length"])
            if not 1 <= int(item["length"]) <= LONGEST:
                raise ParameterError(f"The length {item['length']} of {name} is out of range; choose 1 to {LONGEST}.")
        if "when" in item:
            checked["when"] = dict(item["when"])
        if "columns" in item:
            checked["columns"] = list(item["columns"])
    except ParameterError:
        raise
    except (ValueError, TypeError, AttributeError):
        raise ParameterError(f"The question {name} is not as the example of a questionnaire; correct it.") from None
    _check_names(checked, before)
    return checked


def _check_names(item: Mapping[str, object], before: Mapping[str, Mapping[str, object]]) -> None:
    """Raise a ParameterError if an item has a column of another meaning, or follows a choice that nobody can make."""
    choices, when = item.get("choices", {}), item.get("when", {})
    assert isinstance(choices, dict)
    assert isinstance(when, dict)
    if "choices" in item and not (choices and all(choices)):
        raise ParameterError(f"The question {item['name']} has a choice without a name, or none; name its choices.")
    for column in _columns(item):
        if (
            column in TAKEN
            or column.startswith(STARTS)
            or (column in TRAITS and "columns" not in item and not set(choices) <= {"yes", "no"})
        ):
            raise ParameterError(f"The column {column} has another meaning in the export; choose another name.")
        if "columns" in item and column not in choices:
            raise ParameterError(f"The column {column} of the question {item['name']} is not one of its choices.")
        if column == "years" and not (isinstance(years := item.get("number"), list) and years[0] >= 0):
            raise ParameterError("The question years asks for a number of 0 or more; give it one, or another name.")
    for name, value in when.items():
        if name not in before:
            raise ParameterError(f"The question {item['name']} depends on {name!r}, which has no column before it.")
        possible = before[name].get("choices")
        if not isinstance(possible, dict) or value not in possible:
            sentence = f"The question {item['name']} depends on {value!r} as {name}, which is not one of its choices"
            raise ParameterError(f"{sentence}: {', '.join(possible) if isinstance(possible, dict) else 'it has none'}.")
