"""The protocol of a reader study: what is shown, asked and allowed, as a YAML file states it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path

from mammogan.errors import InputError, ParameterError
from mammogan.reader_study.questionnaire import Questionnaire, in_language, papers_questionnaire, read_yaml
from mammogan.reader_study.requests import WORD, printable
from mammogan.reader_study.texts import Texts

SHOWS = ("pairs", "images")
VIEWS = ("single", "pair")
SWITCH = {"yes": True, "true": True, "no": False, "false": False}
MOST = 1000  # practice questions, repeats or checks of a session
DRAWING = ("show", "practice", "repeats", "checks", "replace", "strata")  # what changes the questions of a session


@dataclass(frozen=True)
class Consent:
    """The page on which readers consent: its text, paragraphs separated by empty lines, and the version of it."""

    version: str
    text: str


@dataclass(frozen=True)
class StudyProtocol:
    """Options of a study; the default is the study of the paper.

    Raises:
        ParameterError: a value is out of range.
    """

    show: str = "pairs"  # "pairs", of which one is real, or "images", each real or synthetic
    views: str = "single"  # or "pair": each picture has the CC and the MLO of one breast
    confidence: bool = False  # ask for a confidence, 1 (a guess) ... 5 (certain)
    practice: int = 0  # questions at the beginning that are not scored
    repeats: int = 0  # questions of the first half that are asked again in the second
    checks: int = 0  # attention checks: a synthetic image in coarse squares, which nobody who looks misses
    replace: bool = True  # draw with replacement; otherwise a session draws no image twice
    strata: tuple[str, ...] = ()  # columns of the manifests; strata are shown equally often, and pairs are of one
    comments: bool = False  # a comment on each question
    feedback: bool = False  # pictures with the result
    display: bool = False  # a check of the display before the test
    language: str = "en"
    consent: Consent | None = None
    texts: Texts = field(default_factory=partial(Texts.of, "en"))  # what the application says
    questionnaire: Questionnaire = field(default_factory=partial(papers_questionnaire, "en"))

    def __post_init__(self) -> None:
        if self.show not in SHOWS:
            raise ParameterError(f"The protocol shows {self.show!r}; give pairs or images.")
        if self.views not in VIEWS:
            raise ParameterError(f"The protocol has the views {self.views!r}; give single or pair.")
        if self.views == "pair" and "view" in self.strata:
            raise ParameterError("A picture of a pair has both views; leave view out of the strata.")
        for name in ("practice", "repeats", "checks"):
            if not 0 <= (number := getattr(self, name)) <= MOST:
                raise ParameterError(f"The number {number} of {name} is out of range; choose 0 to {MOST}.")

    @classmethod
    def read(cls, path: Path) -> StudyProtocol:
        """Read a protocol from a YAML file; files that it names are relative to it.

        Raises:
            InputError: a file is missing or is not YAML, or an entry is unknown or impossible.
        """
        content = read_yaml(path)
        try:
            return cls.of(content if content else {}, path.parent)
        except ParameterError as error:
            raise InputError(f"{path}: {error}") from None

    @classmethod
    def of(cls, content: object, folder: Path) -> StudyProtocol:
        """Return the protocol that a YAML file in `folder`, or the record of a study, states; see `record`."""
        if not isinstance(content, Mapping):
            raise ParameterError("A protocol has entries such as show, confidence and consent; correct it.")
        types = {each.name: str(each.type) for each in fields(cls)}
        if unknown := set(content) - set(types):
            raise ParameterError(f"The entry {min(unknown)!r} is unknown; give some of {', '.join(types)}.")
        simple = {"bool": _switch, "int": _whole, "str": lambda name, value: str(value)}
        values: dict[str, object] = {
            name: simple[types[name]](name, value) for name, value in content.items() if types[name] in simple
        }
        strata = content.get("strata", ())
        columns = [strata] if isinstance(strata, str) else list(strata) if isinstance(strata, list | tuple) else [""]
        if not all(isinstance(column, str) and column for column in columns):
            raise ParameterError(f"The strata {strata!r} are not columns of a manifest; give some as [view, density].")
        values["strata"] = tuple(columns)
        language = str(values.get("language", "en"))
        values["consent"] = _consent(content.get("consent"), language)
        values["texts"] = Texts.of(language, _file(content.get("texts"), folder))
        if "questionnaire" in content:
            values["questionnaire"] = Questionnaire.of(_file(content["questionnaire"], folder), language)
        else:
            values["questionnaire"] = papers_questionnaire(language)
        return cls(**values)  # type: ignore[arg-type]  # of the types of their fields, by the lines above

    def record(self) -> dict[str, object]:
        """Return the protocol as JSON for study.json, without what is as in the default."""
        default = StudyProtocol()
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        record = {name: value for name, value in values.items() if value != getattr(default, name)}
        if self.consent:
            record["consent"] = vars(self.consent)
        if "questionnaire" in record:
            record["questionnaire"] = self.questionnaire.items
        if "texts" in record:
            record["texts"] = self.texts.changes
        return record

    @property
    def drawing(self) -> tuple[tuple[str, object], ...]:
        """Options that change the questions of a session, where they are not the default."""
        defaults = {each.name: each.default for each in fields(self)}
        return tuple((name, getattr(self, name)) for name in DRAWING if getattr(self, name) != defaults[name])


def _switch(name: str, value: object) -> bool:
    if isinstance(value, bool):
        return value
    if (word := str(value).strip().lower()) not in SWITCH:
        raise ParameterError(f"The entry {name} is {value!r}; give yes or no.")
    return SWITCH[word]


def _whole(name: str, value: object) -> int:
    if not re.fullmatch("[0-9]{1,9}", str(value)):
        raise ParameterError(f"The entry {name} is {value!r}; give a whole number of 0 or more.")
    return int(str(value))


def _consent(content: object, language: str) -> Consent | None:
    if content is None:
        return None
    if not isinstance(content, Mapping) or set(content) != {"version", "text"} or not all(content.values()):
        raise ParameterError("A consent has a version and a text; give both.")
    version = str(content["version"]).strip()
    if not 1 <= len(version) <= WORD or printable(version) != version:  # it returns with each consent
        raise ParameterError(f"The version {version!r} of the consent is not one line of 1 to {WORD} characters.")
    return Consent(version, in_language(content["text"], language).strip())


def _file(content: object, folder: Path) -> object:
    """Return what a file holds that an entry names, or the entry itself."""
    return read_yaml(folder / content) if isinstance(content, str) else content
