"""Settings with which a reader study is built."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mammogan.errors import ParameterError
from mammogan.reader_study.protocol import StudyProtocol
from mammogan.types import Size


@dataclass(frozen=True)
class StudySettings:
    """Settings of a study.

    Raises:
        ParameterError: a number is out of range.
    """

    pairs: int = 10  # questions per session
    pool: int = 0  # images of each class to draw from, chosen at random among those that are not excluded; 0 keeps all
    seed: int | None = None  # random seed of the choice of images for the pools, which does not tell the truth
    secret: int | None = None  # seed of names, sides and sessions, which does; None draws one; give one in tests only
    attempts: int = 3  # sessions per reader's code; 0 sets no limit
    idle: float = 180  # seconds without a touch after which a tablet asks whether the reader is still there; 0: never
    size: Size | None = None  # of pictures; None is the largest that both stores have (1280 x 1024 without a store)
    bits: int = 0  # of folders; 0 means those they have
    view: str = ""  # use only images of this view; a store without views is used whole
    labels: Sequence[Path] = ()  # CSV files, columns id and label; an image with a label other than "none" is excluded
    exclude_labels: Sequence[str] = ()  # exclude only these labels, whatever their case
    exclude: Sequence[Path] = ()  # text files with one id per line, optionally followed by a comma and a reason
    title: str = ""  # text above the instructions, as is the note; empty is that of the language
    note: str = ""
    browser: bool = False  # make a study that runs without a server; the truth is in public/study.js, hardly hidden
    protocol: StudyProtocol = field(default_factory=StudyProtocol)

    def __post_init__(self) -> None:
        if self.pairs < 1 or self.pool < 0:
            raise ParameterError(
                f"Sessions of {self.pairs} pairs from pools of {self.pool} are impossible; choose 1 or more pairs, and "
                "a pool of 0 or more."
            )
        if self.view and self.protocol.views == "pair":
            raise ParameterError(f"A study with views: pair shows CC and MLO; omit --view {self.view}.")
        if self.protocol.repeats > self.pairs // 2:
            raise ParameterError(
                f"{self.protocol.repeats} repeats of {self.pairs} questions are impossible; the protocol may repeat "
                f"{self.pairs // 2}."
            )
        for name in ("seed", "secret", "attempts", "idle"):
            if (number := getattr(self, name) or 0) < 0:
                raise ParameterError(f"The value {number} of {name} is negative; choose 0 or more.")
