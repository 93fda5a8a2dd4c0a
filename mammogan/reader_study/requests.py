"""Requests of a client to the server of a reader study, checked field by field."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeGuard

from mammogan.stats.responses import SIDES, TRAITS


class RequestRefused(Exception):
    """A request that is refused: a sentence, the status code of HTTP, and a kind for the log and the counts.

    By default, the refusal of a request with missing, unknown or impossible fields.
    """

    def __init__(self, sentence: str, status: int = 422, kind: str = "malformed") -> None:
        super().__init__(sentence)
        self.status, self.kind = status, kind


@dataclass(frozen=True)
class Questionnaire:
    """Answers of a reader on himself: "yes", "no" or "", and years of experience."""

    radiologist: str
    board_certified: str = ""
    trainee: str = ""
    breast_specialist: str = ""
    screening: str = ""
    years: float | None = None

    @classmethod
    def of(cls, content: object) -> Questionnaire:
        """Return the questionnaire of a request; raise RequestRefused for unknown, missing or impossible fields."""
        if not isinstance(content, dict) or not set(content) <= {*TRAITS, "years"} or not content.get("radiologist"):
            raise RequestRefused("The questionnaire is not complete.")
        if any(content.get(name, "") not in ("yes", "no", "") for name in TRAITS):
            raise RequestRefused("The questionnaire holds an answer that is neither yes nor no.")
        years = content.get("years")
        if years is not None and not (is_number(years) and 0 <= years <= 80):
            raise RequestRefused("Years of experience must be between 0 and 80.")
        if content["radiologist"] == "no" and any(content.get(name, "") for name in TRAITS[1:]):
            raise RequestRefused("Only radiologists are asked about their training.")
        if content.get("board_certified") == content.get("trainee") == "yes":
            raise RequestRefused("A trainee is not board certified yet.")
        return cls(**content)


@dataclass(frozen=True)
class Answer:
    """One confirmed answer as a client sends it."""

    question: int  # 1 ... n
    chosen: str  # "left" or "right"
    seconds: float  # time that the pair was in sight
    age: float  # seconds since the answer was confirmed: a tablet's clock may be wrong, its differences are not
    key: str  # 128 random bits, drawn by the client for this answer

    @classmethod
    def of(cls, content: object) -> Answer:
        """Return the answer of a request; raise RequestRefused for unknown, missing or impossible fields."""
        if not isinstance(content, dict) or set(content) != {"question", "chosen", "seconds", "age", "key"}:
            raise RequestRefused("An answer has question, chosen, seconds, age and key.")
        answer = cls(**content)
        whole = type(answer.question) is int  # `isinstance` would accept True
        times = all(is_number(time) and 0 <= time < 10**8 for time in (answer.seconds, answer.age))
        if not (whole and times and answer.chosen in SIDES and is_key(answer.key)):
            raise RequestRefused("A field of the answer is impossible.")
        return answer


def is_number(value: object) -> TypeGuard[float]:
    """Return whether a value of JSON is a number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def is_key(value: object) -> bool:
    """Return whether a value of JSON is 128 bits as 32 hexadecimal digits."""
    return isinstance(value, str) and len(value) == 32 and set(value) <= set("0123456789abcdef")
