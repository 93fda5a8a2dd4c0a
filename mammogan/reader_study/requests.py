"""Requests of a client to the server of a reader study, checked field by field."""

from __future__ import annotations

import re
from dataclasses import dataclass, fields, replace
from typing import TypeGuard

from mammogan.stats.responses import SIDES


class RequestRefused(Exception):
    """A request that is refused: a sentence, the status code of HTTP, and a kind for the log and the counts.

    By default, the refusal of a request with missing, unknown or impossible fields.
    """

    def __init__(self, sentence: str, status: int = 422, kind: str = "malformed") -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind


CHOICES = (*SIDES, "real", "synthetic")
LOOKED = {"zoom", "zooms", "windows", "changes"}  # how a question was looked at
LONGEST = 500  # characters of a comment
WORD = 100  # characters of a version, a name of a tablet or a screen
MOMENT = 10**8  # seconds


@dataclass(frozen=True)
class Answer:
    """One confirmed answer as a client sends it."""

    question: int  # 1 ... n
    chosen: str  # "left" or "right", of a single image "real" or "synthetic"
    seconds: float  # time that the question was in sight
    age: float  # seconds since the answer was confirmed: a tablet's clock may be wrong, its differences are not
    key: str  # 128 random bits, drawn by the client for this answer
    confidence: int | None = None  # 1 ... 5, where the study asks for it
    comment: str = ""
    looked: dict[str, float] | None = None  # largest zoom (1 shows all), and how often zoom, window and choice changed

    @classmethod
    def of(cls, content: object) -> Answer:
        """Return the answer of a request; raise RequestRefused for unknown, missing or impossible fields."""
        names = {field.name for field in fields(cls)}
        if not isinstance(content, dict) or not names - {"confidence", "comment", "looked"} <= set(content) <= names:
            raise RequestRefused("An answer has question, chosen, seconds, age and key.")
        answer = cls(**content)
        whole = type(answer.question) is int  # `isinstance` would accept True
        times = all(is_number(time) and 0 <= time < MOMENT for time in (answer.seconds, answer.age))
        level = answer.confidence is None or (type(answer.confidence) is int and 1 <= answer.confidence <= 5)
        looked = isinstance(answer.looked, dict | None) and set(answer.looked or ()) <= LOOKED
        looked = looked and all(is_number(number) and 0 <= number < MOMENT for number in (answer.looked or {}).values())
        said = isinstance(answer.comment, str) and answer.chosen in CHOICES
        if not (whole and times and level and looked and said and is_key(answer.key)):
            raise RequestRefused("A field of the answer is impossible.")
        return replace(answer, comment=printable(answer.comment)[:LONGEST])


@dataclass(frozen=True)
class Opening:
    """The start of a test as a tablet sends it; all but the key, the questionnaire and the code may be missing."""

    key: str  # 128 random bits that the tablet drew for this test
    questionnaire: object  # see `questionnaire.Questionnaire.check`
    reader: str  # code of the reader; empty for a new one
    age: float = 0  # seconds since the reader began
    consent: str | None = None  # version of the text that the reader consented to
    consented: float = 0  # seconds since then
    tablet: str = ""  # random name that the tablet keeps
    screen: str = ""  # as "1024 x 1366, 2": width and height, and pixels per pixel of the style sheet
    display: dict[str, str] | None = None  # whether the dark and the bright square were found, yes or no
    agent: str = ""  # name of the browser, which the server adds

    @classmethod
    def of(cls, content: object, agent: str) -> Opening:
        """Return the start of a request; raise RequestRefused for unknown, missing or impossible fields."""
        names = {field.name for field in fields(cls)} - {"agent"}
        if not isinstance(content, dict) or not {"key", "questionnaire", "reader"} <= set(content) <= names:
            raise RequestRefused("A session has a key, a questionnaire and a reader.")
        opening = cls(**content, agent=printable(agent)[:200])
        times = all(is_number(time) and 0 <= time < MOMENT for time in (opening.age, opening.consented))
        words = all(
            isinstance(word, str) and len(word) <= WORD and printable(word) == word
            for word in (opening.consent or "", opening.tablet, opening.screen)
        )
        display = opening.display
        seen = display is None or (isinstance(display, dict) and set(display) == {"dark", "bright"})
        seen = seen and all(value in ("yes", "no") for value in (display or {}).values())
        if not (is_key(opening.key) and times and words and seen):
            raise RequestRefused("A field of the start is impossible.")
        if not isinstance(opening.reader, str) or not re.fullmatch("[A-Za-z0-9]{0,16}", opening.reader.strip()):
            raise RequestRefused("A reader's code has at most 16 letters and digits.", 422, "unknown reader")
        return replace(opening, reader=opening.reader.strip().upper())


def printable(text: str) -> str:
    """Return a text with plain spaces, and without the characters that cannot be shown or stored."""
    spaced = "".join(" " if character.isspace() and character != "\n" else character for character in text)
    return "".join(character for character in spaced if character.isprintable() or character == "\n")


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_key(value: object) -> bool:
    """Return whether a value of JSON is 128 bits as 32 hexadecimal digits."""
    return isinstance(value, str) and len(value) == 32 and set(value) <= set("0123456789abcdef")
