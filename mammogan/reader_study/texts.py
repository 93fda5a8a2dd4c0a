"""What the application says: a catalog per language, and the changes of one study."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from mammogan.errors import ParameterError
from mammogan.reader_study.questionnaire import read_yaml

CATALOGS = Path(__file__).parent / "texts"
HOLE = re.compile(r"\{([a-z]+)\}")


@dataclass(frozen=True)
class Texts:
    """Texts by key, and the language that they are in."""

    language: str
    changes: dict[str, str] = field(default_factory=dict)  # of one study, against the catalog of the language

    @classmethod
    def of(cls, language: str, changes: object = None) -> Texts:
        """Return the catalog of a language with changes, which complete a language that has no catalog.

        Raises:
            ParameterError: a key is unknown, a text is not text or lacks one of its holes, as {n}; or the language has
                no catalog and no text of its own.
        """
        if changes is None:
            changes = {}
        if not re.fullmatch("[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", language):
            raise ParameterError(f"The language {language!r} is no code; give one as en, de or pt-BR.")
        if not isinstance(changes, Mapping):
            raise ParameterError("Texts are entries of a key and a text; correct them.")
        english = catalog("en") if changes else {}
        for key, text in changes.items():
            if key not in english:
                raise ParameterError(f"The text {key!r} is unknown; give keys of {CATALOGS / 'en.yaml'}.")
            if not isinstance(text, str) or set(HOLE.findall(text)) != set(HOLE.findall(english[key])):
                holes = ", ".join(f"{{{name}}}" for name in sorted(set(HOLE.findall(english[key])))) or "none"
                raise ParameterError(f"The text {key!r} has other holes than the English one, which has {holes}.")
        if not changes and not (CATALOGS / f"{language}.yaml").is_file():
            there = ", ".join(sorted(path.stem for path in CATALOGS.glob("*.yaml")))
            raise ParameterError(f"There are no texts in the language {language!r}; give them as texts, or {there}.")
        return cls(language, dict(changes))

    @property
    def entries(self) -> dict[str, str]:
        """All texts, by key; what the language lacks is English."""
        return {**catalog("en"), **catalog(self.language), **self.changes}


@cache
def catalog(language: str) -> dict[str, str]:
    """Return the catalog of a language; an empty one if there is none."""
    path = CATALOGS / f"{language}.yaml"
    if not path.is_file():
        return {}
    content = read_yaml(path)
    assert isinstance(content, dict)
    return content
